"""Methods. A table of text; the functions import torch when used.

Properties:
    kind: "path", a function `(subject, *, options) -> Plan` whose plan the engine follows, or "direct", a function
        `(passes, subject, *, options) -> Attribution` that runs the model itself (see `sigcli.engine.passes`).
    needs: what it needs of the model: "gradients", "hooks" (its layers, so no TorchScript) or "forward" (scores only).
    cost: passes of the model, in terms of the options; "≤" where it is a bound. Those for the score and the completeness
        check come on top, and a network's layers are traced once.
    passes: the cost of the default options.
    positive: what a positive value says: "for", the input speaks for the score; "against", it speaks against it; "raises",
        the score rises with the input's value, as of gradients.
    axioms: those of `AXIOMS` that it satisfies; the tests hold it to them.
    complete: the values sum to a score difference, up to the reported gap.
    sampled: random draws, hence a standard error.
    grows: what a longer run has more of, see `sigcli.methods.growing`: it begins with the draws of a shorter one. Methods
        without it cannot go on until they are exact enough.
    costs: option → value → the cost with that value, where it differs.
    budget: the option that the cost grows with; methods without it have one cost.
    least: the least value of that option, 1 where not given.
    players: works on a partition of the pixels.
    multiplied: values are in the score's unit; False for gradients, which are per unit of input.
    arrays: also explains arrays that are not pictures.
    unit: the values' unit in words, where it is neither the score's nor per unit of input.
    certainty: True where the model must be certainty-aware; values are then (1, H, W).
    only: "linear" or "max" where it explains scores of that kind alone and refuses others.
    linear: "players" where only the sums over players are linear in the score; every value is where not given.
    quantity: what the sums over players estimate where several methods estimate the same, which then have one default
        baseline.
"""

from __future__ import annotations

from ..catalog import Catalog, Entry
from .near import NEAR

AXIOMS = {
    "completeness": "values sum to a score difference, in expectation where there are draws (Sundararajan et al. 2017)",
    "dummy": "what the model never reads gets 0 ([ICG] section 3.2)",
    "linearity": "the map of a sum of scores is the sum of their maps",
    "symmetry": "players that the model treats alike get the same, in expectation where there are draws",
    "invariance": "networks that compute the same function get the same map",
}
_ALL = tuple(AXIOMS)
_EXPECTED = ("completeness", "dummy", "linearity", "invariance")
_PATH = {
    "kind": "path", "needs": "gradients", "complete": True, "sampled": False, "players": False, "multiplied": True,
    "axioms": _ALL, "cost": "steps", "budget": "steps", "passes": 50, "arrays": True, "positive": "for",
}  # fmt: skip
_SHAPLEY = {
    **_PATH, "sampled": True, "players": True, "cost": "2 × samples × steps", "budget": "samples", "passes": 256,
    "grows": "16 samples",
}  # fmt: skip
_LINES = {
    **_PATH, "sampled": True, "cost": "samples × steps", "budget": "samples", "grows": "16 samples", "passes": 256,
}  # fmt: skip
_GRADIENT = {
    **_PATH, "complete": False, "multiplied": False, "axioms": ("dummy", "linearity", "symmetry", "invariance"), "cost": "1",
    "budget": "", "passes": 1, "positive": "raises",
}  # fmt: skip
_DIRECT = {
    "kind": "direct", "needs": "hooks", "complete": False, "sampled": False, "players": False, "multiplied": True,
    "axioms": (), "cost": "1", "passes": 1, "arrays": False, "positive": "for",
}  # fmt: skip
_RULED = {**_DIRECT, "multiplied": False, "axioms": ("dummy",), "positive": "raises"}
_LAYER = {**_DIRECT, "multiplied": False, "unit": "Grad-CAM, no unit"}
_ALONG = {**_DIRECT, "needs": "gradients", "complete": True, "cost": "steps", "budget": "steps", "passes": 50}
_SCORES = {**_DIRECT, "needs": "forward"}
_GAME = {
    **_SCORES,
    "arrays": True,
    "players": True,
    "complete": True,
    "sampled": True,
    "axioms": _ALL,
    "cost": "≤ budget",
    "budget": "budget",
    "passes": 2048,
    "quantity": "Shapley value",
}

METHODS = Catalog(
    "method",
    [
        Entry(
            "sig",
            "methods.sig:sig",
            "Shapley Integrated Gradients: IG from sampled coalitions [Liu 2024]",
            {**_SHAPLEY, "costs": {"form": {"to-input": "samples × steps", "from-default": "samples × steps"}}},
        ),
        Entry(
            "sig-walk",
            "methods.walk:sig_walk",
            "polylines through coalitions: unbiased Shapley value per player [Liu 2024]",
            {
                **_SHAPLEY,
                "linear": "players",
                "cost": "orders × players",
                "budget": "orders",
                "grows": "2 orders",
                "passes": 392,
                "quantity": "Shapley value",
            },
        ),
        Entry(
            "ig",
            "methods.integrated_gradients:ig",
            "Integrated Gradients from one baseline [Sundararajan 2017]",
            _PATH,
            aliases=("integrated-gradients",),
        ),
        Entry(
            "eg",
            "methods.integrated_gradients:eg",
            "Expected Gradients from other images or uniform noise [Erion 2021]",
            {**_LINES, "axioms": _EXPECTED},
            aliases=("expected-gradients", "gradient-explainer"),
        ),
        Entry(
            "agn",
            "methods.integrated_gradients:agn",
            "IG from the image under Gaussian noise, averaged [Sturmfels 2020]",
            _LINES,
        ),
        Entry(
            "icg",
            "methods.certainty_gradients:icg",
            "Integrated Certainty Gradients, for certainty-aware models [ICG 2022]",
            {**_PATH, "certainty": True, "arrays": False, "cost": "samples × steps", "passes": 50},
            aliases=("integrated-certainty-gradients",),
        ),
        Entry(
            "gradient",
            "methods.gradients:gradient",
            "the gradient of the score [Simonyan 2014]",
            _GRADIENT,
            aliases=("saliency", "vanilla-gradient"),
        ),
        Entry(
            "input-x-gradient",
            "methods.gradients:input_x_gradient",
            "input times gradient [Shrikumar 2016]",
            {**_GRADIENT, "multiplied": True, "positive": "for"},
            aliases=("gradient-x-input", "gradient-input", "input-gradient"),
        ),
        Entry(
            "smoothgrad",
            "methods.gradients:smoothgrad",
            "mean gradient under Gaussian noise [Smilkov 2017]",
            {**_GRADIENT, "sampled": True, "cost": "samples", "budget": "samples", "grows": "1 sample", "passes": 50},
        ),
        Entry(
            "gradient-shap",
            "methods.expected:gradient_shap",
            "gradients at random points between other images and this one [Lundberg 2017]",
            {
                **_ALONG,
                "arrays": True,
                "complete": False,
                "sampled": True,
                "axioms": ("dummy", "linearity", "invariance"),
                "cost": "samples",
                "budget": "samples",
                "passes": 64,
            },
        ),
        Entry(
            "linear-shap",
            "methods.expected:linear_shap",
            "exact SHAP values of a linear model; refuses others [Lundberg 2017]",
            {
                **_ALONG,
                "arrays": True,
                "axioms": _ALL,
                "cost": "2",
                "budget": "",
                "passes": 2,
                "quantity": "Shapley value",
                "only": "linear",
            },
            aliases=("linear-explainer",),
        ),
        Entry(
            "blur-ig",
            "methods.curved:blur_ig",
            "IG along images of less and less blur [Xu 2020]",
            {**_ALONG, "axioms": ("completeness", "dummy", "linearity", "invariance")},
        ),
        Entry(
            "guided-ig",
            "methods.curved:guided_ig",
            "IG along a path that moves values of small gradient first [Kapishnikov 2021]",
            {**_ALONG, "axioms": ("completeness", "dummy", "invariance")},
        ),
        Entry(
            "idgi",
            "methods.curved:idgi",
            "score differences along IG's path, divided in proportion to squared gradients [Yang 2023]",
            {**_ALONG, "arrays": True, "axioms": ("completeness", "dummy", "symmetry", "invariance")},
        ),
        Entry(
            "gradcam",
            "methods.cam:gradcam",
            "activations of the last layer that everything passes through, weighted by gradients [Selvaraju 2017]",
            _LAYER,
            aliases=("grad-cam", "layer-gradcam"),
        ),
        Entry(
            "gradcam-counterfactual",
            "methods.cam:gradcam_counterfactual",
            "Grad-CAM of the negated gradient: evidence against [Selvaraju 2017]",
            {**_LAYER, "unit": "counterfactual Grad-CAM, no unit", "positive": "against"},
        ),
        Entry("cam", "methods.cam:cam", "class activation map of networks that end in pooling [Zhou 2016]", _DIRECT),
        Entry(
            "guided-backprop",
            "methods.backprop:guided_backprop",
            "gradient that passes only positive values through active ReLUs [Springenberg 2015]",
            _RULED,
            aliases=("guided-backpropagation",),
        ),
        Entry(
            "deconvolution",
            "methods.backprop:deconvolution",
            "gradient that passes only positive values through all ReLUs [Zeiler 2014]",
            _RULED,
            aliases=("deconvnet",),
        ),
        Entry(
            "guided-gradcam",
            "methods.backprop:guided_gradcam",
            "guided backpropagation times Grad-CAM [Selvaraju 2017]",
            {**_RULED, "unit": "guided Grad-CAM, no unit", "cost": "2", "passes": 2},
            aliases=("guided-grad-cam",),
        ),
        Entry(
            "deeplift",
            "methods.deeplift:deeplift",
            "differences from a reference, propagated by the rescale rule [Shrikumar 2017]",
            {**_DIRECT, "complete": True, "axioms": ("completeness", "dummy"), "cost": "2", "passes": 2},
        ),
        Entry(
            "deepshap",
            "methods.deeplift:deepshap",
            "DeepLIFT averaged over other images or noise [Lundberg 2017]",
            {
                **_DIRECT,
                "complete": True,
                "sampled": True,
                "axioms": ("completeness", "dummy"),
                "cost": "2 × samples",
                "budget": "samples",
                "passes": 32,
            },
            aliases=("deep-shap", "deeplift-shap", "deep-explainer"),
        ),
        Entry(
            "lrp",
            "methods.relevance:lrp",
            "layer-wise relevance propagation [Bach 2015]",
            {**_DIRECT, "axioms": ("dummy",)},
            aliases=("layer-wise-relevance-propagation",),
        ),
        Entry(
            "occlusion",
            "methods.perturbation:occlusion",
            "drop of the score without each player [Zeiler 2014]",
            {
                **_SCORES,
                "arrays": True,
                "players": True,
                "axioms": ("dummy", "linearity", "symmetry", "invariance"),
                "cost": "players + 1",
                "passes": 197,
            },
            aliases=("feature-ablation",),
        ),
        Entry(
            "rise",
            "methods.perturbation:rise",
            "mean score of the randomly masked images that keep a pixel [Petsiuk 2018]",
            {
                **_SCORES,
                "sampled": True,
                "multiplied": False,
                "unit": "score where kept, less the mean",
                "axioms": ("linearity", "invariance"),
                "cost": "samples",
                "budget": "samples",
                "grows": "16 samples",
                "passes": 2000,
            },
        ),
        Entry(
            "lime",
            "methods.perturbation:lime",
            "a local linear model of players [Ribeiro 2016]",
            {
                **_SCORES,
                "arrays": True,
                "players": True,
                "sampled": True,
                "axioms": ("linearity", "invariance"),
                "cost": "samples",
                "budget": "samples",
                "grows": "16 samples",
                "passes": 1000,
            },
        ),
        Entry(
            "bshap",
            "methods.shapley_values:bshap",
            "Shapley value per player, exact where 2^n fits the budget [Sundararajan 2020]",
            _GAME,
        ),
        Entry(
            "shapley-sampling",
            "methods.shapley_values:shapley_sampling",
            "Shapley value per player from random orders [Castro 2009]",
            {
                **_GAME,
                "cost": "orders × (players - 1) + 2",
                "budget": "orders",
                "least": 4,
                "grows": "2 orders",
                "passes": 1922,
            },
            aliases=("shapley-value-sampling",),
        ),
        Entry(
            "kernelshap",
            "methods.shapley_values:kernelshap",
            "Shapley value per player by regression [Lundberg 2017]",
            {**_GAME, "axioms": ("completeness", "linearity", "invariance")},
            aliases=("kernel-shap", "kernel-explainer"),
        ),
        Entry(
            "low-order-shap",
            "methods.shapley_values:low_order_shap",
            "exact Shapley value of at most 16 players [Lundberg 2017]",
            {**_GAME, "sampled": False, "cost": "2^players", "budget": "", "passes": 512},
        ),
        Entry(
            "effective-shapley",
            "methods.effective:effective_shapley",
            "ratio of Shapley values from the coalitions that make a difference [Liu 2023]",
            {
                **_GAME,
                "complete": False,
                "quantity": "",
                "unit": "mean difference where there is one; ratios only",
                "axioms": ("dummy", "invariance"),
            },
        ),
        Entry(
            "max-shap",
            "methods.maximum:max_shap",
            "exact Shapley values of a score that is a maximum; refuses others [Lundberg 2017]",
            {
                **_GAME,
                "sampled": False,
                "axioms": ("completeness", "dummy", "symmetry", "invariance"),
                "cost": "2 × players + 2 + checks",
                "budget": "",
                "passes": 164,
                "only": "max",
            },
        ),
        Entry(
            "qii",
            "methods.shapley_values:qii",
            "influence of players replaced by those of other images [Datta 2016]",
            {
                **_GAME,
                "complete": False,
                "quantity": "",
                "axioms": ("dummy", "linearity", "invariance"),
                "cost": "samples × (players + 1)",
                "budget": "samples",
                "grows": "1 sample",
                "passes": 800,
            },
        ),
    ],
    NEAR,
)

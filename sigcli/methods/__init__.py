"""Methods. A table of text; the functions import torch when used.

Properties:
    kind: "path", a function `(subject, *, options) -> Plan` whose plan the engine follows, or "direct", a function
        `(passes, subject, *, options) -> Attribution` that runs the model itself (see `sigcli.engine.passes`).
    needs: what it needs of the model: "gradients", "hooks" (its layers, so no TorchScript) or "forward" (scores only).
    cost: passes of the model, in terms of the options; "≤" where it is a bound. Those for the score and the completeness
        check come on top, and a network's layers are traced once.
        Where it counts `channels`, those of the layer, it cannot be told before the network is looked into.
    passes: the cost of the default options; of a layer with 512 channels.
    backward: False for those with hooks that look at layers and ask for no gradient.
    positive: what a positive value says: "for", the input speaks for the score; "against", it speaks against it; "raises",
        the score rises with the input's value, as of gradients; "salient", the input matters, whether for or against.
    axioms: those of `AXIOMS` that it satisfies; the tests hold it to them.
    complete: the values sum to a score difference, up to the reported gap.
    sampled: random draws, hence a standard error.
    stderr: False where the draws give none.
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
    classes: works on networks that end in one score for each class, and on no score of a region.
    only: "linear" or "max" where it explains scores of that kind alone and refuses others, "attention" where only networks
        with attention between all their tokens.
    drops: takes the baseline "tokens", which leaves no image behind.
    linear: "players" where only the sums over players are linear in the score; every value is where not given.
    coarse: the map is made of cells, players or regions, not of pixels; the view `auto` shows it as it is.
    edges: the map is of fine edges of both signs, whose mean is not 0: of a blurred one that mean is left, one colour. The
        view `auto` shows it as it is.
    quantity: what the sums over players estimate where several methods estimate the same, which then have one default
        baseline.
"""

from __future__ import annotations

from ..catalog import Catalog, Entry
from .layer_methods import LAYER_METHODS
from .near import NEAR
from .properties import ALL, ALONG, AXIOMS, EXPECTED, GAME, GRADIENT, LINES, MASK, PATH, SCORES, SHAPLEY

__all__ = ["AXIOMS", "METHODS"]

METHODS = Catalog(
    "method",
    [
        Entry(
            "sig",
            "methods.sig:sig",
            "Shapley Integrated Gradients: IG from sampled coalitions [Liu 2024]",
            {**SHAPLEY, "costs": {"form": {"both": "2 × samples × steps"}}},
        ),
        Entry(
            "sig-walk",
            "methods.walk:sig_walk",
            "polylines through coalitions: unbiased Shapley value per player [Liu 2024]",
            {
                **SHAPLEY,
                "linear": "players",
                "cost": "orders × players",
                "budget": "orders",
                "grows": "2 orders",
                "passes": 392,
                "quantity": "Shapley value",
                "drops": True,
            },
        ),
        Entry(
            "ig",
            "methods.integrated_gradients:ig",
            "Integrated Gradients from one baseline [Sundararajan 2017]",
            PATH,
            aliases=("integrated-gradients",),
        ),
        Entry(
            "eg",
            "methods.integrated_gradients:eg",
            "Expected Gradients from other images or uniform noise [Erion 2021]",
            {**LINES, "axioms": EXPECTED},
            aliases=("expected-gradients", "gradient-explainer"),
        ),
        Entry(
            "agn",
            "methods.integrated_gradients:agn",
            "IG from the image under Gaussian noise, averaged [Sturmfels 2020]",
            LINES,
        ),
        Entry(
            "icg",
            "methods.certainty_gradients:icg",
            "Integrated Certainty Gradients, for certainty-aware models [ICG 2022]",
            {**PATH, "certainty": True, "arrays": False, "cost": "samples × steps", "passes": 50},
            aliases=("integrated-certainty-gradients",),
        ),
        Entry(
            "gradient",
            "methods.gradients:gradient",
            "the gradient of the score [Simonyan 2014]",
            GRADIENT,
            aliases=("saliency", "vanilla-gradient"),
        ),
        Entry(
            "input-x-gradient",
            "methods.gradients:input_x_gradient",
            "input times gradient [Shrikumar 2016]",
            {**GRADIENT, "multiplied": True, "positive": "for"},
            aliases=("gradient-x-input", "gradient-input", "input-gradient"),
        ),
        Entry(
            "smoothgrad",
            "methods.gradients:smoothgrad",
            "mean gradient under Gaussian noise [Smilkov 2017]",
            {**GRADIENT, "sampled": True, "cost": "samples", "budget": "samples", "grows": "1 sample", "passes": 50},
        ),
        Entry(
            "gradient-shap",
            "methods.expected:gradient_shap",
            "gradients at random points between other images and this one [Lundberg 2017]",
            {
                **ALONG,
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
                **ALONG,
                "arrays": True,
                "axioms": ALL,
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
            {**ALONG, "axioms": ("completeness", "dummy", "linearity", "invariance")},
        ),
        Entry(
            "guided-ig",
            "methods.curved:guided_ig",
            "IG along a path that moves values of small gradient first [Kapishnikov 2021]",
            {**ALONG, "axioms": ("completeness", "dummy", "invariance")},
        ),
        Entry(
            "idgi",
            "methods.curved:idgi",
            "score differences along IG's path, divided in proportion to squared gradients [Yang 2023]",
            {**ALONG, "arrays": True, "axioms": ("completeness", "dummy", "symmetry", "invariance")},
        ),
        Entry(
            "xrai",
            "methods.xrai:xrai",
            "IG from black and white, ranked by regions of the picture [Kapishnikov 2019]",
            {**ALONG, "axioms": ("completeness", "invariance"), "cost": "2 × steps", "passes": 100, "coarse": True},
        ),
        *LAYER_METHODS,
        Entry(
            "occlusion",
            "methods.perturbation:occlusion",
            "drop of the score without each player [Zeiler 2014]",
            {
                **SCORES,
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
                **SCORES,
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
                **SCORES,
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
            "meaningful-perturbation",
            "methods.masking:meaningful_perturbation",
            "the smallest smooth part whose deletion lowers the score [Fong 2017]",
            {**MASK, "unit": "deleted fraction"},
        ),
        Entry(
            "extremal-perturbation",
            "methods.masking:extremal_perturbation",
            "the part of a given area that keeps most of the score [Fong 2019]",
            {**MASK, "unit": "kept fraction"},
            aliases=("extremal-perturbations",),
        ),
        Entry(
            "bshap",
            "methods.shapley_values:bshap",
            "Shapley value per player, exact where 2^n fits the budget [Sundararajan 2020]",
            GAME,
        ),
        Entry(
            "shapley-sampling",
            "methods.shapley_values:shapley_sampling",
            "Shapley value per player from random orders [Castro 2009]",
            {
                **GAME,
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
            {**GAME, "axioms": ("completeness", "linearity", "invariance")},
            aliases=("kernel-shap", "kernel-explainer"),
        ),
        Entry(
            "low-order-shap",
            "methods.shapley_values:low_order_shap",
            "exact Shapley value of at most 16 players [Lundberg 2017]",
            {**GAME, "sampled": False, "cost": "2^players", "budget": "", "passes": 512},
        ),
        Entry(
            "effective-shapley",
            "methods.effective:effective_shapley",
            "ratio of Shapley values from the coalitions that make a difference [Liu 2023]",
            {
                **GAME,
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
                **GAME,
                "sampled": False,
                "axioms": ("completeness", "dummy", "symmetry", "invariance"),
                "cost": "2 × players + 2 + checks",
                "budget": "",
                "passes": 164,
                "drops": False,
                "only": "max",
            },
        ),
        Entry(
            "qii",
            "methods.shapley_values:qii",
            "influence of players replaced by those of other images [Datta 2016]",
            {
                **GAME,
                "complete": False,
                "quantity": "",
                "axioms": ("dummy", "linearity", "invariance"),
                "cost": "samples × (players + 1)",
                "drops": False,
                "budget": "samples",
                "grows": "1 sample",
                "passes": 800,
            },
        ),
    ],
    NEAR,
)

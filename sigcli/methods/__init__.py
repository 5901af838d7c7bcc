"""Methods. A table of text; the functions import torch when used.

Properties:
    kind: "path", a function `(subject, *, options) -> Plan` whose plan the engine follows, or "direct", a function
        `(passes, subject, *, options) -> Attribution` that asks the model itself (see `sigcli.passes`).
    needs: of the model: "gradients", "hooks" (its layers, so no TorchScript) or "forward" (scores only).
    complete: the values sum to a score difference, up to the reported gap.
    sampled: random draws, hence a standard error.
    players: works on a partition of the pixels.
    multiplied: values are in the score's unit; False for gradients, which are per unit of input.
    unit: the values' unit in words where it is neither.
    linear: "players" where only the sums over players are linear in the score; every value is where not given.
"""

from __future__ import annotations

from ..catalog import Catalog, Entry

_PATH = {"kind": "path", "needs": "gradients", "complete": True, "sampled": False, "players": False, "multiplied": True}
_SHAPLEY = {**_PATH, "sampled": True, "players": True}
_GRADIENT = {**_PATH, "complete": False, "multiplied": False}
_DIRECT = {
    "kind": "direct",
    "needs": "hooks",
    "complete": False,
    "sampled": False,
    "players": False,
    "multiplied": True,
}
_RULED = {**_DIRECT, "multiplied": False}
_LAYER = {**_DIRECT, "multiplied": False, "unit": "Grad-CAM, no unit"}

METHODS = Catalog(
    "method",
    [
        Entry(
            "sig", "methods.sig:sig", "Shapley Integrated Gradients: IG from sampled coalitions [Liu 2024]", _SHAPLEY
        ),
        Entry(
            "sig-walk",
            "methods.walk:sig_walk",
            "polylines through coalitions: unbiased Shapley value per player",
            {**_SHAPLEY, "linear": "players"},
        ),
        Entry("ig", "methods.straight:ig", "Integrated Gradients from one baseline [Sundararajan 2017]", _PATH),
        Entry(
            "eg",
            "methods.straight:eg",
            "Expected Gradients from other images or uniform noise [Erion 2021]",
            {**_PATH, "sampled": True},
        ),
        Entry(
            "agn",
            "methods.straight:agn",
            "IG from the image under Gaussian noise, averaged [Sturmfels 2020]",
            {**_PATH, "sampled": True},
        ),
        Entry("gradient", "methods.gradients:gradient", "the gradient of the score [Simonyan 2014]", _GRADIENT),
        Entry(
            "input-x-gradient",
            "methods.gradients:input_x_gradient",
            "input times gradient [Shrikumar 2016]",
            {**_PATH, "complete": False},
        ),
        Entry(
            "smoothgrad",
            "methods.gradients:smoothgrad",
            "mean gradient under Gaussian noise [Smilkov 2017]",
            {**_GRADIENT, "sampled": True},
        ),
        Entry(
            "gradcam",
            "methods.layers:gradcam",
            "the last convolution's map, weighted by gradients [Selvaraju 2017]",
            _LAYER,
        ),
        Entry(
            "gradcam-counterfactual",
            "methods.layers:gradcam_counterfactual",
            "Grad-CAM of the negated gradient: evidence against [Selvaraju 2017]",
            _LAYER,
        ),
        Entry(
            "guided-backprop",
            "methods.backprop:guided_backprop",
            "gradient, only positive ones through active ReLUs [Springenberg 2015]",
            _RULED,
        ),
        Entry(
            "deconvolution",
            "methods.backprop:deconvolution",
            "gradient, only positive ones through all ReLUs [Zeiler 2014]",
            _RULED,
        ),
        Entry(
            "guided-gradcam",
            "methods.backprop:guided_gradcam",
            "guided backpropagation times Grad-CAM [Selvaraju 2017]",
            {**_LAYER, "unit": "guided Grad-CAM, no unit"},
        ),
        Entry(
            "deeplift",
            "methods.deeplift:deeplift",
            "differences from a reference, carried back by the rescale rule [Shrikumar 2017]",
            {**_DIRECT, "complete": True},
        ),
        Entry(
            "deepshap",
            "methods.deeplift:deepshap",
            "DeepLIFT averaged over other images or noise [Lundberg 2017]",
            {**_DIRECT, "complete": True, "sampled": True},
        ),
        Entry("lrp", "methods.deeplift:lrp", "layer-wise relevance propagation [Bach 2015]", _DIRECT),
        Entry("cam", "methods.layers:cam", "class activation map of networks that end in pooling [Zhou 2016]", _DIRECT),
    ],
)

"""Methods: functions `(subject, *, options) -> Plan`. A table of text; the functions import torch when used.

Properties:
    complete: the values sum to a score difference, up to the reported gap.
    sampled: random draws, hence a standard error.
    players: works on a partition of the pixels.
    multiplied: values are in the score's unit; False for gradients, which are per unit of input.
    certainty: True where the model must take a certainty per pixel; values are then (1, H, W).
    linear: "players" where only the sums over players are linear in the score; every value is where not given.
"""

from __future__ import annotations

from ..catalog import Catalog, Entry

_PATH = {"complete": True, "sampled": False, "players": False, "multiplied": True}
_SHAPLEY = {**_PATH, "sampled": True, "players": True}
_GRADIENT = {"complete": False, "sampled": False, "players": False, "multiplied": False}

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
        Entry(
            "icg",
            "methods.certainty:icg",
            "Integrated Certainty Gradients, for networks that take a certainty per pixel [ICG 2022]",
            {**_PATH, "certainty": True},
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
    ],
)

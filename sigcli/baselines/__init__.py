"""Baselines: the sample x' that stands for "missing". A table of text; the functions import torch when used.

Properties:
    peers: made of the other images of the run.
    drawn: the seed has a part in it.
    arrays: also of arrays, whose values have no range.
    needs: "gradients" where the model must be differentiable.
    image: False where absent players leave no image behind; methods that need one refuse it.
    argument: what may follow its name and a colon; `default` where it may be left out.
"""

from __future__ import annotations

from ..catalog import Catalog, Entry

_M = "baselines.single"

BASELINES = Catalog(
    "baseline",
    [
        Entry("black", f"{_M}:black", "black pixels (0 before normalisation)"),
        Entry("white", f"{_M}:white", "white pixels (1 before normalisation)"),
        Entry(
            "zero",
            f"{_M}:zero",
            "zero in the model's normalised space (the training set's mean colour)",
            {"arrays": True},
        ),
        Entry(
            "constant",
            f"{_M}:constant",
            "constant:VALUE, every pixel VALUE in 0..1",
            {"argument": "VALUE", "arrays": True},
        ),
        Entry("middle", f"{_M}:middle", "the middle of the pixel range"),
        Entry(
            "mean",
            f"{_M}:mean",
            "mean of the images being explained, or of --references",
            {"peers": True, "arrays": True},
        ),
        Entry(
            "random",
            f"{_M}:random",
            "one random image of those, never the explained one",
            {"peers": True, "drawn": True, "arrays": True},
        ),
        Entry("uniform", f"{_M}:uniform", "uniform noise over the pixel range", {"drawn": True}),
        Entry("max-distance", f"{_M}:max_distance", "for each value, the end of the pixel range farther from it"),
        Entry(
            "blur",
            f"{_M}:blur",
            "blur:SIGMA, the image blurred, SIGMA in pixels (default side/20)",
            {"argument": "SIGMA", "default": ""},
        ),
        Entry(
            "max-entropy",
            "baselines.learned:max_entropy",
            "max-entropy:STEPS, learned: the image of which the model is least certain (default 200 steps) [Tan 2023]",
            {"argument": "STEPS", "default": "", "needs": "gradients", "drawn": True},
        ),
        Entry(
            "tokens",
            f"{_M}:tokens",
            "no image: a transformer's tokens are dropped from attention (methods of scores alone)",
            {"image": False},
        ),
        Entry(
            "FILE",
            f"{_M}:file",
            "an image file, or a (C, H, W) array .npy in the model's input space",
            {"argument": "PATH"},
        ),
    ],
    {
        "zeros": "black", "none": "black", "gaussian": "uniform", "noise": "uniform", "gaussian-noise": "uniform",
        "gaussian-blur": "blur", "blurred": "blur", "grey": "middle", "gray": "middle", "median": "middle", "ones": "white",
        "average": "mean", "dataset": "mean", "dataset-mean": "mean", "imagenet-mean": "zero", "images": "random",
        "value": "constant", "maximum-distance": "max-distance", "maximum-entropy": "max-entropy",
    },
)  # fmt: skip


def uses_peers(spec: object) -> bool:
    """Whether a baseline is made of the other images of the run.

    Args:
        spec: as a user names it, for example "blur:3"; anything else than a text is none of them.

    >>> uses_peers("mean"), uses_peers("blur:3"), uses_peers(None)
    (True, False, False)
    """
    return _has("peers", spec)


def drawn(spec: object) -> bool:
    """Whether the seed has a part in a baseline; arguments as for `uses_peers`.

    >>> drawn("uniform"), drawn("blur:3"), drawn(None)
    (True, False, False)
    """
    return _has("drawn", spec)


def is_image(spec: object) -> bool:
    """Whether absent players leave an image behind; arguments as for `uses_peers`.

    >>> is_image("blur:3"), is_image("tokens")
    (True, False)
    """
    baseline = spec.partition(":")[0] if isinstance(spec, str) else ""
    return baseline not in BASELINES or bool(BASELINES[baseline].properties.get("image", True))


def _has(name: str, spec: object) -> bool:
    baseline = spec.partition(":")[0] if isinstance(spec, str) else ""
    return baseline in BASELINES and bool(BASELINES[baseline].properties.get(name))

"""Detectors of transformers: how their image processor feeds them, compared with the processor itself before use."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from sigcli.errors import ModelError

from ..checks import one_line
from ..wrappers.queries import Queries, Sides

_NEAR = 2 / 255
"""Difference up to which a scaled pixel is the same: the processor rounds it to a byte."""
_TRIALS = ((97, 61), (64, 127), (90, 90))
_BILINEAR = (None, 2)
_OWN = "Bring the detector as your own function, see docs/segmentation-detection.md: --model package.module:function."


def detector_of(network: nn.Module, classes: int, folder: Path, package: ModuleType) -> Queries:
    """A network of queries as a detector of images in 0..1, which scales and normalises them as its processor does.

    Args:
        network: see `sigcli.models.wrappers.queries.Queries`.
        classes: how many it tells apart.
        folder: where its image processor is.
        package: transformers.

    Raises:
        ModelError: no image processor, or one that does more than scaling and normalising.
    """
    try:
        found = package.AutoImageProcessor.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises all sorts of exceptions
        what = f"transformers cannot read the image processor: {one_line(error)}"
        raise ModelError(
            what, given=folder, hint="Save it beside the network: processor.save_pretrained(FOLDER)."
        ) from error
    name = type(found).__name__
    try:
        made = Queries(network, classes, _sides(found), *_normalised(found))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise _refused(name, one_line(error)) from error
    _compare(made, found, name)
    return made


def _sides(found: Any) -> Sides:
    if not found.do_resize:
        return Sides()
    if getattr(found, "resample", None) is not None and int(found.resample) not in _BILINEAR:
        raise ValueError("it does not resize bilinearly")
    size = {name: int(value) for name, value in dict(found.size).items() if value is not None}
    if "shortest_edge" in size:
        return Sides(size["shortest_edge"], size.get("longest_edge"))
    return Sides(exact=(size["height"], size["width"]))


def _normalised(found: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation for pixels in 0..1."""
    factor = 255 * (found.rescale_factor if found.do_rescale else 1.0)
    mean, std = (0.0,) * 3, (1.0,) * 3
    if found.do_normalize:
        mean, std = tuple(map(float, found.image_mean)), tuple(map(float, found.image_std))
    return tuple(value / factor for value in mean), tuple(value / factor for value in std)


def _compare(made: Queries, found: Any, name: str) -> None:
    """Raise ModelError where the processor makes something else of pictures of noise."""
    draws = np.random.default_rng(0)
    for high, wide in _TRIALS:
        pixels = draws.integers(0, 256, (high, wide, 3), dtype=np.uint8)
        try:
            expected = torch.as_tensor(np.asarray(found(images=pixels, return_tensors="np")["pixel_values"][0]))
        except Exception as error:  # transformers raises all sorts of exceptions
            raise _refused(name, one_line(error)) from error
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float().div(255)
        own = made.prepared(image[None])[0]
        if own.shape != expected.shape:
            why = (
                f"of a picture of {wide}x{high} it makes {tuple(expected.shape)}, and scaling makes {tuple(own.shape)}"
            )
            raise _refused(name, why)
        if bool(((own - expected).abs() * made.std > _NEAR).any()):
            raise _refused(name, "it makes other values than these steps")


def _refused(name: str, why: str) -> ModelError:
    return ModelError(f"the image processor {name} does not only scale and normalise: {why}", hint=_OWN)

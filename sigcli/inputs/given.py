"""Samples that a program has in memory: pictures of Pillow and numpy, tensors of a network's input, rows of features."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import ImageError, UsageError
from ..places.remote import Remote
from .conversion import rgb, settle_key
from .picture import Picture, content_key

_WHOLE = 2.0**24, 2.0**50
"""From the first on float32 does not hold every whole number; from the second on float64 holds hardly anything else."""
ALLOWED = (
    "a file, folder or pattern; a PIL image; a uint8 array (H, W), (H, W, 3) or (N, H, W, 3), or one of floats in 0..1 with "
    "the colours last; a uint8 tensor (C, H, W) or (N, C, H, W); a float tensor (C, H, W) or (N, C, H, W) of the network's "
    "input; or a float array of one or two axes, which is one sample of a table"
)


@dataclass(frozen=True, eq=False)
class Given(os.PathLike[str]):
    """A sample in memory. It stands where the path of a file does, and its name is that of a file in this folder.

    Args:
        name: in tables and of its folder.
        picture: what was given.
        array: it is a sample of features, and no picture.
        target: the class to explain, where each sample brings its own; None where the options say it.
    """

    name: str
    picture: Picture
    array: bool = False
    target: int | None = None

    def __fspath__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


Source = Path | Given | Remote
"""A file, of this machine or of a remote place, or a sample in memory."""


def listed(
    images: Any, word: str = "image", *, preprocessed: bool | None = None, before: int = 0
) -> list[str | Source]:
    """What was named or given, one by one: texts and paths as they are, samples in memory numbered in their order.

    Args:
        images: one or several of `ALLOWED`.
        word: what the names of pictures in memory begin with; no file here has such a name.
        preprocessed: False where float tensors are pixels in 0..1 that are still to be prepared for the network.
        before: how many samples in memory were numbered before these.

    Raises:
        UsageError: something that is none of `ALLOWED`.
    """
    every = list(images) if isinstance(images, Sequence) and not isinstance(images, (str, bytes)) else [images]
    found: list[str | Source] = []
    for one in every:
        if isinstance(one, (str, Path, Given, Remote)):
            found.append(one)
            continue
        for pixels, array, facts in _samples(one, pixels=preprocessed is False):
            number = 1 + before + sum(isinstance(other, Given) for other in found)
            name = f"{'sample' if array else word}-{number}"
            while os.path.lexists(name):
                name += "_"
            found.append(Given(name, Picture(Path(name), pixels, content_key(pixels), facts), array))
    return found


def _samples(value: Any, *, pixels: bool) -> Iterator[tuple[np.ndarray, bool, tuple[str, ...]]]:
    """Pixels or values of one thing that was given, whether they are an array of features, and what was assumed of it.

    With `pixels`, float tensors are pictures in 0..1.
    """
    if isinstance(value, Image.Image):
        upright, facts = _picture(value)
        yield upright, False, facts
        return
    tensor = hasattr(value, "detach") and hasattr(value, "numpy")
    values = _array(value) if tensor else value
    if not isinstance(values, np.ndarray):
        raise UsageError("images cannot be used", given=f"a {type(value).__name__}", allowed=ALLOWED)
    if np.ma.is_masked(values):
        hint = "Fill in what is masked first: x.filled(0), say, or x.compressed()."
        raise UsageError("a sample holds masked values", given=_form(values), hint=hint)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UsageError("a sample holds NaN or infinity", given=_form(values))
    values = _bytes(values, tensor=tensor, pixels=pixels)
    if values.dtype.kind == "f" and values.size and (values.ndim in (1, 2) or (tensor and values.ndim in (3, 4))):
        values = single(values)
        yield from ((one, values.ndim < 3, ()) for one in (values if values.ndim == 4 else values[None]))
        return
    if values.dtype == np.uint8 and values.size:
        if values.ndim == 2:
            yield np.repeat(values[..., None], 3, 2), False, ()
            return
        if values.ndim in (3, 4) and values.shape[-1] == 3:
            yield from (
                (np.ascontiguousarray(one), False, ()) for one in (values if values.ndim == 4 else values[None])
            )
            return
    raise UsageError("images cannot be used", given=_form(values, tensor=tensor), allowed=ALLOWED)


def _bytes(values: np.ndarray, *, tensor: bool, pixels: bool) -> np.ndarray:
    """Pictures of bytes, (H, W, 3) or (N, H, W, 3), from those of floats in 0..1 and from tensors; all else as it is."""
    if tensor and values.ndim in (3, 4) and (values.dtype == np.uint8 or (pixels and values.dtype.kind == "f")):
        if values.shape[-3] in (1, 3) and _is_colour(values):
            values = np.moveaxis(values, -3, -1)
            return np.repeat(_rounded(values), 3 // values.shape[-1], -1)
        return values if values.dtype == np.uint8 else _out_of_range(values, tensor=True)
    if not tensor and values.dtype.kind == "f" and values.ndim in (3, 4) and values.shape[-1] == 3:
        return _rounded(values) if _is_colour(values) else _out_of_range(values, tensor=False)
    return values


def _is_colour(values: np.ndarray) -> bool:
    return bool(values.dtype == np.uint8 or (values.size > 0 and values.min() >= 0 and values.max() <= 1))


def _rounded(values: np.ndarray) -> np.ndarray:
    return values if values.dtype == np.uint8 else np.rint(values * 255).astype(np.uint8)


def _out_of_range(values: np.ndarray, *, tensor: bool) -> np.ndarray:
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    hint = "Bring them to 0..1, or to bytes: x.astype(np.uint8) where they are in 0..255."
    if tensor:
        hint = "Leave preprocessed=False out where they are the network's input."
    what = "pictures of floats have values in 0..1"
    raise UsageError(what, given=f"{_form(values, tensor=tensor)}, values in {low:.4g}..{high:.4g}", hint=hint)


def single(values: np.ndarray) -> np.ndarray:
    """Finite floats in float32, in which networks are run.

    Raises:
        UsageError: numbers that are too large for float32, or whole numbers that it would round, such as times in seconds.

    >>> import numpy as np
    >>> single(np.array([0.5, 16777216.0])).tolist()
    [0.5, 16777216.0]
    """
    with np.errstate(over="ignore", under="ignore"):
        found = np.ascontiguousarray(values, np.float32)
    if values.dtype.itemsize <= found.dtype.itemsize:
        return found
    large = (np.abs(values) >= _WHOLE[0]) & (np.abs(values) < _WHOLE[1])
    whole = (np.rint(values) == values)[large].all()
    lost = ~np.isfinite(found) | (large & (found != values) if whole else False)
    if lost.any():
        first = values[lost][0]
        raise UsageError(
            "float32, in which networks are run, cannot hold a value", given=f"{first:.17g} would be {found[lost][0]:.17g}",
            hint="Subtract what all samples have in common, or scale them, as for training.",
        )  # fmt: skip
    return found


def _array(tensor: Any) -> np.ndarray:
    """A tensor as an array; of types that numpy does not have, as float32."""
    try:
        plain = tensor.detach().to_dense() if str(tensor.layout) != "torch.strided" else tensor.detach()
        plain = plain.resolve_conj().resolve_neg().cpu()
        return plain.float().numpy() if plain.is_floating_point() and plain.element_size() < 4 else plain.numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        given = f"a tensor of {tensor.dtype}, shape {tuple(tensor.shape)}: {' '.join(str(error).split())}"
        raise UsageError("images cannot be used", given=given, allowed=ALLOWED) from error


def _form(values: np.ndarray, *, tensor: bool = False) -> str:
    return f"{'a tensor' if tensor else 'an array'} of {values.dtype}, shape {values.shape}"


def _picture(image: Image.Image) -> tuple[np.ndarray, tuple[str, ...]]:
    try:
        settle_key(image)
        return rgb(image, image.format)
    except ImageError as error:
        raise UsageError(error.what, given=f"a PIL image of mode {image.mode}", hint=error.hint) from error
    except (ValueError, OSError) as error:
        raise UsageError(f"a PIL image cannot be used: {error}", given=f"mode {image.mode}") from error


def is_tensor(source: Source | None) -> bool:
    """Whether a sample is the network's input already."""
    return isinstance(source, Given) and not source.array and source.picture.pixels.dtype.kind == "f"


def state_of(sources: Sequence[Source]) -> str:
    """Names, sizes and times of files, and the content of samples in memory: another text says that they changed."""
    lines = []
    for one in sources:
        if isinstance(one, Given):
            lines.append(f"{one.name} {one.picture.key:016x}")
        elif isinstance(one, Remote):
            lines.append(f"{one.name} {one.size} {one.mark}")
        else:
            facts = one.stat()
            lines.append(f"{one.name} {facts.st_size} {facts.st_mtime_ns}")
    return "\n".join(lines)

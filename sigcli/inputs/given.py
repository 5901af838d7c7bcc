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
from .conversion import rgb, settle_key
from .picture import Picture, content_key

_WHOLE = 2.0**24, 2.0**50
"""From the first on float32 does not hold every whole number; from the second on float64 holds hardly anything else."""
ALLOWED = (
    "a file, folder or pattern; a PIL image; a uint8 array (H, W), (H, W, 3) or (N, H, W, 3); a float tensor (C, H, W) or "
    "(N, C, H, W) of the network's input; or a float array of one or two axes, which is one sample of a table"
)


@dataclass(frozen=True, eq=False)
class Given(os.PathLike[str]):
    """A sample in memory. It stands where the path of a file does, and its name is that of a file in this folder.

    Args:
        name: in tables and of its folder.
        picture: what was given.
        array: it is a sample of features, and no picture.
    """

    name: str
    picture: Picture
    array: bool = False

    def __fspath__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


Source = Path | Given
"""A file, or a sample in memory."""


def listed(images: Any, word: str = "image") -> list[str | Path | Given]:
    """What was named or given, one by one: texts and paths as they are, samples in memory numbered in their order.

    Args:
        images: one or several of `ALLOWED`.
        word: what the names of pictures in memory begin with; no file here has such a name.

    Raises:
        UsageError: something that is none of `ALLOWED`.
    """
    every = list(images) if isinstance(images, Sequence) and not isinstance(images, (str, bytes)) else [images]
    found: list[str | Path | Given] = []
    for one in every:
        if isinstance(one, (str, Path, Given)):
            found.append(one)
            continue
        for pixels, array, facts in _samples(one):
            number = 1 + sum(isinstance(other, Given) for other in found)
            name = f"{'sample' if array else word}-{number}"
            while os.path.lexists(name):
                name += "_"
            found.append(Given(name, Picture(Path(name), pixels, content_key(pixels), facts), array))
    return found


def _samples(value: Any) -> Iterator[tuple[np.ndarray, bool, tuple[str, ...]]]:
    """Pixels or values of one thing that was given, whether they are an array of features, and what was assumed of it."""
    if isinstance(value, Image.Image):
        pixels, facts = _picture(value)
        yield pixels, False, facts
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
    if values.dtype.kind == "f" and values.size and (values.ndim in (1, 2) or (tensor and values.ndim in (3, 4))):
        values = single(values)
        yield from ((one, values.ndim < 3, ()) for one in (values if values.ndim == 4 else values[None]))
        return
    if values.dtype == np.uint8 and values.size and not tensor:
        if values.ndim == 2:
            yield np.repeat(values[..., None], 3, 2), False, ()
            return
        if values.ndim in (3, 4) and values.shape[-1] == 3:
            yield from (
                (np.ascontiguousarray(one), False, ()) for one in (values if values.ndim == 4 else values[None])
            )
            return
    raise UsageError("images cannot be used", given=_form(values, tensor=tensor), allowed=ALLOWED)


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
        else:
            facts = one.stat()
            lines.append(f"{one.name} {facts.st_size} {facts.st_mtime_ns}")
    return "\n".join(lines)

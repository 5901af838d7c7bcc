"""Samples that are not pictures: rows of tables, sequences of embeddings, spectra; any array of floats in a `.npy` file.

An array of any shape is explained as one row of features, (1, 1, F), so everything above works with it; the model gets
its shape back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import ImageError, UsageError
from ..files import array_shape, load_array
from ..places.remote import Remote
from ..places.urls import url_of
from .given import Given, Source, single
from .left_out import DEEPER, HIDDEN, LeftOut
from .picture import Picture
from .refused import nearest_name

SUFFIX = ".npy"
NO_ARRAY = "without the suffix .npy"


def is_array_path(path: str | Source) -> bool:
    """Whether a user means arrays: a `.npy` or `.npz` file or pattern, a folder that holds `.npy` files and no images, or a
    sample of features in memory.
    """
    if isinstance(path, (Given, Remote)):
        return isinstance(path, Given) and path.array
    text = str(path)
    if text.lower().endswith((".npy", ".npz")):
        return True
    folder = Path(path)
    if not folder.is_dir():
        return False
    from .images import IMAGE_SUFFIXES

    suffixes = {item.suffix.lower() for item in folder.iterdir() if item.is_file()}
    return bool(suffixes & {".npy", ".npz"}) and not suffixes & set(IMAGE_SUFFIXES)


def find_arrays(paths: Sequence[str | Source], left_out: LeftOut | None = None) -> list[Source]:
    """The `.npy` files that files, folders and patterns stand for, each once; a folder is not searched further down.

    Args:
        paths: what was named or given.
        left_out: learns what was passed over.

    Raises:
        UsageError: no such file, a `.npz`, anything but a `.npy`, or a pattern without a match.
    """
    found: dict[Source, None] = {}
    for path in paths:
        found.update(dict.fromkeys(_there(path, LeftOut() if left_out is None else left_out)))
    for path in (one for one in found if isinstance(one, Path)):
        if path.suffix.lower() == ".npz":
            hint = "Save each sample alone: numpy.save('sample.npy', x)."
            raise UsageError(
                "a .npz may hold several arrays, so sig cannot tell which is the sample", given=path, hint=hint
            )
        if path.suffix.lower() != SUFFIX:
            raise UsageError("arrays and other files cannot be explained in one run", given=path, allowed=SUFFIX)
        if not path.exists():
            near = nearest_name(path)
            raise UsageError("no such array", given=path, hint=f"Did you mean '{near}'?" if near else None)
    return list(found)


def _there(path: str | Source, left: LeftOut) -> list[Source]:
    """The arrays that one path stands for."""
    if isinstance(path, Given):
        if not path.array:
            hint = "Of a network with several inputs one is explained: hold the others in a module around it."
            raise UsageError("arrays and pictures cannot be explained in one run", given=path.name, hint=hint)
        return [path]
    if isinstance(path, Remote) or url_of(path) is not None:
        raise UsageError("arrays are read from this machine only", given=path, hint="Copy them first.")
    path = Path(path)
    here = [path]
    if path.is_dir():
        here = []
        for item in sorted(path.iterdir()):
            if item.suffix.lower() in (".npy", ".npz"):
                here.append(item)
            else:
                left.add(HIDDEN if item.name.startswith(".") else DEEPER if item.is_dir() else NO_ARRAY, item)
    elif not path.exists() and any(mark in str(path) for mark in "*?["):
        here = sorted(path.parent.glob(path.name))
    if not here:
        raise UsageError("no arrays found", given=path, allowed="files that end in .npy")
    return [*here]


def read_array(path: str | Source) -> Picture:
    """One sample: its values as float32, of the shape they have in the file, and a key that follows the content.

    Raises:
        ImageError: unreadable, pickled, no floats, empty, a single number, with NaN or infinity, or with values that float32
            cannot hold.
    """
    if isinstance(path, Given):
        return path.picture
    path = Path(path)
    try:
        values = load_array(path)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise ImageError(f"the array cannot be read: {reason}", given=path, hint="Write it with numpy.save.") from error
    if values.dtype.kind != "f":
        hint = "Integers have no gradient: give embeddings, or x.astype('float32') if they are quantities."
        raise ImageError(f"the array holds {values.dtype}, not floats", given=path, hint=hint)
    if values.size < 1 or values.ndim < 1:
        raise ImageError("the array is empty or a single number", given=f"{path}, shape {values.shape}")
    if not np.isfinite(values).all():
        raise ImageError("the array holds NaN or infinity", given=path, hint="Fill in what is missing first.")
    try:
        values = single(values)
    except UsageError as error:
        raise ImageError(error.what, given=f"{path}: {error.given}", hint=error.hint) from error
    digest = hashlib.blake2b(np.asarray(values.shape, "<i8").tobytes() + values.tobytes(), digest_size=8).digest()
    return Picture(path, values, int.from_bytes(digest, "little"))


def shape_of(path: Source) -> tuple[int, ...] | None:
    """The shape of a file's array, from its header alone; None where it cannot be read."""
    if isinstance(path, Given):
        return path.picture.pixels.shape
    if isinstance(path, Remote):
        return None
    try:
        return array_shape(path)
    except (OSError, ValueError):
        return None

"""Samples that are no pictures: rows of tables, sequences of embeddings, spectra; any array of floats in a `.npy` file.

An array of any shape is explained as one row of features, (1, 1, F), so that everything above works with it; the model gets
its shape back. Players are then sets of features.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from ..errors import ImageError, UsageError
from .given import Given, Source
from .images import nearest_name
from .picture import Picture

SUFFIX = ".npy"
PLAYERS = (
    "features (each value), axis:N (each index along that axis), pairs:N,M (each unordered pair of indices along two axes, "
    "and each index alone), or a label map FILE.npy of the sample's shape"
)
_PAIRS = r"pairs:(-?\d+),(-?\d+)"
_RUN_FILES = ("manifest.json", "results.csv")


def is_array_path(path: str | Source) -> bool:
    """Whether a user means arrays: a `.npy` or `.npz` file or pattern, a folder that holds `.npy` files and no images, or a
    sample of features in memory.
    """
    if isinstance(path, Given):
        return path.array
    text = str(path)
    if text.lower().endswith((".npy", ".npz")):
        return True
    folder = Path(path)
    if not folder.is_dir():
        return False
    from .images import IMAGE_SUFFIXES

    suffixes = {item.suffix.lower() for item in folder.iterdir() if item.is_file()}
    return bool(suffixes & {".npy", ".npz"}) and not suffixes & set(IMAGE_SUFFIXES)


def find_arrays(paths: Sequence[str | Source]) -> list[Source]:
    """The `.npy` files that files, folders and patterns stand for, each once; a folder is not searched further down.

    Raises:
        UsageError: no such file, a `.npz`, something else than a `.npy`, or a pattern without a match.
    """
    found: dict[Source, None] = {}
    for path in paths:
        found.update(dict.fromkeys(_there(path)))
    for path in (one for one in found if isinstance(one, Path)):
        if path.suffix.lower() == ".npz":
            hint = "Save each sample alone: numpy.save('sample.npy', x)."
            raise UsageError("a .npz holds several arrays, and which is the sample is not known", given=path, hint=hint)
        if path.suffix.lower() != SUFFIX:
            raise UsageError("arrays and other files cannot be explained in one run", given=path, allowed=SUFFIX)
        if not path.exists():
            near = nearest_name(path)
            raise UsageError("no such array", given=path, hint=f"Did you mean '{near}'?" if near else None)
    return list(found)


def _there(path: str | Source) -> list[Source]:
    """The arrays that one path stands for."""
    if isinstance(path, Given):
        if not path.array:
            raise UsageError("arrays and pictures cannot be explained in one run", given=path.name)
        return [path]
    path = Path(path)
    here = [path]
    if path.is_dir():
        here = [item for item in sorted(path.iterdir()) if item.suffix.lower() in (".npy", ".npz")]
    elif not path.exists() and any(mark in str(path) for mark in "*?["):
        here = sorted(path.parent.glob(path.name))
    if not here:
        raise UsageError("no arrays there", given=path, allowed="files that end in .npy")
    return [*here]


def read_array(path: str | Source) -> Picture:
    """One sample: its values as float32, of the shape they have in the file, and a key that follows the content.

    Raises:
        ImageError: unreadable, pickled, no floats, empty, a single number, or with NaN or infinity.
    """
    if isinstance(path, Given):
        return path.picture
    path = Path(path)
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise ImageError(f"the array cannot be read: {reason}", given=path, hint="Write it with numpy.save.") from error
    if values.dtype.kind != "f":
        hint = "Whole numbers have no gradient: give embeddings, or x.astype('float32') where they are quantities."
        raise ImageError(f"the array holds {values.dtype}, not floats", given=path, hint=hint)
    if values.size < 1 or values.ndim < 1:
        raise ImageError("the array is empty or a single number", given=f"{path}, shape {values.shape}")
    if not np.isfinite(values).all():
        raise ImageError("the array holds NaN or infinity", given=path, hint="Fill in what is missing first.")
    values = np.ascontiguousarray(values, dtype=np.float32)
    digest = hashlib.blake2b(np.asarray(values.shape, "<i8").tobytes() + values.tobytes(), digest_size=8).digest()
    return Picture(path, values, int.from_bytes(digest, "little"))


def shape_of(path: Source) -> tuple[int, ...] | None:
    """The shape of a file's array, from its header alone; None where it cannot be read."""
    if isinstance(path, Given):
        return path.picture.pixels.shape
    try:
        return tuple(np.load(path, mmap_mode="r", allow_pickle=False).shape)
    except (OSError, ValueError, EOFError):
        return None


def players(spec: str, shape: Sequence[int]) -> Int64[Tensor, "1 f"]:
    """The player of each feature of a sample, (1, F) for F features.

    Args:
        spec: see `PLAYERS`; `pixels` is another word for `features`.
        shape: of the sample.

    Raises:
        UsageError: no such form or axis, a label map of another shape or type, or fewer than two players.

    >>> players("axis:1", (2, 3)).tolist(), players("axis:-2", (2, 3)).tolist()
    ([[0, 1, 2, 0, 1, 2]], [[0, 0, 0, 1, 1, 1]])
    >>> players("pairs:0,1", (3, 3)).reshape(3, 3).tolist()
    [[0, 3, 4], [3, 1, 5], [4, 5, 2]]
    """
    labels = _labels(spec, tuple(shape))
    _, dense = torch.unique(labels, return_inverse=True)
    if int(dense.max()) < 1:
        raise UsageError(f"players {spec} of a sample of shape {tuple(shape)} are one", allowed="at least two")
    return dense.reshape(1, -1)


def _labels(spec: str, shape: tuple[int, ...]) -> Tensor:
    if spec in ("features", "pixels"):
        return torch.arange(math.prod(shape))
    if match := re.fullmatch(r"axis:(-?\d+)", spec):
        axis = int(match[1])
        if not -len(shape) <= axis < len(shape):
            allowed = f"axis:0 to axis:{len(shape) - 1}"
            raise UsageError(f"a sample of shape {shape} has no such axis", given=spec, allowed=allowed)
        return torch.from_numpy(np.indices(shape)[axis].ravel().astype(np.int64))
    if match := re.fullmatch(_PAIRS, spec):
        return _pairs(spec, (int(match[1]), int(match[2])), shape)
    if spec.endswith(SUFFIX):
        return _label_map(spec, shape)
    raise UsageError("unknown players of an array", given=spec, allowed=PLAYERS)


def _pairs(spec: str, axes: tuple[int, int], shape: tuple[int, ...]) -> Tensor:
    """The nodes and edges of an undirected graph: (i, i) is node i, (i, j) and (j, i) are one edge. Nodes come first."""
    one, other = (axis if axis >= 0 else axis + len(shape) for axis in axes)
    if not (0 <= one < len(shape) and 0 <= other < len(shape)) or one == other or shape[one] != shape[other]:
        raise UsageError(
            f"a sample of shape {shape} has no such pairs", given=spec, allowed="two different axes of one length"
        )
    n = shape[one]
    places = np.indices(shape)
    low, high = np.minimum(places[one], places[other]).ravel(), np.maximum(places[one], places[other]).ravel()
    return torch.from_numpy(np.where(low == high, low, n * (1 + low) + high).astype(np.int64))


def _label_map(spec: str, shape: tuple[int, ...]) -> Tensor:
    try:
        labels = np.load(spec, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError("the label map cannot be read", given=spec, hint=str(error).splitlines()[0]) from error
    if labels.shape != shape or labels.dtype.kind not in "iu":
        given = f"{spec}: shape {labels.shape}, type {labels.dtype}"
        raise UsageError("the label map does not fit", given=given, allowed=f"whole numbers of shape {shape}")
    return torch.from_numpy(labels.astype(np.int64).ravel())


def names(path: Path, count: int, shape: Sequence[int], spec: str = "") -> tuple[str, ...] | None:
    """Names of the players of a sample, one a line in `NAME.names.txt` beside `NAME.npy`; None where there is no such file.

    Where every value is a player, names of the first axis will do: "good,3" is the fourth value of "good". Of pairs, names
    of the indices will do: "N3–O4" is the pair of "N3" and "O4".

    Args:
        path: of the sample.
        count: of its players.
        shape: of the sample.
        spec: what its players were made from.

    Raises:
        UsageError: another number of names than of players.
    """
    file = path.with_suffix(".names.txt")
    if not file.is_file():
        return None
    found = tuple(file.read_text(encoding="utf-8").splitlines())
    if len(found) == shape[0] and count == math.prod(shape) > len(found):
        places = np.indices(tuple(shape)).reshape(len(shape), -1).T.tolist()
        return tuple(",".join([found[first], *map(str, rest)]) for first, *rest in places)
    if re.fullmatch(_PAIRS, spec) and count == len(found) * (len(found) + 1) // 2 > len(found):
        return (*found, *(f"{one}–{other}" for one, other in itertools.combinations(found, 2)))
    if len(found) != count:
        raise UsageError(
            "the names do not fit the players", given=f"{file}: {len(found)} names", allowed=f"{count} lines"
        )
    return found

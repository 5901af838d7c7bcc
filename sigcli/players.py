"""Players: a partition of an image's pixels, or of an array's features. What samples coalitions needs only the partition.

[SIG] Fig. 2(b): a patch of M×N pixels is one player. Superpixels, single pixels and any label map are partitions too.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from .errors import AttributionError, UsageError
from .files import load_array
from .inputs.tables import lines_of, read_text

FORMS = (
    "80x80 (pixels a patch), grid:7x7 (patches), superpixels:N, pixels, tokens (a transformer's patches), "
    "or a label map FILE.npy"
)
ARRAY_FORMS = (
    "features (each value), axis:N (each index along that axis), pairs:N,M (each unordered pair of indices along two axes, "
    "and each index alone), or a label map FILE.npy of the sample's shape"
)
TOKENS = "tokens"
"""The patches of a transformer; those of a network that is known are "tokens:14x14"."""
_PATCHES = r"(grid:|tokens:)?(\d+)x(\d+)"
_PAIRS = r"pairs:(-?\d+),(-?\d+)"


@dataclass(frozen=True, eq=False)
class Players:
    """A partition of H×W positions into n players.

    Args:
        labels: (H, W) int64, the player of each position, 0..n-1.
        n: number of players.
        spec: the text it was made from.
    """

    labels: Int64[Tensor, "h w"]
    n: int
    spec: str
    _copies: dict[torch.device, Int64[Tensor, " p"]] = field(default_factory=dict, init=False, repr=False)
    _lines: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict, init=False, repr=False)
    _grid: tuple[Tensor, Tensor] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_grid", _as_grid(self.labels, self.n))

    def _flat(self, device: torch.device) -> Int64[Tensor, " p"]:
        """The labels of all positions in one row, (H·W,), on a device: sent there once."""
        if device not in self._copies:
            self._copies[device] = self.labels.to(device).flatten()
        return self._copies[device]

    def _grid_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The row and the column of patches of each line of pixels, (H,) and (W,), on a device: sent there once."""
        if device not in self._lines and self._grid is not None:
            self._lines[device] = self._grid[0].to(device), self._grid[1].to(device)
        return self._lines[device]

    def spread(self, values: Float[Tensor, "k n"]) -> Float[Tensor, "k h w"]:
        """Give every position the value of its player: (k, n) → (k, H, W)."""
        # This is done for every point. Five times as fast as values[:, labels]; by columns and then rows three times more.
        if self._grid is None:
            return values.index_select(1, self._flat(values.device)).unflatten(1, self.labels.shape)
        rows, columns = self._grid_on(values.device)
        across = values.unflatten(1, (-1, int(self._grid[1][-1]) + 1)).index_select(2, columns)
        return across.index_select(1, rows)

    def totals(self, attribution: Float[Tensor, "*m c h w"]) -> Float[Tensor, "*m n"]:
        """Sum of an attribution over each player: (C, H, W) → (n,), in the attribution's unit; of several, (m, C, H, W)."""
        flat = attribution.sum(-3).double().flatten()
        label, several = self._flat(flat.device), attribution.shape[:-3]
        if several:  # each to players of its own, in one row: by columns torch would add number by number
            first = torch.arange(several.numel(), device=flat.device)[:, None] * self.n
            label = (label + first).flatten()
        found = torch.zeros(several.numel() * self.n, dtype=flat.dtype, device=flat.device)
        return found.index_add_(0, label, flat).unflatten(0, (*several, self.n))


def _as_grid(labels: Tensor, n: int) -> tuple[Tensor, Tensor] | None:
    """Row and column of patches of each line of pixels where the players are such patches in their order, else None."""
    if labels.ndim != 2 or not labels.numel():
        return None
    columns = labels[0]
    rows = labels[:, 0] // (int(columns[-1]) + 1)
    if not torch.equal(rows[:, None] * (int(columns[-1]) + 1) + columns, labels) or int(labels[-1, -1]) != n - 1:
        return None
    return (rows, columns) if bool((columns.diff() >= 0).all() and (columns >= 0).all()) else None


def parse(spec: str | Tensor, image: Float[Tensor, "c h w"]) -> Players:
    """Players from their text.

    Args:
        spec: see `FORMS`, or an (H, W) tensor of integers, also (1, H, W) and (1, 1, H, W), and (C, H, W) where all channels
            are alike. Patches are rows×columns; where the size does not
            divide the image, the last row and column of patches are smaller ([SIG] leaves this open).
        image: (C, H, W) with values in 0..1; superpixels are cut along its edges.

    Raises:
        UsageError: a text of no known form, a label map of another size, or fewer than two players.
        AttributionError: a picture in which SLIC finds no superpixels.

    >>> parse("2x3", torch.zeros(1, 4, 5)).labels.tolist()
    [[0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [2, 2, 2, 3, 3], [2, 2, 2, 3, 3]]
    """
    height, width = image.shape[-2:]
    if isinstance(spec, str) and re.fullmatch(_PATCHES, spec):
        return _patches(spec, height, width)
    labels = _checked(spec, height, width) if isinstance(spec, Tensor) else _labels(spec, image, height, width)
    return _dense(labels, spec)


@functools.lru_cache(maxsize=64)
def _patches(spec: str, height: int, width: int) -> Players:
    """Patches depend on the size alone, and a folder asks for the same ones for each image."""
    return _dense(_labels(spec, torch.empty(0), height, width), spec)


def _dense(labels: Tensor, spec: str | Tensor) -> Players:
    """The players of a label map, numbered without gaps."""
    height, width = labels.shape
    _, dense = torch.unique(labels, return_inverse=True)
    n, name = int(dense.max()) + 1, spec if isinstance(spec, str) else "label map"
    if n < 2:
        raise UsageError(
            f"players '{name}' on an image of {height}x{width} pixels make {n}, but at least two are needed",
            hint="Choose smaller patches, for example grid:7x7.",
        )
    return Players(dense, n, name)


def _labels(spec: str, image: Tensor, height: int, width: int) -> Tensor:
    if spec == "pixels":
        return torch.arange(height * width).reshape(height, width)
    if spec == TOKENS:
        raise UsageError(
            "the players 'tokens' are those of a network, and none is known here", hint="Name them: grid:14x14."
        )
    if match := re.fullmatch(_PATCHES, spec):
        grid, rows, columns = bool(match[1]), int(match[2]), int(match[3])
        if min(rows, columns) < 1 or (grid and (rows > height or columns > width)):
            raise UsageError(f"players do not fit an image of {height}x{width} pixels", given=spec, allowed=FORMS)
        y, x = torch.arange(height), torch.arange(width)
        r, c = (y * rows // height, x * columns // width) if grid else (y // rows, x // columns)
        return r[:, None] * (int(c.max()) + 1) + c[None, :]
    if match := re.fullmatch(r"superpixels:(\d+)", spec):
        return _superpixels(image, int(match[1]))
    if spec.endswith(".npy"):
        return _label_map(Path(spec), height, width)
    raise UsageError("unknown players", given=spec, allowed=FORMS)


def _superpixels(image: Tensor, count: int) -> Tensor:
    from skimage.segmentation import slic

    if count < 2:
        raise UsageError("superpixels need a number of at least 2", given=count)
    picture = image.detach().cpu().double().permute(1, 2, 0).numpy()
    labels = slic(picture, n_segments=count, compactness=10, start_label=0, convert2lab=picture.shape[-1] == 3)
    if not np.ptp(labels):  # no mistake in the command: other pictures may have some
        raise AttributionError(
            "the picture has no superpixels: pieces of one colour are too small, as in noise",
            hint="Choose patches, for example grid:7x7.",
        )
    return torch.from_numpy(np.ascontiguousarray(labels)).long()


def _label_map(path: Path, height: int, width: int) -> Tensor:
    labels = read_labels(path)
    if labels.dtype.kind not in "iu":
        raise UsageError(f"the label map {path} has type {labels.dtype}", allowed="integers")
    return _checked(torch.from_numpy(labels.astype(np.int64)), height, width)


def _checked(labels: Tensor, height: int, width: int) -> Tensor:
    if labels.dim() in (3, 4) and len(labels) and bool((labels == labels.flatten(0, -3)[0]).all()):
        labels = labels.flatten(0, -3)[0]  # captum's feature masks have axes of examples and channels
    if tuple(labels.shape) != (height, width) or labels.is_floating_point() or labels.is_complex():
        raise UsageError(
            f"the label map has shape {tuple(labels.shape)} and type {labels.dtype}",
            allowed=f"integers of shape ({height}, {width}), the size of the model's input",
        )
    return labels.long().cpu()


def of_array(spec: str, shape: Sequence[int]) -> Int64[Tensor, "1 f"]:
    """The player of each feature of a sample, (1, F) for F features.

    Args:
        spec: see `ARRAY_FORMS`; `pixels` is another word for `features`.
        shape: shape of the sample.

    Raises:
        UsageError: no such form or axis, a label map of another shape or type, or fewer than two players.

    >>> of_array("axis:1", (2, 3)).tolist(), of_array("axis:-2", (2, 3)).tolist()
    ([[0, 1, 2, 0, 1, 2]], [[0, 0, 0, 1, 1, 1]])
    >>> of_array("pairs:0,1", (3, 3)).reshape(3, 3).tolist()
    [[0, 3, 4], [3, 1, 5], [4, 5, 2]]
    """
    labels = _array_labels(spec, tuple(shape))
    _, dense = torch.unique(labels, return_inverse=True)
    if int(dense.max()) < 1:
        raise UsageError(
            f"players {spec} make a sample of shape {tuple(shape)} a single player", allowed="at least two"
        )
    return dense.reshape(1, -1)


def _array_labels(spec: str, shape: tuple[int, ...]) -> Tensor:
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
    if spec.endswith(".npy"):
        return _array_label_map(spec, shape)
    raise UsageError("unknown players of an array", given=spec, allowed=ARRAY_FORMS)


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


def read_labels(path: str | Path) -> np.ndarray:
    """The label map in a `.npy` file; raises UsageError where it cannot be read."""
    try:
        return load_array(path)
    except (OSError, ValueError) as error:
        raise UsageError("the label map cannot be read", given=path, hint=str(error).splitlines()[0]) from error


def _array_label_map(spec: str, shape: tuple[int, ...]) -> Tensor:
    labels = read_labels(spec)
    if labels.shape != shape or labels.dtype.kind not in "iu":
        given = f"{spec}: shape {labels.shape}, type {labels.dtype}"
        raise UsageError("the label map does not fit", given=given, allowed=f"integers of shape {shape}")
    return torch.from_numpy(labels.astype(np.int64).ravel())


def names_file(path: Path) -> Path:
    """The file that may name the players of a sample."""
    return path.with_suffix(".names.txt")


def names_of(path: Path, count: int, shape: Sequence[int], spec: str = "") -> tuple[str, ...] | None:
    """Names of the players of a sample, one a line in `NAME.names.txt` beside `NAME.npy`; None where there is no such file.

    Where every value is a player, names of the first axis will do: "good,3" is the fourth value of "good". Of pairs, names
    of the indices will do: "N3–O4" is the pair of "N3" and "O4".

    Args:
        path: path of the sample.
        count: number of its players.
        shape: shape of the sample.
        spec: what its players were made from.

    Raises:
        UsageError: another number of names than of players, or no text.
    """
    file = names_file(path)
    if not file.is_file():
        return None
    found = tuple(lines_of(read_text(file, "the file of the players' names")))
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

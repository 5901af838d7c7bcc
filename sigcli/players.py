"""Players: a partition of an image's pixels. Everything that samples coalitions needs only the partition.

[SIG] Fig. 2(b): a patch of M×N pixels is one player. Superpixels, single pixels and any label map are partitions too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from .errors import UsageError

FORMS = "80x80 (pixels a patch), grid:7x7 (patches), superpixels:N, pixels, or a label map FILE.npy"


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

    def spread(self, values: Float[Tensor, "k n"]) -> Float[Tensor, "k h w"]:
        """Give every position the value of its player: (k, n) → (k, H, W)."""
        # Five times as fast as values[:, labels], and this is done for every point.
        return values.index_select(1, self.labels.to(values.device).flatten()).unflatten(1, self.labels.shape)

    def totals(self, attribution: Float[Tensor, "c h w"]) -> Float[Tensor, " n"]:
        """Sum of an attribution over each player: (C, H, W) → (n,), in the attribution's unit."""
        flat = attribution.sum(0).double().flatten()
        labels = self.labels.to(flat.device).flatten()
        return torch.zeros(self.n, dtype=flat.dtype, device=flat.device).index_add_(0, labels, flat)


def parse(spec: str | Tensor, image: Float[Tensor, "c h w"]) -> Players:
    """Players from their text.

    Args:
        spec: see `FORMS`, or an (H, W) tensor of whole numbers. Patches are rows×columns; where the size does not
            divide the image, the last row and column of patches are smaller ([SIG] leaves this open).
        image: (C, H, W) with values in 0..1; superpixels are cut along its edges.

    Raises:
        UsageError: a text of no known form, a label map of another size, or fewer than two players.

    >>> parse("2x3", torch.zeros(1, 4, 5)).labels.tolist()
    [[0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [2, 2, 2, 3, 3], [2, 2, 2, 3, 3]]
    """
    height, width = image.shape[-2:]
    labels = _checked(spec, height, width) if isinstance(spec, Tensor) else _labels(spec, image, height, width)
    _, dense = torch.unique(labels, return_inverse=True)
    n = int(dense.max()) + 1
    if n < 2:
        raise UsageError(
            f"players {spec} on an image of {height}x{width} pixels are {n}, but a coalition needs at least two",
            hint="Choose smaller patches, for example grid:7x7.",
        )
    return Players(dense, n, spec if isinstance(spec, str) else "label map")


def _labels(spec: str, image: Tensor, height: int, width: int) -> Tensor:
    if spec == "pixels":
        return torch.arange(height * width).reshape(height, width)
    if match := re.fullmatch(r"(grid:)?(\d+)x(\d+)", spec):
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
    return torch.from_numpy(np.ascontiguousarray(labels)).long()


def _label_map(path: Path, height: int, width: int) -> Tensor:
    try:
        labels = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError("the label map cannot be read", given=path, hint=str(error).splitlines()[0]) from error
    if labels.dtype.kind not in "iu":
        raise UsageError(f"the label map {path} has type {labels.dtype}", allowed="whole numbers")
    return _checked(torch.from_numpy(labels.astype(np.int64)), height, width)


def _checked(labels: Tensor, height: int, width: int) -> Tensor:
    if tuple(labels.shape) != (height, width) or labels.is_floating_point():
        raise UsageError(
            f"the label map has shape {tuple(labels.shape)} and type {labels.dtype}",
            allowed=f"whole numbers of shape ({height}, {width}), the size of the model's input",
        )
    return labels.long().cpu()

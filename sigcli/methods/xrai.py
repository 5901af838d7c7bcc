"""XRAI: Integrated Gradients from black and from white, ranked region by region."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64
from scipy import ndimage, sparse
from torch import Tensor

from ..engine.passes import Passes
from ..engine.quadrature import rule
from ..errors import UsageError
from ..types import Attribution, Subject
from ..views import segmentations
from .common import at_least
from .libragrad import corrigible

_SIDE = 224
_GROWN, _FEWEST = 5, 50
"""At 224×224: pixels by which a region grows, and the fewest that it must add."""


@corrigible
def xrai(passes: Passes, subject: Subject, *, steps: int = 50, grow: int | None = None) -> Attribution:
    """XRAI, Kapishnikov, Bolukbasi, Viégas, Terry 2019, Algorithm 1: regions in the order of their attribution's density.

    The attribution is the mean of Integrated Gradients from black and from white, channels summed. Regions are the segments
    of six Felzenszwalb segmentations (those of the view `regions`), each grown by some pixels. The region whose pixels have
    the largest mean is taken first, then that whose pixels not yet taken have, and so on; its new pixels get this mean, in
    equal shares for the channels. So values sum to F(x) - ½(F(black) + F(white)), up to the reported gap.

    Args:
        passes: the passes of the model.
        subject: what is explained; a picture of more than three channels is segmented by their mean.
        steps: gradient evaluations along each of the two lines.
        grow: pixels by which a region grows in every direction; by default 5 for 224×224, in proportion to the shorter side.

    Raises:
        UsageError: counts out of range.
    """
    at_least(1, steps=steps)
    if grow is not None and grow < 0:
        raise UsageError("grow must be at least 0", given=grow)
    starts = torch.stack([subject.low.expand_as(subject.x), subject.high.expand_as(subject.x)])
    values = _integrated(passes, subject, starts, steps)
    attribution = values.sum(0).cpu().numpy()
    regions = _regions(subject.picture, round(_GROWN * min(attribution.shape) / _SIDE) if grow is None else grow)
    fewest = max(1, round(_FEWEST * attribution.size / _SIDE**2))
    means = torch.from_numpy(ranked(attribution.ravel(), regions, fewest).reshape(attribution.shape)).to(values.device)
    score = passes.score(subject)
    ends = passes.scorer.scores(starts, torch.full((2,), subject.target, device=subject.x.device)).double()
    total = score - float(ends.mean())
    shares = (means / subject.x.shape[0]).to(subject.x.dtype).expand_as(subject.x).contiguous()
    gap = abs(float(means.sum()) - total)
    return Attribution(shares, score, passes.evaluations, 3, completeness_gap=gap, total=total)


def _integrated(passes: Passes, subject: Subject, starts: Tensor, steps: int) -> Tensor:
    """The mean of Integrated Gradients from each start (s, C, H, W), in float64 (C, H, W)."""
    nodes, weights = (torch.from_numpy(part.copy()).repeat(len(starts)) for part in rule("gauss-legendre")(steps))
    alpha = nodes.to(subject.x)[:, None, None, None]
    weights = weights.to(subject.x.device)[:, None, None, None] / len(starts)
    line = torch.arange(len(starts), device=subject.x.device).repeat_interleave(steps)
    values = torch.zeros_like(subject.x, dtype=torch.float64)
    lines = subject.x - starts

    def images(part: slice) -> Tensor:
        return starts[line[part]] + alpha[part] * lines[line[part]]

    for part, _, gradients in passes.gradients(images, len(line), subject):
        values += (weights[part] * gradients.double() * lines[line[part]]).sum(0)
    return values


def _regions(picture: Tensor, grow: int) -> sparse.csr_matrix:
    """The segments of a picture (C, H, W) in 0..1, each grown: (pixels, regions), 1 where a pixel is of a region."""
    levels = picture if picture.shape[0] <= 3 else picture.mean(0, keepdim=True)
    levels = (levels.clamp(0, 1) * 255).round().permute(1, 2, 0).to(torch.uint8).cpu().numpy()
    height, width = levels.shape[:2]
    y, x = np.ogrid[-grow : grow + 1, -grow : grow + 1]
    disc = y**2 + x**2 <= grow**2
    pixels: list[np.ndarray] = []
    for labels in segmentations(levels, (height, width)):
        for number, place in enumerate(ndimage.find_objects(labels + 1)):
            if place is None:
                continue
            top, left = (max(0, side.start - grow) for side in place)
            around = slice(top, place[0].stop + grow), slice(left, place[1].stop + grow)
            grown = ndimage.binary_dilation(labels[around] == number, disc) if grow else labels[around] == number
            rows, columns = grown.nonzero()
            pixels.append((rows + top) * width + columns + left)
    which = np.repeat(np.arange(len(pixels)), [len(one) for one in pixels])
    return sparse.csr_matrix((np.ones(len(which)), (np.concatenate(pixels), which)), (height * width, len(pixels)))


def ranked(
    attribution: Float64[np.ndarray, " p"], regions: sparse.csr_matrix, fewest: int
) -> Float64[np.ndarray, " p"]:
    """The attribution with each pixel's value replaced by the mean of the region by which the pixel was taken.

    The sum stays the same. Where regions tie, the first is taken. Pixels that no region takes get their own mean.

    Args:
        attribution: of the pixels.
        regions: (p, n), 1 where a pixel is of a region.
        fewest: pixels that a region must add, else it is passed over.
    """
    by_region = regions.tocsc()
    sums, counts = attribution @ regions, np.asarray(regions.sum(0)).ravel()
    free, values = np.ones(len(attribution), bool), np.zeros(len(attribution))
    left = np.ones(len(sums), bool)
    while True:
        left &= counts >= fewest - 0.5
        if not left.any():
            break
        best = int(np.argmax(np.where(left, sums / counts.clip(0.5), -np.inf)))
        pixels = by_region.indices[by_region.indptr[best] : by_region.indptr[best + 1]]
        new = pixels[free[pixels]]
        values[new], free[new], left[best] = attribution[new].mean(), False, False
        taken = regions[new]
        sums, counts = sums - attribution[new] @ taken, counts - np.asarray(taken.sum(0)).ravel()
    if free.any():
        values[free] = attribution[free].mean()
    return values

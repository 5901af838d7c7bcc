"""Does the map's sum over a set of pixels predict how the score changes without them? Correlations and infidelity; IROF."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .. import draws
from ..errors import AttributionError, UsageError
from ..players import parse
from .case import Case, Measurement
from .faithfulness import Plan
from .imputation import imputed
from .removal import Steps, Subsets


@lru_cache(maxsize=1024)  # every map of an image asks for the same sets, twice
def _drawn(key: int, index: int, pixels: int, size: int) -> np.ndarray:
    """Bits of `size` pixels drawn without repetition."""
    removed = np.zeros(pixels, bool)
    removed[np.argsort(draws.words(key, index, pixels), kind="stable")[:size]] = True
    return np.packbits(removed)


def _random_set(case: Case, key: int, index: int, size: int) -> Bool[Tensor, "h w"]:
    """`size` pixels drawn without repetition, the same for every map of the image."""
    removed = np.unpackbits(_drawn(key, index, case.pixels, size), count=case.pixels).astype(bool)
    return torch.from_numpy(removed).reshape(case.relevance.shape).to(case.relevance.device)


def _drops(found: Steps) -> Float[np.ndarray, " k"]:
    return (found.score[0] - found.score[1:]).cpu().numpy()


def _correlation(sums: np.ndarray, drops: np.ndarray) -> float:
    if np.ptp(sums) == 0 or np.ptp(drops) == 0:
        raise AttributionError(
            "the map's sums, or the score's changes, are all equal, so their correlation is undefined"
        )
    return float(np.corrcoef(sums, drops)[0, 1])


def faithfulness_correlation(case: Case, *, imputation: str = "black", share: float = 0.1, samples: int = 100) -> Plan:
    """Correlation, over random sets of pixels, of the map's sum with the drop of the score: Bhatt et al. 2020, Definition 2.

    Args:
        case: what is measured.
        imputation: the baseline that removed pixels are set to.
        share: fraction of the pixels in a set.
        samples: number of sets.
    """
    return _correlations(case, imputation, [share], samples, "faithfulness-correlation")


def sensitivity_n(case: Case, *, imputation: str = "black", samples: int = 50) -> Plan:
    """Sensitivity-n, Ancona et al. 2018, section 3.2: that correlation for several set sizes n, and its mean over them.

    Sizes are 1, 2, 5, 10, 20, 50 and 80 % of the pixels.

    Args:
        case: what is measured.
        imputation: the baseline that removed pixels are set to.
        samples: sets of each size.
    """
    return _correlations(case, imputation, [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8], samples, "sensitivity-n")


def _correlations(case: Case, imputation: str, shares: list[float], samples: int, name: str) -> Plan:
    if samples < 3 or not all(0 < share < 1 for share in shares):
        raise UsageError(
            "correlations need at least 3 samples and shares between 0 and 1", given=f"{samples}, {shares}"
        )
    subject = case.subject
    key = draws.stream(subject.seed, subject.key, name)
    sizes = [max(1, round(share * case.pixels)) for share in shares]

    def removed(index: int) -> Bool[Tensor, "h w"]:
        return _random_set(case, key, index, sizes[index // samples])

    count = samples * len(sizes)
    steps = Subsets(subject.x, subject.target, removed, count, imputed(imputation, subject))

    def finish(found: Steps) -> Measurement:
        sums = np.array([float(case.relevance[removed(i)].sum()) for i in range(count)]).reshape(len(sizes), samples)
        drops = _drops(found).reshape(len(sizes), samples)
        curve = np.array([_correlation(a, b) for a, b in zip(sums, drops, strict=True)])
        return Measurement(float(curve.mean()), np.array(sizes) / case.pixels, curve)

    return Plan(steps, finish)


def infidelity(
    case: Case, *, imputation: str = "black", side: float = 0.25, samples: int = 100, scaled: bool = True
) -> Plan:
    """Infidelity with square removal, Yeh et al. 2019, Definition 2.1: E[(Σ_{i in square} φ_i - (F(x) - F(x without)))²].

    Their I·φ is the map's sum over the square, since a map in the score's unit is already multiplied by x - x'.

    Args:
        case: what is measured.
        imputation: the baseline that the squares are set to.
        side: side of the squares, as a fraction of the image's shorter side.
        samples: squares, at random places.
        scaled: multiply the map by the factor from 0 that suits it best (theirs for comparing methods), and divide the error
            by the mean square of the score's drops: 0 is perfect, 1 is a map that predicts nothing, or the opposite.

    Raises:
        UsageError: no samples, or a side out of range.
        AttributionError: scaled, where the map's sums or the score's drops are all 0.
    """
    if samples < 1 or not 0 < side <= 1:
        raise UsageError(
            "infidelity needs at least 1 sample and a side above 0 and up to 1", given=f"{samples}, {side}"
        )
    subject = case.subject
    height, width = case.relevance.shape
    length = max(1, round(side * min(height, width)))
    places = draws.rows(draws.stream(subject.seed, subject.key, "infidelity"), 0, samples, 2)
    corners = (places * (height - length + 1, width - length + 1)).astype(int)

    def removed(index: int) -> Bool[Tensor, "h w"]:
        square = torch.zeros(height, width, dtype=torch.bool, device=case.relevance.device)
        row, column = corners[index]
        square[row : row + length, column : column + length] = True
        return square

    steps = Subsets(subject.x, subject.target, removed, samples, imputed(imputation, subject))

    def finish(found: Steps) -> Measurement:
        sums = np.array([float(case.relevance[removed(i)].sum()) for i in range(samples)])
        drops = _drops(found)
        if not scaled:
            return Measurement(float(np.mean((sums - drops) ** 2)))
        if not np.any(sums) or not np.any(drops):
            raise AttributionError("the map's sums, or the score's changes, are all zero, so no factor can be fitted")
        beta = max(0.0, float(sums @ drops / (sums @ sums)))  # a map turned upside down is no better for it
        return Measurement(float(np.mean((beta * sums - drops) ** 2) / np.mean(drops**2)))

    return Plan(steps, finish)


def irof(case: Case, *, imputation: str = "mean-colour", segments: int = 60) -> Plan:
    """IROF, Rieger and Hansen 2020, section 3: area over the curve as superpixels are removed in order of mean relevance.

    The curve is the target's probability over that of the whole image; the area over it, 1 - mean, is higher for better
    maps.

    Args:
        case: what is measured.
        imputation: mean-colour (theirs: the image's own mean), or as in the other metrics.
        segments: number of superpixels requested from SLIC.

    Raises:
        UsageError: fewer than two superpixels.
        AttributionError: a map that is the same everywhere.
    """
    subject = case.subject
    if segments < 2:
        raise UsageError("IROF needs at least 2 superpixels", given=segments)
    case.rank()  # refuses a map that orders nothing
    players = parse(f"superpixels:{segments}", subject.picture)
    labels = players.labels.to(case.relevance.device)
    size = torch.bincount(labels.flatten(), minlength=players.n)
    mean = torch.bincount(labels.flatten(), case.relevance.flatten(), players.n) / size
    order = torch.argsort(-mean, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(players.n, device=order.device)
    rank = place[labels]
    fill = (
        subject.x.mean((1, 2), keepdim=True).expand_as(subject.x)
        if imputation == "mean-colour"
        else imputed(imputation, subject)
    )
    steps = Subsets(subject.x, subject.target, lambda index: rank <= index, players.n, fill)

    def finish(found: Steps) -> Measurement:
        curve = (found.probability / found.probability[0].clamp(min=1e-12)).cpu().numpy()
        return Measurement(float(1 - curve.mean()), np.arange(len(curve)) / players.n, curve)

    return Plan(steps, finish)

"""Methods that look at scores of altered images only: occlusion, LIME, RISE."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .. import draws
from ..baselines import is_image
from ..baselines.single import baseline as single_baseline
from ..engine.passes import Passes
from ..engine.replicates import Groups
from ..players import parse
from ..scores.classifier import ClassScore
from ..shapley.groups import deviations
from ..types import Attribution, Subject
from .absence import Presence, game_of, presence
from .cam import on_pixels
from .common import at_least, positive
from .shapley_values import maps_of, per_pixel


def occlusion(
    passes: Passes, subject: Subject, *, players: str | Tensor = "grid:14x14", baseline: str | Tensor = "black"
) -> Attribution:
    """Occlusion, Zeiler, Fergus 2014, section 4.2: F(x) - F(x without the player), for each player.

    The difference is divided evenly among the player's pixels and channels (captum gives each of them the whole).

    Args:
        passes: the passes of the model.
        subject: what is explained.
        players: what is occluded at a time, as `--players` takes it.
        baseline: what replaces it.

    Raises:
        UsageError: unknown players or baseline.
    """
    partition = parse(players, subject.picture)
    n = partition.n
    scores = game_of(passes, subject, partition, baseline)(
        np.concatenate([np.ones((1, n), bool), ~np.eye(n, dtype=bool)])
    )
    values = scores[0] - scores[1:]
    return Attribution(
        per_pixel(values, partition, subject.x), float(scores[0]), passes.evaluations,
        players=partition.labels, player_values=torch.from_numpy(values),
    )  # fmt: skip


def lime(
    passes: Passes,
    subject: Subject,
    *,
    players: str | Tensor = "superpixels:50",
    baseline: str | Tensor = "black",
    samples: int = 1000,
    width: float = 0.25,
    ridge: float = 1.0,
) -> Attribution:
    """LIME, Ribeiro, Singh, Guestrin 2016, Eq. 1 and 2: a linear model of the score around the image.

    Players are present with probability 1/2. A sample weighs exp(-d²/width²), d the cosine distance of its 0/1 vector from
    that of the whole image; the linear model has an intercept and a ridge penalty, as the authors' own package for images.
    A player's coefficient is divided evenly among its pixels and channels. Its standard error is that of the regression (see
    `ridge_terms`), of what endless samples would give, but for the ridge penalty's bias, which fades with their number.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        players: the partition, as `--players` takes it.
        baseline: the baseline x' of absent players.
        samples: forward passes; the first is of the whole image.
        width: width of the kernel.
        ridge: penalty on the squared coefficients.

    Raises:
        UsageError: unknown players or baseline, or numbers that are not positive.
    """
    at_least(2, samples=samples)
    positive(width=width, ridge=ridge)
    partition = parse(players, subject.picture)
    key = draws.stream(subject.seed, subject.key, "lime")
    members = draws.rows(key, 0, samples, partition.n) < 0.5
    members[0] = True
    scores = game_of(passes, subject, partition, baseline)(members)
    distance = 1 - np.sqrt(members.mean(1))  # cosine distance of a 0/1 vector from all ones
    weights = np.exp(-(distance**2) / width**2)
    features = members.astype(np.float64)
    values = ridge_fit(features, scores, weights, ridge)
    terms = ridge_terms(features, scores, weights, ridge, values)
    terms[0] = 0  # the whole image is not drawn
    stderr = terms.std(0, ddof=1) * np.sqrt(samples)
    return Attribution(
        per_pixel(values, partition, subject.x), float(scores[0]), passes.evaluations,
        stderr=per_pixel(stderr, partition, subject.x),
        deviations=maps_of(deviations(samples * terms), partition, subject.x),
        players=partition.labels, player_values=torch.from_numpy(values),
    )  # fmt: skip


def ridge_fit(features: np.ndarray, aims: np.ndarray, weights: np.ndarray, penalty: float) -> np.ndarray:
    """Coefficients (n,) of a weighted ridge regression with an unpenalised intercept, features (k, n)."""
    share = weights / weights.sum()
    centred, aim = features - share @ features, aims - share @ aims
    gram = centred.T @ (centred * weights[:, None]) + penalty * np.eye(features.shape[1])
    return np.linalg.solve(gram, centred.T @ (weights * aim))


def ridge_terms(
    features: np.ndarray, aims: np.ndarray, weights: np.ndarray, penalty: float, found: np.ndarray
) -> np.ndarray:
    """What each draw adds to the error of the coefficients, (k, n): its residual, enlarged for its leverage (HC3).

    MacKinnon, White 1985: the sum of the squares of these terms estimates the variance of a regression whose model is wrong,
    as a linear model of a network is.

    Args:
        features: (k, n).
        aims: (k,).
        weights: (k,).
        penalty: see `ridge_fit`.
        found: (n,) its coefficients.
    """
    share = weights / weights.sum()
    centred, aim = features - share @ features, aims - share @ aims
    gram = centred.T @ (centred * weights[:, None]) + penalty * np.eye(features.shape[1])
    solved = np.linalg.solve(gram, centred.T).T * weights[:, None]
    leverage = (solved * centred).sum(1) + share
    return solved * ((aim - centred @ found) / (1 - leverage))[:, None]


def rise(
    passes: Passes,
    subject: Subject,
    *,
    samples: int = 2000,
    cells: int = 7,
    keep: float = 0.5,
    baseline: str | Tensor = "black",
    centre: bool = True,
) -> Attribution:
    """RISE, Petsiuk, Das, Saenko 2018, Eq. 6: Σ_i F(x ⊙ M_i) M_i / (k · E[M]) over random smooth masks.

    A mask is a grid of cells that are 1 with probability `keep`, scaled bilinearly to one cell more than the image in each
    direction and shifted at random (their section 3.2). Values are mean scores of the images in which a pixel is kept,
    less the mean score of all, in equal shares for the channels.

    With the baseline "tokens" masks are of a transformer's tokens: one is there if the cell at its centre is 1.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        samples: masks, a forward pass each.
        cells: cells of the grid, in each direction.
        keep: probability of a cell to be kept.
        baseline: what replaces pixels where a mask is 0 (theirs is black).
        centre: subtract the mean score of all masked images from each, which removes a constant (and noise) from the map
            and keeps its order; false is Eq. 6 as printed, whose sign means nothing if scores are logits.

    Raises:
        UsageError: unknown baseline, or counts and probabilities out of range.
    """
    at_least(2, samples=samples, cells=cells)
    positive(keep=keep, drop=1 - keep)
    whole, reference, masks, scorer = _masked(passes, subject, baseline, cells, keep)
    x = subject.x
    mean, square = (torch.zeros(1, 1, *x.shape[-2:], dtype=torch.float64, device=x.device) for _ in range(2))

    groups = Groups(samples, mean[0, 0])

    def images(part: slice) -> Tensor:
        return reference + masks(part) * (whole - reference)

    scores = passes.scores(images, samples, subject, scorer)
    if centre:
        scores = scores - scores.mean()
    # Centred scores sum to 0, so taking E[M] off the masks changes no value; without it the error would be overstated.
    offset = keep if centre else 0.0
    for first in range(0, samples, passes.batch_size):
        part = slice(first, min(first + passes.batch_size, samples))
        weighed = scores[part, None, None, None] * (masks(part).double() - offset)
        mean += weighed.sum(0, keepdim=True) / (samples * keep)
        groups.add(first, weighed / keep)
        square += weighed.square().sum(0, keepdim=True) / (samples * keep**2)
    stderr = ((square - mean.square()).clamp(min=0) / (samples - 1)).sqrt()
    return Attribution(
        on_pixels(mean.to(x.dtype), subject), passes.score(subject), passes.evaluations, 1,
        stderr=on_pixels(stderr.to(x.dtype), subject), deviations=groups.deviations(),
    )  # fmt: skip


def _masked(
    passes: Passes, subject: Subject, baseline: str | Tensor, cells: int, keep: float
) -> tuple[Tensor, Tensor, Callable[[slice], Tensor], ClassScore | None]:
    """What masks keep, what they replace it by, the masks, and the score of what comes of it."""
    if is_image(baseline):
        return subject.x, single_baseline(baseline, subject), rise_masks(subject, cells, keep), None
    there = presence(passes, subject, baseline)
    return (
        there.whole,
        there.absent,
        _of_tokens(rise_masks(subject, cells, keep, mode="nearest-exact"), there),
        there.scorer,
    )


def _of_tokens(masks: Callable[[slice], Tensor], there: Presence) -> Callable[[slice], Tensor]:
    """Masks of 0 and 1 with the value at its centre for all of a token."""
    players = there.masks.players
    y, x = (
        torch.arange(n) * side // n + side // (2 * n)
        for n, side in zip(there.masks.tokens.size, players.labels.shape, strict=True)
    )
    rows, columns = y.repeat_interleave(len(x)), x.repeat(len(y))

    def make(part: slice) -> Tensor:
        return players.spread(masks(part)[:, 0, rows, columns])[:, None]

    return make


def rise_masks(subject: Subject, cells: int, keep: float, *, mode: str = "bilinear") -> Callable[[slice], Tensor]:
    """RISE's masks: a slice of draws → (m, 1, H, W) in 0..1, on the device of the subject."""
    height, width = subject.x.shape[-2:]
    cell = math.ceil(height / cells), math.ceil(width / cells)
    key = draws.stream(subject.seed, subject.key, "rise")

    def make(part: slice) -> Tensor:
        u = draws.rows(key, part.start, part.stop - part.start, cells**2 + 2)
        grid = torch.from_numpy((u[:, 2:] < keep).astype(np.float32)).to(subject.x)
        size = (cells + 1) * cell[0], (cells + 1) * cell[1]
        straight = {"align_corners": False} if mode == "bilinear" else {}
        grown = functional.interpolate(grid.reshape(-1, 1, cells, cells), size, mode=mode, **straight)
        shifts = (u[:, :2] * cell).astype(int).tolist()
        return torch.stack([m[:, i : i + height, j : j + width] for m, (i, j) in zip(grown, shifts, strict=True)])

    return make

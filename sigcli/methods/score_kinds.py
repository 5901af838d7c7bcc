"""Whether a score can be of the one kind that a closed form needs, linear or a maximum: asked before the first image.

A few images decide, none of them the user's, so a network is refused here only where the score of no class can be of the
kind. Each image is still checked by the method itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..baselines.single import baseline as single_baseline
from ..errors import MisfitError
from ..players import parse
from ..scores.classifier import ClassScore
from ..scores.regions import RegionScore
from ..scores.score import Score
from ..types import Subject

NOT_LINEAR = "linear-shap needs a score that is linear in the image, and this one is not"
NO_MAXIMUM = "max-shap needs a score that is the maximum of what its players contribute, and this one is not"
ANY_SCORE = "bshap explains any score."
_ALLOWED = 3e-4
"""Fraction of the spread of the scores by which they may miss: three times what the methods allow, since few are asked."""
_ROUNDING = 2e-6
_SHARES = (0.25, 0.5, 0.75)
_HALVES = 4


def check_kind(kind: str, score: Score, subject: Subject, options: Mapping[str, Any]) -> None:
    """Raise MisfitError where no score of the network is of a kind.

    Args:
        kind: "linear", "max", or any other, which is not checked.
        score: of the network.
        subject: a made-up picture with its baseline.
        options: of the method, which may have `baseline` and `players`.

    Raises:
        MisfitError: the scores of no class are linear, or the maximum of what players contribute.
        UsageError: unknown players or baseline.
    """
    check = {"linear": _check_linear, "max": _check_maximum}.get(kind)
    if check is not None and not getattr(
        score, "compares", False
    ):  # a difference of two such scores may be of the kind
        check(score, subject, options)


def _check_linear(score: Score, subject: Subject, options: Mapping[str, Any]) -> None:
    """Between two images a linear score changes evenly."""
    reference = single_baseline(options.get("baseline", "blur"), subject)
    noise = torch.rand(subject.x.shape, generator=torch.Generator().manual_seed(0)).to(subject.x)
    noise = subject.low + noise * (subject.high - subject.low)  # beyond that a linear score need not be linear
    missed, spread = [], []
    for other in (reference, noise):
        images = [other + share * (subject.x - other) for share in (0.0, 1.0, *_SHARES)]
        scores = _scores(score, images)
        shares = torch.tensor(_SHARES).to(scores)[:, None]
        missed.append((scores[2:] - scores[0] - shares * (scores[1] - scores[0])).abs().amax(0))
        spread.append(_spread(scores))
    if not bool((torch.stack(missed) <= torch.stack(spread)).all(0).any()):
        raise MisfitError(NOT_LINEAR, hint=ANY_SCORE)


def _check_maximum(score: Score, subject: Subject, options: Mapping[str, Any]) -> None:
    """Of a maximum the higher score of a coalition and of its complement is that of all players or of none."""
    partition = parse(options.get("players", "grid:7x7"), subject.picture)
    reference = single_baseline(options.get("baseline", "blur"), subject)
    drawn = torch.rand(_HALVES, partition.n, generator=torch.Generator().manual_seed(0)) < 0.5
    members = torch.cat([torch.zeros(1, partition.n, dtype=torch.bool), drawn])
    members = torch.stack([members, ~members], 1).flatten(0, 1)
    there = partition.spread(members.float().to(subject.x.device)) > 0
    scores = _scores(score, [torch.where(one, subject.x, reference) for one in there])
    higher = torch.maximum(scores[::2], scores[1::2])
    if not bool(((higher[1:] - higher[0]).abs().amax(0) <= _spread(scores)).any()):
        raise MisfitError(NO_MAXIMUM, hint=ANY_SCORE)


def _spread(scores: Tensor) -> Tensor:
    """By how much the scores of each class may miss."""
    return _ALLOWED * (scores.amax(0) - scores.amin(0)) + _ROUNDING * scores.abs().amax(0)


def _scores(score: Score, images: Sequence[Tensor]) -> Tensor:
    """The scores of all classes of each image, (m, K); of a region, a box or a pair the one that stands for all, (m, 1)."""
    return torch.cat([_of(score)(one[None]) for one in images]).double()


def _of(score: Score) -> Callable[[Tensor], Tensor]:
    if isinstance(score, ClassScore) and not isinstance(score, RegionScore):
        return lambda images: score.head.score(score.outputs(images), score.output)
    return lambda images: score.scores(images, torch.zeros(len(images), dtype=torch.long, device=images.device))[
        :, None
    ]

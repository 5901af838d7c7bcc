"""Does the model need what the map points at? Curves of the score as pixels are removed or inserted in its order.

Each function makes a `Removal` and says how its steps become a value, so all of them share the loop of
`sigcli.metrics.removal` and its batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from ..errors import UsageError
from .case import Case, Measurement
from .imputation import imputed
from .removal import Perturbation, Removal, Steps


@dataclass(frozen=True, eq=False)
class Plan:
    """A measurement that waits for the model.

    Args:
        removal: what the model is to be run on.
        finish: from what it says to the value.
    """

    removal: Perturbation
    finish: Callable[[Steps], Measurement]


def _counts(pixels: int, steps: int, share: float = 1.0) -> Int64[Tensor, " k"]:
    """Numbers of pixels at steps + 1 places, evenly from none to a fraction of all."""
    if steps < 1 or not 0 < share <= 1:
        raise UsageError("steps must be at least 1 and the share above 0 and up to 1", given=f"{steps}, {share}")
    return torch.linspace(0, share * pixels, steps + 1, dtype=torch.float64).round().long()


def _area(at: np.ndarray, curve: np.ndarray) -> float:
    """Area under a curve by the trapezoid rule, over the length of its axis."""
    return float(np.trapezoid(curve, at) / (at[-1] - at[0]))


def _probability_area(case: Case, imputation: str, steps: int, *, insert: bool) -> Plan:
    subject = case.subject
    counts = _counts(case.pixels, steps).to(subject.x.device)
    share = counts.double().cpu().numpy() / case.pixels

    def finish(found: Steps) -> Measurement:
        curve = found.probability.cpu().numpy()
        return Measurement(_area(share, curve), share, curve)

    fill = imputed(imputation, subject)
    return Plan(Removal(subject.x, subject.target, case.rank(), counts, fill, insert=insert), finish)


def deletion(case: Case, *, imputation: str = "blur", steps: int = 50) -> Plan:
    """Deletion, Petsiuk, Das, Saenko 2018 ("RISE"): area under the target's probability as relevant pixels are removed.

    Args:
        case: what is measured.
        imputation: what replaces removed pixels: black, mean, blur, road or another baseline; tokens drops a transformer's.
        steps: points of the curve, evenly spaced in removed pixels; the authors' code removes one row's worth per step.
    """
    return _probability_area(case, imputation, steps, insert=False)


def insertion(case: Case, *, imputation: str = "blur", steps: int = 50) -> Plan:
    """Insertion, Petsiuk, Das, Saenko 2018: area under the target's probability as the most relevant pixels are inserted.

    Args:
        case: what is measured.
        imputation: what the image starts from.
        steps: points of the curve.
    """
    return _probability_area(case, imputation, steps, insert=True)


def morf(case: Case, *, imputation: str = "blur", steps: int = 50, share: float = 1.0) -> Plan:
    """Pixel-flipping, most relevant first: AOPC = mean over steps of f(x⁰) - f(xᵏ), Samek et al. 2017, Eq. 12.

    Args:
        case: what is measured.
        imputation: what replaces removed pixels.
        steps: L; the mean is over L + 1 places.
        share: fraction of the pixels that are removed in the end.
    """
    return _aopc(case, imputation, steps, share, ascending=False)


def lerf(case: Case, *, imputation: str = "blur", steps: int = 50, share: float = 1.0) -> Plan:
    """Pixel-flipping, least relevant first (Samek et al. 2017, section III-C): a good map leaves the score where it is.

    Args:
        case: what is measured.
        imputation: what replaces removed pixels.
        steps: L; the mean is over L + 1 places.
        share: fraction of the pixels that are removed in the end.
    """
    return _aopc(case, imputation, steps, share, ascending=True)


def _aopc(case: Case, imputation: str, steps: int, share: float, *, ascending: bool) -> Plan:
    subject = case.subject
    counts = _counts(case.pixels, steps, share).to(subject.x.device)
    removal = Removal(subject.x, subject.target, case.rank(ascending=ascending), counts, imputed(imputation, subject))
    at = counts.double().cpu().numpy() / case.pixels

    def finish(found: Steps) -> Measurement:
        drop = (found.probability[0] - found.probability).cpu().numpy()
        return Measurement(float(drop.mean()), at, drop)

    return Plan(removal, finish)


def iaccuracy(case: Case, *, imputation: str = "black", patch: int = 0, largest: int = 500, steps: int = 50) -> Plan:
    """iAccuracy, [SIG] "Performance of Explanation": 1/(L+1) · Σ_{k=0..L} 1[argmax F(xᵏ) = argmax F(x⁰)].

    xᵏ is the image without its k most attributed pixels; lower is better. The curve is iAcc(L) for growing L, as [SIG]
    Figs 7 and 13 draw it, and the value is its last point.

    Args:
        case: what is measured.
        imputation: the baseline that removed pixels are set to.
        patch: p = 0..3; removing a pixel removes the (p+1)×(p+1) square around it ([SIG] Fig. 13).
        largest: L; of an image with fewer pixels all are removed.
        steps: points k at which the model is evaluated, evenly from 0 to L; with steps = L it is the sum as defined.

    Raises:
        UsageError: a patch or a number of pixels out of range.
        AttributionError: a map that is the same everywhere.
    """
    if not 0 <= patch <= 100:
        raise UsageError("patch must be 0 or a positive number of pixels", given=patch)
    subject = case.subject
    if largest < 1:
        raise UsageError("largest must be a number of pixels", given=largest, allowed="1 or more")
    largest = min(largest, case.pixels)
    counts = _counts(largest, min(steps, largest)).to(subject.x.device)
    removal = Removal(subject.x, subject.target, _spread(case.rank(), patch), counts, imputed(imputation, subject))
    at = counts.double().cpu().numpy()

    def finish(found: Steps) -> Measurement:
        curve = _running_mean(at, (found.predicted == found.predicted[0]).double().cpu().numpy())
        return Measurement(float(curve[-1]), at, curve)

    return Plan(removal, finish)


def _running_mean(at: Float[np.ndarray, " k"], values: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Mean of the values at 0..at[j] for every j, as in iAcc(L); each place stands for all up to halfway to the next."""
    halfway = np.concatenate([[-0.5], (at[1:] + at[:-1]) / 2])
    before = np.concatenate([[0.0], np.cumsum(np.diff(halfway) * values[:-1])])
    return (before + (at + 0.5 - halfway) * values) / (at + 1)


def _spread(rank: Int64[Tensor, "h w"], patch: int) -> Int64[Tensor, "h w"]:
    """The earliest rank within reach: a pixel goes with the first pixel whose (p+1)×(p+1) square covers it.

    The square of an even side has no centre pixel; it reaches one pixel farther to the right and below.
    """
    if not patch:
        return rank
    before, after = patch // 2, patch - patch // 2
    # Who covers this pixel lies up to `after` before it and `before` behind it. Ranks are exact in float64.
    padded = pad(-rank.double()[None], (after, before, after, before), value=-torch.inf)
    return -max_pool2d(padded, patch + 1, stride=1)[0].long()

"""Does the map change when the image hardly does, or the seed? The method runs again on nearby images, or by other draws."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .. import draws
from ..errors import AttributionError, UsageError
from .case import Case, Measurement
from .similarity import spearman


@runtime_checkable
class Explain(Protocol):
    """The method that made a map, ready to be run again."""

    def __call__(
        self, images: Float[Tensor, "m c h w"], target: int, model: nn.Module | None = None, seed: int | None = None
    ) -> Float[Tensor, "m c h w"]:
        """Maps of some images for a class, with the draws of the first map; of another model or seed where one is given."""
        ...


def max_sensitivity(case: Case, explain: Explain, *, radius: float = 0.02, samples: int = 10) -> Measurement:
    """Max-sensitivity, Yeh et al. 2019, Definition 4.1, sampled: max ‖Φ(y) - Φ(x)‖ over ‖y - x‖∞ ≤ r, by ‖Φ(x)‖.

    Args:
        case: what is measured.
        explain: the method; it keeps its own draws, so the value measures the method and not its sampling noise.
        radius: r, as a fraction of the pixel range.
        samples: number of nearby images.
    """
    return Measurement(float(_changes(case, explain, radius, samples).max()))


def avg_sensitivity(case: Case, explain: Explain, *, radius: float = 0.02, samples: int = 10) -> Measurement:
    """The mean instead of the maximum (Bhatt et al. 2020, Definition 1, as Quantus and captum's users know it).

    Args:
        case: what is measured.
        explain: the method.
        radius: as a fraction of the pixel range.
        samples: number of nearby images.
    """
    return Measurement(float(_changes(case, explain, radius, samples).mean()))


def _changes(case: Case, explain: Explain, radius: float, samples: int) -> Float[Tensor, " m"]:
    if samples < 1 or not radius > 0:
        raise UsageError("sensitivity needs at least 1 sample and a radius above 0", given=f"{samples}, {radius}")
    subject = case.subject
    x = subject.x
    key = draws.stream(subject.seed, subject.key, "sensitivity")
    u = draws.uniform16(key, torch.arange(samples), x.numel(), x.device).to(x).reshape(samples, *x.shape)
    near = x + (2 * u - 1) * radius * (subject.high - subject.low)
    maps = explain(torch.cat([x[None], near]), subject.target).double().flatten(1)
    size = maps[0].norm()
    if not bool(size > 0):
        raise AttributionError("the map is zero everywhere")
    return (maps[1:] - maps[0]).norm(dim=1) / size


def seed_stability(case: Case, explain: Explain, drawn: bool) -> Measurement:
    """Rank correlation (Spearman) of the map with the map that the method makes by the draws of the next seed.

    Of a method in which the seed has no part it is 1, and the method is not run again.

    Args:
        case: what is measured.
        explain: the method.
        drawn: whether the seed may have a part in the map.

    Raises:
        AttributionError: one of the two maps is constant.
    """
    if not drawn:
        return Measurement(1.0)
    subject = case.subject
    again = explain(subject.x[None], subject.target, seed=subject.seed + 1)[0]
    return Measurement(spearman(case, Case(subject, again.to(case.values))))

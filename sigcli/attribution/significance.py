"""What of a map, as it is shown, can be told from 0: values outside of their 95 % interval around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxtyping import Bool, Float
from torch import Tensor

from ..views import Lens, shown_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .select import Chosen

FADED = 0.2
"""Of what is not significant, pictures show this fraction."""
_BALANCED = 1e-3


def quantile(deviations: Float[Tensor, "g h w"]) -> float:
    """Student's t of a 95 % interval whose standard error these deviations tell.

    They have one degree of freedom less than there are groups where they are deviations from a mean; differences of
    independent halves have as many. Deviations from a mean sum to 0, each times the root of its group's share. All shares
    are alike but the last group's, whose replicates may be fewer or longer (100 draws: five of 16, one of 20).
    """
    from scipy import stats  # which takes longer to import than all of this package

    first, last = deviations[:-1].sum(0), deviations[-1]
    share = max(0.0, -float((first * last).sum()) / max(float(last.square().sum()), 1e-30))
    balanced = float((first + share * last).norm()) <= _BALANCED * float(deviations.norm())
    return float(stats.t.ppf(0.975, max(1, len(deviations) - balanced)))


def significant(
    lens: Lens, values: Float[Tensor, "h w"], deviations: Float[Tensor, "g h w"]
) -> tuple[Bool[Tensor, "h w"], float]:
    """Which values of a map as it is shown are at least t standard errors from 0, and t.

    Args:
        lens: the view.
        values: the map, channels summed.
        deviations: see `sigcli.types.Attribution`.
    """
    wide = quantile(deviations)
    return lens(values[None])[0].abs() >= wide * shown_error(lens, values, deviations)[0], wide


def significance_note(methods: Sequence[Chosen]) -> tuple[str, ...]:
    """What the user must know of methods whose pictures show no significance."""
    names = ", ".join(one.name for one in methods if not one.entry.properties.get("sampled"))
    return (f"--significant does not apply to {names}: nothing is random there",) if names else ()

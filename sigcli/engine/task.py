"""One explanation to compute, and when it is to go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..types import Subject
from .plan import Plan


@runtime_checkable
class Growth(Protocol):
    """Says, where a plan has been followed to its end, whether a longer one is to be followed."""

    @property
    def stopped(self) -> str:
        """Why no longer one was, once there is none; see `sigcli.types.Attribution.stopped`."""
        ...

    def longer(
        self, plan: Plan, values: Float[Tensor, "c h w"], deviations: Float[Tensor, "g h w"] | None
    ) -> Plan | None:
        """A plan that begins with the points of this one, each with its share of the weight; None where this is enough.

        Args:
            plan: what has been followed.
            values: what it came to.
            deviations: see `sigcli.types.Attribution`.
        """
        ...


@dataclass(frozen=True, eq=False)
class Task:
    """One explanation to compute: a subject on the scorer's device, the plan to follow, and the seconds it took to make.

    With `growth` the plan goes on until that has enough.
    """

    subject: Subject
    plan: Plan
    seconds: float = 0.0
    growth: Growth | None = None


def begins_with(longer: Plan, plan: Plan) -> bool:
    """Whether a plan begins with the points of another."""
    k, segments = len(plan), plan.segments
    ends = (longer.start, plan.start), (longer.end, plan.end)
    return (
        len(longer) > k
        and np.array_equal(longer.alpha[:k], plan.alpha)
        and np.array_equal(longer.segment[:k], plan.segment)
        and all(
            one is other or (one and other and np.array_equal(one.bits[:segments], other.bits)) for one, other in ends
        )
    )

"""Rewards of GridWorld steps: the two of [SIG] (Experimental Design, "Reward settings"), or a user's own function.

A reward is a plain function of one step. It returns the reward, or None where the walk is over and the step cannot be taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import cast

import numpy as np

from ..errors import UsageError, unknown
from ..user_modules import import_from_here

Cell = tuple[int, int]
LARGEST = 1e6


@dataclass(frozen=True)
class Step:
    """One step of the agent.

    Args:
        cell: (row, column) where it stands.
        action: up, down, left, right or stay.
        to: (row, column) where it goes.
        end: the cell it is meant to reach.
        arrived: whether it has already been on the end cell.
    """

    cell: Cell
    action: str
    to: Cell
    end: Cell
    arrived: bool


Reward = Callable[[Step], "float | None"]


def r1(step: Step) -> float | None:
    """-1 for a step that does not arrive, +1 for the step that arrives; arriving ends the walk ([SIG] appendix, r₁).

    >>> r1(Step((0, 0), "right", (0, 1), (1, 1), arrived=False))
    -1.0
    """
    if step.arrived:
        return None
    return 1.0 if step.to == step.end else -1.0


def r2(step: Step) -> float | None:
    """As r1 until the first arrival; then +1.5 for a step that ends on the end cell and -0.5 for one that does not (r₂).

    >>> r2(Step((1, 1), "stay", (1, 1), (1, 1), arrived=True))
    1.5
    """
    if step.arrived:
        return 1.5 if step.to == step.end else -0.5
    return 1.0 if step.to == step.end else -1.0


REWARDS: dict[str, Reward] = {"r1": r1, "r2": r2}


def load_reward(name: str) -> Reward:
    """A reward by its name, or a user's own as `package.module:function`, found from the current folder as well.

    Raises:
        UsageError: no such name, module or function, or something that is not a function.
    """
    if name in REWARDS:
        return REWARDS[name]
    module, separator, attribute = name.partition(":")
    if not separator:
        raise unknown("reward", name, [*REWARDS, "package.module:function"])
    try:
        found = getattr(import_from_here(module), attribute)
    except (Exception, SystemExit) as error:
        raise UsageError("the reward cannot be loaded", given=name, hint=f"{type(error).__name__}: {error}") from error
    if not callable(found):
        raise UsageError(f"{name} is not a function", hint="Write def my_reward(step): and return a number or None.")
    return cast(Reward, found)


def checked(reward: Reward, step: Step) -> float | None:
    """What a reward gives for a step; raises UsageError unless it is a finite number or None."""
    try:
        value = reward(step)
    except (Exception, SystemExit) as error:
        raise UsageError(f"the reward fails with {type(error).__name__}: {error}", given=step) from error
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real) or not abs(float(value)) <= LARGEST:
        allowed = f"a number of at most {LARGEST:g}, or None where the walk ends"
        raise UsageError(f"the reward gives {value!r}", given=step, allowed=allowed)
    return float(value)

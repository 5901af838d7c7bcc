"""What rules for relevance take as constants in a network's record: normalisers, and the gates of self-gated units.

`x / √(var + ε)` (LayerNorm, RMSNorm, a cosine) keeps its relevance in x, with the normaliser as a constant, and
`x · σ(1.7 x)` is a function of the single values of x, whatever its spelling (Achtibat et al. 2024, section 3.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten

from .operators import ELEMENTWISE
from .tracing import Slot, Step, Tape

KEEPING = frozenset([
    "expand", "view", "_unsafe_view", "reshape", "_reshape_alias", "clone", "alias", "_to_copy", "unsqueeze", "squeeze",
    "permute", "transpose", "t",
])  # fmt: skip
"""What moves all entries of one value."""
_INVERSES = frozenset(["rsqrt", "reciprocal"])
_POINTWISE = ELEMENTWISE | {"add", "sub", "rsub", "mul", "div", "neg", "square"}


@dataclass(frozen=True, eq=False)
class Held:
    """The steps of a record that carry relevance, with what is held constant in them.

    Args:
        steps: those that carry relevance, None in place of the slots that are held.
        positions: by the step's id: which of its arguments are held.
    """

    steps: tuple[Step, ...]
    positions: Mapping[int, tuple[int, ...]]

    def hold(self, step: Step, args: tuple[Any, ...]) -> tuple[Step, tuple[Any, ...]] | None:
        """A step and its arguments with the values that are held as constants; None for one that carries no relevance."""
        if id(step) not in self.positions:
            return None
        at = self.positions[id(step)]
        if not at:
            return step, args
        given = tuple(v.detach() if i in at and isinstance(v, Tensor) else v for i, v in enumerate(args))
        named = tuple(given[i] if i in at else slot for i, slot in enumerate(step.args))
        return replace(step, args=named), given


def given(step: Step) -> list[int]:
    """The slots that a step reads."""
    return list(_slots((step.args, step.kwargs)))


def held(tape: Tape) -> Held:
    """What is held constant in a record."""
    normalising, units = _normalising(tape), _units(tape)
    wanted, found = {tape.output}, []
    positions: dict[int, tuple[int, ...]] = {}
    for step in reversed(tape.steps):
        if wanted.isdisjoint(step.results):
            continue
        at = _held(step, normalising, units)
        positions[id(step)] = at
        kept = tuple(None if i in at else value for i, value in enumerate(step.args))
        found.append(replace(step, args=kept))
        wanted.update(_slots((kept, step.kwargs)))
    return Held(tuple(reversed(found)), positions)


def _slots(values: Any) -> Iterator[int]:
    return (x.index for x in tree_flatten(values)[0] if isinstance(x, Slot))


def _held(step: Step, normalising: frozenset[int], units: Mapping[int, tuple[int, bool]]) -> tuple[int, ...]:
    """Which arguments of a step are held."""
    both = [x.index for x in step.args[:2] if isinstance(x, Slot)]
    if len(both) < 2 or step.name not in ("mul", "div"):
        return ()
    if step.name == "div":
        return (1,)
    inverse = [slot in normalising for slot in both]
    if inverse[0] != inverse[1]:
        return (inverse.index(True),)
    (one, straight), (other, also) = (units.get(slot, (slot, True)) for slot in both)
    return (int(straight),) if one == other and straight != also else ()


def _normalising(tape: Tape) -> frozenset[int]:
    """The slots of inverses of what the image makes, such as 1/√(var + ε), moved or scaled."""
    found: set[int] = set()
    for step in tape.steps:
        slots = given(step)
        inverse = step.name in _INVERSES or (step.name == "div" and not isinstance(step.args[0], Slot))
        inverse = inverse or (step.name == "pow" and _negative(step.args[1:2]))
        moved = step.name in KEEPING or (step.name == "mul" and len(slots) == 1)
        if inverse or (moved and slots[0] in found):
            found.update(slot for slot in step.results if slot is not None)
    return frozenset(found)


def _negative(exponent: Sequence[Any]) -> bool:
    return bool(exponent) and isinstance(exponent[0], (int, float)) and exponent[0] < 0


def _units(tape: Tape) -> dict[int, tuple[int, bool]]:
    """By slot, where it is a function of single values of another one: that one, and whether it is proportional to it."""
    found: dict[int, tuple[int, bool]] = {}
    for step in tape.steps:
        slots = given(step)
        roots = {found.get(slot, (slot, True))[0] for slot in slots}
        if step.name not in _POINTWISE or len(roots) != 1 or step.results[0] is None:
            continue
        straight = all(found.get(slot, (slot, True))[1] for slot in slots)
        scaled = step.name in ("neg", "mul") or (step.name == "div" and isinstance(step.args[0], Slot))
        found[step.results[0]] = roots.pop(), straight and scaled and len(slots) == 1
    return found

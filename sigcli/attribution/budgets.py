"""How long methods run: one number of evaluations for all of them, or until their maps are exact enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..methods import METHODS
from ..methods.costs import affordable, least_of, planned
from ..methods.growing import BLOCKS, MOST_TIMES, REPLICATES, grows

if TYPE_CHECKING:
    from .options import RunOptions
    from .select import Chosen

Size = tuple[int, int] | None
LARGEST = 10_000_000
"""Evaluations that one map may take: the plan of more does not fit into the memory of most machines."""


@dataclass(frozen=True)
class Budget:
    """How long methods run.

    Args:
        tolerance: they go on until the relative standard error of the map as pictures show it is under this, or None.
        most: evaluations of the model that one map may take then; None for 16 times the method's default.
        notes: what the user must know of the methods that it does not apply to.
    """

    tolerance: float | None = None
    most: int | None = None
    notes: tuple[str, ...] = ()

    def most_of(self, chosen: Chosen) -> int:
        """Evaluations that one map of a method may take."""
        return _most(chosen, self.most)


def _most(chosen: Chosen, most: int | None) -> int:
    return MOST_TIMES * int(chosen.entry.properties["passes"]) if most is None else most


def check_budget(options: RunOptions) -> None:
    """Raise UsageError for numbers out of range, or two that exclude each other."""
    tolerance, evaluations, most = options.tolerance, options.evaluations, options.max_evaluations
    if tolerance is not None and not 0 < tolerance < 1:
        raise UsageError("tolerance must be above 0 and below 1", given=tolerance, hint="For example 0.05 for 5 %.")
    for name, count in (("evaluations", evaluations), ("max-evaluations", most)):
        if count is not None and count < 1:
            raise UsageError(f"{name} must be at least 1", given=count)
    if tolerance is not None and evaluations is not None:
        hint = "--max-evaluations ends a run that does not reach its tolerance."
        raise UsageError("--tolerance and --evaluations exclude each other", hint=hint)
    if most is not None and tolerance is None:
        raise UsageError(
            "--max-evaluations needs --tolerance", hint="--evaluations N gives every method the same budget."
        )


def budgeted(options: RunOptions, chosen: Sequence[Chosen], size: Size) -> tuple[list[Chosen], Budget]:
    """The methods with the options that make them as long as asked for, and what is left to be decided map by map.

    Args:
        options: options of the run.
        chosen: methods with their options.
        size: (height, width) of the network's input, where it is known.

    Raises:
        UsageError: a method that cannot be made as long, or that is told its length twice.
    """
    _check_largest(chosen, size)
    if options.evaluations is not None:
        if options.evaluations > LARGEST:
            raise UsageError("evaluations are too many for one map", given=options.evaluations, allowed=f"{LARGEST:,}")
        fixed = [one for one in chosen if not one.entry.properties.get("budget")]
        made = [one if one in fixed else _worth(one, options.evaluations, size) for one in chosen]
        return made, Budget(notes=_fixed_note(fixed, size))
    if options.tolerance is None:
        return list(chosen), Budget()
    still = [one for one in chosen if not one.entry.properties.get("sampled")]
    for one in chosen:
        if one not in still:
            _check_growth(one, options.max_evaluations, size)
    names = ", ".join(one.name for one in still)
    notes = (f"--tolerance does not apply to {names}: nothing is random there",) if still else ()
    return list(chosen), Budget(options.tolerance, options.max_evaluations, notes)


def _check_largest(chosen: Sequence[Chosen], size: Size) -> None:
    """Raise UsageError for a method that is told to take more evaluations than can be planned."""
    for one in chosen:
        option = str(one.entry.properties.get("budget", ""))
        cost = planned(one.entry, one.resolved(), size) if option in one.options else None
        if cost is not None and cost > LARGEST:
            raise UsageError(
                f"{one.name} would take too many evaluations for one map", given=f"{option}={one.options[option]}",
                allowed=f"{LARGEST:,} evaluations",
            )  # fmt: skip


def _worth(one: Chosen, evaluations: int, size: Size) -> Chosen:
    """A method with the options with which it costs so many evaluations, or a few less."""
    option = one.entry.properties["budget"]
    if option in one.options:
        given = f"--evaluations {evaluations} and {option}={one.options[option]}"
        raise UsageError(f"the cost of {one.name} is told twice", given=given, hint=f"Leave out {option}.")
    try:
        found = affordable(one.entry, one.resolved(), evaluations, size)
    except ValueError:
        raise UsageError(
            f"what {one.name} costs depends on each picture, so --evaluations cannot be used with it",
            given=f"players={one.resolved().get('players')}", hint=f"Use --set {one.name}.{option}=….",
        ) from None  # fmt: skip
    if found is None:
        cost = planned(one.entry, {**one.resolved(), option: least_of(one.entry)}, size)
        raise UsageError(f"{one.name} takes more evaluations", given=evaluations, allowed=f"{cost} or more")
    return replace(one, options={**one.options, option: found})


def _fixed_note(fixed: Sequence[Chosen], size: Size) -> tuple[str, ...]:
    costs = [(one.name, planned(one.entry, one.resolved(), size)) for one in fixed]
    told = ", ".join(name if cost is None else f"{name} ({cost:,})" for name, cost in costs)
    return (f"--evaluations does not change the cost of {told}",) if fixed else ()


def _check_growth(one: Chosen, most: int | None, size: Size) -> None:
    """Raise UsageError for a sampled method that cannot go on until it is exact enough."""
    if not grows(one.entry):
        able = ", ".join(name for name, entry in METHODS.items() if grows(entry))
        raise UsageError(f"{one.name} cannot go on with a run, so it takes no --tolerance", allowed=able)
    option, block = BLOCKS[one.entry.properties["grows"]]
    if option in one.options:
        given = f"--tolerance and {option}={one.options[option]}"
        raise UsageError(f"the length of {one.name} is told twice", given=given, hint=f"Leave out {option}.")
    if one.options.get("normalise") or one.options.get("coalitions") == "effective":
        what = "normalise" if one.options.get("normalise") else "coalitions=effective"
        raise UsageError(f"{one.name} takes no --tolerance with {what}", hint=f"Leave out {what}.")
    cost = planned(one.entry, {**one.resolved(), option: block * REPLICATES}, size)
    if cost is not None and cost > _most(one, most):
        told = "--max-evaluations" if most is not None else f"{MOST_TIMES} times its default cost"
        raise UsageError(
            f"the {REPLICATES} replicates that {one.name} needs to tell its error cost more than {told}",
            given=_most(one, most), allowed=f"--max-evaluations {cost} or more",
        )  # fmt: skip

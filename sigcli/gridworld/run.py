"""The use case behind `sig gridworld`: does an attribution method track the Shapley value? No printing.

Each condition (grid and reward) has an exact answer. Networks stand in for its reward, every estimator explains them within
the same budget of evaluations, and tables and figures say how near each comes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..door import door
from ..engine.modes import own_modes
from ..errors import BudgetError, UsageError
from ..listener import Listener
from ..models.device import choose_device
from ..runs.folder import claim_folder, folder_for
from ..runs.lock import held
from ..runs.provenance import versions
from . import ESTIMATORS
from .estimators import least_budget
from .options import GridworldOptions
from .results import CaseResult, Study, SweepPoint
from .rewards import load_reward
from .segments import sample_segments
from .standin import Recipe
from .study import Condition, Measured, Trained, measure, prepare
from .tables import write_tables
from .world import World

DEFAULT_OUT = "sig-gridworld"
CURVE = (0.25, 4.0, 16.0)
"""Further budgets of the error curve, as multiples of the study's."""
LONG_CURVE, LONG_ESTIMATORS = 50.0, ("sig", "sig-walk")
"""What SIG costs in the papers, where each of the N coalitions is integrated in 50 steps: a last point for two of them."""
CURVE_ESTIMATORS = ("eg", "sig", "sig-walk", "effective", "permutation", "kernelshap")
SWEEPS = {"samples": (0.25, 0.5, 1.0, 2.0, 4.0), "coverage": (0.1, 0.2, 0.4, 0.6, 0.8)}

FILES = (
    *(f"{name}.csv" for name in ("shapley", "standin", "estimates", "summary", "timing", "segments")),
    *(f"{name}.png" for name in ("game", "standin", "spearman", "error", "timing", "segments", "sweep")),
)
"""Tables and figures of a run."""


@door(GridworldOptions)
@own_modes()
def run_gridworld(options: GridworldOptions, listener: Listener) -> Study:
    """Run the GridWorld experiments of [SIG]: exact Shapley values, networks that learn the game, and every estimator.

    Call it with options as arguments, or with `GridworldOptions` and a listener.

    Raises:
        UsageError: an unknown name, or a number out of range.
        OutputError: the folder cannot be written or holds another run.

    >>> study = run_gridworld(grid="1x2", reward="r1", runs=1, estimators="sig,exact", steps=20, write=False)
    >>> [m.estimator for m in study.cases[0].measured]
    ['sig', 'exact']
    """
    _check_numbers(options)
    names = _names(options.estimators, options.protocol)
    where = choose_device("cpu" if options.device == "auto" else options.device)
    conditions = _conditions(_texts(options.grid), _texts(options.reward))
    named = [_runnable(condition, names, options) for condition in conditions]
    if not options.write:
        return _studied(options, conditions, named, (names, where), None, listener)
    manifest = _manifest(options, conditions, names, where)
    folder = folder_for(options.out, DEFAULT_OUT, manifest)
    with held(folder):
        claimed = claim_folder(folder, manifest, FILES, overwrite=options.overwrite)
        again = claimed and (folder / "summary.csv").exists()
        return _studied(options, conditions, named, (names, where), (folder, again), listener)


def _studied(
    options: GridworldOptions,
    conditions: Sequence[Condition],
    named: Sequence[list[str]],
    of: tuple[list[str], str],
    place: tuple[Path, bool] | None,
    listener: Listener,
) -> Study:
    """Train and measure.

    Args:
        options: of the command.
        conditions: grids with rewards.
        named: estimators of each.
        of: all estimators, and the device.
        place: the folder, and whether it holds this run's tables already; None where nothing is written.
        listener: is told of the stages.
    """
    (names, where), (folder, again) = of, place or (None, False)
    study = Study([], tuple(names), options.sweep, folder)
    for condition, chosen in zip(conditions, named, strict=True):
        study.cases.append(_case(condition, chosen, options, where, listener))
        if folder is not None and (not again or condition is conditions[-1]):  # a whole run stands until then
            write_tables(study.cases, folder)  # after each condition, so finished work is there whatever follows
    if folder is not None and options.pictures:
        from .figures import draw_study

        draw_study(study, folder)
    return study


__test__ = {"run_gridworld": run_gridworld.__doc__}  # doctest looks into functions and classes only


def _manifest(
    options: GridworldOptions, conditions: Sequence[Condition], names: list[str], where: str
) -> dict[str, Any]:
    """The manifest of the run folder."""
    spec = {
        "command": "gridworld", "grid": _texts(options.grid), "reward": _texts(options.reward), "runs": options.runs,
        "coverage": options.coverage, "samples": options.samples, "sweep": options.sweep, "estimators": names,
        "protocol": options.protocol, "seed": options.seed, "steps": options.steps,
        "games": {c.title: hashlib.blake2b(c.values.tobytes(), digest_size=8).hexdigest() for c in conditions},
    }  # fmt: skip
    return {"spec": spec, "device": where, "versions": versions(), "images": []}


def _conditions(grids: list[str], rewards: list[str]) -> list[Condition]:
    """Every grid with every reward, each once, with its exact values."""
    if not grids or not rewards:
        raise UsageError(f"no {'grid' if not grids else 'reward'} given")
    worlds = list(dict.fromkeys(World.parse(text) for text in grids))
    loaded = {name: load_reward(name) for name in rewards}
    return [Condition(world, name, reward) for world in worlds for name, reward in loaded.items()]


def _runnable(condition: Condition, names: list[str], options: GridworldOptions) -> list[str]:
    """The estimators that can run within the budget; where they were named one by one, all must.

    Raises:
        BudgetError: before anything is trained.
    """
    if options.protocol == "paper":
        return names
    n, budget, strict = condition.world.n, options.samples or condition.samples, options.estimators is not None
    short = [name for name in names if least_budget(name, n) > budget]
    if short and (strict or len(short) == len(names)):
        raise BudgetError(
            f"{short[0]} needs at least {least_budget(short[0], n)} evaluations on {condition.world.name}",
            given=f"--samples {budget}",
        )
    return [name for name in names if name not in short]


def _case(
    condition: Condition, names: list[str], options: GridworldOptions, where: str, listener: Listener
) -> CaseResult:
    budget, coverage, protocol = options.samples or condition.samples, options.coverage, options.protocol
    trained = _trained(condition, coverage, options, where, listener)
    measured: list[Measured] = []
    for i, name in enumerate(names):
        measured += measure(trained, name, budget, protocol=protocol)
        listener.stage(f"{condition.title}: estimators", i + 1, len(names))
    curved = [name for name in names if name in CURVE_ESTIMATORS] if protocol == "equal" else []
    curve = _curve(trained, budget, curved, listener)
    swept: list[SweepPoint] = []
    budgeted = [name for name in names if ESTIMATORS[name].properties["budgeted"]]
    values = SWEEPS.get(options.sweep or "", ())
    for value in values if options.sweep != "coverage" else sorted({*values, coverage}):
        if options.sweep == "samples":
            spent = max(1, round(value * budget))
            swept.append(SweepPoint(spent, coverage, _at_budget(trained, budgeted, spent, protocol)))
        else:
            other = _trained(condition, value, options, where, listener) if value != coverage else trained
            swept.append(SweepPoint(value, value, _at_budget(other, budgeted, budget, protocol)))
    return CaseResult(trained, budget, measured, curve, swept, sample_segments(trained.trial(0, budget)), protocol)


def _trained(
    condition: Condition, coverage: float, options: GridworldOptions, where: str, listener: Listener
) -> Trained:
    recipe, runs = Recipe(steps=options.steps), options.runs
    stage, done = f"{condition.title}: training {runs} networks on {coverage:.0%}", 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        listener.stage(stage, done, recipe.steps)

    return prepare(
        condition, coverage=coverage, progress=step, runs=runs, seed=options.seed, recipe=recipe, device=where
    )


def _at_budget(trained: Trained, names: Sequence[str], budget: int, protocol: str = "equal") -> list[Measured]:
    """Estimates of those estimators that can run within the budget; the others have no point in a curve."""
    found: list[Measured] = []
    for name in names:
        try:
            found += measure(trained, name, budget, protocol=protocol)
        except BudgetError:
            continue
    return found


def _curve(trained: Trained, budget: int, names: Sequence[str], listener: Listener) -> list[Measured]:
    found: list[Measured] = []
    if not names:
        return found
    long = [name for name in names if name in LONG_ESTIMATORS]
    points = [*((factor, names) for factor in CURVE), (LONG_CURVE, long)]
    for i, (factor, chosen) in enumerate(points):
        found += _at_budget(trained, chosen, max(1, round(factor * budget)))
        listener.stage(f"{trained.condition.title}: error against budget", i + 1, len(points))
    return found


def _texts(value: str | Sequence[str]) -> list[str]:
    """Names given as one text with commas or as a sequence, each once."""
    parts = value.split(",") if isinstance(value, str) else list(value)
    if not all(isinstance(part, str) for part in parts):
        raise UsageError("a name must be a text", given=repr(value), allowed="names, in a text or a list")
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _names(estimators: str | Sequence[str] | None, protocol: str) -> list[str]:
    """The estimators that were named, or all that the protocol has."""
    known = [name for name, entry in ESTIMATORS.items() if protocol == "equal" or entry.properties["paper"]]
    if estimators is None:
        return known
    names = [ESTIMATORS[name].name for name in _texts(estimators)]
    if not names:
        raise UsageError("no estimator given", allowed=", ".join(known))
    absent = [name for name in names if name not in known]
    if absent:
        hint = "Leave --protocol out to compare it at equal evaluations."
        raise UsageError(
            f"the papers do not run {absent[0]}", given="--protocol paper", allowed=", ".join(known), hint=hint
        )
    return names


def _check_numbers(options: GridworldOptions) -> None:
    for name, most in (("runs", 1000), ("samples", 10**7), ("steps", 10**7)):
        value = getattr(options, name)
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{name} must be at least 1 and at most {most}", given=value)
    if not 0 < options.coverage <= 1:
        raise UsageError("coverage must be a fraction of the coalitions above 0 and up to 1", given=options.coverage)
    if options.sweep is not None and options.sweep not in SWEEPS:
        raise UsageError("unknown sweep", given=options.sweep, allowed=", ".join(SWEEPS))

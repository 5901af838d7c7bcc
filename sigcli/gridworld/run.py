"""The use case behind `sig gridworld`: does an attribution method track the Shapley value? No printing.

Each condition (grid and reward) has an exact answer. Networks stand in for its reward, every estimator explains them within
the same budget of evaluations, and tables and figures say how near each comes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..attribution.select import choose_device
from ..errors import BudgetError, UsageError, unknown
from ..runs.folder import claim_folder, free_folder, output_folder
from ..runs.provenance import versions
from . import ESTIMATORS
from .estimators import least_budget
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
PROTOCOLS = ("equal", "paper")
SWEEPS = {"samples": (0.25, 0.5, 1.0, 2.0, 4.0), "coverage": (0.1, 0.2, 0.4, 0.6, 0.8)}

FILES = (
    *(f"{name}.csv" for name in ("shapley", "standin", "estimates", "summary", "timing", "segments")),
    *(f"{name}.png" for name in ("game", "standin", "spearman", "error", "timing", "segments", "sweep")),
)
"""Tables and figures of a run."""

Progress = Callable[[str, int, int], None]


def gridworld(  # noqa: PLR0913  one keyword for each option of the command
    *,
    grid: str | Sequence[str] = ("2x2", "2x3"),
    reward: str | Sequence[str] = ("r1", "r2"),
    runs: int = 10,
    coverage: float = 0.4,
    samples: int | None = None,
    sweep: str | None = None,
    estimators: str | Sequence[str] | None = None,
    protocol: str = "equal",
    seed: int = 0,
    device: str = "auto",
    steps: int | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    write: bool = True,
    progress: Progress | None = None,
) -> Study:
    """Play GridWorld ([SIG] Experiments): exact Shapley values, stand-in networks, and every estimator beside them.

    Args:
        grid: rows x columns, one or several; at most 20 players each.
        reward: r1, r2 or `package.module:function`, one or several.
        runs: independent runs: networks, samples and draws.
        coverage: share Q of the coalitions that a network is trained on.
        samples: evaluations given to each estimator; by default 200 for at most 12 players and 1500 for more.
        sweep: also vary "samples" (N) or "coverage" (Q).
        estimators: names from `sig list estimators`, or None for all.
        protocol: "equal" gives each estimator the same number of evaluations; "paper" runs zero, mean, random and sig as
            [SIG] Table 2 does: SIG from `samples` coalitions of the share Q that the network saw, every path in 50 steps.
        seed: of every random draw.
        device: where networks are trained and evaluated: auto, cpu, cuda. auto is the CPU: the networks are tiny.
        steps: training steps; by default 4000.
        out: the folder; by default sig-gridworld, or the next free sig-gridworld-N.
        overwrite: replace another run in `out`.
        write: whether to write tables and figures at all.
        progress: called with the stage, what is done of it, and its length.

    Raises:
        UsageError: an unknown name, or a number that cannot be.
        OutputError: the folder cannot be written or holds another run.

    >>> study = gridworld(grid="1x2", reward="r1", runs=1, estimators="sig,exact", steps=20, write=False)
    >>> [m.estimator for m in study.cases[0].measured]
    ['sig', 'exact']
    """
    _check_numbers(runs, coverage, samples, steps, sweep)
    names = _names(estimators, protocol)
    where = choose_device("cpu" if device == "auto" else device)
    conditions = _conditions(_texts(grid), _texts(reward))
    strict = estimators is not None
    named = {
        c.title: names if protocol == "paper" else _within(c, samples or c.samples, names, strict=strict)
        for c in conditions
    }
    recipe = Recipe() if steps is None else Recipe(steps=steps)
    spec = {
        "command": "gridworld", "grid": _texts(grid), "reward": _texts(reward), "runs": runs, "coverage": coverage,
        "samples": samples, "sweep": sweep, "estimators": names, "protocol": protocol, "seed": seed, "steps": recipe.steps,
        "games": {c.title: hashlib.blake2b(c.values.tobytes(), digest_size=8).hexdigest() for c in conditions},
    }  # fmt: skip
    folder, again = None, False
    if write:
        manifest = {"spec": spec, "device": str(where), "versions": versions(), "images": []}
        folder = output_folder(out) if out is not None else free_folder(DEFAULT_OUT, manifest, resume=False)
        again = claim_folder(folder, manifest, FILES, overwrite=overwrite) and (folder / "summary.csv").exists()
    study = Study([], tuple(names), sweep, folder)
    for condition in conditions:
        budget = samples or condition.samples
        training: dict[str, Any] = {"runs": runs, "seed": seed, "recipe": recipe, "device": where}
        study.cases.append(
            _case(
                condition,
                budget,
                named[condition.title],
                coverage=coverage,
                sweep=sweep,
                training=training,
                protocol=protocol,
                progress=progress or _silent,
            )
        )
        if folder is not None and (not again or condition is conditions[-1]):  # a whole run stands until then
            write_tables(study.cases, folder)  # after each condition, so that finished work is there whatever follows
    if folder is not None:
        from .figures import draw_study

        draw_study(study, folder)
    return study


def _conditions(grids: list[str], rewards: list[str]) -> list[Condition]:
    """Every grid with every reward, each once, with its exact values."""
    if not grids or not rewards:
        raise UsageError(f"no {'grid' if not grids else 'reward'} was named")
    worlds = list(dict.fromkeys(World.parse(text) for text in grids))
    loaded = {name: load_reward(name) for name in rewards}
    return [Condition(world, name, reward) for world in worlds for name, reward in loaded.items()]


def _within(condition: Condition, budget: int, names: list[str], *, strict: bool) -> list[str]:
    """The estimators that can run within the budget; where they were named one by one, all must.

    Raises:
        BudgetError: before anything is trained.
    """
    n = condition.world.n
    short = [name for name in names if least_budget(name, n) > budget]
    if short and (strict or len(short) == len(names)):
        raise BudgetError(
            f"{short[0]} needs at least {least_budget(short[0], n)} evaluations on {condition.world.name}",
            given=f"--samples {budget}",
        )
    return [name for name in names if name not in short]


def _silent(stage: str, done: int, total: int) -> None:
    del stage, done, total


def _case(
    condition: Condition,
    budget: int,
    names: list[str],
    *,
    coverage: float,
    sweep: str | None,
    training: dict[str, Any],
    protocol: str,
    progress: Progress,
) -> CaseResult:
    trained = _trained(condition, coverage, training, progress)
    measured: list[Measured] = []
    for i, name in enumerate(names):
        measured += measure(trained, name, budget, protocol=protocol)
        progress(f"{condition.title}: estimators", i + 1, len(names))
    curved = [name for name in names if name in CURVE_ESTIMATORS] if protocol == "equal" else []
    curve = _curve(trained, budget, curved, progress)
    swept: list[SweepPoint] = []
    budgeted = [name for name in names if ESTIMATORS[name].properties["budgeted"]]
    values = SWEEPS.get(sweep or "", ())
    for value in values if sweep != "coverage" else sorted({*values, coverage}):
        if sweep == "samples":
            spent = max(1, round(value * budget))
            swept.append(SweepPoint(spent, coverage, _at_budget(trained, budgeted, spent, protocol)))
        else:
            other = _trained(condition, value, training, progress) if value != coverage else trained
            swept.append(SweepPoint(value, value, _at_budget(other, budgeted, budget, protocol)))
    return CaseResult(trained, budget, measured, curve, swept, sample_segments(trained.trial(0, budget)), protocol)


def _trained(condition: Condition, coverage: float, training: dict[str, Any], progress: Progress) -> Trained:
    stage, done = f"{condition.title}: training {training['runs']} networks on {coverage:.0%}", 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        progress(stage, done, training["recipe"].steps)

    return prepare(condition, coverage=coverage, progress=step, **training)


def _at_budget(trained: Trained, names: Sequence[str], budget: int, protocol: str = "equal") -> list[Measured]:
    """Estimates of those estimators that can run within the budget; the others have no point in a curve."""
    found: list[Measured] = []
    for name in names:
        try:
            found += measure(trained, name, budget, protocol=protocol)
        except BudgetError:
            continue
    return found


def _curve(trained: Trained, budget: int, names: Sequence[str], progress: Progress) -> list[Measured]:
    found: list[Measured] = []
    if not names:
        return found
    long = [name for name in names if name in LONG_ESTIMATORS]
    points = [*((factor, names) for factor in CURVE), (LONG_CURVE, long)]
    for i, (factor, chosen) in enumerate(points):
        found += _at_budget(trained, chosen, max(1, round(factor * budget)))
        progress(f"{trained.condition.title}: error against budget", i + 1, len(points))
    return found


def _texts(value: str | Sequence[str]) -> list[str]:
    """Names given as one text with commas or as a sequence, each once."""
    parts = value.split(",") if isinstance(value, str) else list(value)
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _names(estimators: str | Sequence[str] | None, protocol: str) -> list[str]:
    """The estimators that were named, or all that the protocol has."""
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    known = [name for name, entry in ESTIMATORS.items() if protocol == "equal" or entry.properties["paper"]]
    if estimators is None:
        return known
    names = [ESTIMATORS[name].name for name in _texts(estimators)]
    if not names:
        raise UsageError("no estimator was named", allowed=", ".join(known))
    absent = [name for name in names if name not in known]
    if absent:
        hint = "Leave --protocol out to compare it at equal evaluations."
        raise UsageError(
            f"the papers do not run {absent[0]}", given="--protocol paper", allowed=", ".join(known), hint=hint
        )
    return names


def _check_numbers(runs: int, coverage: float, samples: int | None, steps: int | None, sweep: str | None) -> None:
    for name, value, most in (("runs", runs, 1000), ("samples", samples, 10**7), ("steps", steps, 10**7)):
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{name} must be at least 1 and at most {most}", given=value)
    if not 0 < coverage <= 1:
        raise UsageError("coverage must be a share of the coalitions above 0 and up to 1", given=coverage)
    if sweep is not None and sweep not in SWEEPS:
        raise UsageError("unknown sweep", given=sweep, allowed=", ".join(SWEEPS))

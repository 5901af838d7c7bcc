"""`sig gridworld`: parse, call `run_gridworld`, show progress and tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.table import Table

from ..gridworld.options import GridworldOptions
from .command import Screen, command
from .console import parts, table
from .progress import StageListener

if TYPE_CHECKING:
    from ..gridworld.results import Study

_KEPT = "finished work is kept; the tables hold every finished condition"


@command(GridworldOptions, kept=_KEPT, config="gridworld")
def gridworld(options: GridworldOptions, screen: Screen) -> None:
    """Does an attribution method track the Shapley value? Exact answers, every estimator, figures.

    An agent walks a grid; its players are the (cell, action) pairs it may use. Exact Shapley values come from all 2^n
    coalitions, networks learn the game, and each method explains them within the same number of evaluations.

    Examples:
      sig gridworld                                            the papers' four conditions, about two minutes

      sig gridworld --grid 2x2 --reward my_rewards:treasure    a reward of your own

      sig gridworld --sweep samples --estimators sig,sig-walk,permutation

      sig gridworld --protocol paper                           the paper's Fig. 3 and Table 2 as it ran them
    """
    from ..gridworld.run import run_gridworld
    from ..gridworld.tables import summary_rows

    with StageListener() as listener:
        study = run_gridworld(options, listener)
    for line in _standins(study):
        screen.say(line)
    for part in parts(_correlations(study), screen.console):
        screen.console.print(part)
    if options.protocol == "paper":
        for part in parts(_times(study), screen.console):
            screen.console.print(part)
    for line in _differences(study):
        screen.say(line)
    screen.say(f"tables and figures in {study.folder}/")
    for case in study.cases:
        for row in summary_rows(case):
            screen.results.add(row)


def _standins(study: Study) -> list[str]:
    """How well the networks stand in for the reward, a line per condition."""
    lines = []
    for case in study.cases:
        condition, least = case.trained.condition, _least(min(c.pearson for c in case.trained.checks))
        lines.append(
            f"{condition.title}: {condition.world.n} players; the networks' exact values against the reward's: {least}"
        )
    return lines


def _least(pearson: float) -> str:
    return (
        "no correlation: all values are equal"
        if math.isnan(pearson)
        else f"Pearson {math.floor(1e4 * pearson) / 1e4:.4f} or more"
    )


def _differences(study: Study) -> list[str]:
    """How much better `sig` ranks the players than IG from the single baselines, run by run: a line per condition."""
    from ..gridworld.study import grouped
    from ..metrics.statistics import DIFFERENCE, mean_interval

    lines = []
    for case in study.cases:
        groups = {name: [m.spearman for m in found] for (name, _), found in grouped(case.measured).items()}
        told = []
        for name in ("zero", "mean", "random"):
            if name not in groups or "sig" not in groups:
                continue
            found = mean_interval([a - b for a, b in zip(groups["sig"], groups[name], strict=True)], DIFFERENCE)
            if found.mean is not None:
                span = "" if found.low is None else f" ({found.low:+.2f} to {found.high:+.2f})"
                told.append(f"{name} {found.mean:+.2f}{span}")
        if told:
            lines.append(f"{case.trained.condition.title}: sig minus {', '.join(told)}")
    return lines


def _correlations(study: Study) -> Table:
    """Mean and standard deviation of the rank correlation, estimators by conditions."""
    from ..gridworld.study import grouped
    from ..metrics.statistics import mean_interval

    shown = _by_condition(study, "rank correlation with the exact Shapley values")
    groups = [grouped(case.measured) for case in study.cases]
    for name in study.estimators:
        cells = []
        for case, group in zip(study.cases, groups, strict=True):
            interval = mean_interval([m.spearman for m in group.get((name, case.budget), [])])
            spread = "" if interval.sd is None else f" ± {interval.sd:.2f}"
            cells.append("-" if interval.mean is None else f"{interval.mean:.2f}{spread}")
        shown.add_row(name, *cells)
    return shown


def _times(study: Study) -> Table:
    """Median seconds of one explanation, estimators by conditions, beside zero-baseline IG's ([SIG] Table 2)."""
    from statistics import median

    from ..gridworld.study import grouped

    shown = _by_condition(study, "seconds per explanation (× zero)")
    times = [
        {name: median(m.seconds for m in found) for (name, _), found in grouped(case.measured).items()}
        for case in study.cases
    ]
    for name in study.estimators:
        cells = [
            f"{case[name]:.4f}" + (f" ({case[name] / case['zero']:.0f})" if "zero" in case else "") for case in times
        ]
        shown.add_row(name, *cells)
    return shown


def _by_condition(study: Study, title: str) -> Table:
    conditions = [case.trained.condition.title for case in study.cases]
    return table("estimator", *conditions, right=conditions, title=title)

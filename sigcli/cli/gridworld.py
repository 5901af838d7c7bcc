"""`sig gridworld`: parse, call `sigcli.gridworld.run`, show progress and a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from . import options as o
from .answers import Answers, answers
from .console import console, guarded

if TYPE_CHECKING:
    from ..gridworld.results import Study

_GAME = "Game"

Grid = Annotated[str, typer.Option("--grid", rich_help_panel=_GAME, help="Rows x columns, one or several with commas.")]
Reward = Annotated[
    str, typer.Option("--reward", rich_help_panel=_GAME, help="r1, r2 or your own package.module:function.")
]
Runs = Annotated[int, typer.Option("--runs", rich_help_panel=_GAME, help="Independent runs: networks and draws.")]
Coverage = Annotated[
    float, typer.Option("--coverage", rich_help_panel=_GAME, help="Share Q of the coalitions that a network is shown.")
]
Samples = Annotated[
    int | None,
    typer.Option(
        "--samples", rich_help_panel=_GAME, show_default="200 up to 12 players, 1500 above",
        help="Evaluations N that each estimator may spend; with --protocol paper, baselines N of SIG.",
    ),
]  # fmt: skip
Sweep = Annotated[
    str | None,
    typer.Option(
        "--sweep", rich_help_panel=_GAME, show_default=False, help="Also vary 'samples' (N) or 'coverage' (Q)."
    ),
]
Estimators = Annotated[
    str | None,
    typer.Option(
        "--estimators", rich_help_panel=_GAME, show_default="all", help="With commas; see 'sig list estimators'."
    ),
]
Protocol = Annotated[
    str,
    typer.Option(
        "--protocol", rich_help_panel=_GAME,
        help="equal: the same evaluations for all. paper: SIG from N coalitions of the share Q, 50 steps on each path.",
    ),
]  # fmt: skip
Steps = Annotated[int, typer.Option("--steps", rich_help_panel=_GAME, help="Training steps of the networks.")]


def gridworld(
    grid: Grid = "2x2,2x3",
    reward: Reward = "r1,r2",
    runs: Runs = 10,
    coverage: Coverage = 0.4,
    samples: Samples = None,
    sweep: Sweep = None,
    estimators: Estimators = None,
    protocol: Protocol = "equal",
    steps: Steps = 4000,
    seed: o.Seed = 0,
    device: o.Device = "auto",
    out: o.Out = None,
    overwrite: o.Overwrite = False,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> None:
    """Does an attribution method track the Shapley value? Exact answers, every estimator, figures.

    An agent walks a grid; its players are the (cell, action) pairs it may use. Exact Shapley values come from all 2^n
    coalitions, networks learn the game, and each method explains them within the same number of evaluations.

    Examples:
      sig gridworld                                            the papers' four conditions, about two minutes

      sig gridworld --grid 2x2 --reward my_rewards:treasure    a reward of your own

      sig gridworld --sweep samples --estimators sig,sig-walk,permutation

      sig gridworld --protocol paper                           the paper's Fig. 3 and Table 2 as it ran them
    """
    kept = "finished work is kept; the tables hold every condition that was finished"
    with guarded(debug, kept=kept), answers(as_json) as results:
        from ..gridworld.run import gridworld as play
        from .progress import Stages

        with Stages() as stages:
            study = play(
                grid=grid, reward=reward, runs=runs, coverage=coverage, samples=samples, sweep=sweep, seed=seed,
                estimators=estimators, protocol=protocol, device=device, steps=steps, out=out, overwrite=overwrite,
                progress=stages.show,
            )  # fmt: skip
        screen = console()
        for line in _standins(study):
            screen.print(line, markup=False)
        screen.print(_table(study))
        if protocol == "paper":
            screen.print(_times(study))
        for line in _differences(study):
            screen.print(line, markup=False)
        screen.print(f"tables and figures in {study.folder}/", markup=False)
        if as_json:
            _write_json(study, results)


def _standins(study: Study) -> list[str]:
    """How well the networks stand in for the reward, a line per condition."""
    lines = []
    for case in study.cases:
        checks = case.trained.checks
        lines.append(
            f"{case.trained.condition.title}: {case.trained.condition.world.n} players; the networks' exact values against "
            f"the reward's: {_least(min(c.pearson for c in checks))}"
        )
    return lines


def _least(pearson: float) -> str:
    return (
        "no correlation, for all values are equal"
        if math.isnan(pearson)
        else f"Pearson {math.floor(1e4 * pearson) / 1e4:.4f} or more"
    )


def _differences(study: Study) -> list[str]:
    """How much better `sig` ranks the players than IG from the single baselines, run by run: a line per condition."""
    from ..gridworld.intervals import mean_interval
    from ..gridworld.study import grouped

    lines = []
    for case in study.cases:
        groups = {name: [m.spearman for m in found] for (name, _), found in grouped(case.measured).items()}
        told = []
        for name in ("zero", "mean", "random"):
            if name not in groups or "sig" not in groups:
                continue
            found = mean_interval([a - b for a, b in zip(groups["sig"], groups[name], strict=True)])
            if found.mean is not None:
                span = "" if found.low is None else f" ({found.low:+.2f} to {found.high:+.2f})"
                told.append(f"{name} {found.mean:+.2f}{span}")
        if told:
            lines.append(f"{case.trained.condition.title}: sig minus {', '.join(told)}")
    return lines


def _table(study: Study) -> Table:
    """Mean and standard deviation of the rank correlation, estimators by conditions."""
    from ..gridworld.intervals import mean_interval
    from ..gridworld.study import grouped

    table = Table(
        box=None, header_style="bold", padding=(0, 2, 0, 0), title="rank correlation with the exact Shapley values"
    )
    table.title_style, table.title_justify = "italic", "left"
    table.add_column("estimator")
    for case in study.cases:
        table.add_column(case.trained.condition.title, justify="right")
    groups = [grouped(case.measured) for case in study.cases]
    for name in study.estimators:
        cells = []
        for case, group in zip(study.cases, groups, strict=True):
            interval = mean_interval([m.spearman for m in group.get((name, case.budget), [])])
            cells.append("-" if interval.mean is None else f"{interval.mean:.2f} ± {interval.sd or 0:.2f}")
        table.add_row(name, *cells)
    return table


def _times(study: Study) -> Table:
    """Median seconds of one explanation, estimators by conditions, beside zero-baseline IG's ([SIG] Table 2)."""
    from statistics import median

    from ..gridworld.study import grouped

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), title="seconds per explanation (× zero)")
    table.title_style, table.title_justify = "italic", "left"
    table.add_column("estimator")
    for case in study.cases:
        table.add_column(case.trained.condition.title, justify="right")
    times = [
        {name: median(m.seconds for m in found) for (name, _), found in grouped(case.measured).items()}
        for case in study.cases
    ]
    for name in study.estimators:
        cells = [
            f"{case[name]:.4f}" + (f" ({case[name] / case['zero']:.0f})" if "zero" in case else "") for case in times
        ]
        table.add_row(name, *cells)
    return table


def _write_json(study: Study, results: Answers) -> None:
    from ..gridworld.tables import summary_rows

    for case in study.cases:
        for row in summary_rows(case):
            results.add(row)

"""`sig benchmark scenario`: parse, call `sigcli.app.expression`, show progress and a table."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..errors import unknown
from . import options as o
from .guard import FAILED, console, guarded
from .memory import keep_freed_memory

if TYPE_CHECKING:
    from ..app.expression import ExpressionStudy
    from ..metrics.summary import Summary

_SCENARIO = "Scenario"
_METHODS = "sig,sig-walk,sig-zero=sig,walk-zero=sig-walk,zero=ig,mean=ig,random=ig,blur=ig,eg,agn,gradient"
Name = Annotated[str, typer.Argument(metavar="NAME", help="expression.")]
Pairs = Annotated[
    int, typer.Option("--pairs", rich_help_panel=_SCENARIO, help="Pairs of faces, half of one expression.")
]
Margin = Annotated[
    int, typer.Option("--margin", rich_help_panel=_SCENARIO, help="Pixels by which eyes, brows and mouth are widened.")
]


def scenario(
    name: Name,
    pairs: Pairs = 24,
    margin: Margin = 0,
    method: o.Method = _METHODS,
    settings: o.Set = None,
    seed: o.Seed = 0,
    device: o.Device = "auto",
    batch_size: o.BatchSize = "auto",
    out: o.Out = None,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    pictures: o.Pictures = True,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> None:
    """Which method looks where the answer is? Drawn pictures whose answer is known to the pixel.

    expression: two drawn faces are compared by what they express; the share of each map that lies on eyes, brows and mouth.

    Examples:
      sig benchmark scenario expression                     24 pairs of faces, eleven methods, some minutes

      sig benchmark scenario expression --pairs 6 --method sig,ig --margin 2
    """
    with guarded(debug):
        if name != "expression":
            raise unknown("scenario to benchmark", name, ["expression"])
        from ..app.expression import carry_out_expression, prepare_expression
        from .progress import Reporter

        keep_freed_memory()
        session = prepare_expression(
            pairs=pairs, method=method, settings=o.assignments(settings), seed=seed, device=device,
            batch_size=o.whole_or_auto("batch-size", batch_size), out=out, resume=resume, overwrite=overwrite,
            pictures=pictures,
        )  # fmt: skip
        with Reporter(session.items) as reporter:
            study = carry_out_expression(session, margin=margin, progress=reporter.evaluations, explained=reporter.done)
        failed = _report(study, as_json)
    if failed:
        raise typer.Exit(FAILED)


def _report(study: ExpressionStudy, as_json: bool) -> int:
    screen = console()
    if as_json:
        for found in study.shares:
            sys.stdout.write(json.dumps(found.row()) + "\n")
    screen.print(
        f"The network tells same from different expressions in {study.separation:.1%} of {study.checked} fresh pairs.\n"
        f"Eyes, brows and mouth are {study.area:.1%} of the pixels: what a map without any knowledge would put there."
    )
    screen.print(_table(study))
    failed = [found for found in study.shares if found.error]
    for found in failed:
        screen.print(f"failed: {found.image} {found.method}: {found.error}", markup=False, style="red")
    screen.print(f"faces, maps, tables and figures in {study.folder}/", markup=False)
    return len(failed)


def _table(study: ExpressionStudy) -> Table:
    """Shares of |attribution| by method with 95 % intervals, and how far the first method is above each, pair by pair."""
    methods = list(dict.fromkeys(method for method, _ in study.summary))
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("method")
    for heading in ("share ↑", "of positive ↑", "outside the head ↓", f"{methods[0]} minus it"):
        table.add_column(heading, justify="right")
    for method in methods:
        cells = [_cell(study.summary[method, measure]) for measure in ("share", "positive_share", "outside_face")]
        against = "" if method == methods[0] else _cell(study.differences[methods[0], method, "share"], signed=True)
        table.add_row(method, *cells, against)
    return table


def _cell(found: Summary, *, signed: bool = False) -> str:
    if found.mean is None:
        return "-"
    form = "+.2f" if signed else ".2f"
    span = "" if found.low is None or found.high is None else f"\n{found.low:{form}} to {found.high:{form}}"
    return f"{found.mean:{form}}{span}"

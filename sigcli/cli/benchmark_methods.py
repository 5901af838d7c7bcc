"""`sig benchmark methods`: parse, call `sigcli.benchmark_methods`, show progress, tables and what they support."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ..evaluation.options import BenchmarkMethodsOptions
from .command import Screen, command
from .console import fits, table
from .evaluate import say_failures

if TYPE_CHECKING:
    from ..evaluation.methods_benchmark import MethodsBenchmark

Row = dict[str, Any]
_ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}
_SIGNS = {"better": "+", "worse": "-", "level": " ", "": " "}
_PIPE = Console(width=80)
"""Stands for the window where there is none."""


@command(BenchmarkMethodsOptions, config="benchmark.methods")
def methods(options: BenchmarkMethodsOptions, screen: Screen) -> int:
    """Which method is best here? Many methods on a folder of images: quality, stability, cost, and which differences hold.

    Without --method a standard set is measured; methods that the network or the images do not allow are left out with a
    note. Every method is compared with one, by paired 95 % intervals over the images.

    Examples:
      sig benchmark methods photos/ --model resnet50

      sig benchmark methods photos/ -m resnet50 --masks masks/           adds localisation

      sig benchmark methods photos/ -m resnet50 --method sig,black=ig,gradcam --against gradcam --imputation blur
    """
    from ..evaluation.methods_benchmark import benchmark_methods
    from .progress import Reporter

    with Reporter(screen) as reporter:
        found = benchmark_methods(options, reporter)
    for row in found.rows:
        screen.results.add(row)
    _show(found, screen)
    reporter.say_notes()
    return say_failures(found.evaluation, screen, reporter.counts)


def _show(found: MethodsBenchmark, screen: Screen) -> None:
    for number, made in enumerate(_tables(found.rows, found.against, screen)):
        screen.console.print(*([] if number == 0 else [""]), made, sep="\n")
    screen.say(
        f"+ better, - worse than {found.against} by a paired 95 % interval; rank: mean over the metrics of the maps."
    )
    for sentence in found.sentences:
        screen.say(sentence)


def _tables(rows: list[Row], against: str, screen: Screen) -> Iterator[Table]:
    """Methods by cost and metrics, best rank first; as many tables as the columns take, one under the other."""
    order = list(dict.fromkeys(row["method"] for row in rows))
    found = {(row["method"], row["metric"], row["imputation"]): row for row in rows}
    of_method = {row["method"]: row for row in rows}
    columns = [(heading, [form(of_method[name]) for name in order]) for heading, form in _COSTS.items()]
    for metric, imputation in dict.fromkeys((row["metric"], row["imputation"]) for row in rows):
        cells = [_cell(found.get((name, metric, imputation))) for name in order]
        arrow = next(_ARROWS[row["better"]] for row in rows if row["metric"] == metric)
        columns.append((f"{metric}{arrow}\n{imputation}".strip(), cells))
    names = [f"{name} (reference)" if name == against else name for name in order]
    shown: list[tuple[str, list[str]]] = []
    for column in columns:
        if shown and not _holds(_table(names, [*shown, column]), screen):
            yield _table(names, shown)
            shown = []
        shown.append(column)
    yield _table(names, shown)


def _holds(made: Table, screen: Screen) -> bool:
    """Whether a table stands whole in the window, or in 80 columns where there is none."""
    wide = screen.console if screen.console.is_terminal else _PIPE
    return fits(made, wide)


def _table(names: list[str], columns: list[tuple[str, list[str]]]) -> Table:
    headings = [heading for heading, _ in columns]
    made = table("method", *headings, right=headings)
    for name, *cells in zip(names, *(cells for _, cells in columns), strict=True):
        made.add_row(name, *cells)
    return made


def _cell(row: Row | None) -> str:
    """The mean with the sign of the verdict."""
    if row is None or row["mean"] is None:
        return "- "
    return f"{row['mean']:.3f}{_SIGNS[row['verdict']]}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


_COSTS = {
    "rank": lambda row: _number(row["mean_rank"], ".1f"),
    "evaluations": lambda row: _number(row["evaluations_per_map"], ",.0f"),
    "s/image": lambda row: _number(row["seconds_per_image"], ".3g"),
}

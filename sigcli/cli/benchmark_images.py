"""`sig benchmark images`: parse, call `sigcli.benchmark`, show progress and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from ..evaluation.options import BenchmarkOptions
from .command import Screen, command
from .console import fits, table
from .evaluate import say_failures
from .log import check_log, log_run

if TYPE_CHECKING:
    from ..evaluation.benchmark import Benchmark

_ARROWS = {"higher": "↑", "lower": "↓", "": ""}


@command(BenchmarkOptions, config="benchmark.images", logs=True)
def images(options: BenchmarkOptions, screen: Screen) -> int:
    """What does each method cost, and how good are its maps? Time and metrics over growing numbers of images.

    The images stand in a random order, which --seed fixes. The largest count is explained and measured once; each smaller
    count takes the first images of that order. Times are those of the explanations alone.

    Examples:
      sig benchmark images photos/ --model resnet50 --counts 300,500,800,1000 --method sig,ig

      sig benchmark images photos/ -m resnet50 --method black=ig,mean=ig,sig --set mean.baseline=mean
    """
    from ..evaluation.benchmark import benchmark
    from .progress import Reporter

    check_log(options, screen)
    with Reporter(screen) as reporter:
        found = benchmark(options, reporter)
    for row in found.rows:
        screen.results.add(row)
    _show(found, screen)
    reporter.say_notes()
    failed = say_failures(found.evaluation, screen, reporter.counts)
    log_run(found.folder, screen)
    return failed


def _show(found: Benchmark, screen: Screen) -> None:
    """A table on a terminal that is wide enough, else a line for each count and method."""
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in found.rows:
        groups.setdefault((row["count"], row["method"]), []).append(row)
    made = _table(groups)
    if screen.console.is_terminal and fits(made, screen.console):
        screen.console.print(made)
        return
    for (count, method), rows in groups.items():
        seconds, each, rate, evaluations = _cost(rows[0])
        cost = f"{seconds} s, {each} s/image, {rate} images/s, {evaluations} evaluations"
        told = "; ".join(f"{_kind(row)} {_mean(row)}" + _span(row, " ({})") + _known(row, count) for row in rows)
        screen.say(f"{count} images, {method}: {cost}; {told}")


def _table(groups: dict[tuple[int, str], list[dict[str, Any]]]) -> Table:
    """Counts and methods by cost and metrics."""
    kinds = [_kind(row) for row in next(iter(groups.values()))]
    numbers = ("images", "seconds", "s/image", "images/s", "evaluations", *kinds)
    made = table("images", "method", *numbers[1:], right=numbers)
    for (count, method), rows in groups.items():
        cells = [f"{_mean(row)}{_known(row, count)}" + _span(row, "\n{}") for row in rows]
        made.add_row(str(count), method, *_cost(rows[0]), *cells)
    return made


def _cost(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """Seconds, seconds per image, images per second, evaluations of the model."""
    if row["seconds"] is None:
        return "-", "-", "-", "-"
    each = row["seconds_per_image"]
    return (
        f"{row['seconds']:.2f}",
        f"{each:.3g}",
        f"{1 / each:.3g}" if each else "-",
        f"{row['gradient_evaluations'] + row['forward_evaluations']:,}",
    )


def _kind(row: dict[str, Any]) -> str:
    return " ".join(part for part in (row["metric"], row["imputation"], _ARROWS[row["better"]]) if part)


def _mean(row: dict[str, Any]) -> str:
    return "-" if row["mean"] is None else f"{row['mean']:.3f}"


def _span(row: dict[str, Any], form: str) -> str:
    return "" if row["ci_low"] is None else form.format(f"{row['ci_low']:.3f} to {row['ci_high']:.3f}")


def _known(row: dict[str, Any], count: int) -> str:
    """How many images have a value, where not all do."""
    return f" [{row['n']} of {row['n'] + row['failed']}]" if row["failed"] or row["n"] < count else ""

"""`sig benchmark images`: parse, call `sigcli.evaluation.benchmark`, show progress and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..engine.allocator import keep_freed_memory
from . import options as o
from .answers import answers
from .console import FAILED, console, guarded
from .evaluate import Imputation, Labels, Masks, Metric, Smooth, print_failures

if TYPE_CHECKING:
    from ..evaluation.benchmark import Benchmark

Counts = Annotated[
    str | None,
    typer.Option(
        "--counts", show_default="an eighth, a quarter, half and all",
        help="Numbers of images, increasing, with commas; each count is the first so many of one random order.",
    ),
]  # fmt: skip
Timing = Annotated[
    str,
    typer.Option(
        "--timing",
        help="alone: each explanation in batches of its own, with its own seconds. shared: faster, batches and time shared.",
    ),
]
_ARROWS = {"higher": "↑", "lower": "↓", "": ""}


def images(
    context: typer.Context,
    paths: o.Paths = None,
    counts: Counts = None,
    timing: Timing = "alone",
    model: o.Model = "shapes",
    weights: o.Weights = None,
    method: o.Method = "sig,ig",
    metric: Metric = "deletion,insertion,iaccuracy,sparseness",
    imputation: Imputation = None,
    smooth: Smooth = None,
    masks: Masks = None,
    labels: Labels = None,
    settings: o.Set = None,
    preset: o.Preset = None,
    players: o.Players = None,
    baseline: o.Baseline = None,
    target: o.Target = "top",
    output: o.OutputKind = "logit",
    references: o.References = None,
    class_names: o.ClassNames = None,
    size: o.Size = None,
    resize: o.Resize = None,
    crop: o.Crop = None,
    mean: o.Mean = None,
    std: o.Std = None,
    device: o.Device = "auto",
    precision: o.Precision = "fp32",
    batch_size: o.BatchSize = "auto",
    seed: o.Seed = 0,
    out: o.Out = None,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    pictures: o.Pictures = True,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> None:
    """What does each method cost, and what does it give? Time and metrics over growing numbers of images.

    The largest count is explained and measured once; smaller ones are statistics of the first images of the same random
    order, which --seed fixes. Times are those of the explanations alone.

    Examples:
      sig benchmark images photos/ --model resnet50 --counts 300,500,800,1000 --method sig,ig

      sig benchmark images photos/ -m resnet50 --method black=ig,mean=ig,sig --set mean.baseline=mean
    """
    with guarded(debug), answers(as_json) as results:
        from ..evaluation.benchmark import carry_out_benchmark, prepare_benchmark
        from ..inputs.samples import sample_images
        from .progress import Reporter

        keep_freed_memory()
        prepared = prepare_benchmark(paths or [str(sample_images())], **o.typed(context))
        screen = console()
        for note in prepared.evaluation.notes:
            screen.print(f"note: {note}", markup=False)
        with Reporter(prepared.evaluation.items) as reporter:
            found = carry_out_benchmark(prepared, progress=reporter.evaluations, explained=reporter.done)
        for row in found.rows:
            results.add(row)
        _show(found, screen)
        failed = print_failures(found.evaluation, screen, debug=debug)
    if failed:
        raise typer.Exit(FAILED)


def _show(found: Benchmark, screen: Console) -> None:
    """A table on a terminal, a line for each count and method in a pipe."""
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in found.rows:
        groups.setdefault((row["count"], row["method"]), []).append(row)
    if screen.is_terminal:
        screen.print(_table(groups))
        return
    for (count, method), rows in groups.items():
        seconds, each, rate, evaluations = _cost(rows[0])
        cost = f"{seconds} s, {each} s/image, {rate} images/s, {evaluations} gradient evaluations"
        told = "; ".join(f"{_kind(row)} {_mean(row)}" + _span(row, " ({})") + _known(row, count) for row in rows)
        screen.print(f"{count} images, {method}: {cost}; {told}", markup=False)


def _table(groups: dict[tuple[int, str], list[dict[str, Any]]]) -> Table:
    """Counts and methods by cost and metrics."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("images", justify="right")
    table.add_column("method", no_wrap=True)
    for heading in ("seconds", "s/image", "images/s", "gradient\nevaluations"):
        table.add_column(heading, justify="right")
    for row in next(iter(groups.values())):
        table.add_column(_kind(row), justify="right")
    for (count, method), rows in groups.items():
        cells = [f"{_mean(row)}{_known(row, count)}" + _span(row, "\n{}") for row in rows]
        table.add_row(str(count), method, *_cost(rows[0]), *cells)
    return table


def _cost(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """Seconds, seconds per image, images per second, gradient evaluations."""
    if row["seconds"] is None:
        return "-", "-", "-", "-"
    each = row["seconds_per_image"]
    return (
        f"{row['seconds']:.2f}",
        f"{each:.3g}",
        f"{1 / each:.3g}" if each else "-",
        f"{row['gradient_evaluations']:,}",
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

"""`sig evaluate`: parse, call `sigcli.evaluation.evaluate`, show progress and a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..engine.allocator import keep_freed_memory
from ..names import printable
from . import options as o
from .answers import Answers, answers
from .console import FAILED, RESUME, console, guarded, traces

if TYPE_CHECKING:
    from ..evaluation.evaluate import Evaluation
    from ..evaluation.labelled import Labelled

_METRIC = "Metric"
Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATHS]...", show_default=False,
        help="Images, folders or glob patterns, or the folder of a run; without any, the bundled sample images.",
    ),
]  # fmt: skip
Metric = Annotated[
    str, typer.Option("--metric", rich_help_panel=_METRIC, help="One or several, with commas; see 'sig list metrics'.")
]
Imputation = Annotated[
    str | None,
    typer.Option(
        "--imputation", rich_help_panel=_METRIC, show_default="each metric's own",
        help="What stands in for removed pixels: black, mean, blur, road or another baseline; several with commas.",
    ),
]  # fmt: skip
Masks = Annotated[
    Path | None,
    typer.Option(
        "--masks",
        rich_help_panel=_METRIC,
        show_default=False,
        help="Folder of masks named as the images, of their size, white on the object; or CSV image,x0,y0,x1,y1 of boxes.",
    ),
]

Attributions = Annotated[
    Path | None,
    typer.Option(
        "--attributions", rich_help_panel=_METRIC, show_default=False,
        help="Measure arrays made before instead: a run folder, or anyone's <image>/<method>.npy or <image>.npy.",
    ),
]  # fmt: skip


Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels", rich_help_panel=_METRIC, show_default=False,
        help="CSV image,label of the images' true classes: also the model's accuracy and calibration.",
    ),
]  # fmt: skip
Smooth = Annotated[
    float | None,
    typer.Option(
        "--smooth", rich_help_panel=_METRIC, show_default="arrays as they are",
        help="Blur the maps by so many pixels before they are measured (and drawn).",
    ),
]  # fmt: skip


def evaluate(
    context: typer.Context,
    paths: Paths = None,
    model: o.Model = "shapes",
    weights: o.Weights = None,
    method: o.Method = "sig,ig",
    metric: Metric = "deletion,insertion,iaccuracy,sparseness",
    imputation: Imputation = None,
    smooth: Smooth = None,
    masks: Masks = None,
    labels: Labels = None,
    attributions: Attributions = None,
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
) -> None:  # the options reach the library through the context
    """Is the map any good? Explain images and measure the explanations, with intervals and paired differences.

    Examples:
      sig evaluate photos/ --model resnet50 --method sig,ig

      sig evaluate photos/ -m resnet50 --method sig,eg --metric deletion,insertion --imputation black,blur,road

      sig evaluate photos/ -m resnet50 --metric pointing-game,roc-auc --masks masks/ --set ig.steps=100

      sig evaluate sig-out/ --metric deletion,lerf             the arrays of a run, with its model

      sig evaluate photos/ --model shapes --metric information-absence,neutrality    has the network understood certainty?

      sig evaluate photos/ --method black=ig,mean=ig --set black.baseline=black --set mean.baseline=mean
    """
    with guarded(debug, kept="nothing was measured yet") as guard, answers(as_json) as results:
        from ..evaluation.evaluate import carry_out, prepare_evaluation
        from ..inputs.samples import sample_images
        from .progress import Reporter

        keep_freed_memory()
        # Only what was typed is passed on: a run folder brings its own model and settings.
        prepared = prepare_evaluation(paths or [str(sample_images())], **o.typed(context))
        guard.kept = RESUME
        screen = console()
        for note in prepared.notes:
            screen.print(f"note: {note}", markup=False)
        with Reporter(prepared.items) as reporter:
            found = carry_out(prepared, progress=reporter.evaluations, explained=reporter.done)
        failed = _report(found, results, debug=debug)
    if failed:
        raise typer.Exit(FAILED)


def _report(found: Evaluation, results: Answers, *, debug: bool) -> int:
    from ..evaluation.tables import metric_row

    screen = console()
    for figure in found.figures:
        results.add(metric_row(figure))
    if found.summary:
        screen.print(_table(found))
    for row in found.checks:
        screen.print(f"model: {row['metric']} {row['mean']:.3f}, {row['n']} images", markup=False)
    if found.model is not None:
        for line in _of_model(found.model):
            screen.print(line, markup=False)
    return print_failures(found, screen, debug=debug)


def print_failures(found: Evaluation, screen: Console, *, debug: bool = False) -> int:
    """Name each failure and its reason, then how many there are and where all is; returns how many."""
    failed = [figure for figure in found.figures if figure.error]
    reasons: dict[tuple[str, str], list[str]] = {}
    for figure in failed:
        reasons.setdefault((figure.image, figure.error), []).append(f"{figure.method} {figure.metric}")
    for (image, error), which in reasons.items():
        screen.print(f"failed: {image} ({', '.join(dict.fromkeys(which))}): {error}", markup=False, style="red")
    if debug:
        traces((figure.cause for figure in failed), screen)
    done = len(found.figures) - len(failed)
    screen.print(f"{done} figures, {len(failed)} failed; written to {printable(str(found.folder))}/", markup=False)
    return len(failed)


def _of_model(model: Labelled) -> list[str]:
    lines = []
    for row in model.summary:
        between = "" if row["ci_low"] is None else f" ({row['ci_low']:.3f} to {row['ci_high']:.3f})"
        lines.append(f"model: {row['metric']} {row['mean']:.3f}{between}, {row['n']} images")
    for image, reason in model.missing.items():
        lines.append(f"left out of the model's figures: {image}: {reason}")
    return lines


def _table(found: Evaluation) -> Table:
    """Means with their intervals, methods by metrics."""
    from ..evaluation.tables import measures
    from ..metrics import METRICS

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("method", no_wrap=True)
    kinds = list(dict.fromkeys((metric, imputation) for _, metric, imputation in found.summary))
    names = measures(found.figures)
    for metric, imputation in kinds:
        arrow = {True: " ↑", False: " ↓", None: ""}[METRICS[names[metric]].properties["higher_is_better"]]
        table.add_column(f"{metric}{arrow}" + (f"\n{imputation}" if imputation else ""), justify="right")
    for method in dict.fromkeys(method for method, _, _ in found.summary):
        cells = []
        for kind in kinds:
            summary = found.summary.get((method, *kind))
            if summary is None or summary.mean is None:
                cells.append("-")
            elif summary.low is None or summary.high is None:
                cells.append(f"{summary.mean:.3f}")
            else:
                cells.append(f"{summary.mean:.3f}\n{summary.low:.3f} to {summary.high:.3f}")
        table.add_row(method, *cells)
    return table

"""`sig explain`: parse, call `sigcli.attribution.explain`, show progress and a table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from ..engine.allocator import keep_freed_memory
from ..names import printable
from . import options as o
from .answers import Answers, answers
from .console import FAILED, RESUME, console, guarded, traces

if TYPE_CHECKING:
    from ..attribution.explanation import Explanation
    from ..attribution.pipeline import Session

_SHOWN = 40


def explain(
    context: typer.Context,
    paths: o.Paths = None,
    model: o.Model = "shapes",
    weights: o.Weights = None,
    method: o.Method = "sig",
    settings: o.Set = None,
    preset: o.Preset = None,
    players: o.Players = None,
    baseline: o.Baseline = None,
    target: o.Target = "top",
    output: o.OutputKind = "logit",
    references: o.References = None,
    partner: o.Partner = None,
    mask_certainty: o.MaskCertainty = None,
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
    check: o.Check = "sampled",
    out: o.Out = None,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    uncertainty: o.Uncertainty = False,
    smooth: o.Smooth = None,
    pictures: o.Pictures = True,
    signs: o.Signs = "together",
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> None:
    """Explain what a classifier saw in images: maps, overlays, arrays and a table of figures.

    Examples:
      sig explain                                   the bundled network explains the bundled samples

      sig explain photo.jpg --model resnet50        a SIG map of the top class

      sig explain photos/ -m resnet50 --method sig,sig-walk,ig,eg --set samples=512
    """
    with guarded(debug, kept="nothing was explained yet") as guard, answers(as_json) as results:
        from ..attribution.explain import prepare
        from ..inputs.samples import sample_images

        keep_freed_memory()
        screen, paths_given = console(), bool(paths)
        if not paths:
            paths = [str(sample_images())]
            screen.print(f"No images were named: explaining the bundled samples with the model '{model}'.")
        session = prepare(
            paths, model=model, weights=weights, method=method, settings=o.assignments(settings),
            preset=preset, players=players,
            baseline=baseline, target=target, output=output, references=references, partner=partner,
            mask_certainty=mask_certainty,
            class_names=class_names, size=size, resize=resize, crop=crop, mean=o.numbers("mean", mean),
            std=o.numbers("std", std), device=device, precision=precision,
            batch_size=o.whole_or_auto("batch-size", batch_size), seed=seed,
            check=check, out=out, resume=resume, overwrite=overwrite, uncertainty=uncertainty, smooth=smooth,
            pictures=pictures, signs=signs,
        )  # fmt: skip
        if paths_given and getattr(context.get_parameter_source("model"), "name", "") == "DEFAULT":
            screen.print("note: no --model was named: the bundled network 'shapes' knows drawn objects only.")
        for note in session.notes:
            screen.print(f"note: {note}", markup=False)
        guard.kept = RESUME
        failed = _carry_out(session, results, debug=debug)
    if failed:
        raise typer.Exit(FAILED)


def _carry_out(session: Session, results: Answers, *, debug: bool) -> int:
    """Stream the session's explanations to the screen; returns how many failed."""
    from ..attribution.explain import stream
    from .progress import Reporter

    failed = 0
    told: list[Explanation] = []
    shown: list[Explanation] = []
    done, noted = 0, len(session.notes)
    with Reporter(session.items) as reporter:
        for item in stream(session, progress=reporter.evaluations):
            results.add(_record(session, item))
            reporter.done(item)
            done += 1
            if item.status != "ok" or item.error or item.note:
                told.append(replace(item, values=None, stderr=None, players=None, picture=None))
            failed += item.status != "ok"
            if len(shown) < _SHOWN:
                # Arrays are let go, so that memory does not grow with the number of images.
                shown.append(replace(item, values=None, stderr=None, players=None, picture=None))
    screen = console()
    screen.print(_table(shown, done))
    for line, style in _lines(told):
        screen.print(line, markup=False, style=style)
    for note in session.notes[noted:]:
        screen.print(f"note: {note}", markup=False)
    if debug:
        traces((item.cause for item in told), screen)
    if session.run is not None:
        folder = printable(str(session.run.path))
        screen.print(f"{done - failed} done, {failed} failed; written to {folder}/", markup=False)
    return failed


def _lines(told: list[Explanation]) -> list[tuple[str, str | None]]:
    """What is told of single explanations, and its style: failures one by one, the same note of several images once."""
    images: dict[tuple[str, str, str], list[str]] = {}
    for number, item in enumerate(told):
        for text in filter(None, (item.error, item.note)):
            kind = "note" if item.status == "ok" else f"failed {number}"
            images.setdefault((kind, item.method, text), []).append(item.image)
    lines: list[tuple[str, str | None]] = []
    for (kind, method, text), names in images.items():
        whose = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more,"
        lines.append((f"{kind.split()[0]}: {whose} {method}: {text}", None if kind == "note" else "red"))
    return lines


def _record(session: Session, item: Explanation) -> dict[str, object]:
    record: dict[str, object] = {
        name: getattr(item, name)
        for name in (
            "image", "method", "target", "label", "score", "output", "seconds", "gradient_evaluations",
            "completeness_gap", "relative_gap", "standard_error", "relative_standard_error", "status", "error", "note",
        )
    }  # fmt: skip
    if item.status == "ok" and session.run is not None:
        record["array"] = str(session.run.path / item.folder / f"{item.name}.npy")
    return record


def _table(items: list[Explanation], total: int) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("image", "method", "target"):
        table.add_column(column, overflow="fold", no_wrap=column == "method")
    for column in ("score", "gap", "std. error", "evaluations", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for item in items:
        if item.status != "ok":
            table.add_row(Text(item.image), Text(item.method), "", "failed", "", "", "", "")
            continue
        table.add_row(
            Text(item.image), Text(item.method), Text(item.what()), f"{item.score:.3f}", _percent(item.relative_gap),
            _percent(item.relative_standard_error), f"{item.gradient_evaluations:,}", f"{item.seconds:.2f}",
        )  # fmt: skip
    if total > len(items):
        table.add_row(f"… and {total - len(items)} more in results.csv")
    return table


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"

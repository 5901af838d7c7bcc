"""`sig evaluate` as a library: explain images and measure the explanations. No printing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..attribution.explain import stream
from ..attribution.explanation import Explanation
from ..attribution.saved import saved
from ..attribution.session import Session
from ..door import door
from ..engine.modes import own_modes
from ..errors import UsageError
from ..files import remove_leftovers
from ..gallery.live import refresh
from ..listener import SILENT, Listener, tell_new
from ..metrics.statistics import Summary
from ..records import json_text
from ..runs.folder import FolderLock, append_row, save_text
from .certainty import judge_certainty
from .labelled import Labelled, judge_model
from .measured import FILES, METRICS_FILE, RECORD, Measured
from .options import EvaluateOptions
from .prepare import Prepared, prepare_evaluation
from .tables import Agreement, Comparison, compared, metric_row
from .value import MetricValue
from .workers import measured_by_workers


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Results of an evaluation.

    Args:
        values: one metric value per explanation and metric, in order.
        summary: (method, metric, imputation) → mean over the images with its interval.
        agreement: between each pair of methods.
        session: what was run.
        folder: where tables and figures are.
        model: accuracy and calibration, if labels were given.
        checks: rows of the summary from the certainty metrics, if these were chosen.
        means: rows of `summary.csv`.
        pairs: paired differences between methods, as rows of `summary.csv`.
    """

    values: list[MetricValue]
    summary: dict[tuple[str, str, str], Summary]
    agreement: list[Agreement]
    session: Session
    folder: Path
    model: Labelled | None = None
    checks: Sequence[Mapping[str, Any]] = ()
    means: Sequence[Mapping[str, Any]] = ()
    pairs: Sequence[Mapping[str, Any]] = ()

    def plot(self, path: str | Path | None = None) -> Image.Image:
        """Draw the means with their intervals as a table; also write it to `path` if given.

        Raises:
            UsageError: nothing was measured.
        """
        from ..render.plots.evaluation import plot_means

        if not self.means:
            raise UsageError("the evaluation has no means to plot", hint="None of its metrics has a value.")
        return plot_means(self.means, self.pairs, path)

    def __repr__(self) -> str:
        failed = sum(bool(one.error) for one in self.values)
        told = ", ".join(
            f"{method} {metric}{f' {imputation}' if imputation else ''} {one.mean:.3g}"
            for (method, metric, imputation), one in self.summary.items()
            if one.mean is not None
        )
        return f"<Evaluation: {len(self.values)} values, {failed} failed; {told}>"


@door(EvaluateOptions)
def evaluate(options: EvaluateOptions, listener: Listener = SILENT) -> Evaluation:
    """Explain images with one or several methods, and measure how good the maps are.

    Called with options as arguments, or with an `EvaluateOptions` and a `Listener`:

        evaluate("photos/", model="resnet50", method="sig,ig", metric="deletion,insertion")
        evaluate("photos/", model=network, method={"mine": explain, "ig": "ig"})

    `images` may also be a run folder; its arrays are then measured. A method may be a function
    `(model, inputs, targets) -> attributions` that takes a batch (N, C, H, W) and class indices (N,) and returns arrays or
    tensors (N, C, H, W) or (N, H, W). Tables and figures are written to a run folder.

    Raises:
        UsageError: an option that cannot be used, before anything is computed.
        ModelError: a model that cannot be loaded or is not a differentiable classifier.
        OutputError: a run folder that cannot be written or holds another run.

    A failure of one image raises nothing: see `MetricValue.error`. With `resume`, finished explanations and values are not
    computed again. Without it, measuring the same run again replaces its values; the old tables stay until then.
    """
    with own_modes():
        prepared = prepare_evaluation(options)
        listener.begin(prepared.items, prepared.notes, prepared.folder)
        return carry_out(prepared, listener)


def carry_out(prepared: Prepared, listener: Listener = SILENT) -> Evaluation:
    """Carry out an evaluation; its tables and figures are written when it returns."""
    session = prepared.session
    before = session.notes
    try:
        with FolderLock(prepared.folder):
            found = _carried_out(prepared, listener)
        tell_new(listener, before, [*session.notes, *session.later_notes])
        return found
    finally:
        session.close()


def _carried_out(prepared: Prepared, listener: Listener) -> Evaluation:
    session, path = prepared.session, prepared.folder
    truth = None if prepared.truth is None else prepared.truth.classes
    model = None if truth is None else judge_model(session, truth)
    facts = json_text(prepared.facts, indent=2) + "\n"
    remove_leftovers([path])
    (path / RECORD).unlink(missing_ok=True)
    growing = not (path / "summary.csv").exists()  # else a whole measurement stands, and is replaced by a whole one
    if growing:
        for name in FILES:
            (path / name).unlink(missing_ok=True)
        save_text(path / "evaluation.json", facts)
    between = Comparison(session, prepared.measuring.view_of, prepared.measuring.picture)
    values: list[MetricValue] = []
    for value in _values(prepared, between, listener):
        prepared.kept.add(value)
        if growing:
            append_row(path / METRICS_FILE, metric_row(value), first=not values)
        values.append(value)
    prepared.kept.settle(values, {name for name, _ in session.names})
    measured = Measured(values, between.found(), model, judge_certainty(session, prepared.checks, truth), session.seed)
    save_text(path / "evaluation.json", facts)
    measured.write(path, pictures=session.drawing.pictures)
    if session.shard is not None:
        measured.record(path, pictures=session.drawing.pictures, counts=prepared.counts)
    refresh(path)
    return Evaluation(
        values, measured.summary, measured.agreement, session, path, model, measured.checks, measured.means, measured.pairs,
    )  # fmt: skip


def _values(prepared: Prepared, between: Comparison, listener: Listener) -> Iterator[MetricValue]:
    """Metric values in order; the maps of each image are compared with each other as they come."""
    if prepared.session.divided and prepared.measuring.metrics:
        return measured_by_workers(prepared, between, listener)
    return prepared.measuring.values(compared(_explanations(prepared, listener), between))


def _explanations(prepared: Prepared, listener: Listener) -> Iterator[Explanation]:
    if not prepared.measuring.metrics:  # the model alone is measured
        return
    if prepared.arrays is None:
        yield from stream(prepared.session, listener)
        return
    for item in saved(prepared.session, prepared.arrays, prepared.only):
        listener.explained(item)
        yield item

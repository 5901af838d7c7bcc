"""The use case behind `sig evaluate`: explain images and measure the explanations. No printing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from typing_extensions import Unpack

from ..attribution.explain import DEFAULT_OUT, Options, prepare, stream
from ..attribution.explanation import Explanation
from ..attribution.pipeline import Session
from ..attribution.saved import check_arrays, count, saved
from ..attribution.select import Chosen, choose_metrics, method_names, split_settings
from ..errors import UsageError
from ..files import remove_leftovers
from ..inputs.arrays import is_array_path
from ..metrics.statistics import Summary
from ..models.model import Model
from ..records import json_text
from ..runs.folder import (
    FolderLock,
    append_row,
    claim_folder,
    free_folder,
    output_folder,
    refuse_strangers,
    run_names,
    save_table,
    save_text,
    take,
)
from ..runs.provenance import versions
from .cache import FILE, Kept
from .certainty import judge_certainty, split_checks
from .labelled import MODEL_FILE, Labelled, judge_model, read_true_classes
from .masks import find_masks
from .measure import Measuring
from .rehearse import rehearse
from .reopen import check_model, loading, run_folder
from .tables import Agreement, Comparison, curve_rows, metric_row, paired_rows, summary_rows
from .value import Figure

DEFAULT_METHODS = "sig,ig"
DEFAULT_METRICS = "deletion,insertion,iaccuracy,sparseness"
METRICS_FILE = "metrics.csv"
FILES = (
    METRICS_FILE, "summary.csv", "curves.csv", "agreement.csv", MODEL_FILE, "evaluation.json",
    "curves.png", "table.png", "agreement.png", "reliability.png",
)  # fmt: skip
"""Tables and figures of an evaluation, beside those of the run."""
OWN = (*FILES, FILE)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation finds.

    Args:
        figures: one per explanation and metric, in order.
        summary: (method, metric, imputation) → mean over the images with its interval.
        agreement: between each pair of methods.
        session: what was run.
        folder: where tables and figures are.
        model: accuracy and calibration, where labels were given.
        checks: rows of the summary on what the model makes of certainty, where that was asked for.
    """

    figures: list[Figure]
    summary: dict[tuple[str, str, str], Summary]
    agreement: list[Agreement]
    session: Session
    folder: Path
    model: Labelled | None = None
    checks: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, eq=False)
class Prepared:
    """An evaluation that is ready to start; `carry_out` does it.

    Args:
        session: images, model and methods.
        measuring: the metrics.
        folder: where tables and figures go.
        kept: figures of an earlier measurement.
        arrays: attributions that were made before, or None where the session makes them.
        only: those of the arrays' methods that are measured, or None for all.
        truth: image → class index, where labels were given.
        checks: the metrics of what the model makes of certainty.
        facts: for `evaluation.json`.
    """

    session: Session
    measuring: Measuring
    folder: Path
    kept: Kept
    arrays: Path | None = None
    only: tuple[str, ...] | None = None
    truth: Mapping[str, int] | None = None
    checks: Sequence[Chosen] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """What the user must know of the model, and of what an earlier measurement left."""
        return [*self.session.notes, *self.kept.notes]

    @property
    def items(self) -> int:
        """How many explanations will be measured."""
        if not self.measuring.metrics:
            return 0
        return self.session.items if self.arrays is None else count(self.session, self.arrays, self.only)


def prepare_evaluation(
    images: str | Path | Sequence[str | Path],
    *,
    metric: str | Sequence[str] = DEFAULT_METRICS,
    imputation: str | None = None,
    masks: str | Path | None = None,
    labels: str | Path | None = None,
    attributions: str | Path | None = None,
    **options: Unpack[Options],
) -> Prepared:
    """Check everything that can be checked, load the model and open the run folder. Arguments as in `evaluate`."""
    run = run_folder(images) if attributions is None else None
    if run is not None:
        images, kept_options = loading(run)
        attributions, options = run, cast(Options, {**kept_options, "out": run, **options})
    for_methods, for_metrics = split_settings(options.get("settings") or {}, metric)
    metrics = choose_metrics(metric, imputation, for_metrics)
    found = {} if masks is None else find_masks(Path(masks))
    _refuse(images, metrics, options, masks=masks is not None, arrays=attributions is not None and run is None)
    if options.get("out") is not None:
        refuse_strangers(output_folder(str(options.get("out"))), OWN, overwrite=bool(options.get("overwrite")))
    if attributions is None:
        known = {"method": DEFAULT_METHODS, **options, "settings": for_methods}
        session = prepare(images, **known, verify=lambda model: _verified(model, metrics, labels))
        if session.run is None:
            raise UsageError("an evaluation is written to its run folder", given="write=False")
        folder, arrays, only = session.run.path, None, None
    else:
        if for_methods:
            raise UsageError("arrays that were made before take no options of methods", given=", ".join(for_methods))
        arrays = Path(attributions)
        only = method_names(options["method"]) if "method" in options else None
        session = _without_methods(images, arrays, metrics, options)
        if run is not None:
            check_model(run, session.model)
        check_arrays(session, arrays, only)
        _verified(session.model, metrics, labels)
        folder = run if run is not None and options.get("out") == run else _claimed(arrays, session, options)
    take(folder, OWN)
    kept = Kept(folder, resume=bool(options.get("resume")))
    smooth = float(options.get("smooth") or 0)
    truth = None if labels is None else _truth(Path(labels), session.model)
    facts = {
        "metrics": [[chosen.name, chosen.entry.name, chosen.resolved()] for chosen in metrics], "smooth": smooth,
        "masks": masks and str(masks), "labels": labels and str(labels),
        "attributions": arrays and str(arrays), "versions": versions(),
    }  # fmt: skip
    metrics, checks = split_checks(session.model, metrics)
    measuring = Measuring(session, metrics, found, smooth, kept)
    return Prepared(session, measuring, folder, kept, arrays, only, truth, checks, facts)


def _refuse(
    images: str | Path | Sequence[str | Path], metrics: list[Chosen], options: Options, *, masks: bool, arrays: bool
) -> None:
    """Raise UsageError for what can be told from the command alone."""
    lacking = [chosen.name for chosen in metrics if chosen.entry.properties["needs"] == "mask" and not masks]
    if lacking:
        verb = "needs" if len(lacking) == 1 else "need"
        raise UsageError(f"{', '.join(lacking)} {verb} masks of the objects", hint="Name their folder with --masks.")
    if options.get("partner") is not None:
        raise UsageError("metrics are for classifiers of single images", given="partner", hint="Use sig explain.")
    listed = [images] if isinstance(images, (str, Path)) else images
    if any(map(is_array_path, listed)):
        raise UsageError("metrics are for classifiers of images", given=listed[0], hint="Use sig explain for arrays.")
    several = str(options.get("target", "top")).startswith("top:")
    if arrays and several:
        raise UsageError("an array has one target", given=f"--target {options.get('target')}", hint="Name a class.")


def _verified(model: Model, metrics: list[Chosen], labels: str | Path | None) -> None:
    """Raise UsageError for metrics or labels that do not suit the model, before any folder is touched."""
    rehearse(metrics, model)
    split_checks(model, metrics)
    if labels is not None:
        _truth(Path(labels), model)


def _truth(path: Path, model: Model) -> dict[str, int]:
    return read_true_classes(path, list(model.answers) if model.answers else None, model.head.classes(model.classes))


def _without_methods(
    images: str | Path | Sequence[str | Path], arrays: Path, metrics: list[Chosen], options: Options
) -> Session:
    """A session whose arrays were made before: the model is loaded as for any run, and no method is carried out."""
    running = [chosen.name for chosen in metrics if chosen.entry.properties["kind"] in ("rerun", "model")]
    if running:
        raise UsageError(
            f"{', '.join(running)} {'runs' if len(running) == 1 else 'run'} the method again, which arrays cannot",
            given=arrays, hint="Name the images and the method instead.",
        )  # fmt: skip
    kept = {name: value for name, value in options.items() if name not in ("players", "baseline")}
    return prepare(images, **{**kept, "method": "occlusion", "settings": {}, "write": False})


def _claimed(arrays: Path, session: Session, options: Options) -> Path:
    """The folder of an evaluation that makes no explanations itself."""
    spec = {
        "command": "evaluate", "attributions": str(arrays.resolve()), "model": session.model.name,
        "weights_hash": session.model.weights_hash,
    }  # fmt: skip
    manifest = {"spec": spec, "versions": versions(), "images": [str(path) for path in session.paths]}
    out, resume = options.get("out"), bool(options.get("resume"))
    folder = output_folder(out) if out is not None else free_folder(DEFAULT_OUT, manifest, resume=resume)
    claim_folder(folder, manifest, OWN, resume=resume, overwrite=bool(options.get("overwrite")))
    return folder


def evaluate(images: str | Path | Sequence[str | Path], **options: Any) -> Evaluation:
    """Explain images with one or several methods, and measure how good the maps are.

    Args:
        images: a path, a folder, a glob pattern, or several of these; or the folder of a run, whose arrays are measured.
        options: `metric` (names of `sig list metrics`, with commas), `imputation` (what stands in for removed pixels:
            black, mean, blur, road or another baseline; several with commas), `masks` (folder of masks named as the
            images, or a CSV of boxes image,x0,y0,x1,y1), `labels` (CSV of the images' true classes: the model's accuracy
            and calibration), `attributions` (folder of arrays made before: a run folder, or anyone's), and those of
            `explain`; `settings` also takes {"deletion.steps": 20}, and `smooth` blurs the maps that are measured, which
            by default are the arrays.

    Raises:
        UsageError: an option that cannot be used, before anything is computed.
        ModelError: a model that cannot be loaded or is no differentiable classifier.
        OutputError: a run folder that cannot be written or holds another run.

    What fails for one image only is in its `Figure.error`. With `resume`, explanations and figures that stand are not
    made again. Measuring the same run again without it replaces its figures; the tables of before stand until then.
    """
    return carry_out(prepare_evaluation(images, **options))


def carry_out(
    prepared: Prepared,
    *,
    progress: Callable[[int], None] | None = None,
    explained: Callable[[Explanation], None] | None = None,
) -> Evaluation:
    """Do an evaluation; its tables and figures stand when it returns.

    Args:
        prepared: from `prepare_evaluation`.
        progress: called with the number of gradient evaluations of each batch.
        explained: called with each explanation.
    """
    with FolderLock(prepared.folder):
        return _carried_out(prepared, progress, explained)


def _carried_out(
    prepared: Prepared, progress: Callable[[int], None] | None, explained: Callable[[Explanation], None] | None
) -> Evaluation:
    session, path = prepared.session, prepared.folder
    model = None if prepared.truth is None else judge_model(session, prepared.truth)
    facts = json_text(prepared.facts, indent=2) + "\n"
    remove_leftovers([path])
    growing = not (path / "summary.csv").exists()  # else a whole measurement stands, and is replaced by a whole one
    if growing:
        for name in FILES:
            (path / name).unlink(missing_ok=True)
        save_text(path / "evaluation.json", facts)
    between = Comparison(session, prepared.measuring.smooth)
    figures: list[Figure] = []
    for figure in prepared.measuring.figures(_watched(_explanations(prepared, progress), between.add, explained)):
        prepared.kept.add(figure)
        if growing:
            append_row(path / METRICS_FILE, metric_row(figure), first=not figures)
        figures.append(figure)
    prepared.kept.settle(figures, {name for name, _ in run_names(session.paths)})
    summary = summary_rows(figures, session.seed)
    checks = judge_certainty(session, prepared.checks, prepared.truth)
    result = Evaluation(figures, {key: s for key, s, _ in summary}, between.rows(), session, path, model, checks)
    save_text(path / "evaluation.json", facts)
    _write(result, [row for _, _, row in summary])
    return result


def _explanations(prepared: Prepared, progress: Callable[[int], None] | None) -> Iterator[Explanation]:
    if not prepared.measuring.metrics:  # the model alone is measured
        return iter(())
    if prepared.arrays is None:
        return stream(prepared.session, progress=progress)
    return saved(prepared.session, prepared.arrays, prepared.only)


def _write(found: Evaluation, means: list[dict[str, Any]]) -> None:
    """Tables and pictures of an evaluation."""
    path, seed = found.folder, found.session.seed
    pairs, curves = paired_rows(found.figures, seed), curve_rows(found.figures, seed)
    of_model = [] if found.model is None else found.model.summary
    agreement = [one.row() for one in found.agreement]
    tables = {
        METRICS_FILE: [metric_row(figure) for figure in found.figures],
        "summary.csv": [*means, *pairs, *of_model, *found.checks], "curves.csv": curves, "agreement.csv": agreement,
        MODEL_FILE: [] if found.model is None else found.model.rows,
    }  # fmt: skip
    for name, rows in tables.items():
        if rows:
            save_table(path / name, rows)
    for name in FILES:  # what is left of the measurement before
        if name.endswith(".png") or not tables.get(name, True):
            (path / name).unlink(missing_ok=True)
    if found.session.drawing.pictures:
        from ..render.plots.evaluation import draw_evaluation
        from ..render.plots.reliability import draw_reliability

        if means:
            draw_evaluation(means, pairs, curves, agreement, path)
        if found.model is not None:
            draw_reliability(found.model.diagram, path / "reliability.png")


def _watched(
    explanations: Iterator[Explanation], *watchers: Callable[[Explanation], None] | None
) -> Iterator[Explanation]:
    for item in explanations:
        for watcher in watchers:
            if watcher is not None:
                watcher(item)
        yield item

"""The use case behind `sig evaluate`: explain images and measure the explanations. No printing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from ..arrays import is_array_path
from ..errors import UsageError
from ..images import find_images
from ..metrics.summary import Summary
from ..runs import append_row, claim_folder, free_folder, refuse_strangers, save_table
from .arrays import check_arrays, count, saved
from .choices import Chosen, choose_metrics, split_settings
from .evaluate_tables import Agreement, Comparison, curve_rows, metric_row, paired_rows, summary_rows
from .explain import DEFAULT_OUT, Options, prepare, stream
from .measuring import Figure, Measuring
from .provenance import versions
from .results import Explanation
from .work import Session

DEFAULT_METRICS = "deletion,insertion,iaccuracy,sparseness"
METRICS_FILE = "metrics.csv"
FILES = (METRICS_FILE, "summary.csv", "curves.csv", "agreement.csv", "curves.png", "table.png", "agreement.png")
"""Tables and figures of an evaluation, beside those of the run."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation finds.

    Args:
        figures: one per explanation and metric, in order.
        summary: (method, metric, imputation) → mean over the images with its interval.
        agreement: between each pair of methods.
        session: what was run.
        folder: where tables and figures are.
    """

    figures: list[Figure]
    summary: dict[tuple[str, str, str], Summary]
    agreement: list[Agreement]
    session: Session
    folder: Path


@dataclass(frozen=True, eq=False)
class Prepared:
    """An evaluation that is ready to start; `carry_out` does it.

    Args:
        session: images, model and methods.
        measuring: the metrics.
        folder: where tables and figures go.
        arrays: attributions that were made before, or None where the session makes them.
    """

    session: Session
    measuring: Measuring
    folder: Path
    arrays: Path | None = None

    @property
    def items(self) -> int:
        """How many explanations will be measured."""
        return self.session.items if self.arrays is None else count(self.session, self.arrays)


def prepare_evaluation(
    images: str | Path | Sequence[str | Path],
    *,
    metric: str | Sequence[str] = DEFAULT_METRICS,
    imputation: str | None = None,
    masks: str | Path | None = None,
    attributions: str | Path | None = None,
    **options: Unpack[Options],
) -> Prepared:
    """Check everything that can be checked, load the model and open the run folder. Arguments as in `evaluate`."""
    for_methods, for_metrics = split_settings(options.get("settings") or {}, metric)
    metrics = choose_metrics(metric, imputation, for_metrics)
    found = {} if masks is None else _find_masks(Path(masks))
    lacking = [chosen.name for chosen in metrics if chosen.entry.properties["needs"] == "mask" and masks is None]
    if lacking:
        raise UsageError(f"{', '.join(lacking)} need masks of the objects", hint="Name their folder with --masks.")
    if options.get("partner") is not None:
        raise UsageError("metrics are for classifiers of single images", given="partner", hint="Use sig explain.")
    listed = [images] if isinstance(images, (str, Path)) else images
    if any(map(is_array_path, listed)):
        raise UsageError("metrics are for classifiers of images", given=listed[0], hint="Use sig explain for arrays.")
    if options.get("out") is not None:
        refuse_strangers(Path(str(options.get("out"))), FILES, overwrite=bool(options.get("overwrite")))
    if attributions is not None:
        if for_methods:
            raise UsageError("arrays that were made before take no options of methods", given=", ".join(for_methods))
        return _of_arrays(images, Path(attributions), metrics, found, options)
    session = prepare(images, **{**options, "settings": for_methods})
    if session.run is None:
        raise UsageError("an evaluation is written to its run folder", given="write=False")
    return Prepared(session, Measuring(session, metrics, found), session.run.path)


def _of_arrays(
    images: str | Path | Sequence[str | Path],
    arrays: Path,
    metrics: list[Chosen],
    masks: dict[str, Path],
    options: Options,
) -> Prepared:
    """An evaluation of attributions that were made before."""
    running = [chosen.name for chosen in metrics if chosen.entry.properties["kind"] in ("rerun", "model")]
    if running:
        raise UsageError(
            f"{', '.join(running)} run the method again, which arrays cannot", hint="Leave --attributions out."
        )
    # The model is loaded as for any run; no method is carried out.
    session = prepare(images, **{**options, "method": "gradient", "settings": {}, "write": False})
    check_arrays(session, arrays)
    spec = {
        "command": "evaluate", "attributions": str(arrays.resolve()), "model": session.model.name,
        "weights_hash": session.model.weights_hash, "metrics": [[m.entry.name, m.resolved()] for m in metrics],
    }  # fmt: skip
    manifest = {"spec": spec, "versions": versions(), "images": [str(path) for path in session.paths]}
    out = options.get("out")
    folder = Path(out) if out is not None else free_folder(DEFAULT_OUT, manifest, resume=False)
    claim_folder(folder, manifest, overwrite=bool(options.get("overwrite")))
    return Prepared(session, Measuring(session, metrics, masks), folder, arrays)


def evaluate(images: str | Path | Sequence[str | Path], **options: Any) -> Evaluation:
    """Explain images with one or several methods, and measure how good the maps are.

    Args:
        images: a path, a folder, a glob pattern, or several of these.
        options: `metric` (names of `sig list metrics`, with commas), `imputation` (what stands in for removed pixels:
            black, mean, blur, road or another baseline; several with commas), `masks` (folder of masks named as the
            images), `attributions` (folder of arrays made before: a run folder, or anyone's), and those of `explain`;
            `settings` also takes {"deletion.steps": 20}.

    Raises:
        UsageError: an option that cannot be used, before anything is computed.
        ModelError: a model that cannot be loaded or is no differentiable classifier.
        OutputError: a run folder that cannot be written or holds another run.

    What fails for one image only is in its `Figure.error`. With `resume`, explanations that stand are not made again; the
    metrics are. Measuring the same run again, with the same or other metrics, replaces its figures.
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
    session, measuring, path = prepared.session, prepared.measuring, prepared.folder
    for name in FILES:  # an earlier measurement of this run is replaced as a whole
        (path / name).unlink(missing_ok=True)
    between = Comparison(session)
    figures: list[Figure] = []
    items = stream(session, progress=progress) if prepared.arrays is None else saved(session, prepared.arrays)
    watched = _watched(items, between.add, explained)
    for figure in measuring.figures(watched):
        append_row(path / METRICS_FILE, metric_row(figure), first=not figures)
        figures.append(figure)
    summary, pairs = summary_rows(figures, session.seed), paired_rows(figures, session.seed)
    save_table(path / "summary.csv", [row for _, _, row in summary] + pairs)
    curves = curve_rows(figures, session.seed)
    if curves:
        save_table(path / "curves.csv", curves)
    agreement = between.rows()
    if agreement:
        save_table(path / "agreement.csv", [found.row() for found in agreement])
    result = Evaluation(figures, {key: found for key, found, _ in summary}, agreement, session, path)
    if session.drawing.pictures:
        from ..render.evaluation import draw_evaluation

        draw_evaluation(summary, pairs, curves, [found.row() for found in agreement], path)
    return result


def _watched(
    explanations: Iterator[Explanation], *watchers: Callable[[Explanation], None] | None
) -> Iterator[Explanation]:
    for item in explanations:
        for watcher in watchers:
            if watcher is not None:
                watcher(item)
        yield item


def _find_masks(folder: Path) -> dict[str, Path]:
    """Mask files of a folder by their path within it, without the suffix."""
    if not folder.is_dir():
        raise UsageError("the folder of masks is not there", given=folder)
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in find_images([folder])}

"""An evaluation that is ready to start: everything checked, the model loaded, the run folder open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..attribution.options import ExplainOptions
from ..attribution.samples import Pictures
from ..attribution.saved import check_arrays, count
from ..attribution.select import Chosen, choose_metrics, method_names, split_settings
from ..attribution.session import DEFAULT_OUT, Session, prepare
from ..errors import UsageError
from ..inputs.arrays import is_array_path
from ..inputs.given import Source, listed
from ..models.model import Model
from ..options import renamed
from ..runs.folder import claim_folder, free_folder, output_folder, refuse_strangers, take
from ..runs.provenance import versions
from .cache import FILE, Kept
from .certainty import split_checks
from .labelled import MODEL_FILE, read_true_classes
from .masks.located import Masks, open_masks
from .masks.wanted import read_wanted
from .measure import Measuring
from .options import MeasureOptions
from .rehearse import rehearse
from .reopen import check_model, loading, run_folder

METRICS_FILE = "metrics.csv"
FILES = (
    METRICS_FILE, "summary.csv", "curves.csv", "agreement.csv", MODEL_FILE, "evaluation.json",
    "curves.png", "table.png", "agreement.png", "reliability.png",
)  # fmt: skip
"""Tables and figures of an evaluation, besides those of the run."""
OWN = (*FILES, FILE)


@dataclass(frozen=True, eq=False)
class Prepared:
    """An evaluation that is ready to start; `carry_out` does it.

    Args:
        session: images, model and methods.
        measuring: the metrics.
        folder: where tables and figures go.
        kept: metric values of an earlier measurement.
        arrays: existing attributions, or None where the session makes them.
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
        """What the user must know about the model and the results of an earlier measurement."""
        masks = self.measuring.masks
        return [*self.session.notes, *(masks.notes if masks is not None else ()), *self.kept.notes]

    @property
    def items(self) -> int:
        """How many explanations will be measured."""
        if not self.measuring.metrics:
            return 0
        return self.session.items if self.arrays is None else count(self.session, self.arrays, self.only)


def prepare_evaluation(options: MeasureOptions, *, also: Mapping[str, Any] | None = None) -> Prepared:
    """Check everything that can be checked, load the model and open the run folder.

    Args:
        options: options of the evaluation.
        also: more that the values depend on, see `facts` of `sigcli.attribution.session.prepare`.
    """
    options, run, arrays = _reopened(options)
    for_methods, for_metrics = split_settings(options.settings or {}, options.metric)
    metrics = choose_metrics(options.metric, options.imputation, for_metrics)
    masks = _masks(options)
    _refuse(options, metrics, arrays=arrays is not None and run is None)
    if options.out is not None:
        refuse_strangers(output_folder(options.out), OWN, overwrite=options.overwrite)
    session, only = _session(options.but(settings=for_methods), metrics, masks, arrays, run, also)
    folder = _folder(options, session, arrays, run)
    take(folder, OWN)
    kept = Kept(folder, resume=options.resume)
    smooth = float(options.smooth or 0)
    truth = None if options.labels is None else _truth(Path(options.labels), session.model)
    facts = {
        "metrics": [[chosen.name, chosen.entry.name, chosen.resolved()] for chosen in metrics], "smooth": smooth,
        "masks": options.masks and str(options.masks), "mask_class": options.mask_class, "mask_void": options.mask_void,
        "labels": options.labels and str(options.labels),
        "attributions": arrays and str(arrays), "versions": versions(),
    }  # fmt: skip
    metrics, checks = split_checks(session.model, metrics)
    measuring = Measuring(session, metrics, masks, smooth, kept)
    return Prepared(session, measuring, folder, kept, arrays, only, truth, checks, facts)


def _reopened(options: MeasureOptions) -> tuple[MeasureOptions, Path | None, Path | None]:
    """The options, with those of a run whose folder was named; that folder; and the folder of arrays, if there is one."""
    arrays = getattr(options, "attributions", None)
    run = run_folder(options.images) if arrays is None else None
    if run is None:
        return options, None, None if arrays is None else Path(arrays)
    images, kept = loading(run)
    given = {**renamed(type(options), kept), "out": str(run), **options.given}
    if given.get("model") is None:
        raise UsageError(
            "the run used a network in memory", given=run, hint="Name it: evaluate(folder, model=network)."
        )
    return type(options)(**{**given, "images": images}), run, run


def _session(
    options: MeasureOptions,
    metrics: list[Chosen],
    masks: Masks | None,
    arrays: Path | None,
    run: Path | None,
    also: Mapping[str, Any] | None,
) -> tuple[Session, tuple[str, ...] | None]:
    """Images, model and methods; and the names of the methods whose arrays are measured, None for all."""
    if arrays is None:
        wanted = options.into(ExplainOptions, method=options.method, write=True)

        def verify(model: Model, samples: Pictures) -> None:
            _verified(model, metrics, options.labels, samples.sources, masks)

        return prepare(wanted, verify=verify, facts=also), None
    if options.settings:
        raise UsageError("method options do not apply to existing arrays", given=", ".join(options.settings))
    only = method_names(options.method) if "method" in options.given else None
    session = _without_methods(options, arrays, metrics)
    if run is not None:
        check_model(run, session.model)
    check_arrays(session, arrays, only)
    _verified(session.model, metrics, options.labels, session.paths, masks)
    return session, only


def _folder(options: MeasureOptions, session: Session, arrays: Path | None, run: Path | None) -> Path:
    """Where tables and figures go."""
    if arrays is not None:
        return run if run is not None and options.out == str(run) else _claimed(arrays, session, options)
    if session.run is None:
        raise UsageError("an evaluation must write its run folder", given="write=False")
    return session.run.path


def _refuse(options: MeasureOptions, metrics: list[Chosen], *, arrays: bool) -> None:
    """Raise UsageError for what the command alone shows."""
    masks = options.masks is not None
    lacking = [chosen.name for chosen in metrics if chosen.entry.properties["needs"] == "mask" and not masks]
    if lacking:
        verb = "needs" if len(lacking) == 1 else "need"
        raise UsageError(f"{', '.join(lacking)} {verb} masks of the objects", hint="Give their folder with --masks.")
    named = [] if options.images is None else listed(options.images)
    if any(map(is_array_path, named)):
        raise UsageError("metrics are for image classifiers", given=named[0], hint="Use sig explain for arrays.")
    if arrays and str(options.target).startswith("top:"):
        raise UsageError("an array was made for one target", given=f"--target {options.target}", hint="Name a class.")


def _masks(options: MeasureOptions) -> Masks | None:
    """The masks that were named, before it is known which image has which."""
    if options.masks is None:
        if options.mask_class is not None or options.mask_void is not None:
            raise UsageError("--mask-class and --mask-void say what masks mean", hint="Name the masks with --masks.")
        return None
    return Masks(open_masks(Path(options.masks)), read_wanted(options.mask_class, options.mask_void))


def _verified(
    model: Model, metrics: list[Chosen], labels: str | Path | None, images: Sequence[Source], masks: Masks | None
) -> None:
    """Raise UsageError for metrics, labels or masks that do not suit model and images, before any folder is touched."""
    rehearse(metrics, model)
    _, checks = split_checks(model, metrics)
    if checks and len(images) < 2:
        raise UsageError(f"{checks[0].name} needs at least two images", given=f"{len(images)} image")
    if masks is not None:
        masks.fit(images, model.preprocess, used=any(one.entry.properties["needs"] == "mask" for one in metrics))
    if labels is not None:
        _truth(Path(labels), model)


def _truth(path: Path, model: Model) -> dict[str, int]:
    return read_true_classes(path, list(model.answers) if model.answers else None, model.head.classes(model.classes))


def _without_methods(options: MeasureOptions, arrays: Path, metrics: list[Chosen]) -> Session:
    """A session for existing arrays: the model is loaded as for any run, and no method runs."""
    running = [chosen.name for chosen in metrics if chosen.entry.properties["scope"] == "method"]
    if running:
        raise UsageError(
            f"{', '.join(running)} {'runs' if len(running) == 1 else 'run'} the method again, so arrays are not enough",
            given=arrays, hint="Name the images and the method instead.",
        )  # fmt: skip
    changes = {"method": "occlusion", "settings": {}, "players": None, "baseline": None, "preset": None, "write": False}
    return prepare(options.into(ExplainOptions, **changes))


def _claimed(arrays: Path, session: Session, options: MeasureOptions) -> Path:
    """The folder of an evaluation that makes no explanations itself."""
    spec = {
        "command": "evaluate", "attributions": str(arrays.resolve()), "model": session.model.name,
        "weights_hash": session.model.weights_hash,
    }  # fmt: skip
    manifest = {"spec": spec, "versions": versions(), "images": [str(path) for path in session.paths]}
    out, resume = options.out, options.resume
    folder = output_folder(out) if out is not None else free_folder(DEFAULT_OUT, manifest, resume=resume)
    claim_folder(folder, manifest, OWN, resume=resume, overwrite=options.overwrite)
    return folder

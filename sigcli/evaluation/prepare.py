"""An evaluation that is ready to start: everything checked, the model loaded, the run folder open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ..attribution.options import ExplainOptions
from ..attribution.readings import of_pictures
from ..attribution.samples import Pictures
from ..attribution.saved import assumed, check_arrays, count
from ..attribution.select import Chosen, choose_metrics, method_names, split_settings
from ..attribution.session import DEFAULT_OUT, Session, prepare
from ..attribution.some import some
from ..attribution.unnamed import classes_of
from ..errors import UsageError
from ..inputs.arrays import is_array_path
from ..inputs.given import Source, is_tensor, listed
from ..inputs.images import find_images
from ..inputs.left_out import LeftOut
from ..models.model import Model
from ..options import VIEW
from ..places.copies import origin
from ..runs.claims import refuse_inside
from ..runs.folder import FolderLock, claim_folder, free_folder, output_folder, refuse_strangers, take
from ..runs.provenance import versions
from ..scores.classifier import ClassScore
from ..views import AUTO, RAW, chosen
from .cache import FILE, Kept
from .certainty import MOST, split_checks
from .checks import check_classes, check_compared, check_masks, check_task
from .label_folders import FOLDERS, folder_classes
from .label_table import Wanted
from .masks.located import Masks, open_masks
from .masks.wanted import read_wanted
from .measure import Measuring
from .measured import FILES, RECORD
from .options import MeasureOptions
from .rehearse import fitting, rehearse
from .reopen import check_model, methods_of, reopened
from .true_classes import TrueClasses, read_true_classes

M = TypeVar("M", bound=MeasureOptions)
Suited = Callable[[Pictures, Model, list[Chosen]], list[Chosen]]
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
        truth: the images' classes, where labels were given.
        checks: the metrics of what the model makes of certainty.
        facts: for `evaluation.json`.
        left_out: what the search for images passed over, in a note.
        counts: numbers of images of a benchmark.
        options: those of the evaluation, with its images found.
    """

    session: Session
    measuring: Measuring
    folder: Path
    kept: Kept
    arrays: Path | None = None
    only: tuple[str, ...] | None = None
    truth: TrueClasses | None = None
    checks: Sequence[Chosen] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    counts: tuple[int, ...] = ()
    options: MeasureOptions | None = None

    @property
    def notes(self) -> list[str]:
        """What the user must know about the model and the results of an earlier measurement."""
        typed = filter(None, (one.note for one in self.measuring.metrics))
        fitted = fitting(self.measuring.metrics, self.session.model)
        fitted += _readings(self.measuring.metrics, self.session.model, self.session.paths)
        truth = [] if self.truth is None else [self.truth.note]
        masks = self.measuring.masks.notes if self.measuring.masks is not None else ()
        some = [f"{self.checks[0].name} looks at the first {MOST} images"] if self._more_than_checked else []
        return [
            *typed, *self.left_out, *self.session.notes, *truth, *masks, *self._followed, *fitted, *some, *self._looked_at,
            *self.kept.notes,
        ]  # fmt: skip

    @property
    def _followed(self) -> list[str]:
        """What metrics are of, where that is a part of the image."""
        task, metrics = self.session.model.task, self.measuring.metrics
        if task == "classes" or not metrics:
            return []
        part = {"regions": "region", "boxes": "box"}[task]
        own = self.measuring.masks is None and any(one.entry.properties["needs"] == "mask" for one in metrics)
        fixed = f"the {part} is that of the whole image, whatever is removed"
        told = f"no --masks: localisation is measured against the {part} that is explained"
        return [f"metrics follow the score that is explained: {fixed}", *([told] if own else [])]

    @property
    def _looked_at(self) -> list[str]:
        """How maps are looked at before they are measured, where that changes them."""
        measuring, size = self.measuring, self.session.model.preprocess.size
        if size is None or not any(not one.entry.properties["column"] for one in measuring.metrics):
            return []
        seen = measuring.view.of(unsmoothed=False).describe(size)
        if seen == "not smoothed":
            return []
        rough = ", ".join(sorted(measuring.unsmoothed)) if measuring.view.spec == AUTO else ""
        but = f", those of {rough} as they are" if rough else ""
        return [f"maps are measured {seen}{but}; --view raw measures the arrays"]

    @property
    def _more_than_checked(self) -> bool:
        return bool(self.checks) and len(self.session.every_path) > MOST

    @property
    def items(self) -> int:
        """How many explanations will be measured."""
        if not self.measuring.metrics:
            return 0
        return self.session.items if self.arrays is None else count(self.session, self.arrays, self.only)


def prepare_evaluation(
    options: MeasureOptions, *, also: Mapping[str, Any] | None = None, suited: Suited | None = None
) -> Prepared:
    """Check everything that can be checked, load the model and open the run folder.

    Args:
        options: options of the evaluation.
        also: more that the values depend on, see `facts` of `sigcli.attribution.session.prepare`.
        suited: which of the methods model and samples allow, see there.
    """
    options, run, arrays = reopened(options)
    foreign = arrays is not None and run is None
    options, left_out = searched(options)
    for_methods, for_metrics = split_settings(options.settings or {}, options.metric)
    metrics = choose_metrics(options.metric, options.imputation, for_metrics)
    masks = _masks(options)
    _refuse(options, arrays=foreign)
    if options.out is not None:
        refuse_strangers(output_folder(options.out), OWN, overwrite=options.overwrite)
    preparing = {"facts": also, "suited": suited}
    session, only, truth = _session(options.but(settings=for_methods), metrics, masks, arrays, run, preparing)
    folder = _folder(options, session, arrays, run)
    take(folder, OWN if session.shard is None else (*OWN, RECORD))
    kept = Kept(folder, resume=options.resume)
    known = {one.name: one.entry for one in session.methods} if arrays is None else methods_of(arrays)
    measuring, checks = _measuring(options, session, metrics, masks, known, kept)
    facts = {
        "metrics": [[one.name, one.entry.name, one.resolved()] for one in metrics], "view": measuring.view.spec,
        "masks": options.masks and origin(str(options.masks)),
        "mask_class": options.mask_class, "mask_void": options.mask_void,
        "labels": options.labels and origin(str(options.labels)),
        "attributions": arrays and origin(str(arrays)), "versions": versions(),
    }  # fmt: skip
    facts |= {name: value for name in ("label_column", "image_column") if (value := getattr(options, name)) is not None}
    told = () if arrays is None else assumed(session, arrays, only)
    return Prepared(
        session, measuring, folder, kept, arrays, only, truth, checks, facts, (*left_out, *told), options=options
    )


def prepare_part(
    options: MeasureOptions, kept: Kept, opened: Callable[[Session], Session]
) -> tuple[Session, Measuring]:
    """The session and the metrics of a process that measures some images of an evaluation, which opens no folder.

    Args:
        options: those of the evaluation, with its images found.
        kept: metric values of an earlier measurement.
        opened: gives the session its run folder.
    """
    for_methods, for_metrics = split_settings(options.settings or {}, options.metric)
    metrics = choose_metrics(options.metric, options.imputation, for_metrics)
    masks = _masks(options)
    session, _, _ = _session(options.but(settings=for_methods), metrics, masks, None, None, {}, write=False)
    session = opened(session)
    known = {one.name: one.entry for one in session.methods}
    return session, _measuring(options, session, metrics, masks, known, kept)[0]


def _measuring(
    options: MeasureOptions,
    session: Session,
    metrics: list[Chosen],
    masks: Masks | None,
    known: Mapping[str, Any] | None,
    kept: Kept,
) -> tuple[Measuring, list[Chosen]]:
    """The metrics of maps, and those of what the model makes of certainty; `known` is the entry of each method, if sig's."""
    view = chosen(options.view, options.smooth, RAW.spec if known is None else VIEW)
    unsmoothed = frozenset(name for name, entry in (known or {}).items() if entry.unsmoothed)
    metrics, checks = split_checks(session.model, metrics)
    return Measuring(session, metrics, masks, view, kept, unsmoothed), list(checks)


def searched(options: M) -> tuple[M, tuple[str, ...]]:
    """The options with the files of the images in place of folders, and what the user must know of the search.

    Raises:
        UsageError: no such files, or a run folder among them.
    """
    if options.images is None or any(map(is_array_path, listed(options.images))):
        return options, ()
    named = listed(options.images)
    refuse_inside(options.out, named)
    left_out = LeftOut(() if options.masks is None else (options.masks,))
    images, notes = some([*find_images(named, left_out)], options)
    return options.but(images=images, limit=None, sample=None), (*left_out.notes, *notes)


def _session(
    options: MeasureOptions,
    metrics: list[Chosen],
    masks: Masks | None,
    arrays: Path | None,
    run: Path | None,
    preparing: Mapping[str, Any],
    *,
    write: bool = True,
) -> tuple[Session, tuple[str, ...] | None, TrueClasses | None]:
    """Images, model and methods; the names of the methods whose arrays are measured, None for all; and the true classes."""
    if arrays is None:
        wanted = options.into(ExplainOptions, method=options.method, write=write)

        truth: list[TrueClasses | None] = []

        def verify(model: Model, samples: Pictures) -> None:
            check_compared(metrics, samples, model)
            truth.append(_verified(model, metrics, options, samples.sources, masks))

        session = prepare(wanted, verify=verify, **preparing)
        return session, None, truth[0]
    if options.settings:
        raise UsageError("method options do not apply to existing arrays", given=", ".join(options.settings))
    only = method_names(options.method) if "method" in options.given else None
    session = _without_methods(options, arrays, metrics)
    if run is not None:
        check_model(run, session.model)
    check_arrays(session, arrays, only)
    return session, only, _verified(session.model, metrics, options, session.paths, masks)


def _folder(options: MeasureOptions, session: Session, arrays: Path | None, run: Path | None) -> Path:
    """Where tables and figures go."""
    if arrays is not None:
        return run if run is not None and options.out == str(run) else _claimed(arrays, session, options)
    if session.run is None:
        raise UsageError("an evaluation must write its run folder", given="write=False")
    return session.run.path


def _refuse(options: MeasureOptions, *, arrays: bool) -> None:
    """Raise UsageError for what the command alone shows."""
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
    model: Model, metrics: list[Chosen], options: MeasureOptions, images: Sequence[Source], masks: Masks | None
) -> TrueClasses | None:
    """The true classes; raises UsageError for metrics, labels or masks that do not suit model and images.

    Before any folder is touched.
    """
    check_masks(metrics, model, given=masks is not None)
    check_task(metrics, options, model)
    check_classes(metrics, options, model)
    rehearse(metrics, model)
    _readings(metrics, model, images)
    _, checks = split_checks(model, metrics)
    if checks and len(images) < 2:
        raise UsageError(f"{checks[0].name} needs at least two images", given=f"{len(images)} image")
    if masks is not None:
        masks.fit(images, model.preprocess, used=any(one.entry.properties["needs"] == "mask" for one in metrics))
    return _truth(options, model, images)


def _readings(metrics: Sequence[Chosen], model: Model, images: Sequence[Source]) -> list[str]:
    """How files are read that take the place of removed pixels; raises UsageError where that cannot be known."""
    return list(of_pictures(metrics, model.preprocess, tensors=any(map(is_tensor, images))))


def _truth(options: MeasureOptions, model: Model, images: Sequence[Source]) -> TrueClasses | None:
    """The true classes of the images, where a table of labels was named."""
    wanted = Wanted(options.image_column, options.label_column)
    if options.labels is None:
        if given := wanted.image or wanted.label:
            raise UsageError("a column is named, and no table", given=given, hint="Name the table with --labels FILE.")
        return None
    count = model.head.classes(model.classes)
    folders = str(options.labels) == FOLDERS
    if folders and (given := wanted.image or wanted.label):
        raise UsageError("--labels folders reads no table, and a column is named", given=given, hint="Leave it out.")
    with classes_of(options):
        if folders:
            return folder_classes(images, model.answers, count)
        return read_true_classes(Path(options.labels), images, model.answers, count, wanted)


def _without_methods(options: MeasureOptions, arrays: Path, metrics: list[Chosen]) -> Session:
    """A session for existing arrays: the model is loaded as for any run, and no method runs."""
    running = [chosen.name for chosen in metrics if chosen.entry.properties["scope"] == "method"]
    if running:
        raise UsageError(
            f"{', '.join(running)} {'runs' if len(running) == 1 else 'run'} the method again, so arrays are not enough",
            given=arrays, hint="Name the images and the method instead.",
        )  # fmt: skip
    changes = {"method": "occlusion", "settings": {}, "players": None, "baseline": None, "preset": None, "write": False}
    session = prepare(options.into(ExplainOptions, **changes))
    if not isinstance(session.scorer, ClassScore):
        return session
    return replace(session, scorer=replace(session.scorer, compares=True))  # the arrays may be of comparisons


def _claimed(arrays: Path, session: Session, options: MeasureOptions) -> Path:
    """The folder of an evaluation that makes no explanations itself."""
    spec = {
        "command": "evaluate", "attributions": str(arrays.resolve()), "model": session.model.name,
        "weights_hash": session.model.weights_hash,
    }  # fmt: skip
    manifest = {"spec": spec, "versions": versions(), "images": [str(path) for path in session.paths]}
    out, resume = options.out, options.resume
    folder = output_folder(out) if out is not None else free_folder(DEFAULT_OUT, manifest, resume=resume)
    with FolderLock(folder):  # another process may be measuring there
        claim_folder(folder, manifest, OWN, resume=resume, overwrite=options.overwrite)
    return folder

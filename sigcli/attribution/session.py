"""A run that is ready to start: samples, model, methods, score and run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch

from ..engine.batch_size import Batches, auto_batch_size
from ..engine.integrate import CHECK_SHARE
from ..errors import UsageError
from ..executors.executor import Executor, executor_of
from ..executors.processes import Machine
from ..inputs.given import Given, Source, listed
from ..inputs.left_out import listed_names
from ..methods.costs import planned
from ..methods.growing import grows
from ..models.device import choose_device
from ..models.model import Model
from ..names import escaped
from ..options import VIEW
from ..render import palette
from ..runs.claims import refuse_inside
from ..runs.folder import RunFolder, folders_there, free_folder, open_run, output_folder, run_names
from ..runs.shards import Shard
from ..scores.classifier import ClassScore
from ..scores.score import Score
from ..views import chosen as chosen_view
from .budgets import Budget, budgeted
from .decoding import ImageSet
from .drawing import Drawing
from .figure import Wish
from .formats import drawn, endings
from .manifest import manifest_of, spec_of
from .options import RunOptions
from .rehearsal import rehearse
from .samples import Pictures, of_task, samples_of
from .select import Chosen, check_values, choose_methods
from .significance import significance_note
from .speed import compiled, in_bf16, told
from .suited import check_compared, check_suited
from .unnamed import unnamed
from .wanted import Wanted, compares, count_of

T = TypeVar("T")
DEFAULT_OUT = "sig-out"
_UNKNOWN_SIDE = 512  # for models that take images of every size


@dataclass(frozen=True, eq=False)
class Session:
    """A run that is ready to start.

    Args:
        samples: what is explained, and how this kind of sample is treated.
        model: loaded and tried.
        methods: with their options.
        scorer: the score F.
        peers: the images that means and random baselines are made of.
        target: what is explained, see `sigcli.attribution.wanted`.
        seed: seed of every random draw.
        batches: images per gradient evaluation of the model; what the run learns of memory.
        run: the run folder, or None where nothing is written.
        drawing: how maps are shown.
        uncertainty: keep the standard error of every value.
        check: see `sigcli.engine.integrate.integrate`.
        alone: no two explanations share a batch, so each has wall time of its own.
        budget: how long methods run, where that is decided map by map.
        choices: what is told of the precision, and of the layers that methods take.
        compile: whether the model is compiled, see `sigcli.attribution.speed`.
        most: images that any pass of the model may hold, where the user has said so.
        shard: the part of the samples that is worked on; None for all.
        options: what it was made of.
        figure: the figure that is drawn at the end, or None.
        told_elsewhere: notes of the workers that have divided it.
        executor: where workers are.
    """

    samples: Pictures
    model: Model
    methods: list[Chosen]
    scorer: Any
    peers: ImageSet
    target: Wanted
    seed: int
    batches: Batches
    run: RunFolder | None
    drawing: Drawing = field(default_factory=Drawing)
    uncertainty: bool = False
    check: int = CHECK_SHARE
    alone: bool = False
    budget: Budget = field(default_factory=Budget)
    most: int | None = None
    choices: tuple[str, ...] = ()
    compile: str = "off"
    shard: Shard | None = None
    options: RunOptions | None = None
    told_elsewhere: list[str] = field(default_factory=list)
    figure: Wish | None = None
    executor: Executor = field(default_factory=Machine)

    @cached_property
    def paths(self) -> list[Source]:
        """The samples' files, or the samples themselves where they are in memory: those of the shard, where it is one."""
        return _part(self.samples.sources, self.samples, self.shard)

    @property
    def workers(self) -> int:
        """How many workers divide the samples."""
        return min(self.executor.workers, len(self.paths))

    @property
    def divided(self) -> bool:
        """Whether workers explain the samples, and not this process."""
        return self.executor.elsewhere or self.workers > 1

    @property
    def every_path(self) -> list[Source]:
        """Those of all shards."""
        return self.samples.sources

    def passed(self, usual: int) -> Batches:
        """Images per forward pass where the usual number is this: fewer where the user has asked for smaller batches."""
        return self.batches.beside(usual if self.most is None else min(usual, self.most))

    @property
    def names(self) -> Sequence[tuple[str, str]]:
        """Name and folder of each sample, see `sigcli.runs.filenames.run_names`."""
        return _part(run_names(self.every_path), self.samples, self.shard) if self.run is None else self.run.images

    @property
    def notes(self) -> list[str]:
        """What the user must know about the model and the results of an earlier run."""
        typed = filter(None, (one.note for one in self.methods))
        significance = significance_note(self.methods) if self.drawing.significant else ()
        references = self.peers.notes if self.samples.references is not None else ()
        run = self.run.notes if self.run is not None else ()
        return [
            *unnamed(self.options), *typed, *self.budget.notes, *significance, *self.samples.notes, *references,
            *self.model.notes, *self.choices, *self.executor.notes, *run,
        ]  # fmt: skip

    @property
    def later_notes(self) -> tuple[str, ...]:
        """What was assumed of the pictures that were decoded, became of a compiled model and of batches, by now."""
        late = (*self.samples.assumed.notes, *told(self.scorer, self.compile), *self.batches.shortages.notes)
        return (*self.told_elsewhere, *late)

    def close(self) -> None:
        """Let other runs have the run folder, and leave the place of the workers."""
        if self.run is not None:
            self.run.close()
        self.executor.close()

    @property
    def classifier(self) -> ClassScore:
        """The score, where it is of a classifier; raises UsageError where it is of pairs."""
        if not isinstance(self.scorer, ClassScore):
            raise UsageError("a pair of images has no classes, only a distance")
        return self.scorer

    @property
    def items(self) -> int:
        """How many explanations the run will make."""
        return len(self.paths) * len(self.methods) * count_of(self.target)

    @property
    def planned(self) -> dict[str, int | None]:
        """Method → passes of the model for one explanation, as far as they can be told before it."""
        size = self.model.preprocess.size
        open_ended = self.budget.tolerance is not None
        return {
            chosen.name: None if open_ended and grows(chosen.entry) else planned(chosen.entry, chosen.resolved(), size)
            for chosen in self.methods
        }


def prepare(
    options: RunOptions,
    *,
    suited: Callable[[Pictures, Model, list[Chosen]], list[Chosen]] | None = None,
    verify: Callable[[Model, Pictures], None] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Session:
    """Check everything that can be checked, load the model and open the run folder.

    Args:
        options: options of the run.
        suited: called with the loaded model: which of the methods it and the samples allow, with their options. What is left
            out is the caller's to tell; without it, a method that they do not allow is refused.
        verify: called with the loaded model and the samples before the run folder is opened: what it raises leaves an
            earlier run as it was.
        facts: more that the values depend on, for the manifest: another value is another run.

    Raises:
        UsageError: an option that cannot be used.
        ModelError: a model that cannot be loaded or is not a differentiable classifier.
        OutputError: a run folder that cannot be written or holds another run.
    """
    check_values(options)
    executor = executor_of(
        getattr(options, "engine", "local"), address=getattr(options, "address", None),
        workers=getattr(options, "workers", None), device=options.device,
    )  # fmt: skip
    try:
        return replace(_prepared(options, suited, verify, facts), executor=executor)
    except BaseException:
        executor.close()
        raise


def _prepared(
    options: RunOptions,
    suited: Callable[[Pictures, Model, list[Chosen]], list[Chosen]] | None,
    verify: Callable[[Model, Pictures], None] | None,
    facts: Mapping[str, Any] | None,
) -> Session:
    shard = Shard.read(getattr(options, "shard", None))
    drawing = _drawing(options)
    figure = Wish.of(options)
    options = _with_model(options.but(uncertainty=True) if options.significant else options)
    shared = {name: getattr(options, name) for name in ("players", "baseline") if getattr(options, name) is not None}
    chosen = choose_methods(options.method, {**shared, **(options.settings or {})}, options.preset)
    refuse_inside(options.out, listed([] if options.images is None else options.images))
    samples = samples_of(options)
    _part(samples.sources, samples, shard)
    place = choose_device(options.device)
    chosen = samples.methods(chosen)
    model = samples.model(chosen, place)
    samples = of_task(samples, model)
    if suited is not None:
        chosen = suited(samples, model, chosen)
    chosen = samples.tokened(model, chosen)
    chosen, budget = budgeted(options, chosen, model.preprocess.size)
    check_suited(model, chosen, samples)
    scorer, choices = in_bf16(samples.scorer(model), model)
    target = samples.target(model)
    if not samples.pairs and compares(target, model.classes):
        check_compared(chosen)
    peers = _peers(samples, model, chosen)
    choices = (*choices, *rehearse(samples, model, chosen, scorer, options.seed))
    if verify is not None:
        verify(model, samples)
    if figure is not None:
        figure.check(len(_part(samples.sources, samples, shard)) * count_of(target))
    known = dict(facts or {}) if shard is None else {**(facts or {}), "shard": str(shard)}
    run = _opened(options, samples, model, chosen, scorer, known) if _writes(options, samples) else None
    session = Session(
        samples, model, chosen, scorer, peers, target, options.seed,
        Batches(options.batch_size or _batch_size(scorer, model)), run, drawing, options.uncertainty,
        1 if options.completeness_check == "all" else CHECK_SHARE,
        budget=budget, most=options.batch_size, choices=choices, compile=options.compile, shard=shard,
        options=options, figure=figure,
    )  # fmt: skip
    return _compiled(session, options.compile)


def _compiled(session: Session, wish: str) -> Session:
    """The session with its scorer compiled, where that is wished or pays."""
    evaluations = sum(filter(None, session.planned.values())) * len(session.paths) * count_of(session.target)
    device = session.model.device.type
    fast = compiled(session.scorer, wish, size=session.batches.size, evaluations=evaluations, device=device)
    return replace(session, scorer=fast)


def _part(every: list[T], samples: Pictures, shard: Shard | None) -> list[T]:
    """What a shard has of a list that has one for each sample; UsageError where it cannot be a shard of these samples."""
    return every if shard is None else [every[place] for place in shard.places(samples.sources)]


def _drawing(options: RunOptions) -> Drawing:
    view = chosen_view(options.view, options.smooth, VIEW)
    if options.save_view and not options.pictures:
        raise UsageError("--save-view writes what pictures show, and --no-pictures leaves them out")
    if options.bare and not options.pictures:
        raise UsageError("--bare writes pictures, and --no-pictures leaves them out")
    palette(options.cmap)
    if options.significant and not options.pictures:
        hint = "--uncertainty alone writes standard errors."
        raise UsageError("--significant fades pictures, and --no-pictures leaves them out", hint=hint)
    return Drawing(
        view, options.pictures, options.signs, options.significant, options.scale, options.save_view, options.bare,
        options.cmap, options.gallery,
    )  # fmt: skip


def _peers(samples: Pictures, model: Model, methods: Sequence[Chosen]) -> ImageSet:
    """What means and random baselines are made of; references, which nothing else reads, are read here.

    Raises:
        UsageError: no reference can be read, or a method that needs others has fewer than two.
    """
    found = ImageSet(samples.compared, model.preprocess, samples.read)
    if samples.references is None:
        return found  # each is read as it is explained, and its failure is an item of its own
    count = len(found)
    if not count:
        names = [escaped(Path(one).name) for one in samples.compared]
        raise UsageError("none of the references can be read", given=listed_names(names))
    using = next((one.name for one in methods if one.uses_peers), None)
    if using is not None and count < 2:
        raise UsageError(
            f"{using} compares an image with others, and needs at least two", given=f"--references with {count} image",
            hint="Give --references FOLDER with more images, or leave it out.",
        )  # fmt: skip
    return found


def _with_model(options: RunOptions) -> RunOptions:
    """The options with a model that can be loaded: a name, or a network."""
    model: object = options.model
    if isinstance(model, Path):
        return options.but(model=str(model))
    if not isinstance(model, (str, torch.nn.Module)):
        allowed = "a name, a file or a torch.nn.Module; see 'sig list models'"
        raise UsageError("model cannot be used", given=f"a {type(model).__name__}", allowed=allowed)
    return options


def _writes(options: RunOptions, samples: Pictures) -> bool:
    """Whether files are written: as asked, or by default where all samples are files or a folder was named."""
    write = getattr(options, "write", None)
    if write is not None:
        return bool(write)
    return options.out is not None or not any(isinstance(one, Given) for one in samples.sources)


def _opened(
    options: RunOptions, samples: Pictures, model: Model, methods: list[Chosen], scorer: Any, facts: Mapping[str, Any]
) -> RunFolder:
    spec = {**spec_of(options, samples, model, methods, scorer), **facts}
    manifest = manifest_of(spec, options, samples, model)
    out, resume, shard = options.out, options.resume, Shard.read(spec.get("shard"))
    stem = DEFAULT_OUT if shard is None else DEFAULT_OUT + shard.suffix
    folder = output_folder(out) if out is not None else free_folder(stem, manifest, resume=resume)
    names = _part(run_names(samples.sources, folders_there(folder, manifest)), samples, shard)
    return open_run(
        folder, manifest, resume=resume, overwrite=options.overwrite, images=names, endings=endings(), pictures=drawn(),
        page=options.gallery,
    )  # fmt: skip


def _batch_size(scorer: Score, model: Model) -> int:
    height, width = model.preprocess.size or (_UNKNOWN_SIDE, _UNKNOWN_SIDE)
    device = torch.device("cpu") if model.lacks else model.device  # without a gradient there is nothing to measure
    return auto_batch_size(scorer, (model.preprocess.channels, height, width), device)

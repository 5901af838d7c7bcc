"""From a session to explanations: one stream of tasks for the engine, and what comes back in the same order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engine.failures import attempted
from ..engine.integrate import CHECK_SHARE, Task, outcomes
from ..errors import AttributionError, SigError, UsageError
from ..inputs.arrays import read_array
from ..inputs.images import Picture, read_image
from ..methods.deferred import task
from ..methods.run import NO_BASELINE, checked, direct, is_direct
from ..models.model import Model
from ..models.wrappers.certainty import looked_into
from ..models.wrappers.rows import ArrayInput
from ..names import printable
from ..runs.folder import RunFolder, safe_cell
from ..scores.classifier import Scorer
from ..scores.distance import EmbeddingPairs, ImagePairs
from ..types import Attribution, Subject
from .decoding import ImageSet, Loaded, decoded, run_names
from .explanation import Drawing, Explanation, failed, from_entry
from .samples.arrays import fitted, shown_of
from .samples.pairs import Partners
from .select import Chosen

_DECODERS = 2


@dataclass(frozen=True, eq=False)
class Session:
    """An explanation run that is ready to start; `stream` carries it out.

    Args:
        paths: the images.
        model: loaded and checked.
        methods: with their options.
        scorer: the score.
        target: class index or ("top", K).
        seed: of all random draws.
        batch_size: images per gradient evaluation.
        run: its folder, or None where nothing is written.
        drawing: how maps are shown.
        references: images for means and random references, or None for those explained.
        uncertainty: keep the standard error of every value.
        check: see `sigcli.engine.integrate.integrate`.
        partners: the second images, or None where single images are explained.
        alone: no two explanations share a batch, so that each has wall time of its own.
        most: images that any pass of the model may hold, where the user has said so.
    """

    paths: list[Path]
    model: Model
    methods: list[Chosen]
    scorer: Scorer | EmbeddingPairs | ImagePairs
    target: int | tuple[str, int]
    seed: int
    batch_size: int
    run: RunFolder | None
    drawing: Drawing = field(default_factory=Drawing)
    references: list[Path] | None = None
    uncertainty: bool = False
    check: int = CHECK_SHARE
    partners: Partners | None = None
    alone: bool = False
    most: int | None = None

    def passed(self, usual: int) -> int:
        """Images per forward pass where the usual number is this: fewer where the user has asked for smaller batches."""
        return usual if self.most is None else min(usual, self.most)

    @property
    def read(self) -> Callable[[Path], Picture]:
        """How its files are read: as pictures or as arrays."""
        return read_array if isinstance(self.model.preprocess, ArrayInput) else read_image

    @property
    def notes(self) -> list[str]:
        """What the user must know of the model, and of what an earlier run left."""
        return [*self.model.notes, *(self.run.notes if self.run is not None else ())]

    @property
    def classifier(self) -> Scorer:
        """The score, where it is of a classifier; raises UsageError where it is of pairs."""
        if not isinstance(self.scorer, Scorer):
            raise UsageError("a pair of images has a distance and no classes")
        return self.scorer

    @property
    def items(self) -> int:
        """How many explanations the run will make."""
        count = self.target[1] if isinstance(self.target, tuple) else 1
        return len(self.paths) * len(self.methods) * count


@dataclass(eq=False)
class _Entry:
    """A place in the order of results: an explanation that is ready, or one that waits for a method's attribution."""

    item: Explanation
    last: bool
    waits: Chosen | None = None


class Work:
    """The items of a session, in order: image by image, target by target, method by method."""

    def __init__(self, session: Session):
        self.session = session
        self.names = run_names(session.paths)
        paths = session.paths if session.references is None else session.references
        self.peers = ImageSet(paths, session.model.preprocess, session.read)
        self._queue: deque[_Entry] = deque()
        self._started: set[str] = set()
        self._places = (
            {safe_cell(name): i for i, (name, _) in enumerate(self.names)},
            {chosen.name: i for i, chosen in enumerate(session.methods)},
        )
        self._numbers = (
            {} if session.partners is None else dict(zip(session.paths, session.partners.numbers, strict=True))
        )

    def place(self, row: Mapping[str, str]) -> tuple[int, int, int]:
        """Where a row of `results.csv` belongs."""
        images, methods = self._places
        found = methods.get(row["method"], len(methods))
        return images.get(row["image"], len(images)), found, int(row["target"] or -1)

    def explanations(self, progress: Callable[[int], None] | None) -> Iterator[tuple[Explanation, bool]]:
        """Yield (explanation, whether it is the last of its image and target), in order."""
        session = self.session
        for pause, tasks in groupby(self._tasks(progress), key=lambda task: task is None):
            if pause:
                for _ in tasks:
                    yield from self._ready()
                continue
            wanted = (task for task in tasks if task is not None)
            for together, size in self._streams(wanted):
                stream = outcomes(session.scorer, together, batch_size=size, check=session.check, progress=progress)
                for found in stream:
                    yield from self._ready()
                    entry = self._queue.popleft()
                    assert entry.waits is not None
                    yield self._finished(entry.item, entry.waits, found), entry.last
        yield from self._ready()

    def _streams(self, tasks: Iterator[Task]) -> Iterator[tuple[Iterable[Task], int]]:
        """What shares batches, and their size. Alone, a short plan gets a short batch: filling one up would cost it time."""
        size = self.session.batch_size
        if not self.session.alone:
            yield tasks, size
            return
        for one in tasks:
            yield [one], min(size, len(one.plan))

    def _ready(self) -> Iterator[tuple[Explanation, bool]]:
        while self._queue and not self._queue[0].waits:
            entry = self._queue.popleft()
            yield entry.item, entry.last

    def _tasks(self, progress: Callable[[int], None] | None) -> Iterator[Task | None]:
        """Tasks for the engine; None where nothing is under way there and results are ready to be handed on."""
        session = self.session
        images = decoded(session.paths, self.names, session.model.preprocess, _DECODERS, session.read)
        for (name, folder), loaded in zip(self.names, images, strict=True):
            if isinstance(loaded, SigError):
                self._fail_all(Explanation(name, "", folder=folder), loaded)
            else:
                yield from self._image_tasks(loaded, progress)
            yield from self._pause()

    def _pause(self) -> Iterator[None]:
        if not any(entry.waits for entry in self._queue):
            yield None

    def _image_tasks(self, loaded: Loaded, progress: Callable[[int], None] | None) -> Iterator[Task | None]:
        session, device = self.session, self.session.model.device
        content = f"{loaded.picture.key:016x}"
        blank = Explanation(loaded.name, "", folder=loaded.folder, output=session.scorer.output, content=content)
        x = loaded.x.to(device)
        known = attempted(lambda: (self._targets(x, loaded.path), self._partner(loaded.path)))
        if isinstance(known, SigError):
            self._fail_all(blank, known)
            return
        targets, partner = known
        low, high = (level.to(device) for level in (session.model.preprocess.low, session.model.preprocess.high))
        try:
            shown = shown_of(session.model, loaded.picture, session.methods)
            methods = [fitted(session.model.preprocess, loaded.picture, chosen) for chosen in session.methods]
        except Exception as error:
            if isinstance(error, UsageError) and not self._started:
                raise
            self._fail_all(blank, error)
            return
        module = looked_into(session.model)
        if session.run is not None:
            session.run.see(loaded.name, content, map(str, targets))
        for target in targets:
            subject = Subject(
                x, target, low, high, loaded.picture.key, session.seed, self.peers, module, session.model.head
            )
            for i, chosen in enumerate(methods):
                item = replace(
                    blank,
                    method=chosen.name,
                    target=target,
                    label=self._label(target),
                    name=self._file_name(chosen, target),
                    partner=partner,
                    **shown,
                    multiplied=bool(chosen.entry.properties["multiplied"]),
                    own_unit=str(chosen.entry.properties.get("unit", "")),
                )
                last = i == len(session.methods) - 1
                if self._done_before(item, last=last):
                    continue
                made = self._made(item, chosen, subject, progress)
                if isinstance(made, Task):
                    self._queue.append(_Entry(item, last, chosen))
                    yield made
                else:
                    self._queue.append(_Entry(made, last))
                    yield from self._pause()

    def _done_before(self, item: Explanation, *, last: bool) -> bool:
        """Whether an earlier run did it already, of this very image, and its arrays stand; then what it found is queued."""
        run = self.session.run
        earlier = None if run is None else run.finished(item.image, item.method, str(item.target), item.content)
        if earlier is not None:
            self._queue.append(_Entry(from_entry(item, *earlier), last))
        return earlier is not None

    def _made(
        self, item: Explanation, chosen: Chosen, subject: Subject, progress: Callable[[int], None] | None
    ) -> Task | Explanation:
        """A task for the engine; or the explanation itself where the method does without, or cannot explain this image."""
        session = self.session
        try:
            if is_direct(chosen.entry):
                found = direct(
                    chosen.entry,
                    chosen.options,
                    session.scorer,
                    subject,
                    batch_size=session.batch_size,
                    progress=progress,
                )
                made: Task | Explanation = self._finished(item, chosen, found)
            else:
                made = task(
                    chosen.entry,
                    chosen.options,
                    session.scorer,
                    subject,
                    batch_size=session.batch_size,
                    progress=progress,
                )
        except Exception as error:
            # An option that fits no image is a mistake in the command; one that fits only some is a failed item.
            if isinstance(error, UsageError) and item.method not in self._started:
                raise
            return failed(item, error)
        self._started.add(item.method)
        return made

    def _file_name(self, chosen: Chosen, target: int) -> str:
        several = isinstance(self.session.target, tuple) and self.session.target[1] > 1
        return f"{chosen.name}.class{target}" if several else chosen.name

    def _label(self, target: int) -> str:
        if self.session.partners is not None:
            return self.session.partners.name(target)
        return printable(self.session.model.labels[target]) if self.session.model.labels else ""

    def _partner(self, path: Path) -> Any:
        """What the model sees of an image's second one, or None."""
        partners = self.session.partners
        return None if partners is None else partners.display(self._numbers[path])

    def _targets(self, x: Tensor, path: Path) -> list[int]:
        if self.session.partners is not None:
            number = self._numbers[path]
            score = self.session.scorer.scores(x[None], torch.tensor([number], device=x.device))
            if not torch.isfinite(score).all():
                raise AttributionError("the model gives NaN or infinity for this pair")
            return [number]
        outputs = self.session.classifier.outputs(x[None])[0]
        if not torch.isfinite(outputs).all():
            raise AttributionError("the model gives NaN or infinity for this image")
        if isinstance(self.session.target, tuple):
            return outputs.topk(self.session.target[1]).indices.tolist()
        return [self.session.target]

    def _fail_all(self, blank: Explanation, error: Exception) -> None:
        for i, chosen in enumerate(self.session.methods):
            item = replace(blank, method=chosen.name, output=self.session.scorer.output)
            self._queue.append(_Entry(failed(item, error), i == len(self.session.methods) - 1))

    def _finished(self, item: Explanation, chosen: Chosen, found: Attribution | SigError) -> Explanation:
        try:
            if isinstance(found, SigError):
                return failed(item, found)
            result = checked(chosen.entry, found)
        except AttributionError as error:
            return failed(item, error)
        gap, unchecked = result.completeness_gap, ""
        if gap is not None and not math.isfinite(gap):
            gap, unchecked = None, f"completeness is not checked: {NO_BASELINE}"
        keep = self.session.uncertainty
        shape = result.values.shape if item.sample is None else item.sample.shape
        return replace(
            item,
            score=result.score,
            seconds=result.seconds,
            gradient_evaluations=result.gradient_evaluations,
            completeness_gap=gap,
            relative_gap=None if gap is None else result.relative_gap,
            error=unchecked,
            standard_error=result.standard_error,
            relative_standard_error=result.relative_standard_error,
            values=_array(result.values.reshape(shape)),
            stderr=_array(result.stderr.reshape(shape)) if keep and result.stderr is not None else None,
            players=_array(result.players) if item.sample is None else item.players,
            player_values=_array(result.player_values),
            note=result.note or ("" if bool(result.values.any()) else "the map is 0 everywhere"),
        )


def _array(values: Tensor | None) -> Any:
    return None if values is None else np.asarray(values.cpu().numpy())

"""Run one method on subjects, whatever its kind: a plan for the engine, or a function that does it all."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Generic, TypeVar

import torch

from ..catalog import Entry
from ..engine.batch_size import Batches, batches_of
from ..engine.failures import contained
from ..engine.integrate import CHECK_SHARE, Task, integrate, outcomes
from ..engine.passes import Passes
from ..errors import AttributionError, SigError
from ..scores.score import Score
from ..types import Attribution, Subject
from .absence import along_presence, check_presence
from .deferred import task
from .growing import Aim, Remembered, growing_task, grown, grows
from .libragrad import corrected

T = TypeVar("T")
NO_BASELINE = "the baseline has no finite score: the model gives NaN or infinity for it"


def is_direct(entry: Entry) -> bool:
    """Whether a method is `(passes, subject, *, options) -> Attribution`, and not a plan for the engine."""
    return entry.properties.get("kind", "path") == "direct"


@dataclass(frozen=True, eq=False)
class Job(Generic[T]):
    """One subject to explain by one method.

    Args:
        entry: entry of the catalogue of methods.
        options: options of the method.
        subject: what is explained.
        tag: whatever the caller knows it by; it comes back with the attribution.
        aim: when its map is exact enough, where it is to go on until then.
    """

    entry: Entry
    options: Mapping[str, Any]
    subject: Subject
    tag: T
    aim: Aim | None = None


@dataclass(frozen=True, eq=False)
class Known(Generic[T]):
    """What needs no computing, and keeps its place among jobs."""

    tag: T


Found = Attribution | SigError | None


def explain_all(
    jobs: Iterable[Job[T] | Known[T]],
    scorer: Score,
    *,
    batch_size: int | Batches = 16,
    check: int = CHECK_SHARE,
    progress: Callable[[int], None] | None = None,
    alone: bool = False,
    all_at_once: bool = False,
    contain: bool = True,
) -> Iterator[tuple[T, Found]]:
    """Explain subjects by methods of either kind, mixed; path methods share batches across jobs.

    Args:
        jobs: read lazily, a little ahead of what is yielded.
        scorer: the score F.
        batch_size: images per pass of the model. `Batches` may be shared by calls, which then know how much memory there is.
        check: see `sigcli.engine.integrate.integrate`; 0 for the values alone.
        progress: called after each batch with the number of its images.
        alone: no two jobs share a batch, so each has wall time of its own.
        all_at_once: read all jobs before the first is run, so that a batch is no larger than all of their points.
        contain: what is raised for one job comes in its place, and the others continue; otherwise it comes through as it is.

    Yields:
        (tag, attribution) in the order of the jobs; in place of an attribution the error that stands for it, and None for
        what was known.
    """
    queue: deque[_Place[T]] = deque()
    run = outcomes if contain else integrate
    batches = batches_of(batch_size)
    made = _tasks(jobs, scorer, queue, room=batches.apart, progress=progress, contain=contain)
    for kind, tasks in groupby(made, key=lambda one: None if one is None else (one.plan.libragrad, one.plan.tokens)):
        if kind is None:
            for _ in tasks:
                yield from _ready(queue)
            continue
        wanted = (one for one in tasks if one is not None)
        score = _followed(scorer, *kind)
        for together, size in _streams(wanted, batches, alone=alone, all_at_once=all_at_once):
            for found in run(score, together, batch_size=size, check=check, progress=progress):
                yield from _ready(queue)
                yield queue.popleft().tag, found
    yield from _ready(queue)


def _followed(scorer: Score, libragrad: bool, tokens: bool) -> Score:
    """The score whose gradients a plan is about."""
    return corrected(scorer) if libragrad else along_presence(scorer) if tokens else scorer


@dataclass(eq=False)
class _Place(Generic[T]):
    """A place in the order of results, which may wait for the engine."""

    tag: T
    found: Found = None
    waits: bool = False


def _ready(queue: deque[_Place[T]]) -> Iterator[tuple[T, Found]]:
    while queue and not queue[0].waits:
        place = queue.popleft()
        yield place.tag, place.found


def _tasks(
    jobs: Iterable[Job[T] | Known[T]],
    scorer: Score,
    queue: deque[_Place[T]],
    *,
    room: Batches,
    progress: Callable[[int], None] | None,
    contain: bool,
) -> Iterator[Task | None]:
    """Tasks for the engine; None where nothing is under way there, and results are ready to be handed on."""
    for job in jobs:
        made: Task | Found = None
        if isinstance(job, Job):
            failure = None
            try:
                made = _made(job, scorer, room, progress=progress)
            except Exception as error:
                if not contain:
                    raise
                failure = error
            if failure is not None:
                made = contained(failure)
        if isinstance(made, Task):
            queue.append(_Place(job.tag, waits=True))
            yield made
            continue
        queue.append(_Place(job.tag, made))
        if not any(place.waits for place in queue):
            yield None


def _made(job: Job[Any], scorer: Score, room: Batches, *, progress: Callable[[int], None] | None) -> Task | Attribution:
    """A task for the engine, or what a direct method gives."""
    aim = job.aim if grows(job.entry) else None
    if is_direct(job.entry):
        return direct(job.entry, job.options, scorer, job.subject, progress=progress, room=room, aim=aim)
    if aim is not None:
        made = growing_task(job.entry, job.options, job.subject, aim)
    else:
        made = task(job.entry, job.options, scorer, job.subject, batch_size=room, progress=progress)
    if made.plan.tokens:
        check_presence(scorer, job.subject, made.plan)
    elif made.plan.libragrad:
        corrected(scorer)  # where it cannot be, this job is refused, and not all that share its stream
    return made


def _streams(
    tasks: Iterator[Task], size: Batches, *, alone: bool, all_at_once: bool
) -> Iterator[tuple[Iterable[Task], Batches]]:
    """What shares batches, and their size. A short plan gets a short batch: filling one up would cost it time."""
    if alone:
        for one in tasks:
            yield [one], size.within(len(one.plan))
    elif all_at_once:
        every = list(tasks)
        yield every, size.within(sum(len(one.plan) for one in every))
    else:
        yield tasks, size


def attributions(
    entry: Entry,
    options: Mapping[str, Any],
    scorer: Score,
    subjects: Iterable[Subject],
    *,
    batch_size: int | Batches = 16,
    check: int = CHECK_SHARE,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Attribution]:
    """Explain subjects with one method; yields one attribution per subject, in their order. Arguments as in `explain_all`.

    Raises:
        AttributionError: the method cannot explain a subject with this model.

    What the model raises comes through as it is.
    """
    jobs = (Job(entry, options, who, None) for who in subjects)
    every = explain_all(
        jobs, scorer, batch_size=batch_size, check=check, progress=progress, all_at_once=not check, contain=False
    )
    for _, found in every:
        if isinstance(found, Attribution):
            yield found


def direct(
    entry: Entry,
    options: Mapping[str, Any],
    scorer: Score,
    subject: Subject,
    *,
    batch_size: int = 16,
    progress: Callable[[int], None] | None = None,
    room: Batches | None = None,
    aim: Aim | None = None,
) -> Attribution:
    """Explain one subject with a direct method; arguments as in `attributions` and `Job`.

    `room` is the size of batches that several calls share.

    Raises:
        AttributionError: the method cannot explain it with this model, the device runs out of memory, or the map is not
            finite.
    """
    before, batches = time.perf_counter(), room or Batches(batch_size)

    def whole() -> Attribution:
        passes = Passes(scorer, batches, progress) if aim is None else Remembered(scorer, batches, progress)
        try:
            if isinstance(passes, Remembered) and aim is not None:
                found = grown(entry, options, passes, subject, aim)
            else:
                found = entry.load()(passes, subject, **options)
        except Exception as error:
            if passes.unscored:  # what a method makes of NaN tells less than that there is one
                raise _unscored(passes) from error
            raise
        if passes.unscored and not bool(torch.isfinite(found.values).all()):
            raise _unscored(passes)
        return replace(found, forward_evaluations=passes.forwards)

    while True:  # some methods run the network themselves, in batches of the passes' size
        for found in batches.attempt(whole, subject.x.shape):
            return replace(found, seconds=time.perf_counter() - before)


def _unscored(passes: Passes) -> AttributionError:
    images = "one altered form" if passes.unscored == 1 else f"{passes.unscored} altered forms"
    return AttributionError(f"the model's score of {images} of this image is NaN or infinite")


def checked(entry: Entry, found: Attribution) -> Attribution:
    """An attribution whose values are finite.

    Raises:
        AttributionError: they are not; the message says what is to blame, as far as that can be told.
    """
    if bool(torch.isfinite(found.values).all()):
        return found
    if not math.isfinite(found.score):
        raise AttributionError("the model's score of this image is NaN or infinite")
    if found.total is not None and not math.isfinite(found.total):
        raise AttributionError(NO_BASELINE)
    needs = entry.properties["needs"]
    if needs == "forward":
        raise AttributionError("the model's score of altered forms of this image is NaN or infinite")
    if needs == "hooks":
        raise AttributionError("what the method propagates through the network's layers is NaN or infinite")
    where = "between the baseline and this image" if entry.properties["complete"] else "for this image"
    raise AttributionError(f"the gradient of the model is NaN or infinite {where}")

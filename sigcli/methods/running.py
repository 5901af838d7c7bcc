"""Run one method on subjects, whatever its kind: a plan for the engine, or a function that does it all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from ..catalog import Entry
from ..engine import CHECK_SHARE, Task, integrate
from ..passes import Passes, too_little_memory
from ..scorer import Score
from ..types import Attribution, Subject
from .deferred import task


def is_direct(entry: Entry) -> bool:
    """Whether a method is `(passes, subject, *, options) -> Attribution`, and not a plan for the engine."""
    return entry.properties.get("kind", "path") == "direct"


def attributions(
    entry: Entry,
    options: Mapping[str, Any],
    scorer: Score,
    subjects: Iterable[Subject],
    *,
    batch_size: int = 16,
    check: int = CHECK_SHARE,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Attribution]:
    """Explain subjects with one method; yields one attribution per subject, in their order.

    Args:
        entry: of the catalogue of methods.
        options: of the method.
        scorer: the score F.
        subjects: read lazily, or all at once where nothing is checked.
        batch_size: images per pass of the model.
        check: see `sigcli.engine.integrate`; 0 for the values alone.
        progress: called after each batch with the number of its images.

    Raises:
        AttributionError: the method cannot explain a subject with this model.
    """
    if not is_direct(entry):
        asked = {"batch_size": batch_size, "progress": progress}
        tasks: Iterable[Task] = (task(entry, options, scorer, who, **asked) for who in subjects)
        if not check:
            tasks = list(tasks)
            batch_size = min(batch_size, sum(len(one.plan) for one in tasks))  # a fuller batch is filled up in vain
        yield from integrate(scorer, tasks, batch_size=batch_size, check=check, progress=progress)
        return
    for who in subjects:
        yield direct(entry, options, scorer, who, batch_size=batch_size, progress=progress)


def direct(
    entry: Entry,
    options: Mapping[str, Any],
    scorer: Score,
    subject: Subject,
    *,
    batch_size: int = 16,
    progress: Callable[[int], None] | None = None,
) -> Attribution:
    """Explain one subject with a direct method; arguments as in `attributions`.

    Raises:
        AttributionError: the method cannot explain it with this model, or the device runs out of memory.
    """
    before = time.perf_counter()
    passes = Passes(scorer, max(1, batch_size), progress)
    try:
        found = entry.load()(passes, subject, **options)
    except torch.OutOfMemoryError as error:
        raise too_little_memory(subject.x[None]) from error
    return replace(found, seconds=time.perf_counter() - before)

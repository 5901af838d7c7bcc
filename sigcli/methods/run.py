"""Run one method on subjects, whatever its kind: a plan for the engine, or a function that does it all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from ..catalog import Entry
from ..engine.batches import Batches
from ..engine.integrate import CHECK_SHARE, Task, integrate
from ..engine.passes import Passes
from ..errors import AttributionError
from ..scores.classifier import Score
from ..types import Attribution, Subject
from .deferred import task

NO_BASELINE = "the baseline has no finite score: the model gives NaN or infinity for it"


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
        check: see `sigcli.engine.integrate.integrate`; 0 for the values alone.
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
        AttributionError: the method cannot explain it with this model, the device runs out of memory, or the map is not
            finite.
    """
    before, batches = time.perf_counter(), Batches(max(1, batch_size))

    def whole() -> Attribution:
        passes = Passes(scorer, batches, progress)
        try:
            found = entry.load()(passes, subject, **options)
        except Exception as error:
            if passes.unscored:  # what a method makes of NaN tells less than that there is one
                raise _unscored(passes) from error
            raise
        if passes.unscored and not bool(torch.isfinite(found.values).all()):
            raise _unscored(passes)
        return found

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
        raise AttributionError("what the method carries through the network's layers is NaN or infinite")
    where = "between the baseline and this image" if entry.properties["complete"] else "for this image"
    raise AttributionError(f"the gradient of the model is NaN or infinite {where}")

"""Samples that come in batches, from a `DataLoader` or any other iterable: explained as they come, and none is kept.

A batch is a tensor (N, C, H, W), a list of samples, or one sample; alone, with labels as (samples, labels), or as a dict
with `pixel_values` and `labels`. With `target="label"` each sample is explained for its own label.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from ..errors import UsageError
from ..inputs.given import Given, Source, is_tensor, listed
from ..listener import Listener, tell_new
from ..models.model import Model
from .explanation import Explanation
from .options import ExplainOptions
from .run import stream
from .samples import Pictures
from .session import Session, prepare

LABEL = "label"
_TOGETHER = 32
"""Samples that are worked on together at least, so that single ones fill the model's batches."""
_SAMPLES, _LABELS = ("pixel_values", "image", "images", "img"), ("labels", "label")
_Sample = str | Source


def is_iterable(images: Any) -> bool:
    """Whether images come one after the other, from something that is neither a sample nor a list of samples."""
    if (
        images is None
        or isinstance(images, (str, bytes, os.PathLike, Sequence, np.ndarray))
        or hasattr(images, "detach")
    ):
        return False
    return hasattr(images, "__iter__") or (hasattr(images, "__getitem__") and hasattr(images, "__len__"))


def in_batches(
    options: ExplainOptions, listener: Listener, told: list[str] | None = None
) -> Generator[Explanation, None, None]:
    """Explain samples as they come; memory does not grow with their number.

    Args:
        options: with an iterable as `images`.
        listener: hears of the progress.
        told: takes the notes.

    Raises:
        UsageError: options that need all samples at once, or a batch that cannot be used.
    """
    _check(options)
    chunks = _chunks(options)
    first = next(chunks, None)
    if first is None:
        raise UsageError("the iterable of images is empty")
    target = {"target": "top"} if options.target == LABEL else {}
    session = prepare(options.but(images=first, write=False, **target))
    _check_session(session, options)
    before, told = session.notes, [] if told is None else told
    listener.begin(_count(options.images) * len(session.methods), before, None)
    for chunk in chain([first], chunks):
        if chunk is not first:
            samples = session.samples
            session = replace(session, samples=_others(samples, samples.find(chunk), session.model))
        yield from stream(session, listener)
    told += [*session.notes, *session.later_notes]
    tell_new(listener, before, told)


def _others(samples: Pictures, sources: list[Source], model: Model) -> Pictures:
    """Other samples of the same kind; raises UsageError where they do not have the shape of the network's input."""
    other = copy.copy(samples)
    other.sources = sources
    other.fit(model)
    return other


def _count(images: Any) -> int:
    """How many samples there are, 0 where that is not known."""
    every = getattr(images, "dataset", images)
    try:
        return len(every)
    except TypeError:
        return 0


def _check(options: ExplainOptions) -> None:
    """Raise UsageError for options that need all samples at once."""
    given = options.given
    for name in ("out", "write", "resume", "shard", "partner", "figure", "limit", "sample"):
        if given.get(name):
            hint = "Give a list, or files, to have a run folder."
            raise UsageError(f"{name} needs to know all images, and an iterable hands them out one by one", hint=hint)
    if (options.workers or 1) > 1 or options.engine != "local":
        given = options.workers if options.engine == "local" else options.engine
        raise UsageError("workers divide a list of images, and an iterable cannot be divided", given=given)


def _check_session(session: Session, options: ExplainOptions) -> None:
    """Raise UsageError where the first batch alone would decide on what holds for all."""
    using = next((one.name for one in session.methods if one.uses_peers), None)
    if using is not None and options.references is None:
        hint = "Say with which: references=[…]."
        raise UsageError(f"{using} compares an image with the others, which an iterable has not shown yet", hint=hint)
    tensors = any(is_tensor(one) for one in session.samples.sources)
    told = options.mean is not None and options.std is not None
    if not tensors or told:
        return
    if session.model.preprocess.resize is None:
        hint = "Give mean=… and std=…; mean=0, std=1 for tensors in 0..1."
        raise UsageError(
            "the network does not say how its input is normalised, and neither does a first batch", hint=hint
        )
    if options.preprocessed is None:
        hint = "Say preprocessed=True; or preprocessed=False where they are pixels in 0..1 that are still to be normalised."
        raise UsageError(
            "a first batch of tensors does not tell whether all are the network's input already", hint=hint
        )


def _chunks(options: ExplainOptions) -> Iterator[list[_Sample]]:
    """The samples, some at a time."""
    labelled, count = options.target == LABEL, 0
    chunk: list[_Sample] = []
    for batch in _each(options.images):
        samples, labels = _parts(batch)
        found = listed(samples, preprocessed=options.preprocessed, before=count)
        count += sum(isinstance(one, Given) for one in found)
        chunk += _labelled(found, labels) if labelled else found
        if len(chunk) >= _TOGETHER:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _each(images: Any) -> Iterator[Any]:
    """What an iterable, or a dataset of a length and places, holds."""
    if hasattr(images, "__iter__"):
        yield from images
    else:
        yield from (images[place] for place in range(len(images)))


def _parts(batch: Any) -> tuple[Any, Any]:
    """Samples and labels of a batch; None where it has no labels."""
    if isinstance(batch, Mapping):
        samples = next((name for name in _SAMPLES if name in batch), None)
        if samples is None:
            given, allowed = ", ".join(map(str, batch)), f"one of the keys {', '.join(_SAMPLES)}"
            raise UsageError("a batch has no images", given=given, allowed=allowed)
        return batch[samples], next((batch[name] for name in _LABELS if name in batch), None)
    if isinstance(batch, (tuple, list)) and len(batch) == 2 and not isinstance(batch[1], (str, os.PathLike)):
        if _integers(batch[1]) is not None:
            return batch[0], batch[1]
    elif isinstance(batch, tuple) and batch:
        raise UsageError(
            "a batch cannot be used", given=f"a tuple of {len(batch)}", allowed="(images, labels) or images"
        )
    return batch, None


def _integers(labels: Any) -> list[int] | None:
    """Labels as integers; None where they are none."""
    found = np.asarray(labels.detach().cpu() if hasattr(labels, "detach") else labels)
    return found.reshape(-1).tolist() if found.dtype.kind in "iu" and found.ndim <= 1 else None


def _labelled(found: Sequence[Any], labels: Any) -> list[Any]:
    """The samples with their labels as targets."""
    classes = None if labels is None else _integers(labels)
    if classes is None or len(classes) != len(found) or not all(isinstance(one, Given) for one in found):
        given = "no labels" if labels is None else f"{len(found)} samples, labels {type(labels).__name__}"
        allowed = "(images, labels) of one length, the images in memory and the labels integers"
        raise UsageError('target="label" takes the label of each sample', given=given, allowed=allowed)
    return [replace(one, target=label) for one, label in zip(found, classes, strict=True)]

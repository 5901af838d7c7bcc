"""`sig explain` as a library: samples, a model and methods in; explanations and a run folder out. No printing."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from ..door import door
from ..engine.modes import in_own_modes, own_modes
from ..errors import UsageError
from ..listener import SILENT, Listener, tell_new
from ..runs.claims import abandon
from .explanation import Explanation, Explanations
from .options import ExplainOptions
from .pipeline import Work
from .session import Session, prepare
from .workers import divided
from .write import landed, mend_pictures, write_explanation, write_sheet

_WRITERS = max(1, min(4, (os.cpu_count() or 2) // 2))
_QUEUE = 16
T = TypeVar("T")


@door(ExplainOptions)
def explain(options: ExplainOptions, listener: Listener = SILENT) -> Explanations:
    """Explain images; returns one `Explanation` per image, target and method, in that order.

    Called with options as arguments, or with an `ExplainOptions` and a `Listener`:

        explain("photo.jpg", model="resnet50", method="sig,ig")
        explain(ExplainOptions(picture, model=network), listener)

    Images are files, folders, patterns, PIL images, uint8 arrays, or float tensors that already are the network's input.
    The model may be a `torch.nn.Module`. All results stay in memory; `iter_explain` yields them one by one.

    Raises:
        UsageError: an option that cannot be used, before anything is computed.
        ModelError: a model that cannot be loaded or is not a differentiable classifier.
        OutputError: a run folder that cannot be written or holds another run.

    A failure of one image raises nothing: see `Explanation.status` and `error`.
    """
    with own_modes():
        session = prepare(options)
        found = Explanations(_begun(session, listener))
    found.notes, found.folder = (
        (*session.notes, *session.later_notes),
        None if session.run is None else session.run.path,
    )
    return found


@door(ExplainOptions)
def iter_explain(options: ExplainOptions, listener: Listener = SILENT) -> Generator[Explanation, None, None]:
    """Like `explain`, but yield each explanation once its files are written and keep none, for thousands of images."""
    with own_modes():
        session = prepare(options)
    return in_own_modes(_begun(session, listener))


def _begun(session: Session, listener: Listener) -> Generator[Explanation, None, None]:
    try:
        before = session.notes
        listener.begin(session.items, before, None if session.run is None else session.run.path)
        yield from stream(session, listener)
        tell_new(listener, before, [*session.notes, *session.later_notes])
    finally:
        session.close()


def stream(session: Session, listener: Listener = SILENT) -> Iterator[Explanation]:
    """Carry out a session; yields explanations in order, each once its files and its row stand."""
    listener.planned(session.planned)
    work = Work(session)
    found = divided(session, listener) if session.workers > 1 else written(session, work, listener.evaluated)
    with closing(settled(session, work, found)) as every:  # so the folder is free at once, whatever the listener raises
        for item in every:
            listener.explained(item)
            yield item


def settled(session: Session, work: Work, found: Generator[T, None, None]) -> Generator[T, None, None]:
    """What is found in a session, whose run folder is settled and given back when that ends, in whatever way."""
    run = session.run
    if run is None:
        with closing(found):
            yield from found
        return
    whole = rejected = False
    try:
        with closing(found):
            yield from found
        whole = True
    except UsageError:
        rejected = True
        raise
    finally:
        run.settle(work.place, whole=whole)
        if rejected:
            abandon(run.path)
        run.close()


def written(
    session: Session, work: Work, progress: Callable[[int], None], places: Iterable[int] | None = None
) -> Generator[Explanation, None, None]:
    """Explanations in order, each once its files and its row stand.

    Args:
        session: what is explained; where it has no run folder, nothing is written.
        work: its items.
        progress: called with the images of each batch.
        places: which images; None for all.
    """
    run = session.run
    if run is None:
        yield from (item for item, _ in work.explanations(progress, places))
        return
    with ThreadPoolExecutor(_WRITERS, "write") as pool:
        writing: deque[tuple[Explanation, list[Future[None]]]] = deque()
        group: list[Explanation] = []
        try:
            for item, last in work.explanations(progress, places):
                group.append(item)
                if item.resumed:
                    run.keep(item.row())
                write = mend_pictures if item.resumed else write_explanation
                jobs = [pool.submit(write, run, item, session.drawing)]
                if last:
                    heading = f"{item.image}, {session.model.title}"
                    jobs.append(pool.submit(write_sheet, run, group, session.drawing, heading))
                    group = []
                writing.append((item, jobs))
                while len(writing) > _QUEUE or (writing and all(job.done() for job in writing[0][1])):
                    yield landed(run, *writing.popleft())
            while writing:
                yield landed(run, *writing.popleft())
        finally:
            pool.shutdown(wait=True)

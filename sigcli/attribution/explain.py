"""`sig explain` as a library: samples, a model and methods in; explanations and a run folder out. No printing."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

from ..door import door
from ..engine.modes import in_own_modes, own_modes
from ..errors import UsageError
from ..listener import SILENT, Listener, tell_new
from ..runs.claims import abandon
from ..runs.folder import RunFolder
from .explanation import Explanation, Explanations
from .options import ExplainOptions
from .pipeline import Work
from .session import Session, prepare
from .write import landed, mend_pictures, write_explanation, write_sheet

_WRITERS = max(1, min(4, (os.cpu_count() or 2) // 2))
_QUEUE = 16


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
    found: Generator[Explanation, None, None]
    if session.run is None:
        found = (item for item, _ in work.explanations(listener.evaluated))
    else:
        found = _written(session, session.run, work, listener)
    with closing(found):  # so the folder is free at once, whatever the listener raises
        for item in found:
            listener.explained(item)
            yield item


def _written(session: Session, run: RunFolder, work: Work, listener: Listener) -> Generator[Explanation, None, None]:
    with ThreadPoolExecutor(_WRITERS, "write") as pool:
        writing: deque[tuple[Explanation, list[Future[None]]]] = deque()
        group: list[Explanation] = []
        whole = rejected = False
        try:
            for item, last in work.explanations(listener.evaluated):
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
            whole = True
        except UsageError:
            rejected = True
            raise
        finally:
            pool.shutdown(wait=True)
            run.settle(work.place, whole=whole)
            if rejected:
                abandon(run.path)
            run.close()

"""Explanations in the order of their images, written as they come, and the run folder settled at their end."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from ..errors import UsageError
from ..runs.claims import abandon
from .explanation import Explanation
from .pipeline import Work
from .session import Session
from .write import landed, mend_pictures, write_explanation, write_sheet

_WRITERS = max(1, min(4, (os.cpu_count() or 2) // 2))
_QUEUE = 16
T = TypeVar("T")


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

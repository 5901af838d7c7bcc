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


class _Seals:
    """Tells the run of each image that is done, once the last of its explanations is written."""

    def __init__(self, work: Work):
        self._work, self._image, self._done = work, "", True

    def landed(self, item: Explanation) -> Explanation:
        """The files and the row of an explanation stand."""
        if item.image != self._image:
            self.end()
            self._image, self._done = item.image, True
        self._done = self._done and item.status == "ok"
        return item

    def end(self) -> None:
        """No more explanations of the image come."""
        if self._image:
            self._work.earlier.seal(self._image, done=self._done)


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
        seals = _Seals(work)
        try:
            for item, last in work.explanations(progress, places):
                group.append(item)
                jobs: list[Future[None]] = []
                if item.resumed:
                    run.keep(item.row())
                if item.look is None:  # else all of its image stands
                    write = mend_pictures if item.resumed else write_explanation
                    jobs.append(pool.submit(write, run, item, session.drawing))
                if last:
                    heading = f"{item.image}, {session.model.title}"
                    if item.look is None:
                        jobs.append(pool.submit(write_sheet, run, group, session.drawing, heading))
                    group = []
                writing.append((item, jobs))
                while len(writing) > _QUEUE or (writing and all(job.done() for job in writing[0][1])):
                    yield seals.landed(landed(run, *writing.popleft()))
            while writing:
                yield seals.landed(landed(run, *writing.popleft()))
            seals.end()
        finally:
            pool.shutdown(wait=True)

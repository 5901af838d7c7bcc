"""Explanations in the order of their images, written as they come, and the run folder settled at their end."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from ..errors import UsageError
from ..gallery.live import LivePage
from ..runs.claims import abandon
from ..runs.folder import RunFolder
from .explanation import Explanation
from .pipeline import Work
from .session import Session
from .wanted import count_of
from .write import landed, mend_pictures, write_explanation, write_sheet, write_targets_sheet

_WRITERS = max(1, min(4, (os.cpu_count() or 2) // 2))
_QUEUE = 16
MOST_TARGETS = 6
"""Of one image, in the sheet of all its targets; of more, each has only a sheet of its own."""
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
    page = LivePage(run, session.items) if session.drawing.gallery else None
    try:
        with closing(found):
            for one in found:
                if page is not None:
                    page.look()
                yield one
        whole = True
    except UsageError:
        rejected = True
        raise
    finally:
        run.settle(work.place, whole=whole)
        if rejected:
            abandon(run.path)
        elif page is not None:
            page.end(whole=whole)
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
        writing: deque[tuple[Explanation | None, list[Future[None]]]] = deque()
        group: list[Explanation] = []
        seals, of_image = _Seals(work), _OfImage(session, run, pool)
        try:
            for item, last in work.explanations(progress, places):
                writing.extend(of_image.before(item))
                group.append(item)
                jobs: list[Future[None]] = []
                if item.resumed:
                    run.keep(item.row())
                if item.look is None:  # else all of its image stands
                    write = mend_pictures if item.resumed else write_explanation
                    jobs.append(pool.submit(write, run, item, session.drawing))
                if last:
                    if item.look is None:
                        jobs.append(pool.submit(write_sheet, run, group, session.drawing, _heading(session, item)))
                    group = []
                writing.append((item, jobs))
                while len(writing) > _QUEUE or (writing and all(job.done() for job in writing[0][1])):
                    yield from map(seals.landed, landed(run, *writing.popleft()))
            writing.extend(of_image.before(None))
            while writing:
                yield from map(seals.landed, landed(run, *writing.popleft()))
            seals.end()
        finally:
            pool.shutdown(wait=True)


def _heading(session: Session, item: Explanation) -> str:
    return f"{item.image}, {session.model.title}"


class _OfImage:
    """Gathers the explanations of one image whose several targets are explained, for the sheet of all of them."""

    def __init__(self, session: Session, run: RunFolder, pool: ThreadPoolExecutor):
        self._session, self._run, self._pool = session, run, pool
        self._wanted = 1 < count_of(session.target) <= MOST_TARGETS
        self._items: list[Explanation] = []

    def before(self, item: Explanation | None) -> Iterator[tuple[None, list[Future[None]]]]:
        """What is still to be written before the next item, None at the end: the sheet, where another image begins."""
        items = self._items
        if items and (item is None or item.image != items[0].image):
            drawing, heading = self._session.drawing, _heading(self._session, items[0])
            yield None, [self._pool.submit(write_targets_sheet, self._run, items, drawing, heading)]
            self._items = []
        if item is not None and self._wanted and item.look is None:  # of an image that is passed over all stands
            self._items.append(item)

"""A run that several workers divide: processes, or actors of a Ray cluster.

Each explains images and writes their arrays and pictures; who leads writes the rest.

Arrays and pictures are most of what is written, and drawing them takes more time than one process has for several GPUs.
Table and ledger have one writer, so a kill at any moment leaves what it leaves of one process, and the run can be resumed by
any number of them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from ..errors import AttributionError, StoppedError
from ..executors.division import Division
from ..executors.line import Main
from ..files import remove_leftovers
from ..listener import Listener
from ..runs.far import LED, lead, marked
from ..runs.folder import RunFolder
from .explanation import Explanation, failed, from_entry
from .job import Job, explain_part
from .session import Session
from .wanted import count_of

T = TypeVar("T")
_WINDOW = 64
"""Images that a worker may be ahead of the first one that is not done: their results wait in memory."""
_KEPT = "Finished work is kept: repeat the command with --resume to continue."


@dataclass
class Desk(Generic[T]):
    """Answers the workers of a run, and gathers what they find.

    Args:
        session: the session that is divided.
        give_up: the result of an image that is given up, from its name and the reason.
        more: further questions that workers may ask, by name.
    """

    session: Session
    give_up: Callable[[int, Exception], T]
    more: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = self.session.workers
        self.division = Division(len(self.session.paths), workers=count, window=_WINDOW * count)
        self.events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.notes: list[str] = []
        self._starting, self._working = set(range(count)), 0
        self._lock = threading.Lock()

    def answer(self, worker: int, what: str, *arguments: Any) -> Any:
        """The answer to a worker."""
        if what in LED:
            assert self.session.run is not None
            return lead(self.session.run, what, *arguments)
        if what in self.more:
            return self.more[what](*arguments)
        return getattr(self, f"_{what}")(worker, *arguments)

    def _take(self, worker: int) -> int | None:
        return self.division.take(worker)

    def _more(self, worker: int) -> bool:
        with self._lock:
            self._working += worker in self._starting
            self._starting.discard(worker)
        return self.division.more(worker)

    def _evaluated(self, worker: int, images: int) -> None:
        del worker
        self.events.put(("evaluated", images))

    def _done(self, worker: int, place: int, result: T) -> None:
        self.events.put(("done", (place, result)))
        self.division.done(worker, place)

    def _notes(self, worker: int, notes: list[str]) -> None:
        del worker
        self.events.put(("ended", notes))

    def failed(self, error: Exception) -> None:
        """A worker cannot go on, and nor could another."""
        self.events.put(("error", error))

    def lost(self, worker: int, why: str) -> bool:
        """A worker is gone; whether another should take its place."""
        for place in self.division.lost(worker):
            error = AttributionError(f"the process that worked on it was lost twice: {why}")
            self.events.put(("given up", (place, error)))
        with self._lock:
            begun = worker not in self._starting
            if begun and self.division.left:
                self._starting.add(worker)
                again = True
            else:
                self._starting.discard(worker)
                again = False
            stuck = not begun and not self._starting and not self._working
        if begun:
            self.events.put(("ended", []))
        if stuck:  # it did not even come to ask for work, and nor did another
            self.failed(StoppedError("the worker processes cannot start", given=why, hint=_KEPT))
        return again

    def results(self, listener: Listener) -> Iterator[T]:
        """What the workers find, image by image in the order of the run."""
        waiting: dict[int, T] = {}
        for place in range(len(self.session.paths)):
            while place not in waiting:
                self._hear(*self.events.get(), waiting, listener)
            self.division.passed(place)
            yield waiting.pop(place)
        while self._working:  # what was assumed of images is told at the end
            self._hear(*self.events.get(), waiting, listener)

    def _hear(self, what: str, told: Any, waiting: dict[int, T], listener: Listener) -> None:
        if what == "evaluated":
            listener.evaluated(told)
        elif what == "done":
            waiting[told[0]] = told[1]
        elif what == "given up":
            waiting[told[0]] = self.give_up(*told)
        elif what == "ended":
            with self._lock:
                self._working -= 1
            self.notes += [note for note in told if note not in self.notes]
        else:
            raise told


def gathered(desk: Desk[T], main: Main, job: Job, listener: Listener) -> Generator[T, None, None]:
    """Let workers do a job; yields what they find, image by image in the order of the run.

    Raises:
        UsageError: the job holds something that cannot be handed to a worker.
    """
    executor, run = desk.session.executor, desk.session.run
    with ExitStack() as stack:
        if run is not None and executor.elsewhere:
            job = replace(job, mark=stack.enter_context(marked(run.path)))
        team = executor.start(desk.session.workers, main, job, desk)
        try:
            yield from desk.results(listener)
        finally:
            desk.division.end()
            team.close()
            if run is not None:  # workers that were ended may have begun a file
                remove_leftovers(run.path / run.images[place][1] for place in desk.division.open)


def given_up(session: Session, place: int, error: Exception) -> list[Explanation]:
    """The explanations of an image whose worker was lost twice: those that were finished stay, the others have failed."""
    name, folder = session.names[place]
    run, several = session.run, count_of(session.target)
    items: list[Explanation] = []
    for chosen in session.methods:
        done = [] if run is None else _finished(run, name, chosen.name, folder)
        items += done
        if len(done) < several:
            blank = Explanation(name, chosen.name, folder=folder, output=session.scorer.output)
            items.append(failed(blank, error))
            if run is not None:
                run.add(items[-1].row())
    if run is not None:
        remove_leftovers([run.path / folder])
    return items


def _finished(run: RunFolder, image: str, method: str, folder: str) -> list[Explanation]:
    found = []
    for entry in [one for one in run.ledger.entries.values() if one.image == image and one.method == method]:
        earlier = run.finished(image, method, entry.target, entry.content)
        if earlier is not None:
            target = int(entry.target) if entry.target.isdigit() else entry.target
            blank = Explanation(
                image, method, target=target, label=entry.label, folder=folder, output=entry.output, content=entry.content,
                view=str(entry.facts.get("view") or ""), name=method,
            )  # fmt: skip
            found.append(from_entry(blank, *earlier))
            run.keep(found[-1].row())
    return found


def divided(session: Session, listener: Listener) -> Generator[Explanation, None, None]:
    """The explanations of a session that workers divide, in order; their files and rows stand."""
    assert session.options is not None
    job = Job.of(session, session.options)
    desk: Desk[list[Explanation]] = Desk(session, lambda place, error: given_up(session, place, error))
    for items in gathered(desk, explain_part, job, listener):
        yield from items
    session.told_elsewhere.extend(desk.notes)

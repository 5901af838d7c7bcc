"""What a worker does for its part of a run: it explains images, and asks who leads for the next one."""

from __future__ import annotations

import os
import platform
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..engine.allocator import keep_freed_memory
from ..engine.modes import own_modes
from ..errors import StoppedError, UsageError
from ..executors.line import Line, portable_error
from ..inputs.given import Source
from ..models.device import KINDS, choose_device
from ..runs.far import FarRun, far_run
from .explanation import Explanation
from .options import RunOptions
from .pipeline import Work
from .session import Session, prepare
from .stream import written

_EVERY = 0.5
"""Seconds between two reports of a worker."""
_LOOKED_FOR = 3
"""Images that a worker on another machine looks for before it starts."""


@dataclass(frozen=True)
class Job:
    """What a worker needs to do its part of a run as one process would.

    Args:
        options: of the run.
        sources: all its samples.
        threads: that a worker computes with, where it computes on the CPU.
        alone: see `Session`.
        warm: the model runs once before it is timed.
        folder: what of the run folder a worker has, see `FarRun`; None where nothing is written.
        here: the working directory of who leads, where workers may be on other machines; else empty.
        weights: digest of the model's weights, which every worker must have.
        mark: what a worker that sees the run folder finds there, see `sigcli.runs.far.marked`; empty where all see it.
    """

    options: RunOptions
    sources: Sequence[Source]
    threads: int
    alone: bool = False
    warm: bool = False
    folder: tuple[Any, ...] | None = None
    here: str = ""
    weights: str = ""
    mark: str = ""

    @classmethod
    def of(cls, session: Session, options: RunOptions, *, warm: bool = False) -> Job:
        """The job of a session."""
        run, executor = session.run, session.executor
        folder = None if run is None else (run.path, list(run.images), run.pictures, run.foreign)
        threads = executor.threads or max(1, torch.get_num_threads() // session.workers)
        here = os.getcwd() if executor.elsewhere else ""
        weights = session.model.weights_hash
        return cls(options, session.samples.sources, threads, session.alone, warm, folder, here, weights)

    def settle_in(self) -> None:
        """Called first in a worker: its threads, and memory kept for the next batch as the command line keeps it.

        Raises:
            UsageError: this machine does not have the images.
        """
        keep_freed_memory()
        torch.set_num_threads(self.threads)
        if not self.here:
            return
        if Path(self.here).is_dir():
            os.chdir(self.here)
        files = [one for one in self.sources[:_LOOKED_FOR] if isinstance(one, Path)]
        if files and not any(map(os.path.lexists, files)):
            raise UsageError(
                f"the node {platform.node()} does not have the images", given=Path(self.here, files[0]),
                hint="With --engine ray they must be in a folder that every node has under the same name.",
            )  # fmt: skip

    def device(self, number: int) -> str:
        """The device of a worker: where there are several of its kind they go round; one named by its number serves all."""
        place = choose_device(self.options.device)
        count = KINDS[place]() if place in KINDS else 1
        return f"{place}:{number % count}" if count > 1 else place

    def quiet(self, number: int) -> dict[str, Any]:
        """What of the options is otherwise in a worker, which opens no folder."""
        return {
            "images": list(self.sources), "device": self.device(number), "out": None, "resume": False, "overwrite": False,
            "limit": None, "sample": None, "engine": "local", "address": None, "workers": None,
        }  # fmt: skip

    def in_folder(self, session: Session, line: Line) -> Session:
        """The session of a worker, with the run folder that is led elsewhere.

        Raises:
            StoppedError: the worker's model is another one than that of the run: its file was replaced, or made at random.
        """
        if session.model.weights_hash != self.weights:
            raise StoppedError(
                "a worker has another model than the run: its weights differ", given=session.model.name,
                hint="Was its file replaced, or are its weights random? Finished work is kept; --resume needs the first.",
            )  # fmt: skip
        run = None if self.folder is None else far_run(*self.folder, ask=line, mark=self.mark)
        return replace(session, run=run, alone=self.alone)


class Errand:
    """What a worker does for its part of a run: takes images, reports batches and results.

    Args:
        line: asks who leads.
        names: name and folder of each image.
        run: the run folder, where anything is written.
    """

    def __init__(self, line: Line, names: Sequence[tuple[str, str]], run: FarRun | None):
        self._line, self._names, self._run = line, names, run
        self._taken: deque[int] = deque()
        self._spent, self._told = 0, time.monotonic()

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Batches that were not reported are, as the block ends."""
        yield
        self._line("evaluated", self._spent)

    def evaluated(self, images: int) -> None:
        """A batch is done."""
        self._spent += images
        if time.monotonic() - self._told > _EVERY:
            self._line("evaluated", self._spent)
            self._spent, self._told = 0, time.monotonic()

    def places(self) -> Iterator[int]:
        """The images to work on now, each taken as it is needed."""
        while (place := self._line("take")) is not None:
            self._taken.append(place)
            yield place

    def until(self, image: str | None, result: Callable[[str], Any]) -> None:
        """All images before this one are done, in the order they were taken; all of them where it is None."""
        while self._taken and (name := self._names[self._taken[0]][0]) != image:
            place = self._taken.popleft()
            self._line("done", place, result(name))
            if self._run is not None:
                self._run.let_go(self._names[place][1])

    def portable(self, item: Explanation) -> Explanation:
        """An explanation as who leads would have it."""
        file = item.file if self._run is None or item.file is None else self._run.home(item.file)
        return replace(item, file=file, look=None, cause=None if item.cause is None else portable_error(item.cause))


def explain_part(line: Line, number: int, job: Job) -> None:
    """What a worker of `sig explain` does."""
    job.settle_in()
    with own_modes(), closing(_session(job, line, number)) as session:
        work = Work(session)
        errand = Errand(line, work.names, far(session))
        while line("more"):
            found: dict[str, list[Explanation]] = {}
            with errand.reported():
                for item in written(session, work, errand.evaluated, errand.places()):
                    errand.until(item.image, lambda name, of=found: of.pop(name, []))
                    found.setdefault(item.image, []).append(errand.portable(item))
                errand.until(None, lambda name, of=found: of.pop(name, []))
        line("notes", list(session.later_notes))


def _session(job: Job, line: Line, number: int) -> Session:
    return job.in_folder(prepare(job.options.but(write=False, **job.quiet(number))), line)


def far(session: Session) -> FarRun | None:
    """The run folder of a worker's session."""
    run = session.run
    assert run is None or isinstance(run, FarRun)
    return run

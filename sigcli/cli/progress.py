"""Progress on standard error: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typing_extensions import Self

from ..listener import Listener
from .command import Screen
from .console import RESUME, console

if TYPE_CHECKING:
    from ..attribution.explanation import Explanation

_EVERY = 5.0


class _Shown:
    """Something with a bar on a terminal, which stands while the block runs; without one in a pipe."""

    _bar: Progress | None = None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()


class Stages(_Shown):
    """Progress through named stages."""

    def __init__(self) -> None:
        self._console, self._spoken = console(), 0.0
        if self._console.is_terminal:
            columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=None)

    def show(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` parts of a stage are finished."""
        if self._bar:
            self._bar.update(self._task, description=stage, completed=done, total=total)
        elif done == total or time.perf_counter() - self._spoken > _EVERY:
            self._spoken = time.perf_counter()
            self._console.print(f"{stage}: {done}/{total}", markup=False)


class StageListener(Stages, Listener):
    """Hears of the stages of a command and shows them."""

    def stage(self, stage: str, done: int, total: int, point: Any = None) -> None:
        """Show how far a stage is."""
        del point
        self.show(stage, done, total)


class Reporter(Listener, _Shown):
    """Shows notes as a command begins, then counts explanations and gradient evaluations.

    Args:
        screen: screen of the command; what it says of an interruption changes once finished work is kept.

    `folder` is the run folder, once it is open.
    """

    def __init__(self, screen: Screen):
        self._screen, self._console = screen, screen.console
        self._total, self._done, self._spent, self._resumed = 0, 0, 0, 0
        self._begun = self._spoken = time.perf_counter()
        self._notes: list[str] = []
        self.folder: Path | None = None

    def begin(self, items: int, notes: Sequence[str], folder: Path | None) -> None:
        """Show the notes, and a bar on a terminal."""
        self._total, self.folder = items, folder
        self._screen.guard.kept = RESUME
        for note in notes:
            self._screen.say(f"note: {note}")
        self._begun = self._spoken = time.perf_counter()
        if self._console.is_terminal and items:
            columns = (
                TextColumn("explaining"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            )  # fmt: skip
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=items, rate="")
            self._bar.start()

    def evaluated(self, images: int) -> None:
        """A batch of that many gradient evaluations is done."""
        self._spent += images
        self._show()

    def explained(self, item: Explanation) -> None:
        """One explanation is finished and written."""
        self._done += 1
        self._resumed += item.resumed
        self._show(force=self._done == self._total)

    def note(self, text: str) -> None:
        """Keep it until the results are shown."""
        self._notes.append(text)

    def say_notes(self) -> None:
        """Say what came up while the command ran."""
        for note in self._notes:
            self._screen.say(f"note: {note}")

    def _rate(self) -> str:
        elapsed = max(time.perf_counter() - self._begun, 1e-9)
        return f"{(self._done - self._resumed) / elapsed:.2f} maps/s, {self._spent / elapsed:.0f} gradients/s"

    def _show(self, force: bool = False) -> None:
        if self._bar:
            self._bar.update(self._task, completed=self._done, rate=self._rate())
        elif force or time.perf_counter() - self._spoken > _EVERY:
            self._spoken = time.perf_counter()
            self._screen.say(f"{self._done}/{self._total} maps, {self._rate()}")

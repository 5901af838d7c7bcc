"""Progress on standard error: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typing_extensions import Self

from ..listener import Listener
from .console import console

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


class Reporter(_Shown):
    """Counts explanations and gradient evaluations of a run.

    Args:
        total: number of explanations to come.
    """

    def __init__(self, total: int):
        self._console = console()
        self._total, self._done, self._spent, self._resumed = total, 0, 0, 0
        self._begun = self._spoken = time.perf_counter()
        if self._console.is_terminal:
            columns = (
                TextColumn("explaining"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            )  # fmt: skip
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=total, rate="")

    def evaluations(self, count: int) -> None:
        """A batch of that many gradient evaluations is done."""
        self._spent += count
        self._show()

    def done(self, item: Explanation) -> None:
        """One explanation is finished and written."""
        self._done += 1
        self._resumed += item.resumed
        self._show(force=self._done == self._total)

    def _rate(self) -> str:
        elapsed = max(time.perf_counter() - self._begun, 1e-9)
        return f"{(self._done - self._resumed) / elapsed:.2f} maps/s, {self._spent / elapsed:.0f} gradients/s"

    def _show(self, force: bool = False) -> None:
        if self._bar:
            self._bar.update(self._task, completed=self._done, rate=self._rate())
        elif force or time.perf_counter() - self._spoken > _EVERY:
            self._spoken = time.perf_counter()
            self._console.print(f"{self._done}/{self._total} maps, {self._rate()}")

"""Progress on standard error: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typing_extensions import Self

from ..listener import Listener
from .command import Screen
from .console import RESUME, console
from .counts import Counts

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
    """Shows notes as a command begins, then counts evaluations of the model and explanations.

    Args:
        screen: screen of the command; what it says of an interruption changes once finished work is kept.

    `folder` is the run folder, once it is open; `counts` says how many explanations are done and have failed.
    """

    def __init__(self, screen: Screen):
        self._screen, self._console = screen, screen.console
        self._total, self._done, self._spent = 0, 0, 0
        self._plan = _Plan()
        self._begun = self._spoken = time.perf_counter()
        self._notes: list[str] = []
        self.counts = Counts()
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
                TextColumn("explaining"), BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn(),
                TextColumn("left"), TimeRemainingColumn(),
            )  # fmt: skip
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=items, told="")
            self._bar.start()

    def planned(self, evaluations: Mapping[str, int | None]) -> None:
        """What each method will cost is known from now on."""
        self._plan = _Plan(evaluations, self._total)

    def evaluated(self, images: int) -> None:
        """A batch of that many images went through the model."""
        self._spent += images
        self._show()

    def explained(self, item: Explanation) -> None:
        """One explanation is finished and written."""
        self._done += 1
        error = "" if item.status == "ok" else item.error or "unknown"
        self.counts.add(error, resumed=item.resumed, cause=item.cause)
        self._plan.note(item)
        self._show(force=self._done == self._total)

    def note(self, text: str) -> None:
        """Keep it until the results are shown."""
        self._notes.append(text)

    def say_notes(self) -> None:
        """Say what came up while the command ran."""
        for note in self._notes:
            self._screen.say(f"note: {note}")

    def _told(self) -> str:
        """How much is done, and how fast: evaluations move on where a map takes minutes."""
        elapsed, planned = max(time.perf_counter() - self._begun, 1e-9), self._plan.total
        of = "" if planned is None else f"/{max(planned, self._spent):,}"
        return f"{self._done}/{self._total} maps, {self._spent:,}{of} evaluations, {self._spent / elapsed:.0f} evaluations/s"

    def _show(self, force: bool = False) -> None:
        if self._bar:
            planned = self._plan.total
            done, total = (self._done, self._total) if not planned else (self._spent, max(planned, self._spent))
            self._bar.update(self._task, completed=done, total=total, told=self._told())
        elif force or time.perf_counter() - self._spoken > _EVERY:
            self._spoken = time.perf_counter()
            self._screen.say(self._told())


class _Plan:
    """How many evaluations of the model a run will make: what each method is said to cost, then what its last map cost.

    Args:
        costs: method → passes for one map, None where they are not known.
        items: maps of the run.
    """

    def __init__(self, costs: Mapping[str, int | None] | None = None, items: int = 0):
        self._costs = dict(costs or {})
        each = items // max(len(self._costs), 1)
        self._left = dict.fromkeys(self._costs, each)
        self._spent = 0

    @property
    def total(self) -> int | None:
        """Evaluations in all, without those of an earlier run; None where they are not known."""
        left = [(self._costs[name], count) for name, count in self._left.items() if count > 0]
        if not self._costs or any(cost is None for cost, _ in left):
            return None
        return self._spent + sum((cost or 0) * count for cost, count in left)

    def note(self, item: Explanation) -> None:
        """A map is done, or has failed."""
        if item.method not in self._left:  # of an image that cannot be read, by no method
            return
        self._left[item.method] -= 1
        if item.status == "ok" and not item.resumed:
            self._spent += item.evaluations
            self._costs[item.method] = item.evaluations

"""Progress on standard error: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text
from typing_extensions import Self

from ..listener import Listener
from ..names import printable
from .command import Screen
from .console import RESUME, console
from .counts import Counts

if TYPE_CHECKING:
    from ..attribution.explanation import Explanation

_EVERY = 30.0
"""Seconds between lines in a pipe."""
_BAR = 20  # columns


class _Bar(Progress):
    """A bar, and below it what failed."""

    failed = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and a line that is cut where the window ends."""
        yield from super().get_renderables()
        if self.failed:
            yield Text(self.failed, style="red", no_wrap=True, overflow="ellipsis")


class _Shown:
    """Something with a bar on a terminal, which stands while the block runs; without one in a pipe."""

    _bar: _Bar | None = None

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
    """Progress through named stages; in a pipe a line every 30 seconds, and the last one at the end."""

    def __init__(self) -> None:
        self._console, self._waiting = console(), ""
        self._stage, self._begun = "", time.perf_counter()
        self._spoken = self._begun
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(_BAR),
                TextColumn("{task.fields[told]}"),
                TimeElapsedColumn(),
            )
            self._bar = _Bar(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=None, told="")

    def show(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` parts of a stage are finished."""
        now = time.perf_counter()
        if stage != self._stage:
            self._stage, self._begun = stage, now
        told = f"{done}/{total}{_left(now - self._begun, done, total)}"
        if self._bar:
            self._bar.update(self._task, description=stage, completed=done, total=total, told=told)
            return
        self._waiting = f"{stage}: {told}"
        if now - self._spoken > _EVERY:
            self._speak()

    def _speak(self) -> None:
        self._spoken = time.perf_counter()
        self._console.print(self._waiting, markup=False)
        self._waiting = ""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, value, trace)
        if self._waiting:
            self._speak()


def _rate(images: float) -> str:
    """Images per second; where it would be a small fraction, seconds per image."""
    if not images:
        return ""
    slow = images < 0.095
    return f", {1 / images:.0f} s per image" if slow else f", {images:.{0 if images >= 10 else 2}f} images/s"


def _left(elapsed: float, done: float, total: float) -> str:
    """How long the rest will take if it goes on so; empty where that cannot be told."""
    if elapsed < 1 or not 0 < done < total:
        return ""
    return f", {timedelta(seconds=round(elapsed * (total - done) / done))} left"


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
        first: what is said before the notes. Not earlier: what cannot be used is told first, and alone.

    `folder` is the run folder, once it is open; `counts` says how many explanations are done and have failed.
    """

    def __init__(self, screen: Screen, first: Sequence[str] = ()):
        self._screen, self._console, self._first = screen, screen.console, first
        self._total, self._done, self._spent = 0, 0, 0
        self._plan = _Plan()
        self._begun = self._spoken = time.perf_counter()
        self._notes: list[str] = []
        self._images, self._image = 0, ""
        self._last = ""
        self.counts = Counts()
        self.folder: Path | None = None

    def begin(self, items: int, notes: Sequence[str], folder: Path | None) -> None:
        """Show the notes, and a bar on a terminal."""
        self._total, self.folder = items, folder
        self._screen.guard.kept = RESUME
        for text in (*self._first, *(f"note: {note}" for note in notes)):
            self._screen.say(text)
        self._begun = self._spoken = time.perf_counter()
        if self._console.is_terminal and items:
            columns = TextColumn("explaining"), BarColumn(_BAR), TextColumn("{task.fields[told]}")
            self._bar = _Bar(*columns, console=self._console, transient=True)
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
        if error:
            self._last = f"{printable(item.image)}: {error}"
        elif not item.resumed:
            self._images += item.image != self._image  # those of an image come one after another
            self._image = item.image
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
        """How much is done, how fast and how long it will take: evaluations move on where a map takes minutes."""
        elapsed, planned = max(time.perf_counter() - self._begun, 1e-9), self._plan.total
        new, images = self._done - self.counts.resumed, self._images / elapsed
        done, total = (self._spent, planned) if planned else (new, self._total - self.counts.resumed)
        passes = self._spent / elapsed  # maps of an earlier run took none
        evaluations = f", {passes:.{0 if passes >= 10 else 1}f} evaluations/s" if self._spent else ""
        speed = f"{self._done}/{self._total} maps{_rate(images)}{evaluations}"
        return speed + _left(elapsed, done, total)

    def _failures(self) -> str:
        """How many failed so far, and why the last one did."""
        return f"{self.counts.failed:,} failed, the last: {self._last}" if self.counts.failed else ""

    def _show(self, force: bool = False) -> None:
        if self._bar:
            planned = self._plan.total
            done, total = (self._done, self._total) if not planned else (self._spent, max(planned, self._spent))
            self._bar.failed = self._failures()
            self._bar.update(self._task, completed=done, total=total, told=self._told())
        elif force or time.perf_counter() - self._spoken > _EVERY:
            self._spoken = time.perf_counter()
            self._screen.say("; ".join(filter(None, (self._told(), self._failures()))))


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

"""How the items of a run are divided among workers: each takes the next one when it is ready for it."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque

_LOSSES = 2
"""How often the worker of an item may be lost before the item is given up."""


class Division:
    """Numbers 0 … count − 1, each taken by one worker; safe from several threads.

    What a lost worker had taken is taken anew, and then alone: if it is what ends the worker, it takes nothing with it.

    Args:
        count: how many items there are.
        workers: how many take them.
        window: how far ahead of the first unfinished item workers may be.

    >>> division = Division(3, workers=2, window=8)
    >>> division.take(0), division.take(1), division.lost(1), division.take(0)
    (0, 1, [], None)
    >>> division.done(0, 0); division.take(0), division.done(0, 2); division.take(0)
    (2, None)
    1
    """

    def __init__(self, count: int, *, workers: int, window: int):
        self._fresh, self._again = deque(range(count)), deque[int]()
        self._workers, self._window = workers, window
        self._taken: defaultdict[int, set[int]] = defaultdict(set)
        self._losses: Counter[int] = Counter()
        self._left, self._passed, self._ended = count, 0, False
        self._changed = threading.Condition()

    def take(self, worker: int) -> int | None:
        """The next item; None where the worker must finish what it has taken first, and then ask whether there is more."""
        with self._changed:
            mine = self._taken[worker]
            if self._ended or any(self._losses[one] for one in mine):
                return None
            if self._allowed(len(mine)):
                number = self._fresh.popleft()
            elif self._again and not mine:
                number = self._again.popleft()
            else:
                return None
            mine.add(number)
            return number

    def _allowed(self, taken: int) -> bool:
        """Whether a worker that has taken so many may have a fresh one: towards the end the rest is shared evenly."""
        if not self._fresh or self._fresh[0] >= self._passed + self._window:
            return False
        return taken == 0 or taken < len(self._fresh) / self._workers

    def more(self, worker: int) -> bool:
        """Wait until a worker that has finished all it had taken can take something; False once all is done."""
        with self._changed:
            while not self._ended and self._left and not self._again and not self._allowed(len(self._taken[worker])):
                self._changed.wait()
            return not self._ended and self._left > 0

    def done(self, worker: int, number: int) -> None:
        """An item is done."""
        with self._changed:
            self._taken[worker].discard(number)
            self._left -= 1
            self._changed.notify_all()

    def passed(self, number: int) -> None:
        """All items up to this one are done with, in their order."""
        with self._changed:
            self._passed = number + 1
            self._changed.notify_all()

    def lost(self, worker: int) -> list[int]:
        """A worker is gone; returns the items that are given up, since it was not the first that they have ended."""
        with self._changed:
            given_up = []
            for number in sorted(self._taken.pop(worker, ())):
                self._losses[number] += 1
                if self._losses[number] < _LOSSES:
                    self._again.append(number)
                else:
                    given_up.append(number)
            self._left -= len(given_up)
            self._changed.notify_all()
            return given_up

    @property
    def left(self) -> int:
        """How many items are not done."""
        return self._left

    @property
    def open(self) -> list[int]:
        """The items that were taken and are not done."""
        with self._changed:
            return sorted({*self._again, *(number for mine in self._taken.values() for number in mine)})

    def end(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

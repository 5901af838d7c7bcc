"""Signals that ask a command to end: of a scheduler (SIGTERM), of a terminal that is closed (SIGHUP).

By default they end a process on the spot, so nothing is said, exit codes of a pipeline depend on the shell, and a container
whose first process is `sig` is not ended by SIGTERM at all. Here they end a command as Ctrl-C does.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_NAMES = ("SIGTERM", "SIGHUP")


class SignalError(KeyboardInterrupt):
    """A signal asks the command to end.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number

    @property
    def name(self) -> str:
        """Its name, as SIGTERM."""
        return signal.Signals(self.number).name


@dataclass(eq=False)
class Heard:
    """What signal has come, if any."""

    number: int | None = None

    @property
    def code(self) -> int:
        """The exit code that a shell gives a process which the signal has ended."""
        return 128 + (self.number or 0)


@contextmanager
def heard() -> Iterator[Heard]:
    """Raise `SignalError` in the block when such a signal comes; a second one ends the process.

    A signal that is ignored stays so (`nohup`), and one that a program handles itself is left to it.
    """
    found = Heard()

    def raised(number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, signal.SIG_DFL)
        found.number = number
        raise SignalError(number)

    mine: list[int] = []
    if threading.current_thread() is threading.main_thread():
        there = (getattr(signal, name, None) for name in _NAMES)
        mine = [number for number in there if number is not None and signal.getsignal(number) is signal.SIG_DFL]
    for number in mine:
        signal.signal(number, raised)
    try:
        yield found
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)

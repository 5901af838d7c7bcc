"""The line between a worker and the process that leads it: the worker asks, and waits for the answer.

Workers are processes of this machine or actors of a Ray cluster. They say the same, and a `Wire` carries it.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from typing import Any, Protocol, runtime_checkable

from ..errors import AttributionError
from ..warned import few_of_each


@runtime_checkable
class Wire(Protocol):
    """One end of what carries questions and answers: a pipe, say; raises EOFError or OSError once the other end is gone."""

    def send(self, obj: Any, /) -> None:
        """Send an object."""
        ...

    def recv(self) -> Any:
        """Wait for an object."""
        ...

    def close(self) -> None:
        """Send nothing more."""
        ...


@runtime_checkable
class Desk(Protocol):
    """What answers the workers, in the leading process; each worker has a thread of its own there."""

    def answer(self, worker: int, what: str, *arguments: Any) -> Any:
        """The answer to a worker; what it raises is raised in the worker."""
        ...

    def failed(self, error: Exception) -> None:
        """A worker cannot go on, and nor could another."""
        ...

    def lost(self, worker: int, why: str) -> bool:
        """A worker is gone, for this reason; whether another should take its place."""
        ...


class Line:
    """The worker's end; safe from several threads."""

    def __init__(self, wire: Wire):
        self._wire, self._lock = wire, threading.Lock()

    def __call__(self, what: str, *arguments: Any) -> Any:
        """Ask, and wait for the answer.

        Raises:
            Exception: what the leading process raised.
            EOFError: it is gone.
        """
        with self._lock:
            self._wire.send((what, arguments))
            good, answer = self._wire.recv()
        if not good:
            raise answer
        return answer


Main = Callable[[Line, int, Any], None]
"""What a worker does: a function of a module, called with its line, its number and what it works with."""


def work(line: Line, main: Main, number: int, given: Any) -> None:
    """What a worker does from its first to its last moment; nothing where who leads is gone."""
    try:
        with few_of_each():
            main(line, number, given)
        line("bye")
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:  # noqa: BLE001  it is told where somebody listens
        line("failed", portable_error(error))


def serve(wire: Wire, worker: int, desk: Desk) -> bool:
    """Answer a worker until it is gone; whether it took leave."""
    try:
        while True:
            what, arguments = wire.recv()
            if what == "bye":
                wire.send((True, None))
                return True
            if what == "failed":
                desk.failed(*arguments)
                wire.send((True, None))
                return True
            try:
                reply = True, desk.answer(worker, what, *arguments)
            except Exception as error:  # noqa: BLE001  it is the worker's
                reply = False, error
            wire.send(reply)
    except (EOFError, OSError):
        return False
    finally:
        wire.close()


def portable_error(error: Exception) -> Exception:
    """An error that another process can be told, with its traceback as a text."""
    try:
        told = pickle.loads(pickle.dumps(ExceptionWithTraceback(error, error.__traceback__)))
    except Exception:  # noqa: BLE001  errors of libraries may hold anything
        return AttributionError(" ".join(str(error).split()) or type(error).__name__)
    return told if str(told) == str(error) else AttributionError(" ".join(str(error).split()))

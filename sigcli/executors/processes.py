"""Workers that are processes of this machine."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any

from ..errors import UsageError
from .line import Desk, Line, Main, serve, work

_PATIENCE = 5.0


@dataclass(frozen=True)
class Machine:
    """Processes of this machine, see `sigcli.executors.executor.Executor`."""

    workers: int = 1
    threads: int | None = None
    notes: tuple[str, ...] = ()
    elsewhere: bool = False

    def start(self, count: int, main: Main, given: Any, desk: Desk) -> Processes:
        """Let processes work for a desk."""
        try:
            pickle.dumps(given)
        except Exception as error:
            raise UsageError(
                "--workers cannot hand an object of this program to other processes", given=" ".join(str(error).split()),
                hint="Name model and methods as texts, such as package.module:function, or leave --workers out.",
            ) from error  # fmt: skip
        return Processes(count, main, given, desk)

    def close(self) -> None:
        """Nothing is held."""


class Processes:
    """Processes that work for a desk; `close` ends them, at once where they are not finished.

    Args:
        count: how many.
        main: what each does, a function of a module: called with its line, its number and `given`.
        given: what it works with; it must be picklable.
        desk: answers them.
    """

    def __init__(self, count: int, main: Main, given: Any, desk: Desk):
        self._main, self._given, self._desk = main, given, desk
        self._context = get_context("spawn")
        self._running: dict[int, BaseProcess] = {}
        self._threads: list[threading.Thread] = []
        self._closed, self._lock = False, threading.Lock()
        for number in range(count):
            self._start(number)

    def _start(self, number: int) -> None:
        mine, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, self._main, number, self._given), name=f"sig worker {number}", daemon=True
        )
        with self._lock:
            if self._closed:
                return
            with _without_interrupts():
                process.start()
            theirs.close()
            self._running[number] = process
            thread = threading.Thread(target=self._lead, args=(mine, number, process), daemon=True)
            self._threads.append(thread)
        thread.start()

    def _lead(self, mine: connection.Connection, number: int, process: BaseProcess) -> None:
        if serve(mine, number, self._desk) or self._closed:
            return
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
        if self._desk.lost(number, _why(process.exitcode)):
            self._start(number)

    def close(self) -> None:
        """End all."""
        with self._lock:
            self._closed = True
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()
        for thread in self._threads:
            thread.join(_PATIENCE)


def _why(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"killed by {name}{', perhaps for want of memory' if name == 'SIGKILL' else ''}"
    return f"it ended with exit code {code}"


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C and the end of a terminal go to all of its processes; those that are started here leave them to the leader."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(theirs: connection.Connection, main: Main, number: int, given: Any) -> None:
    """What a process does from its first to its last moment."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work(Line(theirs), main, number, given)


def _end_with_parent() -> None:
    """A worker must write nothing once the run is no longer led: another may be in the folder."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)

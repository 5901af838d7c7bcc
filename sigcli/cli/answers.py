"""Standard output with --json: one object on a line, and nothing else, whatever a model prints."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ..errors import StoppedError
from ..records import json_text


class Answers:
    """Where results go.

    Args:
        write: takes a line; None where no JSON is asked for.
    """

    def __init__(self, write: Callable[[str], None] | None):
        self._write = write

    def add(self, record: Mapping[str, Any]) -> None:
        """Write one object on a line, at once.

        Raises:
            BrokenPipeError: nobody reads any longer.
            StoppedError: the disk is full.
        """
        if self._write is None:
            return
        try:
            self._write(json_text(record) + "\n")
        except BrokenPipeError:
            raise
        except OSError as error:
            hint = f"{error.strerror}; finished work is kept.".capitalize()
            raise StoppedError("standard output cannot be written", hint=hint) from error


@contextmanager
def answers(as_json: bool) -> Iterator[Answers]:
    """Keep standard output for results while the block runs; what anything else writes there goes to standard error.

    Python's `print` and what a library writes to file descriptor 1 itself are both led away.
    """
    if not as_json:
        yield Answers(None)
        return
    output = sys.stdout
    output.flush()
    number = _number(output)
    if number is None or _number(sys.stderr) is None:  # a stream in memory, as tests have it

        def write(line: str) -> None:
            output.write(line)
            output.flush()

        sys.stdout = sys.stderr
        try:
            yield Answers(write)
        finally:
            sys.stdout = output
        return
    own = os.dup(number)
    os.dup2(sys.stderr.fileno(), number)
    sys.stdout = sys.stderr
    try:
        yield Answers(lambda line: _write(own, line.encode()))
    finally:
        with suppress(Exception):  # what C has kept back belongs to standard error too
            ctypes.CDLL(None).fflush(None)
        sys.stdout = output
        os.dup2(own, number)
        os.close(own)


def _write(number: int, data: bytes) -> None:
    while data:
        data = data[os.write(number, data) :]


def _number(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None

"""The screen: console and tables; errors to messages and exit codes.

0 all done, 1 some items failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import SigError, StoppedError
from ..names import printable

FAILED, USAGE, INTERRUPTED = 1, 2, 130


_PIPE = 120  # columns


def console() -> Console:
    """Standard error, where everything goes that is not a result."""
    screen = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    if not screen.is_terminal:  # nobody's window is narrow there: tables keep their words whole
        screen.width = max(screen.width, _PIPE)
    return screen


def table(*columns: str, right: Iterable[str] = (), title: str | None = None) -> Table:
    """An empty table as all commands print it.

    Args:
        columns: their headings; the first is never wrapped.
        right: headings of those whose cells stand at the right, as numbers do.
        title: title above it.
    """
    made = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), title=title)
    made.title_style, made.title_justify = "italic", "left"
    for number, heading in enumerate(columns):
        made.add_column(heading, justify="right" if heading in right else "left", no_wrap=number == 0)
    return made


@dataclass(eq=False)
class Guard:
    """What stands when a command is interrupted.

    Args:
        kept: what is kept, in words, with what to do next.
    """

    kept: str


RESUME = "finished work is kept; repeat the command with --resume to continue"


@contextmanager
def guarded(debug: bool, kept: str = RESUME) -> Iterator[Guard]:
    """Turn errors into one or two lines on standard error and an exit code; with `debug` let the traceback through.

    Args:
        debug: show tracebacks.
        kept: what stands after an interruption; a command may change it as it goes.

    Raises:
        typer.Exit: with the code that fits.
    """
    guard = Guard(kept)
    try:
        yield guard
    except KeyboardInterrupt:
        console().print(f"[bold red]interrupted[/]: {guard.kept}.")
        raise typer.Exit(INTERRUPTED) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if debug:
            raise
        raise typer.Exit(_told(error)) from None


def _told(error: Exception) -> int:
    """Say what was raised in one or two lines; returns the exit code."""
    if isinstance(error, SigError):
        first, _, rest = str(error).partition("\n")
        _say(first, rest)
        return FAILED if isinstance(error, StoppedError) else USAGE
    if isinstance(error, OSError):
        _say(*_of_system(error))
        return FAILED
    text = printable(" ".join(str(error).split())[:300])
    _say(
        f"unexpected {type(error).__name__}: {text}",
        "Repeat the command with --debug to see where, and please report it.",
    )
    return FAILED


def _say(first: str, rest: str) -> None:
    screen = console()
    screen.print(Text.assemble(("error", "bold red"), f": {first}"))
    if rest:
        screen.print(rest, markup=False)


def _of_system(error: OSError) -> tuple[str, str]:
    """What the operating system refused, and what that means."""
    if error.errno == errno.EPIPE:
        return "standard output was closed by its reader.", ""
    reason = error.strerror or str(error)
    what = f"{reason} (given: {printable(str(error.filename))})" if error.filename else reason
    return f"{what}.", "Finished work is kept. Repeat the command with --debug to see where."


@contextmanager
def flushed() -> Iterator[None]:
    """What is left of standard output is written before the process ends; where that fails, one sentence says so."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would try, and complain, again
        _say(f"standard output cannot be written: {error.strerror}.", "")
        raise SystemExit(FAILED) from None


def traces(causes: Iterable[BaseException | None], screen: Console) -> None:
    """Tracebacks of what failed, each once."""
    found = ("".join(traceback.format_exception(cause)) for cause in causes if cause is not None)
    for text in dict.fromkeys(found):
        screen.print("\n".join(map(printable, text.rstrip().split("\n"))), markup=False)

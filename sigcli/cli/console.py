"""The screen: console and tables; errors to messages and exit codes.

0 all done, 1 some items failed, 2 wrong usage, 130 interrupted, 141 nobody reads the output any longer (`sig … | head`), 143
ended by SIGTERM, 129 by the end of its terminal.
"""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text, TextType

from ..errors import SigError, StoppedError, reason
from ..names import printable
from .signals import SignalError, heard

FAILED, USAGE, INTERRUPTED, UNREAD = 1, 2, 130, 141
_SHORT = (
    "failed to map segment", "can't start new thread", "can't allocate memory", "cannot allocate memory",
    "not enough memory", "out of memory", "bad_alloc",
)  # fmt: skip
"""What the loader of programs, threads and torch say where there is no memory for them."""

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


def fits(made: Table, screen: Console) -> bool:
    """Whether a table can be shown with all its cells whole; a narrower one would cut off names and digits."""
    wide = screen.options.update(width=10_000)
    return Measurement.get(screen, wide, made).maximum <= screen.width


def parts(made: Table, screen: Console) -> Iterator[Table]:
    """A table as one, or as several below each other where the window is too narrow: the first column stands in each."""
    first, *rest = made.columns
    shown: list[Column] = []
    for column in rest:
        if shown and not fits(_of([first, *shown, column], made.title), screen):
            yield _of([first, *shown], made.title)
            shown = []
        shown.append(column)
    yield _of([first, *shown], made.title)


def _of(columns: Sequence[Column], title: TextType | None) -> Table:
    made = table(*(str(one.header) for one in columns), title=None if title is None else str(title))
    for new, old in zip(made.columns, columns, strict=True):
        new.justify = old.justify
    for row in zip(*(one.cells for one in columns), strict=True):
        made.add_row(*row)
    return made


@dataclass(eq=False)
class Guard:
    """What stands when a command is interrupted.

    Args:
        kept: what is kept, in words, with what to do next; empty for a command that leaves nothing.
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
    with heard() as signal:
        try:
            with _told_of(debug, guard):
                yield guard
        except Exception:  # of a terminal that is gone, perhaps, while the command came to its end
            if signal.number is None:
                raise
        if signal.number is not None:
            _let_go_of_dead_streams()
            raise typer.Exit(signal.code) from None


@contextmanager
def _told_of(debug: bool, guard: Guard) -> Iterator[None]:
    """See `guarded`; all but the exit codes of signals."""
    try:
        yield
    except KeyboardInterrupt as ending:
        what = f"ended by {ending.name}" if isinstance(ending, SignalError) else "interrupted"
        console().print(f"[bold red]{what}[/]{': ' if guard.kept else ''}{guard.kept}.")
        raise typer.Exit(INTERRUPTED) from None
    except (typer.Exit, typer.Abort):
        raise
    except BrokenPipeError as error:
        raise typer.Exit(UNREAD if _unread() else _told(error, guard.kept)) from None
    except SystemExit as ending:
        if not _of_pipe(ending):
            raise
        raise typer.Exit(UNREAD) from None
    except Exception as error:
        if debug:
            raise
        raise typer.Exit(_told(error, guard.kept)) from None


def _told(error: Exception, kept: str) -> int:
    """Say what was raised in one or two lines, and what is kept of the command's work; returns the exit code."""
    if isinstance(error, SigError):
        first, _, rest = str(error).partition("\n")
        _say(first, rest)
        return FAILED if isinstance(error, StoppedError) else USAGE
    if isinstance(error, OSError):
        _say(*_of_system(error, kept))
        return FAILED
    text = printable(" ".join(str(error).split())[:300])
    if isinstance(error, MemoryError) or any(saying in text.lower() for saying in _SHORT):
        stands = f"{kept[:1].upper()}{kept[1:]}." if kept else ""
        _say(f"there is too little memory (given: {type(error).__name__}: {text}).", stands)
        return FAILED
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


def _of_system(error: OSError, kept: str) -> tuple[str, str]:
    """What the operating system refused, and what is kept."""
    refused = reason(error)
    what = f"{refused} (given: {printable(str(error.filename))})" if error.filename else refused
    sentence = f"{kept[:1].upper()}{kept[1:]}. " if kept else ""
    return f"{what}.", f"{sentence}Add --debug to see where."


def _unread() -> bool:
    """Whether the reader of standard output or error is gone, as `head` is after its last line."""
    try:
        poll = select.poll()
        for stream in (sys.stdout, sys.stderr):
            poll.register(stream.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # streams in memory, or a system without poll
        return True


def _of_pipe(ending: SystemExit) -> bool:
    """Whether rich or typer ended the process since nobody reads what it prints."""
    return isinstance(ending.__context__, BrokenPipeError)


@contextmanager
def flushed() -> Iterator[None]:
    """What is left of standard output is written before the process ends; where that fails, one sentence says so.

    Where the reader has gone, as `head` does, the process ends without a word, with the exit code of a closed pipe.
    """
    _open_streams()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _leave(UNREAD)
    except OSError as error:
        _say(f"standard output cannot be written: {error.strerror}.", "")
        _leave(FAILED)
    except SystemExit as ending:
        if _of_pipe(ending) or ending.code == UNREAD:
            _leave(UNREAD)
        raise


def _let_go_of_dead_streams() -> None:
    """What cannot be written any longer goes nowhere: Python would try again at its end, and change the exit code."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _leave(code: int) -> NoReturn:
    """End with an exit code; what Python has kept back of the streams goes nowhere, or it would try, and complain, again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    raise SystemExit(code) from None


def _open_streams() -> None:
    """Streams that were closed before the start (`>&-`): else the next file opened would be taken for one of them.

    Standard output is then open for reading, so what is written to it fails and is told.
    """
    for number, name, mode in ((1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is not None:
            continue
        opened = os.open(os.devnull, mode)
        if opened != number:
            os.dup2(opened, number)
        setattr(sys, name, open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115


def traces(causes: Iterable[BaseException | None], screen: Console) -> None:
    """Tracebacks of what failed, each once."""
    found = ("".join(traceback.format_exception(cause)) for cause in causes if cause is not None)
    for text in dict.fromkeys(found):
        screen.print("\n".join(map(printable, text.rstrip().split("\n"))), markup=False)

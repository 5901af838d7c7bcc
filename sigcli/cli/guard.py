"""Exceptions to messages and exit codes: 0 all done, 1 some items failed, 2 wrong usage, 130 interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from ..errors import SigError

FAILED, USAGE, INTERRUPTED = 1, 2, 130


_PIPE = 120  # columns


def console() -> Console:
    """Standard error, where everything goes that is not a result."""
    screen = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    if not screen.is_terminal:  # nobody's window is narrow there: tables keep their words whole
        screen.width = max(screen.width, _PIPE)
    return screen


@contextmanager
def guarded(debug: bool, kept: str = "go on with the same command and --resume") -> Iterator[None]:
    """Turn errors into one or two lines on standard error and an exit code; with `debug` let the traceback through.

    Args:
        debug: show tracebacks.
        kept: what to do after an interruption.

    Raises:
        typer.Exit: with the code that fits.
    """
    try:
        yield
    except KeyboardInterrupt:
        console().print(f"[bold red]interrupted[/]: finished work is kept; {kept}.")
        raise typer.Exit(INTERRUPTED) from None
    except SigError as error:
        if debug:
            raise
        first, _, rest = str(error).partition("\n")
        console().print(f"[bold red]error[/]: {escape(first)}" + (f"\n{escape(rest)}" if rest else ""))
        raise typer.Exit(USAGE) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split())[:300]
        console().print(
            f"[bold red]error[/]: unexpected {type(error).__name__}: {escape(text)}\n"
            "Repeat the command with --debug to see where, and please report it."
        )
        raise typer.Exit(FAILED) from None

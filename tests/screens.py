"""Commands in windows of any width, a screen whose output is kept, and every command with what click knows of it."""

import io

from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner

from sigcli.cli.answers import Answers
from sigcli.cli.command import Screen
from sigcli.cli.console import Guard
from sigcli.cli.main import app


def sig(*arguments, columns=80):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": str(columns)})


def every_command():
    """Command lines of all commands and groups, with what click knows of them."""
    from typer.core import TyperGroup

    waiting = [((), get_command(app))]
    while waiting:
        words, one = waiting.pop()
        yield words, one
        if isinstance(one, TyperGroup):
            waiting += [((*words, name), one.get_command(None, name)) for name in one.list_commands(None)]


EVERY = dict(every_command())


def screen(*, terminal=False, as_json=False, width=100, show=None):
    stream = io.StringIO()
    made = Console(file=stream, force_terminal=terminal, width=width, highlight=False, soft_wrap=True)
    return Screen(made, Answers(None), Guard(""), False, as_json, show=show), stream

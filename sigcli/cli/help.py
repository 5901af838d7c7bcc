"""`--help`: types that people read, and examples below the options, each command whole on its own line."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ..options import Option

_TYPES = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH", list[str]: "TEXT", bool: ""}
_HEADING = "Examples:"
_SHORT = 20  # columns that choices may take where the type stands
_INDENT = 2


def type_shown(known: Option, kind: Any) -> str:
    """What stands for an option's value in `--help`: its placeholder, its choices where they are short, or its type."""
    choices = "|".join(known.choices)
    return known.metavar or (choices if 0 < len(choices) <= _SHORT else _TYPES[kind])


def divided(text: str | None) -> tuple[str, list[tuple[str, str]]]:
    r"""A docstring without its examples, and these: (command, what it does).

    >>> divided("Do it.\n\nExamples:\n  sig a b     what it does\n\n  sig c")
    ('Do it.', [('sig a b', 'what it does'), ('sig c', '')])
    """
    told, _, below = inspect.cleandoc(text or "").partition(f"\n{_HEADING}\n")
    lines = [line.strip() for line in below.splitlines() if line.strip()]
    pairs = [re.split(r"\s{2,}", line, maxsplit=1) for line in lines]
    paragraphs = (" ".join(part.split()) for part in told.split("\n\n"))
    return "\n\n".join(paragraphs).strip(), [(pair[0], pair[1] if len(pair) > 1 else "") for pair in pairs]


def examples_text(examples: list[tuple[str, str]], width: int) -> str:
    r"""Examples for a window of so many columns; a command too long for it goes on below with a backslash.

    >>> print(examples_text([("sig explain photo.jpg --model resnet50", "a map")], 30).partition(":")[2])
    <BLANKLINE>
      sig explain photo.jpg \
        --model resnet50
            a map
    """
    beside = max((len(command) for command, _ in examples), default=0) + _INDENT + 2
    lines = [_HEADING]
    for command, told in examples:
        rows = list(_folded(command, width - _INDENT))
        if told and all(beside + len(text) <= width for _, text in examples if text):
            rows = [f"{command:<{beside - _INDENT}}{told}"]
        elif told:
            rows += textwrap.wrap(told, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
        lines += [f"{' ' * _INDENT}{row}" for row in rows]
    return "\n".join(lines)


def _folded(command: str, width: int) -> Iterator[str]:
    """The lines of a command, cut before options."""
    line = ""
    for part in re.split(r" (?=--?[a-z])", command):
        if line and len(line) + len(part) + 3 > width:
            yield f"{line} \\"
            line = f"  {part}"
        else:
            line = f"{line} {part}" if line else part
    yield line


def _nothing(*_: Any, **__: Any) -> str:
    return ""


class Helped:
    """What commands and groups have in common: their docstring's examples stand below the options."""

    examples: list[tuple[str, str]]

    def __init__(self, *arguments: Any, **known: Any):
        super().__init__(*arguments, **known)
        self.help, self.examples = divided(self.help)  # type: ignore[attr-defined]

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters; a flag has no type."""
        found = super().get_params(ctx)  # type: ignore[misc]
        for one in found:
            if getattr(one, "is_flag", False) and one.metavar is None:
                one.metavar = ""
            if one.param_type_name == "argument":  # its name says what it is
                one.display_type_rich = _nothing
        return found

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        super().format_help(ctx, formatter)  # type: ignore[misc]
        if self.examples:
            typer.echo(examples_text(self.examples, shutil.get_terminal_size().columns - 1))


class Command(Helped, TyperCommand):
    """A command whose help has examples."""


class Group(Helped, TyperGroup):
    """A group of commands whose help has examples."""

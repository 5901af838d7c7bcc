"""Options that a command does not have: one of a method or metric is told how to be set, one of a command whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .console import guarded
from .graphics import WAYS
from .help import Command

_METHODS = 3  # named in the message at most


class Refusing(Command):
    """A command that says `--set samples=64` where `--samples 64` was typed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        args = _shown(self, args)
        typed = list(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            name = missing(error)
            if name is None or not any("--set" in known.opts for known in self.params):
                raise
            found = _elsewhere(name.lstrip("-").replace("-", "_"), _value(name, typed))
            if found is None:
                found = _of_others(name, ctx.find_root())
            if found is None:
                raise
            with guarded(debug=False):
                raise UsageError("no such option", given=name, hint=found) from None
            raise


def _shown(command: Any, args: Sequence[str]) -> list[str]:
    """The arguments, with auto after a --show that stands alone."""
    if not any("--show" in known.opts for known in command.params):
        return list(args)
    made: list[str] = []
    for text, after in zip(args, [*args, ""][1:], strict=True):
        made += [text, "auto"] if text == "--show" and not _is_way(after) else [text]
    return made


def _is_way(text: str) -> bool:
    """Whether a text is a way of showing, or a misspelt one: then it is refused, and not taken for a picture's name."""
    return text in WAYS or (
        text.isalpha() and bool(get_close_matches(text.casefold(), WAYS, 1)) and not Path(text).exists()
    )


def missing(error: Exception) -> str | None:
    """The option that a command line has and the command has not; None where the error is another one."""
    if type(error).__name__ != "NoSuchOption":  # by name, since typer may bring a click of its own
        return None
    return str(getattr(error, "option_name", ""))


def _value(name: str, typed: Sequence[str]) -> str:
    """What was typed for an option, or a placeholder."""
    for place, text in enumerate(typed):
        if text.startswith(f"{name}="):
            return text.partition("=")[2]
        if text == name and place + 1 < len(typed) and not typed[place + 1].startswith("--"):
            return typed[place + 1]
    return "VALUE"


def _of_others(option: str, root: Any) -> str | None:
    """The commands that have an option; None where none has."""
    group = root.command
    names = group.list_commands(root) if hasattr(group, "list_commands") else []
    having: list[str] = []
    for one in names:
        found = group.get_command(root, one)
        below = found.list_commands(root) if hasattr(found, "list_commands") else []
        every = {one: found} | {f"{one} {part}": found.get_command(root, part) for part in below if part != "scenario"}
        having += [
            f"sig {words}" for words, known in every.items() if any(option in part.opts for part in known.params)
        ]
    return f"It is an option of {', '.join(having)}." if having else None


def _elsewhere(option: str, value: str) -> str | None:
    """How an option of a method or metric is set; None where it is an option of none."""
    from ..methods import METHODS
    from ..metrics import METRICS

    methods = [name for name, entry in METHODS.items() if option in entry.options()]
    if methods:
        more = ", …" if len(methods) > _METHODS else ""
        return f"It is an option of {', '.join(methods[:_METHODS])}{more}: --set {option}={value}."
    metrics = [name for name, entry in METRICS.items() if option in entry.options()]
    if metrics:
        return f"It is an option of the metric {metrics[0]}: --set {metrics[0]}.{option}={value}."
    return None

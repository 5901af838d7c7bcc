"""Options that a command does not have: what is an option of a method or metric is told how to be set."""

from __future__ import annotations

from collections.abc import Sequence
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
        made += [text, "auto"] if text == "--show" and after not in WAYS else [text]
    return made


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

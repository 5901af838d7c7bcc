"""A command as a Python function, typed and documented from the dataclass of its options."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import MISSING
from typing import Any, Generic, ParamSpec, TypeVar, overload

from .errors import UsageError, unknown
from .listener import SILENT, Listener
from .notebook import listener_here
from .options import Options, checked, read_options, renamed, short, table, type_text
from .runs.placed import carried_out

P = ParamSpec("P")
O = TypeVar("O", bound=Options)  # noqa: E741
R = TypeVar("R")


class Door(Generic[P, O, R]):
    """A command as a Python function: `do(options, listener)`, or `do(…)` with the options as arguments.

    Args:
        options: the dataclass of its options.
        function: what it does with them.
    """

    def __init__(self, options: Callable[P, O], function: Callable[[O, Listener], R]):
        self.options, self.function = options, function
        self.__name__, self.__qualname__, self.__module__ = (
            function.__name__,
            function.__qualname__,
            function.__module__,
        )
        self.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\nOptions:\n{described(options)}"  # type: ignore[arg-type]
        self.__signature__ = inspect.signature(options)

    @overload
    def __call__(self, options: O, listener: Listener = SILENT, /) -> R: ...
    @overload
    def __call__(self, *arguments: P.args, **options: P.kwargs) -> R: ...
    def __call__(self, *arguments: Any, **options: Any) -> R:
        """Carry out the command."""
        if arguments and isinstance(arguments[0], Options):
            return carried_out(self.function, *self._together(*arguments, **options))
        listener = options.pop("listener", None) or listener_here()
        known = table(self.options)  # type: ignore[arg-type]
        before, options = options, renamed(self.options, options)  # type: ignore[arg-type]
        for old in before.keys() - options.keys():
            message = f"{self.__name__}({old}=…) is an old name; the next version will drop it"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
        for name in options:
            if name not in known:
                raise unknown(f"option of {self.__name__}", name, known)
        if len(arguments) > 1:
            raise UsageError(f"{self.__name__} takes its options by name", given=short(arguments[1]))
        made: Any = self.options
        return carried_out(self.function, made(*arguments, **read_options(made, options)), listener)

    def _together(self, options: Any, listener: Listener = SILENT, /, **more: Any) -> tuple[O, Listener]:
        """Options and listener, where an options object is given."""
        listener = more.pop("listener", listener)
        kind: Any = self.options
        if more:
            hint = f"Give all in one: options.but({next(iter(more))}=…)."
            raise UsageError(
                f"{self.__name__} takes an options object, or options by name", given=", ".join(more), hint=hint
            )
        if not isinstance(options, kind):
            given, hint = type(options).__name__, f"Turn it into one: options.into({kind.__name__})."
            raise UsageError(f"{self.__name__} takes {kind.__name__}", given=given, hint=hint)
        return checked(options), listener

    def __repr__(self) -> str:
        return f"<function sigcli.{self.__name__}>"


def door(options: Callable[P, O]) -> Callable[[Callable[[O, Listener], R]], Door[P, O, R]]:
    """Make a function of (options, listener) callable with the options as arguments, too."""
    return lambda function: Door(options, function)


def described(options: type[Options]) -> str:
    """The options as a docstring tells them, a line or two for each."""
    lines = []
    for name, (known, one) in table(options).items():
        default = "" if one.default is MISSING or one.default is None else f" (default {one.default!r})"
        lines.append(f"    {name}: {type_text(one.type)}{default}\n        {known.help}")
    return "\n".join(lines)

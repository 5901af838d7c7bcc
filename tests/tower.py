"""Types and shapes of sigcli's functions, checked at every call while the tests run."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError, install_import_hook

_jaxtyped = jaxtyping.jaxtyped
check = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeCheckError))
"""The type checker: an int is accepted where a float is asked for, as in PEP 484."""


def install(packages: list[str]) -> None:
    """Check all functions and data classes of some packages that are imported from now on.

    The import hook is jaxtyping's, its decorator is not: that one binds the arguments of each call and checks them twice,
    which was half the time of the tests, though few functions name a shape. `checked` asks the same of them in less.
    """
    install_import_hook(packages, "tower.check")
    jaxtyping.jaxtyped = lambda *, typechecker: checked


def checked(decorated: Any) -> Any:
    """What the hook writes over each function and class."""
    if inspect.isclass(decorated):
        if dataclasses.is_dataclass(decorated) and "__init__" in vars(decorated):
            decorated.__init__ = checked(decorated.__init__)
        return decorated
    if isinstance(decorated, (classmethod, staticmethod)):
        return type(decorated)(checked(decorated.__func__))
    if isinstance(decorated, property):
        return property(*(part and checked(part) for part in (decorated.fget, decorated.fset, decorated.fdel)))
    return _at_first_call(decorated)


def _at_first_call(function: FunctionType) -> Callable[..., Any]:
    """The function, whose checks are made when it is first called: a file of tests calls few of all."""
    made: list[Callable[..., Any]] = []

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        if not made:
            made.append(_with_checks(function))
        return made[0](*args, **options)

    return call


def _with_checks(function: FunctionType) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(function):  # beartype would draw from it
        return _jaxtyped(function, typechecker=check)
    hints = _hints(function)
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__, copy.__qualname__ = function.__kwdefaults__, function.__qualname__
    copy.__annotations__ = hints
    found = check(copy)
    return _jaxtyped(found, typechecker=None) if any(map(_names_a_shape, hints.values())) else found


def _hints(function: FunctionType) -> dict[str, Any]:
    """Annotations as types; one that cannot be looked up, since only type checkers import it, asks nothing."""
    try:
        return get_type_hints(function, include_extras=True)
    except NameError:
        return {name: _hint(text, function) for name, text in function.__annotations__.items()}


def _hint(text: Any, function: FunctionType) -> Any:
    def one(it: Any) -> None: ...

    one.__annotations__ = {"it": text}
    try:
        return get_type_hints(one, function.__globals__, include_extras=True)["it"]
    except NameError:
        return Any


def _names_a_shape(hint: Any) -> bool:
    return (inspect.isclass(hint) and issubclass(hint, AbstractArray)) or any(map(_names_a_shape, get_args(hint)))

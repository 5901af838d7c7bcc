"""What distinguishes one function of a program from another: a digest of all that it is made of."""

from __future__ import annotations

import dis
import functools
import hashlib
import logging
import re
import sys
import sysconfig
import types
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def source_of(function: Callable[..., Any]) -> str:
    """A digest of what a function is made of, or a text that never comes again where that cannot be told.

    It covers the code, its default arguments, and what the code refers to: cells of closures, globals, arguments of
    `functools.partial`, attributes and classes of instances. Numbers, texts, arrays and tensors count by value, other
    functions of the program by what they are made of, its modules by their files, and installed packages by name. With
    anything else (open files, generators, foreign objects) no two functions are taken for the same, and a run is never
    resumed with it.
    """
    digest = hashlib.blake2b(digest_size=8)
    try:
        for piece in _pieces(function, {}):
            digest.update(len(piece).to_bytes(8, "little") + piece)
    except Exception:  # noqa: BLE001  what is not plain, nests without end, or raises what it likes when looked at
        return f"not identified, {uuid.uuid4().hex}"
    return digest.hexdigest()


class _NotPlainError(Exception):
    """A value that cannot be told from others of its type."""


_Seen = dict[int, tuple[int, Any]]
"""Values by their ids, with their places in the order in which they came; held, since ids of what is gone are used again."""

_SIMPLE = (int, float, complex, str, bytes, type(None), type(...), range, slice, torch.dtype, torch.device, torch.Size,
           np.dtype, np.generic, PurePath, re.Pattern)  # fmt: skip
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")})
_INCIDENTAL = {
    "__dict__", "__weakref__", "__module__", "__doc__", "__annotations__", "__firstlineno__", "__abstractmethods__",
    "__static_attributes__", "_abc_impl", "__dataclass_fields__", "__dataclass_params__", "__parameters__",
    "__orig_bases__", "__annotate_func__", "__annotations_cache__",
}  # fmt: skip
_MADE_OF = {
    types.CodeType: ("co_code", "co_names", "co_varnames", "co_freevars", "co_consts"),
    functools.partial: ("func", "args", "keywords", "__dict__"),
    types.MethodType: ("__func__", "__self__"),
    (staticmethod, classmethod): ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.cached_property: ("func",),
    functools._lru_cache_wrapper: ("__wrapped__",),
    logging.Logger: ("name",),
}


def _pieces(value: Any, seen: _Seen) -> Iterator[bytes]:
    """The bytes that identify a value."""
    yield type(value).__qualname__.encode()
    if _of_library(value, _SIMPLE):
        yield repr(value).encode(errors="surrogatepass")
        return
    if id(value) in seen:  # the class of a method that calls super(), a function that calls itself
        yield str(seen[id(value)][0]).encode()
        return
    seen[id(value)] = (len(seen), value)
    if _of_library(value, (Tensor, np.ndarray)):
        yield from _numbers(value)
    elif type(value) in (list, tuple, dict, OrderedDict):
        for part in value.items() if hasattr(value, "items") else value:
            yield from _pieces(part, seen)
        yield b"end"
    elif type(value) in (set, frozenset):
        yield from sorted(b"".join(_pieces(one, dict(seen))) for one in value)
    else:
        yield from _code_pieces(value, seen)


def _of_library(value: Any, kinds: tuple[type, ...]) -> bool:
    """Whether it is one of these and not of a class that a program derived from them, which may hold more."""
    return isinstance(value, kinds) and _installed(type(value))


def _numbers(value: Tensor | np.ndarray) -> Iterator[bytes]:
    yield f"{value.dtype} {tuple(value.shape)}".encode()
    if isinstance(value, Tensor):  # sparse ones, and those without data, raise here
        value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    if value.dtype.hasobject:
        raise _NotPlainError
    yield value.tobytes()


def _code_pieces(value: Any, seen: _Seen) -> Iterator[bytes]:
    """Those of what can be called, and of instances of a program's own classes."""
    if isinstance(value, types.ModuleType):
        yield value.__name__.encode()
        file = getattr(value, "__file__", None)
        if file is not None and not _installed(value):
            yield Path(file).read_bytes()
    elif isinstance(value, (types.FunctionType, type, types.BuiltinFunctionType, np.ufunc)) and _installed(value):
        yield f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)}".encode()
    elif isinstance(value, types.FunctionType):
        yield from _function_pieces(value, seen)
    elif isinstance(value, type):
        parts = {key: part for key, part in vars(value).items() if key not in _INCIDENTAL}
        yield from _pieces([value.__qualname__, parts, value.__bases__], seen)
    elif _is_open(value):
        yield from _pieces([type(value), vars(value)], seen)
    else:
        for kinds, names in _MADE_OF.items():
            if isinstance(value, kinds):
                yield from _pieces([getattr(value, name) for name in names], seen)
                return
        raise _NotPlainError


def _is_open(value: Any) -> bool:
    """Whether an instance is of a program's own class or a layer of torch's, with all that it holds among its attributes."""
    if isinstance(value, torch.jit.ScriptModule) or not hasattr(value, "__dict__"):
        return False
    kinds = [kind for kind in type(value).__mro__ if kind.__module__ not in ("abc", "typing", "collections.abc")]
    own = [kind for kind in kinds if not _installed(kind)]
    others = set(kinds) - set(own) - {object}
    held = any("__slots__" in vars(kind) and vars(kind)["__slots__"] for kind in own)
    return not held and all(issubclass(kind, nn.Module) for kind in others) and bool(own or others)


def _function_pieces(function: types.FunctionType, seen: _Seen) -> Iterator[bytes]:
    cells = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # not filled yet
            cells.append(cell.cell_contents)
    names = sorted(_globals(function.__code__))
    around = {name: function.__globals__[name] for name in names if name in function.__globals__}
    yield from _pieces([function.__code__, function.__defaults__, function.__kwdefaults__, cells, around], seen)


def _globals(code: types.CodeType) -> set[str]:
    """The names that code looks up outside itself, that of functions within it too."""
    found = {str(one.argval) for one in dis.get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return found.union(*(_globals(one) for one in code.co_consts if isinstance(one, types.CodeType)))


def _installed(value: Any) -> bool:
    """Whether a function or class is of a package that was installed (or of this one), and not of the program."""
    name = value.__name__ if isinstance(value, types.ModuleType) else str(getattr(value, "__module__", "") or "")
    root, file = name.partition(".")[0], getattr(sys.modules.get(name), "__file__", None)
    if root in ("sigcli", *sys.stdlib_module_names, "builtins") and name != "__main__":
        return True
    return file is not None and file.startswith(_INSTALLED) and name != "__main__"

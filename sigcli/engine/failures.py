"""Errors of other people's code, contained to one item and reported in one line with their source.

A network may raise anything, for one image or for all. What fails is named and the rest goes on; interruptions pass through.
"""

from __future__ import annotations

import inspect
import os
import sysconfig
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from ..errors import AttributionError, SigError, StoppedError
from ..names import printable
from .memory import MemoryShortage, is_device_lost, is_out_of_memory

T = TypeVar("T")
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LONGEST = 300
_OF_MODELS = ("models", "scores")  # rooms that do nothing but call a model
_LIBRARIES = {"torch", "captum", "numpy", "torchvision"}
_PACKAGES = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
_STANDARD = sysconfig.get_path("stdlib")


def attempted(call: Callable[[], T]) -> T | SigError:
    """What a call gives, or what it raises, contained."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001  a network may raise anything
        return contained(error)


def contained(error: Exception) -> SigError:
    """An error as the failure of one item: our own as they are, foreign ones with their type and where they came from.

    The frames of its traceback let go of what they held (images, gradients), since many failures may be kept; the traceback
    itself stays, for --debug.

    Raises:
        StoppedError: the device is lost, so nothing more can be computed.
    """
    if is_device_lost(error):
        hint = "Finished work is kept: repeat the command with --resume. Where it fails again, --device cpu tells more."
        raise StoppedError("the GPU failed and cannot be used any longer", given=_line(error), hint=hint) from error
    _release(error)
    if isinstance(error, SigError):
        return error
    if is_out_of_memory(error):
        found: SigError = MemoryShortage(
            f"the device has too little memory: {_line(error)}",
            hint="Use --device cpu, --precision bf16 or a smaller --resize/--crop.",
        )
    else:
        found = AttributionError(f"{_source(error)} raised {_line(error)}")
    found.__cause__ = error
    return found


def _line(error: Exception) -> str:
    text = printable(" ".join(str(error).split()))
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return f"{type(error).__name__}: {text.rstrip('.')}" if text else type(error).__name__


def _source(error: Exception) -> str:
    """The model, or the method with the line of ours that it stopped at: there it may be a fault of our own."""
    called = False
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        inside = os.path.relpath(file, _HERE) if file.startswith(_HERE + os.sep) else None
        if inside is not None:
            if called or inside.split(os.sep)[0] in _OF_MODELS:
                return "the model"
            return f"the method (sigcli/{inside.replace(os.sep, '/')}, line {line})"
        called = called or name == "_call_impl" or not _library(file)
    return "the model"


def _library(file: str) -> bool:
    """Whether a file is of a library that we call ourselves, and not of someone's network."""
    for folder in _PACKAGES:
        if file.startswith(folder + os.sep):
            return file[len(folder) + 1 :].split(os.sep, maxsplit=1)[0] in _LIBRARIES
    return file.startswith("<") or file.startswith(_STANDARD + os.sep)


def _release(error: BaseException | None) -> None:
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_flags & inspect.CO_GENERATOR:
                continue  # one that waits to go on would be closed
            with suppress(RuntimeError):  # it still runs
                frame.clear()
        error = error.__cause__ or error.__context__

"""Networks of the user's own: what a function of theirs returns, or what a program gives."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError, unknown
from sigcli.user_modules import import_from_here

from ..checks import one_line
from ..model import Source
from .torchvision import seeded
from .weights import hash_file, hash_state, load_into, read_state_dict

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*$")


class Function(nn.Module):
    """A plain function of images as a module."""

    def __init__(self, function: Callable[[Tensor], Any]):
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Any:
        """(N, C, H, W) → whatever the function returns."""
        return self.function(images)


def matches(spec: str) -> bool:
    """Whether it has the form of a function's name."""
    return _NAME.match(spec) is not None


def load(spec: str, weights: str | None, device: torch.device) -> Source:  # noqa: ARG001  one signature for all
    """Call the user's function and take the module that it returns.

    Args:
        spec: `package.module:function`; the working directory is importable.
        weights: None for what the function loads itself, or a file to fill the module from.
        device: where it will run.

    Raises:
        ModelError: the module or function is not there, it fails, or it returns neither a module nor a function.
    """
    module_name, _, attribute = spec.partition(":")
    module = _called(spec, _imported(spec, module_name), attribute)
    notes: tuple[str, ...] = ()
    if weights is not None:
        load_into(module, read_state_dict(weights), weights, spec)
    elif not module.state_dict():
        notes = (f"{spec} returns no torch module with weights: they cannot be fingerprinted for the manifest",)
    return Source(
        module,
        kind="factory",
        weights=weights or "from the function",
        weights_hash=hash_file(weights) if weights else hash_state(module.state_dict()),
        notes=notes,
    )


def given_network(network: nn.Module, weights: str | None) -> Source:
    """A network that a program gives: a copy of it, since what follows freezes it and folds its layers.

    Args:
        network: as it is; it is not changed.
        weights: None for its own, or a file to fill the copy from.
    """
    own = copy.deepcopy(network)
    if weights is not None:
        load_into(own, read_state_dict(weights), weights, type(network).__name__)
    digest = hash_file(weights) if weights else hash_state(own.state_dict())
    return Source(own, kind="module", weights=weights or "of the given network", weights_hash=digest)


def _imported(spec: str, module_name: str) -> ModuleType:
    here = os.getcwd()
    try:
        return import_from_here(module_name)
    except ModuleNotFoundError as error:
        missing = f"no module named '{error.name}'"
        hint = f"Run sig in the folder that holds it (now {here}), or install it."
        raise ModelError(f"the model's module cannot be imported: {missing}", given=spec, hint=hint) from error
    except Exception as error:  # the user's code raises what it likes
        what = f"importing {module_name} failed: {type(error).__name__}: {one_line(error)}"
        raise ModelError(what, given=spec, hint=f'See it alone: python -c "import {module_name}".') from error


def _called(spec: str, module: ModuleType, attribute: str) -> nn.Module:
    if not hasattr(module, attribute):
        public = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise unknown(f"function of {module.__name__}", attribute, public, ModelError)
    made = getattr(module, attribute)
    if not isinstance(made, nn.Module):
        if not callable(made):
            raise ModelError("not a function that returns a torch.nn.Module", given=spec, hint="Name a function.")
        try:
            with seeded():
                made = made()
        except Exception as error:  # the user's code raises what it likes
            what = f"{spec} failed: {type(error).__name__}: {one_line(error)}"
            raise ModelError(what, hint="It is called without arguments and must return a torch.nn.Module.") from error
    if isinstance(made, nn.Module):
        return made
    if callable(made):
        return Function(made)
    given = f"{spec} returned a {type(made).__name__}"
    raise ModelError("the function must return a torch.nn.Module", given=given, hint="Return the network itself.")

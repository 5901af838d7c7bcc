"""Networks of the user's own: what a function of theirs returns, or what a program gives."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sigcli.errors import ModelError, unknown
from sigcli.methods.given import copied
from sigcli.user_modules import import_from_here

from ..checks import one_line
from ..model import Source
from .matching import choose, load_into
from .torchvision import advice, seeded
from .weights import hash_network, hash_state, read_checkpoint

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
_INCIDENTAL = re.compile(r"___torch_mangle_\d+\.|0x[0-9a-f]+")
"""Numbers in texts of modules that differ from process to process."""


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
        notes = fill(module, weights, spec)
    elif not module.state_dict():
        notes = (f"{spec} returns no torch module with weights: they cannot be fingerprinted for the manifest",)
    return Source(
        module,
        kind="factory",
        weights=weights or "from the function",
        weights_hash=hash_network(module) if weights else hash_state(module.state_dict()),
        notes=notes,
        embeds=embeds(module),
    )


def fill(module: nn.Module, weights: str, name: str) -> tuple[str, ...]:
    """Fill a network from a file of weights; the notes say what was left out or taken instead of something else.

    Raises:
        ModelError: the file does not hold this network's weights.
    """
    file = read_checkpoint(weights)
    chosen = choose(file, module, name, advise=advice)
    load_into(module, chosen.state, file.path, name)
    return chosen.notes


def given_network(network: nn.Module, weights: str | None) -> Source:
    """A network that a program gives: a copy of it, since what follows freezes it and folds its layers.

    Args:
        network: as it is; it is not changed.
        weights: None for its own, or a file to fill the copy from.

    Returns:
        the copy, with a hash of its weights and of its layers as far as they show in its text: layers without weights
        (ReLU, Tanh) distinguish networks too.

    Raises:
        ModelError: it has no weights yet, or it cannot be copied or fingerprinted.
    """
    name = type(network).__name__
    _check_filled(network, name)
    try:
        own = copied(network)
    except Exception as error:  # foreign modules fail to be copied in ways of their own
        reason, hint = _uncopied(error)
        raise ModelError(f"the network cannot be copied: {reason}", given=name, hint=hint) from error
    notes = () if weights is None else fill(own, weights, name)
    try:
        digest = _with_layers(hash_network(own) if weights else hash_state(own.state_dict()), own)
    except Exception as error:  # as above; sparse and foreign tensors have no bytes
        hint = "Give a network of ordinary (dense) tensors that can be printed."
        raise ModelError(f"the network cannot be fingerprinted: {one_line(error)}", given=name, hint=hint) from error
    told = weights or "of the given network"
    return Source(own, kind="module", weights=told, weights_hash=digest, notes=notes, embeds=embeds(own))


def embeds(network: nn.Module) -> bool:
    """Whether a network says that it has no classes, as timm's do without a classifier."""
    count = getattr(network, "num_classes", None)
    return isinstance(count, int) and count == 0


def _check_filled(network: nn.Module, name: str) -> None:
    tensors = [*network.parameters(), *network.buffers()]
    if any(is_lazy(one) for one in tensors):
        hint = "Pass one batch of images through it before you give it."
        raise ModelError("the network has lazy layers that have not seen an input yet", given=name, hint=hint)
    if any(one.is_meta for one in tensors):
        hint = "Make it on a real device, or fill it: load_state_dict(weights, assign=True)."
        raise ModelError("the network is on the meta device and has no weights", given=name, hint=hint)


def _uncopied(error: Exception) -> tuple[str, str]:
    """Why a network cannot be copied, and what to do about it."""
    if "deepcopy protocol" not in str(error):
        return one_line(error), "Leave out of it what copy.deepcopy cannot copy (locks, open files, generators)."
    hint = "detach() it; for torch.nn.utils.weight_norm use torch.nn.utils.parametrizations.weight_norm instead."
    return "a tensor among its attributes is the result of a computation", hint


def _with_layers(digest: str, network: nn.Module) -> str:
    """A digest of weights and of the network's text, and of the code of scripted parts, which their text does not show."""
    texts = [repr(network)]
    states: dict[str, Any] = {}
    for name, part in network.named_modules():
        if isinstance(part, torch.jit.ScriptModule) and part._c._has_method("forward"):
            code, constants = part.code_with_constants
            texts.append(code)
            states.update({f"{name} {key}": value for key, value in constants.const_mapping.items()})
    plain = _INCIDENTAL.sub("", "\n".join(texts))
    whole = "\n".join((digest, hash_state(states), plain))
    return hashlib.blake2b(whole.encode(errors="surrogatepass"), digest_size=32).hexdigest()


def _imported(spec: str, module_name: str) -> ModuleType:
    here = os.getcwd()
    try:
        return import_from_here(module_name)
    except ModuleNotFoundError as error:
        missing = f"no module named '{error.name}'"
        hint = f"Run sig in the folder that holds it (now {here}), or install it."
        raise ModelError(f"the model's module cannot be imported: {missing}", given=spec, hint=hint) from error
    except (Exception, SystemExit) as error:  # the user's code raises what it likes
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
        except (Exception, SystemExit) as error:  # the user's code raises what it likes
            what = f"{spec} failed: {type(error).__name__}: {one_line(error)}"
            raise ModelError(what, hint="It is called without arguments and must return a torch.nn.Module.") from error
    if isinstance(made, nn.Module):
        return made
    if callable(made):
        return Function(made)
    given = f"{spec} returned a {type(made).__name__}"
    raise ModelError("the function must return a torch.nn.Module", given=given, hint="Return the network itself.")

"""A function of a program as a method: `(model, inputs, targets) -> attributions`, as Quantus and captum users have one."""

from __future__ import annotations

import copy
import inspect
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..catalog import Entry
from ..engine.memory import is_out_of_memory
from ..engine.passes import Passes
from ..errors import AttributionError, SigError
from ..types import Attribution, Subject
from .folded import unfolded
from .identity import source_of

Function = Callable[[nn.Module, Tensor, Tensor], Any]
PROPERTIES = {
    "kind": "direct", "needs": "forward", "complete": False, "multiplied": True, "unit": "the function's own unit",
    "axioms": (), "cost": "its own", "arrays": False, "sampled": False,
}  # fmt: skip


@dataclass(frozen=True)
class GivenMethod(Entry):
    """A catalogue entry of a function that a program gave.

    Args:
        function: (model, (1, C, H, W) input, (1,) target) → attributions, an array or tensor (1, C, H, W), (1, 1, H, W) or
            (1, H, W), with or without the first axis. Every call gets a copy of the network of its own, so that nothing
            the function leaves in it (hooks, modes, other weights) reaches another result.

    Attributes:
        source: what distinguishes runs with this function from those with another, see `source_of`. It is taken when the
            method is made, since a call may change what the function refers to.
    """

    function: Function = field(kw_only=True)
    source: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", source_of(self.function))

    def load(self) -> Callable[..., Any]:
        """The function as a direct method."""

        def explain(passes: Passes, subject: Subject) -> Attribution:
            score = passes.score(subject)
            # The caller may have turned gradients off, which is no wish of the function's.
            with torch.inference_mode(False), torch.enable_grad(), _own(unfolded(passes.module), self.name) as network:
                targets = torch.full((1,), subject.target, device=subject.x.device)
                with _counting(network, passes):
                    found = self._called(network, subject.x[None].clone(), targets)
            values = _values(found, subject, self.name)
            if np.isfinite(score) and not bool(torch.isfinite(values).all()):
                raise AttributionError(f"the function {self.name} gave NaN or infinity")
            return Attribution(values, score, passes.evaluations)

        return explain

    def options(self) -> dict[str, inspect.Parameter]:
        """None: its options are its own."""
        return {}

    def _called(self, network: nn.Module, inputs: Tensor, targets: Tensor) -> Any:
        try:
            return self.function(network, inputs, targets)
        except Exception as error:
            if isinstance(error, SigError) or is_out_of_memory(error):  # not the function's fault
                raise
            text = " ".join(str(error).split()).rstrip(".")
            text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
            told = f"{type(error).__name__}: {text}" if text else type(error).__name__
            raise AttributionError(f"the function {self.name} raised {told}") from error


_LONGEST = 300


def given_method(name: str, function: Function) -> GivenMethod:
    """A function under a name; what it is made of distinguishes runs of its other versions."""
    where = f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', type(function).__name__)}"
    return GivenMethod(name, where, "a function of the program", PROPERTIES, function=function)


# The network that a function gets.


def copied(network: nn.Module) -> nn.Module:
    """A copy that shares nothing with a network.

    Scripted parts are saved and loaded again, since their deep copies have parameters that cannot be frozen; parts wrapped
    by `torch.compile` are copied without it. Raises what the network's parts raise where they cannot be copied.
    """
    network = _uncompiled(network)
    special = dict(_special(network))
    return copy.deepcopy(network, special)


def _uncompiled(network: nn.Module) -> nn.Module:
    # By name: importing the class takes seconds.
    return network._orig_mod if type(network).__name__ == "OptimizedModule" else network  # type: ignore[return-value]


def _special(part: nn.Module) -> Iterator[tuple[int, nn.Module]]:
    """The parts that are not copied as others are: id → copy."""
    if _uncompiled(part) is not part:
        yield id(part), copied(part)
    elif isinstance(part, torch.jit.ScriptModule):
        with warnings.catch_warnings(), io.BytesIO() as buffer:
            warnings.filterwarnings("ignore", message=".*torch.jit.* is deprecated")
            torch.jit.save(part, buffer)
            buffer.seek(0)
            yield id(part), torch.jit.load(buffer)
    else:
        for child in part.children():
            yield from _special(child)


@contextmanager
def _own(network: nn.Module, name: str) -> Iterator[nn.Module]:
    """A copy for one call; where there can be none, the network itself, restored afterwards.

    Raises:
        AttributionError: the network itself was changed.
    """
    try:
        own = copied(network)
    except Exception:  # noqa: BLE001  foreign modules may not be copied, and say so as they like
        own = network
    shared = {id(part) for part in (*network.modules(), *network.parameters(), *network.buffers())}
    if not any(id(part) in shared for part in (*own.modules(), *own.parameters(), *own.buffers())):
        yield own
        return
    state = _State(network)
    try:
        yield network
    finally:
        changed = state.restore()
    if changed:
        hint = "Let it put back what it changes: it cannot have a copy, since the network cannot be copied."
        raise AttributionError(f"the function {name} changed the network ({', '.join(changed)})", hint=hint)


_PARTS = {
    "_modules": "layers", "_parameters": "parameters", "_buffers": "buffers", "_forward_hooks": "hooks",
    "_forward_pre_hooks": "hooks", "_backward_hooks": "hooks", "_backward_pre_hooks": "hooks",
}  # fmt: skip


class _State:
    """What a function may leave changed in a network: parts, hooks, modes, gradients' flags and values."""

    def __init__(self, network: nn.Module):
        self._modules = [
            (part, part.training, {key: dict(vars(part).get(key) or {}) for key in _PARTS})
            for part in network.modules()
        ]
        tensors = (*network.parameters(), *network.buffers())
        self._tensors = [(one, one.requires_grad, one.detach().clone()) for one in tensors]

    def restore(self) -> list[str]:
        """Put back what changed, and name it."""
        changed: dict[str, None] = {}
        for part, training, kept in self._modules:
            if part.training != training:
                changed["mode"] = None
                part.training = training
            for key, what in _PARTS.items():
                now = vars(part).get(key) or {}
                if list(now) != list(kept[key]) or any(now[one] is not kept[key][one] for one in now):
                    changed[what] = None
                    now.clear()
                    now.update(kept[key])
        for tensor, wanted, values in self._tensors:
            if tensor.requires_grad != wanted:
                changed["requires_grad"] = None
                tensor.requires_grad_(wanted)
            if not _same(tensor.detach(), values):  # the version would not tell of changes through .data
                changed["weights"] = None
                tensor.data = values
        return list(changed)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())  # noqa: PLR0124


@contextmanager
def _counting(network: nn.Module, passes: Passes) -> Iterator[None]:
    """Count the images that go through the network while the block runs."""

    def count(_: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        given = [one for one in (*inputs, *named.values()) if isinstance(one, (Tensor, np.ndarray)) and one.ndim]
        backward = any(isinstance(one, Tensor) and one.requires_grad for one in given)
        passes.spent(len(given[0]) if given else 1, backward=backward)

    # By the class: scripted networks refuse it by name, but call such hooks as others do.
    handle = nn.Module.register_forward_pre_hook(network, count, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


# What a function returns.


def _values(found: Any, subject: Subject, name: str) -> Tensor:
    """(C, H, W) or (1, H, W) of whatever the function returned, in memory of its own."""
    channels, height, width = subject.x.shape
    values = _tensor(found, name)
    for shape in ((channels, height, width), (1, height, width)):
        fits = {shape, (1, *shape)} | ({(height, width)} if shape[0] == 1 else set())
        if tuple(values.shape) in fits:
            return values.reshape(shape).to(subject.x.device)
    allowed = f"(1, {channels}, {height}, {width}), (1, 1, {height}, {width}) or (1, {height}, {width})"
    raise AttributionError(
        f"the attributions of the function {name} do not fit the image", given=tuple(values.shape), allowed=allowed
    )


def _tensor(found: Any, name: str) -> Tensor:
    """A new float32 tensor of a tensor, an array or nested lists of numbers."""
    if not isinstance(found, (Tensor, np.ndarray, list)):
        raise AttributionError(f"the function {name} returned no attributions", given=f"a {type(found).__name__}")
    try:
        if isinstance(found, Tensor):
            if not found.is_complex():
                dense = found.detach() if found.layout is torch.strided else found.detach().to_dense()
                return dense.to(torch.float32, copy=True)
        else:
            array = np.asarray(found)
            if array.dtype.kind not in "fiubc":
                raise TypeError(f"{array.dtype} are no numbers")
            if array.dtype.kind != "c":
                with np.errstate(over="ignore", invalid="ignore"):  # infinity is told of afterwards
                    return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
    except (TypeError, ValueError, RuntimeError) as error:
        what = f"the function {name} returned no attributions that can be read"
        reason = " ".join(str(error).split())[:_LONGEST]
        raise AttributionError(what, given=f"a {type(found).__name__}", hint=f"It says: {reason}") from error
    raise AttributionError(f"the function {name} returned complex numbers", allowed="real attributions")

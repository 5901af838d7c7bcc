"""Access to module layers: which networks allow it, what is kept of them, and copies without in-place layers."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn

from ..errors import MisfitError

_Made = TypeVar("_Made")
_KEPT: weakref.WeakKeyDictionary[nn.Module, dict[str, tuple[Any, Any]]] = weakref.WeakKeyDictionary()


def kept(module: nn.Module, name: str, make: Callable[[], _Made]) -> _Made:
    """Make something of a network once, and again only when its weights have changed; forgotten with the network."""
    state = tuple((id(t), t._version) for t in (*module.parameters(), *module.buffers()))
    found = _KEPT.setdefault(module, {})
    if name not in found or found[name][0] != state:
        found[name] = state, make()
    return found[name][1]


def check_layers(module: nn.Module) -> None:
    """Raise MisfitError for a program without accessible layers: TorchScript, or an exported one."""
    for part in module.modules():
        script = isinstance(part, torch.jit.ScriptModule)
        if script or (isinstance(part, fx.GraphModule) and _is_exported(part)):
            raise MisfitError(
                f"{'a TorchScript' if script else 'an exported'} program has no layers to hook into",
                hint=f"Methods that work with it: {', '.join(without_hooks())}.",
            )


def _is_exported(program: fx.GraphModule) -> bool:
    """Whether a graph calls operators where a traced network calls its layers."""
    return any(isinstance(node.target, torch._ops.OpOverload) for node in program.graph.nodes)


def without_hooks() -> list[str]:
    """The methods that need neither module layers nor a special kind of network."""
    from . import METHODS

    own = {name: entry.properties for name, entry in METHODS.items() if entry.properties["needs"] != "hooks"}
    return [name for name, properties in own.items() if not properties.get("only") and not properties.get("certainty")]


def out_of_place(module: nn.Module) -> nn.Module:
    """A fresh copy without in-place layers, for tracing.

    A network may count on what its layers overwrite, as a shortcut read after an in-place ReLU does: the copy then computes
    something else. Compare it (`checked_copy`), or what is made of it.
    """
    try:
        made = copy.deepcopy(module)
    except Exception as error:  # foreign modules may not be copied
        raise MisfitError(f"the network cannot be copied: {error}") from error
    for part in made.modules():
        if getattr(part, "inplace", False) is True:
            part.inplace = False  # type: ignore[assignment]
    return made.requires_grad_(False).eval()


def checked_copy(module: nn.Module, x: Tensor) -> nn.Module:
    """A copy without in-place layers, made once per network, that gives the network's outputs and gradients on an image.

    Args:
        module: (N, C, H, W) → (N, classes).
        x: (C, H, W).

    Raises:
        MisfitError: a program without layers, one that cannot be copied, or one that counts on in-place layers.
    """
    check_layers(module)
    copied = kept(module, "copy", lambda: out_of_place(module))
    if not same_function(module, copied, x):
        raise MisfitError(
            "the network gives other results without its in-place layers: it reads a tensor that a layer overwrote",
            hint="Methods that leave the network as it is work: gradcam, ig, sig, rise, …",
        )
    return copied


def same_function(one: nn.Module, other: nn.Module, x: Tensor, tolerance: float = 1e-4) -> bool:
    """Whether two networks have the same outputs, and the same gradient of a random sum of them, on an image (C, H, W).

    Both to `tolerance` of their largest entry.
    """

    def asked(module: nn.Module) -> tuple[Tensor, Tensor]:
        leaf = x[None].detach().clone().requires_grad_()
        with torch.enable_grad():
            outputs = module(leaf.clone())
            weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(0)).to(outputs)
            (gradient,) = torch.autograd.grad((outputs * weights).sum(), leaf)
        return outputs.detach(), gradient

    pairs = zip(asked(one), asked(other), strict=True)
    return all(float((a - b).abs().max()) <= tolerance * float(a.abs().max()) for a, b in pairs)

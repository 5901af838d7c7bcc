"""Networks as captum's rules need them: every activation a layer of its own that is used once and works out of place.

The network's forward code is traced (torch.fx). Functions such as `relu` and `+` become layers, layers that are used several
times are copied for each use, and what does nothing in evaluation mode (dropout, identity) goes. The outputs are compared.
"""

from __future__ import annotations

import copy
import inspect
import operator
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from ..errors import AttributionError
from .modules import check_layers, kept, out_of_place

Capped = Literal["clamp", "relus"]
STRUCTURE = frozenset(
    [
        *("flatten", "cat", "reshape", "view", "permute", "transpose", "squeeze", "unsqueeze", "contiguous", "expand"),
        *("ones_like", "size", "shape", "getattr", "getitem", "dim", "eq", "floordiv", "_assert"),
    ]
)
"""Functions that only move values, or make constants: any rule passes through them unchanged."""
_TOLERANCE = 1e-5


class Clamped(nn.Module):
    """ReLU6 as a ReLU and a ceiling, so that a rule for ReLU finds one."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """min(max(x, 0), 6)."""
        return self.relu(x).clamp(max=6)


class TwoRelus(nn.Module):
    """ReLU6 as ReLU(x) - ReLU(ReLU(x) - 6): two ReLUs, each with its rule."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """min(max(x, 0), 6)."""
        first = self.first(x)
        return first - self.second(first - 6)


def rewritten(module: nn.Module, x: Tensor, *, capped: Capped = "clamp", additions: bool = False) -> fx.GraphModule:
    """The network in layers that are used once; made once per network.

    Args:
        module: (N, C, H, W) → (N, classes).
        x: (C, H, W) an image to compare outputs on.
        capped: how ReLU6 is written.
        additions: make sums of two branches layers as well (for LRP).

    Raises:
        AttributionError: a program without layers, or code that cannot be traced.
    """
    check_layers(module)
    return kept(module, f"rewritten {capped} {additions}", lambda: _checked(module, x, capped, additions))


def _checked(module: nn.Module, x: Tensor, capped: Capped, additions: bool) -> fx.GraphModule:
    # What the network takes beside the image keeps its default: a stand-in for it would take the other branch.
    extra = list(inspect.signature(module.forward).parameters.values())[1:]
    fixed = {p.name: p.default for p in extra if p.default is not inspect.Parameter.empty}
    try:
        traced = fx.symbolic_trace(out_of_place(module), fixed or None)
    except AttributionError:
        raise
    except Exception as error:  # tracing runs foreign code with stand-ins for tensors, which fails in many ways
        raise AttributionError(
            f"the network's code cannot be traced, so that its activations cannot be told apart: {_line(error)}"
        ) from error
    seen: set[str] = set()
    for node in list(traced.graph.nodes):
        if node.op == "call_function" and called(node) == "_assert_is_none":  # checks a default, and computes nothing
            traced.graph.erase_node(node)
            continue
        _rewrite(traced, node, seen, capped, additions)
    traced.delete_all_unused_submodules()
    traced.graph.lint()
    traced.recompile()
    with torch.no_grad():
        expected, found = module(x[None]), traced(x[None], *fixed.values())
    if not torch.allclose(expected, found, rtol=_TOLERANCE, atol=_TOLERANCE * float(expected.abs().max())):
        raise AttributionError("the network does something else when its code is traced")
    return traced.eval().requires_grad_(False)


def _rewrite(traced: fx.GraphModule, node: fx.Node, seen: set[str], capped: Capped, additions: bool) -> None:
    name = called(node)
    if node.op == "call_module":
        part = traced.get_submodule(str(node.target))
        if isinstance(part, (nn.Identity, nn.Dropout, nn.Dropout2d)):
            _drop(node)
        elif isinstance(part, nn.ReLU6):
            _replace(traced, node, Clamped() if capped == "clamp" else TwoRelus(), node.args[:1])
        elif node.target in seen:
            _replace(traced, node, copy.deepcopy(part), node.args)
        else:
            seen.add(str(node.target))
    elif node.op in ("call_function", "call_method"):
        made = None if node.kwargs.get("out") is not None else _layer(name, node, additions)
        if name in ("stochastic_depth", "dropout"):
            _drop(node)
        elif made is not None:
            _replace(traced, node, made, node.args[:2] if name in _SUMS else node.args[:1])


_SUMS = ("add", "iadd", "add_")


def _layer(name: str, node: fx.Node, additions: bool) -> nn.Module | None:
    if name in ("relu", "relu_"):
        return nn.ReLU()
    if name == "adaptive_avg_pool2d":
        return nn.AdaptiveAvgPool2d(*node.args[1:], **node.kwargs)  # type: ignore[arg-type]
    if name == "max_pool2d":
        options = {key: value for key, value in node.kwargs.items() if key != "return_indices"}
        return nn.MaxPool2d(*node.args[1:], **options)  # type: ignore[arg-type]
    if additions and name in _SUMS and all(isinstance(arg, fx.Node) for arg in node.args[:2]):
        from captum.attr._utils.custom_modules import Addition_Module

        return Addition_Module()
    return None


def called(node: fx.Node) -> str:
    """The name of what a node calls: of a function, a method, or a layer's class is for the caller to look up."""
    if node.op == "call_method":
        return str(node.target)
    if node.target in (operator.add, operator.iadd):
        return "add"
    return str(getattr(node.target, "__name__", node.target)).removeprefix("boolean_dispatch").strip() or "max_pool2d"


def _replace(traced: fx.GraphModule, node: fx.Node, layer: nn.Module, args: tuple[Any, ...]) -> None:
    name = f"written_{node.name}"
    traced.add_submodule(name, layer)
    with traced.graph.inserting_after(node):
        new = traced.graph.call_module(name, args)
    node.replace_all_uses_with(new)
    traced.graph.erase_node(node)


def _drop(node: fx.Node) -> None:
    node.replace_all_uses_with(node.args[0])  # type: ignore[arg-type]
    node.graph.erase_node(node)


def check_rules(
    traced: fx.GraphModule, method: str, kinds: Collection[type[nn.Module]], functions: Collection[str]
) -> None:
    """Raise AttributionError for layers and functions that a method has no rule for, naming them.

    Args:
        traced: from `rewritten`.
        method: its name, for the message.
        kinds: classes of layers that have one.
        functions: names of functions that need none, besides `STRUCTURE`.
    """
    foreign: list[str] = []
    for node in traced.graph.nodes:
        if node.op == "call_module":
            parts = [p for p in traced.get_submodule(str(node.target)).modules() if not list(p.children())]
            foreign += [type(p).__name__ for p in parts if type(p) not in kinds]
        elif node.op in ("call_function", "call_method") and called(node) not in (*STRUCTURE, *functions):
            foreign.append(called(node))
    if foreign:
        raise AttributionError(f"{method} has no rule for {', '.join(dict.fromkeys(foreign))}")


@contextmanager
def captum_at_work(method: str) -> Iterator[None]:
    """Captum's warnings about its hooks are not shown, and what it cannot do becomes an AttributionError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (torch.OutOfMemoryError, AttributionError):
            raise
        except (RuntimeError, ValueError, AssertionError, TypeError, LookupError, AttributeError) as error:
            raise AttributionError(f"{method} cannot explain this network: {_line(error)}") from error


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."

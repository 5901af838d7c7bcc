"""Making a network fast for many gradient evaluations without changing its numbers."""

from __future__ import annotations

import contextlib
import copy
from collections import Counter

import torch
from torch import Tensor, fx, nn

from ..methods.folded import fold

_TOLERANCE = 1e-5


def prepare(module: nn.Module, sample: Tensor) -> nn.Module:
    """Freeze a network and rearrange it for speed, where its outputs stay the same.

    Evaluation mode, no gradients for parameters, batch norms folded into the convolutions before them, and weights in
    channels-last order. Each rearrangement is kept only if the outputs on `sample` agree with those before to 1e-5 of
    the largest, and a gradient pass works. Module names and the forward code stay, so hooks on layers find them; a
    folded batch norm becomes an identity, and `sigcli.methods.folded.unfolded` gives the layers back as they were.

    Args:
        module: (N, C, H, W) → (N, classes). It is frozen in place; the rearranged copy shares nothing with it.
        sample: (N, C, H, W) images to compare on.

    Returns:
        the network to use.
    """
    freeze(module)
    with torch.no_grad():
        expected = module(sample)
    folded = fold_batch_norm(module)
    for candidate in (channels_last(folded or module), folded, channels_last(module) if folded else None):
        if candidate is not None and _agrees(candidate, sample, expected):
            return candidate
    return module


def freeze(module: nn.Module) -> None:
    """Evaluation mode and no gradients for parameters, in place."""
    # An exported program stays in the mode that it was exported in; check_classifier notices the wrong one.
    with contextlib.suppress(NotImplementedError):
        module.eval()
    for parameter in module.parameters():  # ScriptModule has no requires_grad_
        parameter.requires_grad_(False)


def fold_batch_norm(module: nn.Module) -> nn.Module | None:
    """A copy in which batch norms right after a convolution are folded into it, or None if there is none to fold.

    The pairs are read off a traced graph, but the copy runs the module's own forward code.
    """
    try:
        graph = fx.symbolic_trace(module).graph
        folded = copy.deepcopy(module)
    except Exception:  # noqa: BLE001  tracing runs foreign code with stand-ins for tensors, which fails in many ways
        return None
    pairs = _pairs(graph, module)
    for convolution, norm in pairs:
        fold(folded, convolution, norm)
    folded.requires_grad_(False)
    return folded if pairs else None


def channels_last(module: nn.Module) -> nn.Module | None:
    """A copy with convolution weights in channels-last order, or None where that does not pay (Apple's devices)."""
    kernels = [parameter for parameter in module.parameters() if parameter.ndim == 4]
    if not kernels or kernels[0].device.type not in ("cpu", "cuda"):
        return None
    try:
        return copy.deepcopy(module).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    except Exception:  # noqa: BLE001  foreign modules may not be copied
        return None


def _pairs(graph: fx.Graph, module: nn.Module) -> list[tuple[str, str]]:
    """(convolution, batch norm) where the norm alone reads the convolution, and both are used once."""
    calls = [node for node in graph.nodes if node.op == "call_module"]
    uses = Counter(id(module.get_submodule(str(node.target))) for node in calls)
    pairs = []
    for node in calls:
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        norm, convolution = (module.get_submodule(str(n.target)) for n in (node, before))
        once = uses[id(norm)] == uses[id(convolution)] == 1
        plain = type(norm) is nn.BatchNorm2d and type(convolution) is nn.Conv2d
        if plain and once and norm.running_mean is not None and not _hooked(norm) and not _hooked(convolution):
            pairs.append((str(before.target), str(node.target)))
    return pairs


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def _agrees(module: nn.Module, sample: Tensor, expected: Tensor) -> bool:
    """Whether outputs are the same, and a gradient pass works."""
    images = sample.detach().clone().requires_grad_()
    try:
        with torch.enable_grad():
            output = module(images)
            torch.autograd.grad(output.sum(), images)
    except Exception:  # noqa: BLE001  a rearranged foreign network may fail in many ways: then it is not used
        return False
    return bool((output.detach() - expected).abs().max() <= _TOLERANCE * expected.abs().max())

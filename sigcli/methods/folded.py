"""Networks whose batch norms were folded into convolutions for speed, as their layers were before: for who looks into them.

A folded convolution returns what its batch norm returned, so a method that names the convolution would get another map.
What folding leaves out is kept beside it: little, since the weights can be had from the folded ones.
"""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .network_layers import kept

_SMALL = 1e-6
"""Channels whose scale is smaller keep their weights: a quotient would lose them."""
_CLOSE = 0.02
"""Of the largest value: half precision is nearer than that."""


class Remainder:
    """What a convolution was before a batch norm was folded into it.

    Args:
        convolution: before folding.
        norm: the batch norm.
    """

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d):
        assert norm.running_var is not None
        assert norm.running_mean is not None
        ones = torch.ones_like(norm.running_var)
        self.norm = norm
        self.scale = (ones if norm.weight is None else norm.weight.detach()) / (norm.running_var + norm.eps).sqrt()
        self.small = self.scale.abs() < _SMALL
        self.rows = convolution.weight.detach()[self.small].clone()
        self.bias = None if convolution.bias is None else convolution.bias.detach().clone()
        shift = 0 if norm.bias is None else norm.bias.detach()
        self.folded_bias = ((0 if self.bias is None else self.bias) - norm.running_mean) * self.scale + shift

    def fits(self, folded: nn.Conv2d) -> bool:
        """Whether the folded convolution is what folding made: metrics give networks other weights."""
        assert folded.bias is not None
        bias, known = folded.bias.detach().double(), self.folded_bias.to(folded.bias.device).double()
        largest = folded.weight.detach().flatten(1).abs().max()
        dropped = folded.weight.detach()[self.small.to(largest.device)]
        return bool((bias - known).abs().max() <= _CLOSE * known.abs().max()) and bool(
            (dropped.abs() <= _CLOSE * largest).all()
        )

    def restored(self, folded: nn.Conv2d) -> nn.Conv2d:
        """The convolution as it was, of the folded one's type and place."""
        like = folded.weight
        scale, small = self.scale.to(like.device), self.small.to(like.device)
        weight = like.detach() / torch.where(small, torch.ones_like(scale), scale)[:, None, None, None]
        weight = weight.to(like.dtype).contiguous(memory_format=_format(like))
        weight[small] = self.rows.to(like)
        made = copy.copy(folded)
        made._parameters = {
            "weight": nn.Parameter(weight, requires_grad=False),
            "bias": None if self.bias is None else nn.Parameter(self.bias.to(like), requires_grad=False),
        }
        made.__dict__.pop(_BEFORE, None)
        return made


class Folded(nn.Identity):
    """Stands where a batch norm was folded into the convolution before it.

    Args:
        before: what is kept of both.
    """

    def __init__(self, before: Remainder):
        super().__init__()
        self.__dict__[_BEFORE] = before  # no part of the network: its weights are not counted, moved or hashed


_BEFORE = "before_folding"


def _format(weight: Tensor) -> torch.memory_format:
    last = weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def fold(root: nn.Module, convolution: str, norm: str) -> None:
    """Fold a batch norm into a convolution, in place; both are names of modules of `root`."""
    layers: tuple[Any, Any] = (root.get_submodule(convolution), root.get_submodule(norm))
    fused, before = fuse_conv_bn_eval(*layers), Remainder(*layers)
    fused.__dict__[_BEFORE] = before
    _replace(root, convolution, fused)
    _replace(root, norm, Folded(before))


def unfolded(module: nn.Module) -> nn.Module:
    """The network with its batch norms and convolutions as they were; itself, where none was folded. Weights are shared."""
    if not any(isinstance(part, Folded) for part in module.modules()):
        return module
    return kept(module, "unfolded", lambda: _restored(module))


def _restored(module: nn.Module) -> nn.Module:
    tensors = (*module.parameters(), *module.buffers())
    made = copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    restored = dict[int, Tensor]()
    for name, part in list(made.named_modules()):
        before = part.__dict__.get(_BEFORE)
        if isinstance(part, nn.Conv2d) and isinstance(before, Remainder) and before.fits(part):
            _replace(made, name, before.restored(part))
            restored[id(before)] = part.weight
    for name, part in list(made.named_modules()):
        before = part.__dict__.get(_BEFORE)
        if isinstance(part, Folded) and isinstance(before, Remainder) and id(before) in restored:
            _replace(made, name, copy.deepcopy(before.norm).to(restored[id(before)]).eval().requires_grad_(False))
    return made


def _replace(root: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(operator.attrgetter(parent)(root) if parent else root, child, layer)

"""FullGrad: the gradient by the image and by every bias of the network, each where it lies in the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..engine.passes import Passes
from ..types import Attribution, Subject
from ..wrapping import own_layers
from .cam import on_pixels
from .coordinates import Grid
from .network_layers import kept
from .places import recorded
from .trace import Key, Trace

_PLACELESS = "the shares of image and biases sum to {:.4g} and the score is {:.4g}: the rest is of functions that bend"


@dataclass(frozen=True, eq=False)
class FullGradients:
    """What the score of one image consists of.

    Args:
        image: ∂F/∂x ⊙ x, (1, C, H, W).
        biases: for each layer with a bias b and places in the image ∂F/∂z ⊙ b, z what it gives, (1, K, h, w).
        placeless: the sum of the shares of biases that lie nowhere in the image, as of the last linear layer.
        score: F(x).
    """

    image: Tensor
    biases: list[Tensor]
    placeless: float
    score: float

    @property
    def total(self) -> float:
        """The sum of all shares: the score, where the network is piecewise linear (Proposition 1)."""
        return float(self.image.double().sum()) + sum(float(b.double().sum()) for b in self.biases) + self.placeless

    @property
    def magnitude(self) -> float:
        """The sum of the shares' magnitudes, by which rounding is measured."""
        return float(self.image.abs().sum()) + sum(float(b.abs().sum()) for b in self.biases) + abs(self.placeless)


def fullgrad(passes: Passes, subject: Subject) -> Attribution:
    """FullGrad, Srinivas, Fleuret 2019, Eq. 4 and section 4: ψ(∂F/∂x ⊙ x) + Σ_layers Σ_channels ψ(∂F/∂z ⊙ b).

    ψ takes magnitudes, brings those of a layer to 0..1, and scales them to the image. So values say how much a place
    matters, not whether for or against. Biases are those of convolutions, linear layers and norms, and for batch norms in
    evaluation β - γμ/σ, the constant of the linear function that they are. A note says where the shares do not sum to the
    score: gates, softmax and layer norms have biases that no layer holds.

    Args:
        passes: the passes of the model.
        subject: what is explained.

    Raises:
        AttributionError: a network without accessible layers, or a score that is no logit.
    """
    passes.needs_logit("FullGrad")
    found = full_gradients(passes, subject)
    values = sum(
        (on_pixels(_levelled(one), subject) for one in found.biases), on_pixels(_levelled(found.image), subject)
    )
    apart = abs(found.total - found.score)
    sums = apart <= 1e-3 * abs(found.score) + 1e-5 * found.magnitude
    note = "" if sums else _PLACELESS.format(found.total, found.score)
    return Attribution(values, found.score, passes.evaluations, note=note)


def _levelled(share: Tensor) -> Tensor:
    """ψ before scaling: magnitudes (1, K, h, w) brought to 0..1 together, and summed over channels."""
    size = share.abs()
    size = size - size.min()
    most = size.max()
    return (size / most if float(most) else size).sum(1, keepdim=True)


def full_gradients(passes: Passes, subject: Subject) -> FullGradients:
    """The full-gradients of a score, Definition 1 of the paper: one pass.

    Args:
        passes: the passes of the model.
        subject: what is explained.

    Raises:
        AttributionError: a network without accessible layers.
    """
    module, x = passes.module, subject.x[None]
    layers = kept(module, f"biases {tuple(subject.x.shape)}", lambda: _with_biases(module, tuple(subject.x.shape)))
    leaf = x.detach().clone().requires_grad_()
    trace = Trace(module, keep=[key for key, _, _ in layers])
    with torch.enable_grad(), passes.precision(x.device):
        outputs = trace.run(leaf.clone())
        score = passes.select(outputs.to(x.dtype), subject)
        there = [(trace.edges[key], bias, grid) for key, bias, grid in layers if key in trace.edges]
        wanted: list[Any] = [leaf, *(edge for edge, _, _ in there)]
        gradient, *gradients = torch.autograd.grad(score.sum(), wanted, allow_unused=True)
    passes.spent(1)
    biases: list[Tensor] = []
    placeless = 0.0
    for found, (_, bias, grid) in zip(gradients, there, strict=True):
        if found is None:
            continue
        share = found.to(x.dtype) * bias.to(x)
        placed = grid.map(share) if grid else share.new_zeros(1, 1, 1, 1)
        placeless += float(share.double().sum() - placed.double().sum())
        biases += [placed] if grid else []
    image = torch.zeros_like(x) if gradient is None else gradient * x
    return FullGradients(image, biases, placeless, float(score.detach()[0]))


def _with_biases(module: nn.Module, shape: tuple[int, ...]) -> list[tuple[Key, Tensor, Grid | None]]:
    """(which result, the bias that its layer adds, broadcastable to it, its grid) of the layers that add one."""
    parts, found = own_layers(module), []
    for result in recorded(module, shape):
        bias = None if result.function else _bias(parts[result.name])
        if bias is None:
            continue
        axis = result.grid.axis if result.grid else _axis(parts[result.name])
        broadcast = [1] * len(result.shape)
        broadcast[axis] = -1
        found.append((result.key, bias.view(broadcast), result.grid))
    return found


def _axis(part: nn.Module) -> int:
    """The channels' axis in what a layer gives that lies nowhere in the image."""
    return -1 if isinstance(part, (nn.Linear, nn.LayerNorm)) else 1


def _bias(part: nn.Module) -> Tensor | None:
    """What a layer adds to each channel, (K,): its bias, or a batch norm's constant; None where there is none."""
    bias = getattr(part, "bias", None)
    bias = bias.detach() if isinstance(bias, Tensor) and bias.ndim == 1 and not list(part.children()) else None
    if not isinstance(part, _BatchNorm) or part.running_mean is None or part.running_var is None:
        return bias
    slope = (part.running_var + part.eps).rsqrt()
    slope = slope if part.weight is None else slope * part.weight.detach()
    constant = -part.running_mean * slope
    return constant if bias is None else constant + bias

"""Class activation maps: the activations of a layer, weighted by how much the score depends on them.

A map (h, w) of the layer is scaled to the image bilinearly (pixel centres aligned, `align_corners=False`) and divided
equally among the channels, so the sum over channels is the map.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..engine.passes import Passes
from ..errors import AttributionError, MisfitError
from ..types import Attribution, Subject
from .folded import unfolded
from .network_layers import check_layers
from .places import Layer, activations, named_layer, pooled_linearly, uniform


def gradcam(passes: Passes, subject: Subject, *, layer: str | None = None, relu: bool = True) -> Attribution:
    """Grad-CAM, Selvaraju et al. 2017, Eq. 1 and 2: ReLU(Σ_k α_k A_k), α_k the mean over places of ∂F/∂A_k.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        layer: a name that `sig list layers --model …` lists, dotted, or `layer:function` for a function; by default the last
            place with a spatial map that everything passes through (docs/layers.md).
        relu: keep only evidence for the class, as the paper does.

    Raises:
        AttributionError: no layer with a map, or a network without accessible layers.
        UsageError: no such layer.
    """
    return weighed(passes, subject, layer, _by_mean_gradient, relu=relu)


def gradcam_counterfactual(
    passes: Passes, subject: Subject, *, layer: str | None = None, relu: bool = True
) -> Attribution:
    """Grad-CAM's counterfactual form, Selvaraju et al. 2017, section 3.3: α_k the mean of -∂F/∂A_k.

    High values mark evidence against the class: without it, the network would be more certain of the class.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        layer: as in `gradcam`.
        relu: keep only evidence against the class.

    Raises:
        AttributionError: no layer with a map, or a network without accessible layers.
        UsageError: no such layer.
    """
    return weighed(passes, subject, layer, lambda a, g: _by_mean_gradient(a, -g), relu=relu, against=True)


def _by_mean_gradient(activation: Tensor, gradient: Tensor) -> Tensor:
    return (gradient.mean((2, 3), keepdim=True) * activation).sum(1, keepdim=True)


def weighed(
    passes: Passes,
    subject: Subject,
    name: str | None,
    weigh: Callable[[Tensor, Tensor], Tensor],
    *,
    relu: bool,
    against: bool = False,
) -> Attribution:
    """A map made of a layer's activations and of the gradient of the score by them: one pass.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        name: of the layer; None for the default one.
        weigh: activations A (1, K, h, w) and gradient (1, K, h, w) → the map (1, 1, h, w).
        relu: keep only positive values of the map.
        against: positive values speak against the class.

    Raises:
        AttributionError: no layer with a map, or a network without accessible layers.
        UsageError: no such layer.
    """
    layer = named_layer(unfolded(passes.module), name, tuple(subject.x.shape))
    activation, gradient, score = layer_gradient(passes, layer, subject)
    note = "" if name else early(layer)
    return shown(passes, subject, weigh(activation, gradient), score, layer, relu=relu, against=against, note=note)


def shown(
    passes: Passes,
    subject: Subject,
    found: Tensor,
    score: float,
    layer: Layer,
    *,
    relu: bool,
    against: bool = False,
    note: str = "",
) -> Attribution:
    """An attribution from a layer's map (1, 1, h, w): rectified if asked for, on the image's pixels, noted where it is 0.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        found: the map.
        score: F(x).
        layer: the map is of.
        relu: keep only positive values.
        against: positive values speak against the class.
        note: where there is nothing else to say.
    """
    if not bool(found.any()):
        note = f"the map is 0 everywhere, since the weights or the activations of the layer '{layer.name}' are 0"
    elif relu and not bool((found > 0).any()):
        what = "for" if against else "against"
        note = f"the map is 0 everywhere: every position is evidence {what} the class, and relu=true drops it"
    return Attribution(on_pixels(found.relu() if relu else found, subject), score, passes.evaluations, note=note)


def early(layer: Layer) -> str:
    """A note where most of the network's work on the image comes after its default place, in streams of their own."""
    if layer.after <= 0.5:
        return ""
    return (
        f"the default layer '{layer.name}' is early: {layer.after:.0%} of the network's work on the image comes after it, "
        "and everything passes through no later layer (others: sig list layers, --set layer=NAME)"
    )


def layer_gradient(passes: Passes, layer: Layer, subject: Subject) -> tuple[Tensor, Tensor, float]:
    """A layer's map (1, C, h, w), the gradient of the score by it, and the score, all of the network as it is."""
    x = subject.x[None]
    with torch.enable_grad(), passes.precision(x.device):
        activation, edge, outputs = activations(unfolded(passes.module), layer, x)
        score = passes.select(outputs.to(x.dtype), subject)
        (gradient,) = torch.autograd.grad(score.sum(), edge, allow_unused=True)
    passes.spent(1)
    if gradient is None or layer.grid is None:
        raise AttributionError(f"the score does not depend on the layer '{layer.name}'")
    score = float(score.detach()[0])
    return layer.grid.map(activation.to(x.dtype)), layer.grid.map(gradient.detach().to(x.dtype)), score


def on_pixels(found: Tensor, subject: Subject) -> Tensor:
    """A map (1, 1, h, w) on the image's pixels, in equal shares for the channels: (C, H, W)."""
    scaled = functional.interpolate(found, tuple(subject.x.shape[-2:]), mode="bilinear", align_corners=False)[0]
    return (scaled / subject.x.shape[0]).expand_as(subject.x).contiguous()


def cam(passes: Passes, subject: Subject) -> Attribution:
    """Class activation map, Zhou et al. 2016, Eq. 2: Σ_k w_k A_k, for networks that end in pooling and a linear layer.

    A is what the pooling averages and w the linear layer's row of the class, which is the gradient of the logit by the
    average: Grad-CAM with relu=false is this map up to a factor. A network that ends in pooling alone, after a 1×1
    convolution (SqueezeNet), has the class's map in A already. Values are divided by the number of pixels, so they
    are in the logit's unit: their sum is the logit without its bias (up to the scaling of the map where its side does not
    divide the image's).

    Args:
        passes: the passes of the model.
        subject: what is explained.

    Raises:
        AttributionError: the network ends in something else or has no accessible layers, or the score is not a logit.
    """
    passes.needs_logit("CAM")
    check_layers(unfolded(passes.module))
    layer = pooled_linearly(unfolded(passes.module), tuple(subject.x.shape))
    needed = "CAM needs a network that ends in average pooling and one linear layer"
    if layer is None:
        raise MisfitError(needed, hint="gradcam works without it.")
    activation, gradient, score = layer_gradient(passes, layer, subject)
    if not uniform(gradient):
        raise AttributionError(needed, hint="gradcam works without it.")
    of_class = (gradient.sum((2, 3), keepdim=True) * activation).sum(1, keepdim=True)
    return Attribution(on_pixels(of_class, subject) / subject.x[0].numel(), score, passes.evaluations)

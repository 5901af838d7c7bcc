"""Class activation maps: what a layer sees where, weighted by how much the score depends on it.

A map (h, w) of the layer is scaled to the image bilinearly (pixel centres aligned, `align_corners=False`) and shared out
equally among the channels, so that the sum over channels is the map.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import AttributionError
from ..passes import Passes
from ..types import Attribution, Subject
from .modules import Layer, activations, as_map, layers, named_layer, working_copy


def gradcam(passes: Passes, subject: Subject, *, layer: str | None = None, relu: bool = True) -> Attribution:
    """Grad-CAM, Selvaraju et al. 2017, Eq. 1 and 2: ReLU(Σ_k α_k A_k), α_k the mean over places of ∂F/∂A_k.

    Args:
        passes: of the model.
        subject: what is explained.
        layer: dotted name (`sig list layers --model …`); by default the last convolution, and in a transformer the last
            LayerNorm whose patch tokens still reach the scores, without the class token.
        relu: leave out what speaks against the class, as the paper does.

    Raises:
        AttributionError: no layer with a map, or a network that cannot be looked into.
        UsageError: no such layer.
    """
    return _gradcam(passes, subject, layer, relu=relu, sign=1.0)


def gradcam_counterfactual(
    passes: Passes, subject: Subject, *, layer: str | None = None, relu: bool = True
) -> Attribution:
    """Grad-CAM's counterfactual form, Selvaraju et al. 2017, section 3.3: α_k the mean of -∂F/∂A_k.

    High values mark what, once gone, would make the network surer of the class: evidence against it.

    Args:
        passes: of the model.
        subject: what is explained.
        layer: as in `gradcam`.
        relu: leave out what speaks for the class.

    Raises:
        AttributionError: no layer with a map, or a network that cannot be looked into.
        UsageError: no such layer.
    """
    return _gradcam(passes, subject, layer, relu=relu, sign=-1.0)


def _gradcam(passes: Passes, subject: Subject, name: str | None, *, relu: bool, sign: float) -> Attribution:
    module = working_copy(passes.module)
    layer = named_layer(passes.module, name, tuple(subject.x.shape))
    activation, gradient, score = _layer_gradient(passes, module, layer, subject)
    weights = sign * gradient.mean((2, 3), keepdim=True)
    found = (weights * activation).sum(1, keepdim=True)
    return Attribution(on_pixels(found.relu() if relu else found, subject), score, passes.evaluations)


def _layer_gradient(passes: Passes, module: nn.Module, layer: Layer, subject: Subject) -> tuple[Tensor, Tensor, float]:
    """A layer's map (1, C, h, w), the gradient of the score by it, and the score."""
    x = subject.x[None]
    with torch.enable_grad(), passes.precision(x.device):
        activation, outputs = activations(module, layer, x)
        score = passes.select(outputs.to(x.dtype), subject)
        (gradient,) = torch.autograd.grad(score.sum(), activation, allow_unused=True)
    passes.spent(1)
    if gradient is None:
        raise AttributionError(f"the score does not depend on the layer '{layer.name}'")
    found = (as_map(t.detach().to(x.dtype), layer) for t in (activation, gradient))
    return (*found, float(score.detach()[0]))  # type: ignore[return-value]


def on_pixels(found: Tensor, subject: Subject) -> Tensor:
    """A map (1, 1, h, w) on the image's pixels, in equal shares for the channels: (C, H, W)."""
    scaled = functional.interpolate(found, tuple(subject.x.shape[-2:]), mode="bilinear", align_corners=False)[0]
    return (scaled / subject.x.shape[0]).expand_as(subject.x).contiguous()


def cam(passes: Passes, subject: Subject) -> Attribution:
    """Class activation map, Zhou et al. 2016, Eq. 2: Σ_k w_k A_k, for networks that end in pooling and a linear layer.

    A is what the pooling averages and w the linear layer's row of the class; a network that ends in pooling alone, after a
    1×1 convolution (SqueezeNet), has the class's map in A already. Values are divided by the number of pixels, so that they
    are in the logit's unit: their sum is the logit without its bias (up to the scaling of the map where its side does not
    divide the image's).

    Args:
        passes: of the model.
        subject: what is explained.

    Raises:
        AttributionError: the network ends in something else or cannot be looked into, or the score is no logit.
    """
    passes.needs_logit("CAM")
    module, x = working_copy(passes.module), subject.x[None]
    linears = [layer.name for layer in layers(passes.module, tuple(subject.x.shape)) if layer.kind == "Linear"]
    last = module.get_submodule(linears[-1]) if linears else None
    caught: list[Tensor] = []

    def note(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        caught.extend((given[0], output))

    hook = last.register_forward_hook(note) if last else None
    try:
        with torch.no_grad(), passes.precision(x.device), _Averages() as averages:
            outputs = module(x)
    finally:
        if hook:
            hook.remove()
    passes.spent(1)
    pooled, weight = outputs, torch.eye(outputs.shape[1], dtype=outputs.dtype, device=x.device)
    if isinstance(last, nn.Linear) and torch.equal(caught[-1], outputs):
        pooled, weight = caught[-2], last.weight
    for found in averages.inputs:
        if found.shape[:2] == pooled.shape and torch.allclose(found.mean((2, 3)), pooled, rtol=1e-4, atol=1e-6):
            of_class = (weight[subject.target][None, :, None, None] * found).sum(1, keepdim=True).to(x.dtype)
            score = float(passes.select(outputs.to(x.dtype), subject)[0])
            return Attribution(on_pixels(of_class, subject) / x[0, 0].numel(), score, passes.evaluations)
    raise AttributionError(
        "CAM needs a network that ends in average pooling and one linear layer", hint="gradcam has no such need."
    )


class _Averages(TorchDispatchMode):
    """Notes what a network averages, whether by a layer or by a function: inputs (1, C, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).split(".")[1]
        if name in ("mean", "_adaptive_avg_pool2d", "avg_pool2d") and args[0].ndim == 4:
            self.inputs.append(args[0])
        return func(*args, **(kwargs or {}))

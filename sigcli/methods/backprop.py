"""Gradients with another rule at the ReLUs, by captum: guided backpropagation and deconvolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import AttributionError
from ..passes import Passes
from ..types import Attribution, Subject
from .layers import gradcam
from .rewriting import captum_at_work, rewritten


def guided_backprop(passes: Passes, subject: Subject) -> Attribution:
    """Guided backpropagation, Springenberg et al. 2015: at a ReLU only positive gradients of active units pass.

    In score per unit of the model's input. A ReLU6 counts as a ReLU with a ceiling; other activations keep their gradient.

    Args:
        passes: of the model.
        subject: what is explained.

    Raises:
        AttributionError: a network without ReLU, or one that cannot be looked into.
    """
    return Attribution(*_ruled(passes, subject, "GuidedBackprop"), passes.evaluations)


def deconvolution(passes: Passes, subject: Subject) -> Attribution:
    """Deconvolution, Zeiler, Fergus 2014: at a ReLU only positive gradients pass, of inactive units as well.

    In score per unit of the model's input.

    Args:
        passes: of the model.
        subject: what is explained.

    Raises:
        AttributionError: a network without ReLU, or one that cannot be looked into.
    """
    return Attribution(*_ruled(passes, subject, "Deconvolution"), passes.evaluations)


def guided_gradcam(passes: Passes, subject: Subject, *, layer: str | None = None) -> Attribution:
    """Guided Grad-CAM, Selvaraju et al. 2017, section 3.2: guided backpropagation times Grad-CAM scaled to the image.

    Args:
        passes: of the model.
        subject: what is explained.
        layer: of the Grad-CAM, see `sigcli.methods.layers.gradcam`.

    Raises:
        AttributionError: a network without ReLU, without a layer that has a map, or that cannot be looked into.
        UsageError: no such layer.
    """
    values, score = _ruled(passes, subject, "GuidedBackprop")
    values = values * gradcam(passes, subject, layer=layer).values.sum(0)
    return Attribution(values, score, passes.evaluations)


def _ruled(passes: Passes, subject: Subject, rule: str) -> tuple[Tensor, float]:
    """A gradient under one of captum's rules, (C, H, W), and the score."""
    from captum import attr

    x = subject.x[None]
    network = rewritten(passes.module, subject.x)
    if not any(isinstance(part, nn.ReLU) for part in network.modules()):
        raise AttributionError(f"{rule} changes what passes a ReLU, and the network has none")
    scored = Scored(passes, network, subject)
    with torch.enable_grad(), captum_at_work(rule), passes.precision(x.device):
        (values,) = getattr(attr, rule)(scored).attribute((x.clone(),))
    passes.spent(1)
    return values[0].detach().to(x.dtype), scored.last


class Scored(nn.Module):
    """A network that returns the subject's score, (N,)."""

    def __init__(self, passes: Passes, network: nn.Module, subject: Subject):
        super().__init__()
        self.network = network
        self.last = float("nan")
        self._passes, self._subject = passes, subject

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → (N,)."""
        scores = self._passes.select(self.network(images).to(images.dtype), self._subject)
        self.last = float(scores[0].detach())
        return scores

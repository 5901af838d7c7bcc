"""The CAM family without gradients: Score-CAM and Ablation-CAM, which ask for scores channel by channel, and Eigen-CAM.

Layer, scaling to the image and `relu` are those of `gradcam`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..baselines.single import baseline as single_baseline
from ..engine.passes import Passes
from ..errors import AttributionError
from ..types import Attribution, Subject
from .cam import early, shown
from .folded import unfolded
from .places import Layer, named_layer
from .trace import Trace


def score_cam(
    passes: Passes, subject: Subject, *, layer: str | None = None, baseline: str | Tensor = "zero", relu: bool = True
) -> Attribution:
    """Score-CAM, Wang et al. 2020, Algorithm 1: ReLU(Σ_k w_k A_k), w = softmax of the channels' scores.

    A channel's score is F(x' + H_k ⊙ (x - x')) - F(x'), where the mask H_k is the channel scaled to the image and from its
    least and largest value to 0..1. F(x') is the same for all channels, so the softmax does not depend on it and it is not
    asked for. A channel that is the same everywhere has nothing to show, and its mask is 0.

    The softmax is of the scores as they are: with logits, which differ by several units, it chooses a few channels; with
    `--output prob` it weighs all channels nearly alike.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        layer: as in `gradcam`. Each of its channels costs a forward pass.
        baseline: the baseline x'; the paper multiplies the model's input with the mask, which is zero in the model's space.
        relu: keep only positive values of the map, as the paper does; the weights are never negative.

    Raises:
        AttributionError: no layer with a map, or a network without accessible layers.
        UsageError: no such layer, or unknown baseline.
    """
    place = named_layer(unfolded(passes.module), layer, tuple(subject.x.shape))
    value, score = _value(passes, place, subject)
    activation = _map(place, value, subject)
    reference, size = single_baseline(baseline, subject), tuple(subject.x.shape[-2:])

    def images(part: slice) -> Tensor:
        masks = functional.interpolate(activation[0, part, None], size, mode="bilinear", align_corners=False)
        least, most = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
        masks = ((masks - least) / (most - least)).where(most > least, 0)
        return reference + masks * (subject.x - reference)

    weights = passes.scores(images, activation.shape[1], subject).softmax(0)
    note = "" if layer else early(place)
    return shown(passes, subject, _weighed(activation, weights), score, place, relu=relu, note=note)


def ablation_cam(passes: Passes, subject: Subject, *, layer: str | None = None, relu: bool = True) -> Attribution:
    """Ablation-CAM, Desai, Ramaswamy 2020: ReLU(Σ_k w_k A_k), w_k = (F - F_k)/|F|.

    F_k is the score with the channel's places set to 0. The paper divides by F; by |F| a channel that raises a negative
    score still speaks for it, and where F is positive there is no difference.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        layer: as in `gradcam`. Each of its channels costs a forward pass.
        relu: keep only evidence for the class, as the paper does.

    Raises:
        AttributionError: no layer with a map, a network without accessible layers, or a score that is 0.
        UsageError: no such layer.
    """
    place = named_layer(unfolded(passes.module), layer, tuple(subject.x.shape))
    value, score = _value(passes, place, subject)
    activation = _map(place, value, subject)
    if score == 0:
        raise AttributionError("Ablation-CAM weighs fractions of the score, and it is 0", hint="Try --output prob.")
    without = torch.cat(
        [
            scores
            for _, scores in passes.batches.parts(
                activation.shape[1], subject.x.shape, _ablated(passes, place, value, subject)
            )
        ]
    )
    weights = (score - without) / abs(score)
    note = "" if layer else early(place)
    return shown(passes, subject, _weighed(activation, weights), score, place, relu=relu, note=note)


def _ablated(passes: Passes, layer: Layer, value: Tensor, subject: Subject) -> Callable[[slice], Tensor]:
    """Some channels → the score without each of them, (k,) float64."""
    grid = layer.grid
    if grid is None:
        raise AttributionError(f"the layer '{layer.name}' has no places in the image")

    def scores(part: slice) -> Tensor:
        held = grid.without(value, range(part.start, part.stop))
        images = subject.x.expand(part.stop - part.start, *subject.x.shape).clone()
        trace = Trace(unfolded(passes.module), keep=[layer.key], hold={layer.key: held})
        with torch.no_grad(), passes.precision(subject.x.device):
            outputs = trace.run(images)
            found = passes.select(outputs.to(subject.x.dtype), subject).double()
        if layer.key not in trace.values or trace.values[layer.key].shape != held.shape:
            raise AttributionError(
                f"the layer '{layer.name}' gives another shape where several images go through at once"
            )
        passes.spent(len(images), backward=False)
        return found

    return scores


def eigencam(
    passes: Passes, subject: Subject, *, layer: str | None = None, centre: bool = False, relu: bool = True
) -> Attribution:
    """Eigen-CAM, Muhammad, Yeasin 2020: the activations' projection on their first principal component.

    Of the places' activations as rows, O (h·w, K) = U Σ Vᵀ, it is O V_1: what the layer holds most of, whatever the class.
    The sign of V_1 is not determined: the place of largest magnitude is positive. After a ReLU, and without `centre`, all
    places then are.

    Args:
        passes: the passes of the model.
        subject: what is explained; the target makes no difference.
        layer: as in `gradcam`.
        centre: subtract each channel's mean first, as pytorch-grad-cam does and the paper does not.
        relu: keep only positive values of the map.

    Raises:
        AttributionError: no layer with a map, or a network without accessible layers.
        UsageError: no such layer.
    """
    place = named_layer(unfolded(passes.module), layer, tuple(subject.x.shape))
    value, score = _value(passes, place, subject)
    activation = _map(place, value, subject)
    rows = activation[0].flatten(1).T.double()
    rows = rows - rows.mean(0) if centre else rows
    components = torch.linalg.svd(rows, full_matrices=False)[2]
    found = rows @ components[0]
    found = found * found[found.abs().argmax()].sign()
    note = "" if layer else early(place)
    return shown(
        passes, subject, found.to(activation).view(1, 1, *activation.shape[2:]), score, place, relu=relu, note=note
    )


def _weighed(activation: Tensor, weights: Tensor) -> Tensor:
    """Σ_k w_k A_k, (1, 1, h, w), summed in float64."""
    return torch.einsum("k,nkhw->nhw", weights, activation.double())[:, None].to(activation.dtype)


def _value(passes: Passes, layer: Layer, subject: Subject) -> tuple[Tensor, float]:
    """What a layer gives for the image, as it gives it, and the score: one forward pass."""
    trace = Trace(unfolded(passes.module), keep=[layer.key])
    with torch.no_grad(), passes.precision(subject.x.device):
        outputs = trace.run(subject.x[None].clone())
        score = float(passes.select(outputs.to(subject.x.dtype), subject)[0])
    passes.spent(1, backward=False)
    if layer.key not in trace.values:
        raise AttributionError(f"the layer '{layer.name}' does not run where no gradients are asked for")
    return trace.values[layer.key], score


def _map(layer: Layer, value: Tensor, subject: Subject) -> Tensor:
    """A layer's value as a map (1, K, h, w)."""
    if layer.grid is None:
        raise AttributionError(f"the layer '{layer.name}' has no places in the image")
    return layer.grid.map(value.to(subject.x.dtype))

"""The CAM family by gradients: Grad-CAM++, LayerCAM, XGrad-CAM, HiResCAM.

All weigh a layer's activations A_k (k the channel) by the gradient of the score F by them, and differ in how: by one weight
for a channel, or by one for each of its places. Layer, scaling to the image and `relu` are those of `gradcam`.
"""

from __future__ import annotations

from torch import Tensor

from ..engine.passes import Passes
from ..types import Attribution, Subject
from .cam import weighed


def gradcam_plus_plus(passes: Passes, subject: Subject, *, layer: str | None = None, relu: bool = True) -> Attribution:
    """Grad-CAM++, Chattopadhay et al. 2018, Eq. 7 and 19: ReLU(Σ_k w_k A_k), w_k = Σ_ij α_ij ReLU(∂Y/∂A_ij).

    Y = exp(F), whose derivatives are powers of g = ∂F/∂A times Y where F is piecewise linear in A, so that
    α = g²/(2g² + Σ_ab A_ab g³), which is 1/(2 + g Σ_ab A_ab), and 0 where g is 0. Of ∂Y/∂A = exp(F)·g the factor exp(F),
    the same for all places, is left out: the map is the paper's up to a positive factor.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        layer: as in `gradcam`; the formula expects activations after a ReLU, as the default of most networks has them.
        relu: keep only evidence for the class, as the paper does. The weights w are not negative in any case.

    Raises:
        AttributionError: no layer with a map, or a network without accessible layers.
        UsageError: no such layer.
    """
    return weighed(passes, subject, layer, _plus_plus, relu=relu)


def _plus_plus(activation: Tensor, gradient: Tensor) -> Tensor:
    alpha = 1 / (2 + gradient * activation.sum((2, 3), keepdim=True))
    # Where the gradient is not positive ReLU takes the place out, whatever α is there, be it infinite.
    weights = (alpha * gradient).where(gradient > 0, 0).sum((2, 3), keepdim=True)
    return (weights * activation).sum(1, keepdim=True)


def layercam(passes: Passes, subject: Subject, *, layer: str | None = None, relu: bool = True) -> Attribution:
    """LayerCAM, Jiang et al. 2021: ReLU(Σ_k ReLU(∂F/∂A_k) ⊙ A_k), a weight for each place of a channel.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        layer: as in `gradcam`; the paper looks at earlier layers as well, whose maps are finer.
        relu: keep only positive values of the map, as the paper does; after a ReLU there are no others.

    Raises:
        AttributionError: no layer with a map, or a network without accessible layers.
        UsageError: no such layer.
    """
    return weighed(passes, subject, layer, lambda a, g: (g.relu() * a).sum(1, keepdim=True), relu=relu)


def xgradcam(passes: Passes, subject: Subject, *, layer: str | None = None, relu: bool = True) -> Attribution:
    """XGrad-CAM, Fu et al. 2020: ReLU(Σ_k w_k A_k), w_k = Σ_ij (A_ij/Σ_ab A_ab) ∂F/∂A_ij.

    The gradient's mean weighted by the activation, where Grad-CAM has the plain mean. A channel that is 0 everywhere, or
    whose activations sum to 0, has no such mean and weighs nothing.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        layer: as in `gradcam`; the formula expects activations after a ReLU.
        relu: keep only evidence for the class, as Grad-CAM does.

    Raises:
        AttributionError: no layer with a map, or a network without accessible layers.
        UsageError: no such layer.
    """
    return weighed(passes, subject, layer, _by_weighted_mean, relu=relu)


def _by_weighted_mean(activation: Tensor, gradient: Tensor) -> Tensor:
    total = activation.sum((2, 3), keepdim=True)
    weights = (activation * gradient).sum((2, 3), keepdim=True) / total
    return (weights.where(total != 0, 0) * activation).sum(1, keepdim=True)


def hirescam(passes: Passes, subject: Subject, *, layer: str | None = None, relu: bool = True) -> Attribution:
    """HiResCAM, Draelos, Carin 2020: Σ_k ∂F/∂A_k ⊙ A_k, the gradient of each place with its own activation.

    Where one linear layer follows the map (also after flattening), the values before scaling sum to the score less its
    bias. After average pooling it is Grad-CAM.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        layer: as in `gradcam`.
        relu: keep only evidence for the class, as the other maps of the family do; the paper's formula has both (false).

    Raises:
        AttributionError: no layer with a map, or a network without accessible layers.
        UsageError: no such layer.
    """
    return weighed(passes, subject, layer, lambda a, g: (g * a).sum(1, keepdim=True), relu=relu)

"""Networks that take a certainty: a wrapper for torchvision's classifiers, and small ones for the scenarios."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ...errors import UsageError

Pool = Literal["mean", "max", "any"]
Padding = Literal["zeros", "circular"]
_MERGED, _FEW = 64, 8


class CertaintyAware(nn.Module):
    """A certainty-aware classifier: it takes a picture and its certainty ([ICG] A.4.1).

    Picture and certainty are merged by a 1×1 convolution of 64 channels with ReLU, which takes the place of the picture; the
    network's first convolution is made anew to read them.

    Args:
        net: a classifier of pictures of `channels` channels that begins with a convolution, as all of torchvision's do.
        channels: channels of the pictures.

    Raises:
        UsageError: its first convolution does not read the picture.

    >>> from torchvision.models import resnet18
    >>> CertaintyAware(resnet18(num_classes=5))(torch.zeros(2, 3, 64, 64), torch.ones(2, 1, 64, 64)).shape
    torch.Size([2, 5])
    """

    def __init__(self, net: nn.Module, channels: int = 3):
        super().__init__()
        self.merge = nn.Sequential(nn.Conv2d(channels + 1, _MERGED, 1), nn.ReLU())
        self.net = _widened(net, channels)

    def forward(self, x: Tensor, certainty: Tensor | None = None) -> Tensor:
        """Logits (N, classes) of pictures (N, C, H, W) and their certainty (N, 1, H, W), 1 everywhere if not given."""
        return self.net(self.merge(_joined(x, certainty, True)))


def _widened(net: nn.Module, channels: int) -> nn.Module:
    """The network with a first convolution of 64 input channels."""
    name, first = next(((name, m) for name, m in net.named_modules() if isinstance(m, nn.Conv2d)), ("", None))
    if first is None or first.in_channels != channels or first.groups != 1:
        raise UsageError("the network does not begin with a convolution of the picture", given=type(net).__name__)
    arguments = {key: getattr(first, key) for key in ("kernel_size", "stride", "padding", "dilation", "padding_mode")}
    wider = nn.Conv2d(_MERGED, first.out_channels, bias=first.bias is not None, **arguments)
    nn.init.kaiming_normal_(wider.weight, nonlinearity="relu")
    parent, _, child = name.rpartition(".")
    setattr(net.get_submodule(parent), child, wider)
    return net


class AnyPool(nn.Module):
    """Whether there is evidence anywhere: log-mean-exp of the evidence at all places, (N, K, H, W) → (N, K)."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool; between mean and maximum, and whatever the size of the picture."""
        return x.flatten(2).logsumexp(2) - math.log(x.shape[2] * x.shape[3])


class SmallCNN(nn.Module):
    """Four convolutions, two layers more, and pooling over all places; for pictures of some 30 pixels.

    Args:
        classes: number of classes.
        channels: channels of the pictures.
        certainty: whether it takes a certainty per pixel as one more channel.
        pool: "mean" of the features over all places, their "max", or "any" for evidence at any place, however large the
            picture is. Where most of the picture is ground, the mean of the features takes long to learn anything.
        padding: padding of its convolutions, "zeros" or "circular". With "circular", moving a picture around by a multiple
            of 4 pixels leaves the logits exactly the same, where its sides are multiples of 4; zeros tell how near the edge
            is.

    >>> SmallCNN(10, 1, certainty=True)(torch.zeros(2, 1, 28, 28), torch.ones(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        classes: int,
        channels: int = 1,
        *,
        certainty: bool = False,
        pool: Pool = "mean",
        padding: Padding = "zeros",
    ):
        super().__init__()
        self.takes_certainty = certainty
        # A pixel meets its certainty before its neighbours do ([ICG] A.4.1): what is not certain can be left out whole.
        merge = (nn.Conv2d(channels + 1, _FEW * channels, 1), nn.ReLU()) if certainty else ()
        self.features = nn.Sequential(
            *merge,
            nn.Conv2d(_FEW * channels if certainty else channels, 16, 3, padding=1, padding_mode=padding),
            nn.ReLU(),
            nn.AvgPool2d(2),  # in place of strides, which would leave a chequered pattern in every map
            *_block(16, 24, padding),
            *_block(24, 32, padding),
            nn.AvgPool2d(2),
            *_block(32, 48, padding),
        )
        merged = nn.AdaptiveMaxPool2d(1) if pool == "max" else nn.AdaptiveAvgPool2d(1)
        whole = nn.Sequential(merged, nn.Flatten(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, classes))
        anywhere = nn.Sequential(nn.Conv2d(48, 48, 1), nn.ReLU(), nn.Conv2d(48, classes, 1), AnyPool())
        self.head = anywhere if pool == "any" else whole

    def forward(self, x: Tensor, certainty: Tensor | None = None) -> Tensor:
        """Logits (N, classes) of pictures (N, C, H, W) and their certainty (N, 1, H, W), 1 everywhere if not given."""
        return _centred(self.head(self.features(_joined(x, certainty, self.takes_certainty))))


class PixelCNN(nn.Module):
    """Two layers for each pixel alone, two convolutions, and evidence at any place; for pictures of some 30 pixels.

    As in [ICG] A.4.1, a pixel meets its certainty in 1×1 convolutions before it meets its neighbours. Where 3×3 convolutions
    read both at once, a network takes the certainty around a pixel for the pixel's own, and maps of `icg` spread over the
    surroundings of what they show.

    Args:
        classes: number of classes.
        channels: channels of the pictures.
        certainty: whether it takes a certainty per pixel as one more channel.

    >>> PixelCNN(2, 1, certainty=True)(torch.zeros(2, 1, 30, 30), torch.ones(2, 1, 30, 30)).shape
    torch.Size([2, 2])
    """

    def __init__(self, classes: int, channels: int = 1, *, certainty: bool = False):
        super().__init__()
        self.takes_certainty = certainty
        self.each = nn.Sequential(
            nn.Conv2d(channels + certainty, 24, 1), nn.ReLU(), nn.Conv2d(24, 16, 1), nn.ReLU(), nn.AvgPool2d(2)
        )
        self.area = nn.Sequential(*_block(16, 32), *_block(32, 32))
        self.head = nn.Sequential(nn.Conv2d(32, 48, 1), nn.ReLU(), nn.Conv2d(48, classes, 1), AnyPool())

    def forward(self, x: Tensor, certainty: Tensor | None = None) -> Tensor:
        """Logits (N, classes) of pictures (N, C, H, W) and their certainty (N, 1, H, W), 1 everywhere if not given."""
        return _centred(self.head(self.area(self.each(_joined(x, certainty, self.takes_certainty)))))


class Components(nn.Module):
    """One network for every component, summed over the components, and one for the sum ([ICG] Fig. 13).

    Args:
        classes: number of classes.
        channels: channels of the input, whose components are its positions.
        certainty: whether it takes a certainty per component as one more channel.
        width: width of the hidden layers.
    """

    def __init__(self, classes: int, channels: int = 1, *, certainty: bool = False, width: int = 64):
        super().__init__()
        self.takes_certainty = certainty
        self.each = nn.Sequential(
            nn.Conv2d(channels + certainty, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, 32, 1),
        )
        self.total = nn.Sequential(nn.Linear(32, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor, certainty: Tensor | None = None) -> Tensor:
        """Logits (N, classes) of (N, C, H, W) and certainty (N, 1, H, W), 1 everywhere if not given."""
        return _centred(self.head(self.total(self.each(_joined(x, certainty, self.takes_certainty)).sum((2, 3)))))


def _block(inputs: int, outputs: int, padding: Padding = "zeros") -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False, padding_mode=padding)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def _centred(logits: Tensor) -> Tensor:
    """Logits whose mean is 0: what they have in common is trained by nothing, and would be explained as if it were."""
    return logits - logits.mean(1, keepdim=True)


def _joined(x: Tensor, certainty: Tensor | None, wanted: bool) -> Tensor:
    if not wanted:
        return x
    return torch.cat((x, torch.ones_like(x[:, :1]) if certainty is None else certainty), dim=1)

"""Quality of a trained network: accuracy, information absence and neutrality, in numbers and in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from ..metrics import certainty as checks
from .loop import Held, Net

NETWORK = "network.safetensors"


def checks_told(figures: Mapping[str, float]) -> str:
    """Information absence and neutrality in a sentence."""
    absence, neutral = figures["information_absence"], figures["neutrality"]
    return (
        f"At a certainty of 0 the prediction moves by {absence:.3f} with the input (information absence) and is "
        f"{neutral:.3f} from the class frequencies (neutrality)."
    )


def certainty_figures(net: Net, held: Held, shares: torch.Tensor, damaged: float | None) -> dict[str, float]:
    """Damaged accuracy, information absence and neutrality of a network that takes a certainty; nothing for others."""
    if not net.certainty or damaged is None:
        return {}
    model: Callable[..., torch.Tensor] = net
    images = held.images[:512]
    return {
        "damaged": damaged,
        "information_absence": checks.information_absence(model, images),
        "neutrality": checks.neutrality(model, images, shares),
    }

"""References of distribution baselines: the other images in turn, or uniform noise."""

from __future__ import annotations

import numpy as np
import torch

from .. import draws
from ..baselines.single import other_images, peers, resized_to, uniform_noise
from ..engine.plan import Reference
from ..types import Subject


def references(subject: Subject, baselines: str, samples: int, key: int, what: str = "deepshap") -> Reference:
    """References of one kind for `samples` draws.

    Args:
        subject: what is explained.
        baselines: "images", without replacement within each round through the other images, or "uniform" noise.
        samples: number of draws.
        key: key of the stream of draws.
        what: for whom, in an error message.

    Raises:
        AttributionError: no other images.
    """
    if baselines == "uniform":
        return Reference(lambda indices: uniform_noise(subject, indices))
    images = peers(subject, what)
    others = np.array(other_images(subject, what))
    rounds = -(-samples // len(others))
    u = draws.rows(key + 1, 0, rounds, len(others))
    chosen = others[np.argsort(u, axis=1)].ravel()[:samples]

    def sample(indices: torch.Tensor) -> torch.Tensor:
        found = [images.image(int(chosen[i])).to(subject.x) for i in indices.tolist()]
        return torch.stack([resized_to(image, subject.x.shape) for image in found])

    return Reference(sample)

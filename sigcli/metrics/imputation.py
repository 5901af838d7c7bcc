"""What replaces removed pixels: a fixed picture, or ROAD's noisy linear interpolation of what is around them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from ..baselines import BASELINES
from ..baselines.single import baseline
from ..errors import unknown
from ..types import Subject
from .removal import Fill
from .road import ROAD, Road


@lru_cache(maxsize=8)  # all maps and metrics of an image share its blurred copy
def imputed(name: str, subject: Subject) -> Float[Tensor, "c h w"] | Fill:
    """The replacement of that name: road, or any baseline (black, mean, blur:SIGMA …, see `sig list baselines`).

    Raises:
        UsageError: no such baseline.
        AttributionError: a baseline that needs other images where there are none.
    """
    kind = name.partition(":")[0]
    if name != ROAD and kind not in BASELINES and not Path(name).suffix:
        raise unknown("imputation", name, [ROAD, *BASELINES])
    return Road(subject) if name == ROAD else baseline(name, subject)

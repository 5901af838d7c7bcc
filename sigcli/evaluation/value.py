"""What an evaluation yields: metric values of explanations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class MetricValue:
    """One metric of one explanation.

    Args:
        image: name of the image.
        method: the method that made the map.
        target: class index, None where the explanation failed.
        metric: what the user calls it: its name in the catalogue, or an alias.
        imputation: what stood in for removed pixels, empty where nothing was removed.
        value: the value, None where it failed.
        at: places of its curve, or None.
        curve: the curve, or None.
        error: why there is no value.
        measure: name of the metric in the catalogue.
        digest: digest of all that it depends on, empty where nothing was measured.
        brief: digest of the same as a run records it, which takes no image to know; empty where that does not tell all.
        cause: the exception behind `error`, with its traceback, or None.
    """

    image: str
    method: str
    target: int | str | None
    metric: str
    imputation: str
    value: float | None = None
    at: np.ndarray | None = None
    curve: np.ndarray | None = None
    error: str = ""
    measure: str = ""
    digest: str = ""
    brief: str = ""
    cause: Exception | None = None

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What makes it one item."""
        return self.image, self.method, str(self.target), self.metric, self.imputation

"""The table of `sig benchmark images`: what each method costs and how good its maps are, over growing numbers of images."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..attribution.explanation import Explanation
from .measure import MetricValue
from .tables import Row, summary_rows


@dataclass(frozen=True)
class Spent:
    """What one explanation cost.

    Args:
        image: its name in the run.
        method: the method that made the map.
        seconds: wall time: its own, or its part of the batches that it shared.
        gradient_evaluations: forward and backward passes.
        forward_evaluations: passes forward alone.
    """

    image: str
    method: str
    seconds: float
    gradient_evaluations: int
    forward_evaluations: int = 0


def spent(item: Explanation) -> Spent | None:
    """What an explanation cost; None for one that failed, whose time is unknown."""
    if item.status != "ok" or item.seconds is None:
        return None
    return Spent(item.image, item.method, item.seconds, item.gradient_evaluations or 0, item.forward_evaluations or 0)


def benchmark_rows(
    figures: Sequence[MetricValue], costs: Sequence[Spent], names: Sequence[str], counts: Sequence[int], seed: int
) -> list[Row]:
    """Rows of `benchmark.csv`: for each count the statistics of that many images from the start of the order.

    Args:
        figures: metric values of all images.
        costs: costs of all explanations that were made.
        names: names of all images, in the order of the benchmark.
        counts: increasing, the last one at most `len(names)`.
        seed: seed of the bootstrap.
    """
    rows = []
    for count in counts:
        first = set(names[:count])
        within = [figure for figure in figures if figure.image in first]
        times = {method: cost_cells(costs, method, first) for method in dict.fromkeys(f.method for f in within)}
        for (method, metric, imputation), _, row in summary_rows(within, seed):
            kept = ("unit", "better", "mean", "ci_low", "ci_high", "interval", "n", "failed")
            rows.append({
                "count": count, "method": method, "metric": metric, "imputation": imputation,
                **{name: row[name] for name in kept}, **times[method],
            })  # fmt: skip
    return rows


def cost_cells(costs: Sequence[Spent], method: str, images: Collection[str]) -> Row:
    """What a method's explanations of some images cost: seconds and evaluations, None where none was made."""
    mine = [one for one in costs if one.method == method and one.image in images]
    explained = len({one.image for one in mine})
    seconds = sum(one.seconds for one in mine)
    return {
        "seconds": seconds if mine else None,
        "seconds_per_image": seconds / explained if mine else None,
        "seconds_sd": statistics.stdev(one.seconds for one in mine) if len(mine) > 1 else None,
        "gradient_evaluations": sum(one.gradient_evaluations for one in mine) if mine else None,
        "forward_evaluations": sum(one.forward_evaluations for one in mine) if mine else None,
    }

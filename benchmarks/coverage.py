"""How often the 95 % intervals of `sig evaluate` hold the true mean, by the number of images, for figures of known law.

The peers are Student's interval, cut off at the bounds, and the plain percentile bootstrap, which other tools print.

python benchmarks/coverage.py --out benchmarks/results/coverage.csv
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import report
from scipy import stats

from sigcli.metrics.statistics import SHARE, UNBOUNDED, summarise

Law = tuple[Callable[[np.random.Generator, int], np.ndarray], float, bool, bool]
"""n values of it, its mean, whether they lie within 0..1, whether they are hits."""
LAWS: dict[str, Law] = {
    "probability, symmetric: Beta(5, 5)": (lambda r, n: r.beta(5, 5, n), 0.5, True, False),
    "probability, at both ends: Beta(½, ½)": (lambda r, n: r.beta(0.5, 0.5, n), 0.5, True, False),
    "fraction near 1: Beta(8, 1)": (lambda r, n: r.beta(8, 1, n), 8 / 9, True, False),
    "fraction near 0, skewed: Beta(0.3, 3)": (lambda r, n: r.beta(0.3, 3, n), 1 / 11, True, False),
    "hits, 80 %": (lambda r, n: (r.random(n) < 0.8).astype(float), 0.8, True, True),
    "hits, 95 %": (lambda r, n: (r.random(n) < 0.95).astype(float), 0.95, True, True),
    "unbounded, normal": (lambda r, n: r.normal(0, 1, n), 0.0, False, False),
    "unbounded, skewed: exp(Normal)": (lambda r, n: r.lognormal(0, 1, n), math.exp(0.5), False, False),
}
COUNTS = (3, 5, 8, 16, 32, 100)


def own(values: np.ndarray, seed: int, law: Law) -> tuple[float, float]:
    found = summarise(values, seed=seed, within=SHARE if law[2] else UNBOUNDED, hits=law[3])
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def student(values: np.ndarray, seed: int, law: Law) -> tuple[float, float]:  # noqa: ARG001
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    low, high = values.mean() - half, values.mean() + half
    return (max(low, 0.0), min(high, 1.0)) if law[2] else (low, high)


def percentile(values: np.ndarray, seed: int, law: Law) -> tuple[float, float]:  # noqa: ARG001
    rows = np.random.default_rng(seed).integers(0, len(values), (1000, len(values)))
    low, high = np.quantile(values[rows].mean(1), [0.025, 0.975])
    return float(low), float(high)


KINDS = {"sig": own, "student": student, "percentile": percentile}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2000, help="samples of each law and size")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    for name, law in LAWS.items():
        for n in COUNTS:
            generator = np.random.default_rng(n)
            samples = [law[0](generator, n) for _ in range(args.samples)]
            for kind, interval in KINDS.items():
                ends = np.array([interval(values, i, law) for i, values in enumerate(samples)])
                held = np.mean((ends[:, 0] <= law[1] + 1e-12) & (law[1] - 1e-12 <= ends[:, 1]))
                row = {"law": name, "n": n, "interval": kind, "coverage": float(held)}
                rows.append(
                    {**row, "width": round(float(np.mean(ends[:, 1] - ends[:, 0])), 4), "samples": args.samples}
                )
    report(args.out, rows)


if __name__ == "__main__":
    main()

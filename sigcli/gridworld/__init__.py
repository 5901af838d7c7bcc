"""GridWorld ([SIG] Experiments): a game whose Shapley values are known, and every estimator judged on it.

Properties of an estimator:
    method: what `sig explain --method` calls it, or none.
    budgeted: whether it spends what it is told to.
    paper: the function that runs it as [SIG] does (`--protocol paper`), or none where [SIG] has no such estimator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..catalog import Catalog, Entry

_MODULE = "gridworld.estimators"


def _entry(
    name: str, function: str, summary: str, method: str | None = None, *, budgeted: bool = True, paper: bool = False
) -> Entry:
    target = f"gridworld.paper:{function}" if paper else None
    return Entry(name, f"{_MODULE}:{function}", summary, {"method": method, "budgeted": budgeted, "paper": target})


ESTIMATORS = Catalog(
    "estimator",
    [
        _entry("zero", "zero", "IG from the empty coalition", "ig", paper=True),
        _entry("mean", "mean", "IG from the mean of the sampled coalitions", "ig", paper=True),
        _entry("random", "random", "IG from one sampled coalition", "ig", paper=True),
        _entry("eg", "eg", "Expected Gradients over the sampled coalitions", "eg"),
        _entry("sig", "sig", "Shapley Integrated Gradients, sizes uniform [Liu 2024]", "sig", paper=True),
        _entry(
            "sig-algorithm1",
            "sig_algorithm1",
            "the same, with the sizes of its Algorithm 1 as printed",
            "sig",
            paper=True,
        ),
        _entry("sig-from-default", "sig_from_default", "the same, x' to coalition ([ES] proposal 2)", "sig"),
        _entry("sig-both", "sig_both", "the sum of both forms ([ES] B.1)", "sig"),
        _entry("sig-effective", "sig_effective", "SIG from effective coalitions ([ES] Algorithm 2)"),
        _entry("sig-walk", "sig_walk", "polylines through coalitions: unbiased Shapley value", "sig-walk"),
        _entry("effective", "effective", "Effective Shapley ([ES] Algorithm 1): ratios only"),
        _entry("permutation", "permutation", "permutation sampling, antithetic pairs [Castro 2009]"),
        _entry("kernelshap", "kernelshap", "KernelSHAP, paired and stratified [Lundberg 2017]"),
        _entry("exact", "exact", "the network's own values, all 2^n coalitions", budgeted=False),
    ],
)


def load_paper(name: str) -> Callable[..., Any]:
    """The function that runs an estimator under the papers' protocol, `(trial, baselines) -> Estimate`."""
    entry = ESTIMATORS[name]
    return Entry(name, entry.properties["paper"], entry.summary).load()

"""Error against budget on GridWorld: `sig` and `sig-walk` against their limits, Shapley estimators against the exact values.

The limit of `sig` is a run that spreads `--reference` nodes over all coalitions; that of `sig-walk` one of as many
evaluations; permutation sampling and KernelSHAP estimate the Shapley values of the network, which are exact. Relative L2,
root mean square over the networks. The paper's way: independent coalitions, 50 Riemann steps for each.

python benchmarks/variance_gridworld.py --out benchmarks/results/variance-gridworld.csv
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import machine, report

from sigcli.gridworld.estimators import Trial, along, kernelshap, permutation, sig, sig_walk
from sigcli.gridworld.rewards import REWARDS
from sigcli.gridworld.study import Condition, Trained, prepare
from sigcli.gridworld.world import World
from sigcli.shapley.game import Estimate

STEPS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grids", default="2x2,2x3")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--budgets", default="32,64,128,256,512,1024,2560,8192")
    parser.add_argument("--reference", type=int, default=200_000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    for grid in args.grids.split(","):
        for name in REWARDS:
            trained = prepare(Condition(World.parse(grid), name, REWARDS[name]), runs=args.runs, coverage=0.4)
            report(args.out, measured(grid, name, trained, args))


def paper(trial: Trial, budget: int) -> Estimate:
    """SIG as the paper runs it."""
    shared = {"players": "pixels", "baseline": "zero", "form": "to-input"}
    chosen = {"steps": STEPS, "rule": "riemann-middle", "coalitions": "sampled", "sizes": "uniform"}
    return along(trial, "sig", samples=budget // STEPS, **shared, **chosen)


ESTIMATORS: dict[str, Callable[[Trial, int], Estimate]] = {
    "sig": sig, "paper: independent, 50 steps": paper, "sig-walk": sig_walk, "permutation": permutation,
    "kernelshap": kernelshap,
}  # fmt: skip


def measured(grid: str, name: str, trained: Trained, args: argparse.Namespace) -> list[dict[str, object]]:
    runs = range(len(trained.networks))
    limits = {
        "sig": [sig(trained.trial(run, 1), args.reference).values for run in runs],
        "sig-walk": [sig_walk(trained.trial(run, 1), args.reference).values for run in runs],
        "": [check.estimate.values for check in trained.checks],
    }
    rows: list[dict[str, object]] = []
    for method, estimate in ESTIMATORS.items():
        truth = limits["sig" if method.startswith("paper") else method if method in limits else ""]
        for budget in map(int, args.budgets.split(",")):
            if budget < (STEPS if method.startswith("paper") else 4 * trained.condition.world.n):
                continue
            found = [estimate(trained.trial(run, budget), budget) for run in runs]
            pairs = zip(found, truth, strict=True)
            errors = [np.linalg.norm(one.values - right) / np.linalg.norm(right) for one, right in pairs]
            rows.append({
                "grid": grid, "reward": name, "players": trained.condition.world.n, "method": method, "budget": budget,
                "evaluations": found[0].evaluations, "error": f"{np.sqrt(np.mean(np.square(errors))):.4f}",
                "networks": len(found), "machine": machine("cpu"),
            })  # fmt: skip
    return rows


if __name__ == "__main__":
    main()

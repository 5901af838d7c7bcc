"""GridWorld's figures: time of the exact table and its Shapley values; what each estimator costs beside zero-baseline IG.

python benchmarks/gridworld.py --out benchmarks/results/gridworld-cpu.csv
"""

from __future__ import annotations

import argparse
import statistics
import time
from fractions import Fraction
from pathlib import Path

from common import machine, report

from sigcli.gridworld.estimators import along, zero
from sigcli.gridworld.rewards import REWARDS
from sigcli.gridworld.study import Condition, Trained, correlation, measure, prepare
from sigcli.gridworld.world import World

STEPS = 50
"""Of the papers: each of the N coalitions is integrated in so many steps."""
ESTIMATORS = ("zero", "sig", "sig-walk", "permutation", "kernelshap")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    for grid in ("2x2", "2x3"):
        for name in REWARDS:
            rows += measured(grid, name, args.rounds)
    report(args.out, rows)


def measured(grid: str, name: str, rounds: int) -> list[dict[str, object]]:
    begun = time.perf_counter()
    condition = Condition(World.parse(grid), name, REWARDS[name])
    seconds = time.perf_counter() - begun
    exact = sum(condition.fractions) == Fraction(condition.values[-1])
    trained = prepare(condition, runs=10, coverage=0.4)
    budget = condition.samples
    medians = {}
    for estimator in ESTIMATORS:
        times = [[m.seconds for m in measure(trained, estimator, budget)] for _ in range(rounds)]
        medians[estimator] = statistics.median(statistics.median(run) for run in times)
    head = {"grid": grid, "reward": name}
    tail = {"machine": machine("cpu")}
    rows: list[dict[str, object]] = [
        {**head, "what": "exact table and Shapley values, seconds", "value": f"{seconds:.2f}", **tail},
        {**head, "what": "sum of Shapley values is v(N) exactly", "value": str(exact), **tail},
        {
            **head,
            "what": "least Pearson of 10 stand-ins",
            "value": f"{min(c.pearson for c in trained.checks):.5f}",
            **tail,
        },
    ]
    for estimator in ESTIMATORS[1:]:
        ratio = medians[estimator] / medians["zero"]
        rows.append(
            {**head, "what": f"{estimator} over zero, time at {budget} evaluations", "value": f"{ratio:.2f}", **tail}
        )
    rows += [{**head, **row, **tail} for row in papers_cost(trained, budget, rounds)]
    return rows


def papers_cost(trained: Trained, samples: int, rounds: int) -> list[dict[str, str]]:
    """SIG as in the papers, N coalitions of 50 steps each, beside zero-baseline IG and sig-walk of as many evaluations."""
    budget = samples * STEPS
    shared = {"players": "pixels", "baseline": "zero"}
    work = {
        "zero": lambda trial: zero(trial, budget),
        "sig": lambda trial: along(
            trial, "sig", samples=samples, steps=STEPS, coalitions="sampled", form="to-input", **shared
        ),
        "sig-walk": lambda trial: along(trial, "sig-walk", orders=budget // trial.n // 2 * 2, **shared),
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    ranks: dict[str, list[float]] = {name: [] for name in work}
    for run in range(len(trained.networks)):
        trial = trained.trial(run, samples)
        for name, once in work.items():
            for _ in range(rounds if name != "sig-walk" else 1):
                begun = time.perf_counter()
                found = once(trial)
                times[name].append(time.perf_counter() - begun)
            assert found.evaluations <= budget
            ranks[name].append(correlation(found.values, trained.condition.shapley)[0])
    ratio = statistics.median(times["sig"]) / statistics.median(times["zero"])
    rows = [{"what": f"sig over zero, time at {samples} coalitions of {STEPS} steps", "value": f"{ratio:.2f}"}]
    for name in work:
        what = f"{name}: mean Spearman with the reward's values, at most {budget} evaluations"
        rows.append({"what": what, "value": f"{statistics.fmean(ranks[name]):.3f}"})
    return rows


if __name__ == "__main__":
    main()

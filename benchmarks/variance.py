"""Error of sampled maps at a given cost, against the enumerated expectation (relative L2, root mean square over seeds).

9 players (80x80 on 224 pixels), black baseline, a photograph and a real network. The peer is SIG as the papers run it: 50
Riemann steps for every coalition.

python benchmarks/variance.py --image photo.jpg --model squeezenet1_1 --weights FILE
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from common import machine, report

from sigcli.engine.integrate import Task, integrate
from sigcli.inputs.images import read_image
from sigcli.methods import METHODS
from sigcli.models.loading import load_model
from sigcli.scores.classifier import ClassScore
from sigcli.types import Attribution, Subject

VARIANTS = {
    "50 Riemann steps per coalition": lambda k: {"samples": max(1, k // 50), "steps": 50, "rule": "riemann-middle"},
    "sig (one stratified node per coalition)": lambda k: {"samples": k},
    "sig, per-player normalisation": lambda k: {"samples": k, "normalise": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True)
    parser.add_argument("--model", default="squeezenet1_1")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--budgets", default="64,256")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--exact-steps", type=int, default=16)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    net = load_model(args.model, weights=args.weights, device=args.device)
    picture = read_image(args.image)
    x = net.preprocess(picture.pixels).to(net.device)
    scorer = ClassScore(net.module)
    target = int(scorer.outputs(x[None]).argmax())
    low, high = net.preprocess.low.to(net.device), net.preprocess.high.to(net.device)

    def run(method: str, seed: int, **options: object) -> Attribution:
        who = Subject(x, target, low, high, picture.key, seed)
        plan = METHODS[method].load()(who, players="80x80", baseline="black", **options)
        return next(iter(integrate(scorer, [Task(who, plan)], batch_size=16)))

    rows = []
    exact = run("sig", 0, coalitions="all", steps=args.exact_steps)
    for budget in map(int, args.budgets.split(",")):
        for name, options in VARIANTS.items():
            found = [run("sig", seed, coalitions="sampled", **options(budget)) for seed in range(args.seeds)]
            rows.append(row(name, budget, found, exact, args))
    walk = run("sig-walk", 0, coalitions="all", steps=4)
    for budget in map(int, args.budgets.split(",")):
        found = [run("sig-walk", seed, coalitions="sampled", orders=max(2, budget // 9)) for seed in range(args.seeds)]
        rows.append(row("sig-walk", budget, found, walk, args))
    report(args.out, rows)


def row(
    name: str, budget: int, found: list[Attribution], exact: Attribution, args: argparse.Namespace
) -> dict[str, object]:
    """Error up to the best common factor as well, since per-player normalisation changes the scale."""
    truth = exact.values.flatten().double()
    errors, shapes, players = [], [], []
    for one in found:
        values = one.values.flatten().double()
        factor = float(values @ truth / (values @ values))
        errors.append(float((values - truth).norm() / truth.norm()))
        shapes.append(float((factor * values - truth).norm() / truth.norm()))
        totals, want = one.player_values, exact.player_values
        assert totals is not None
        assert want is not None
        players.append(float((totals - want).norm() / want.norm()))
    claimed = [one.relative_standard_error for one in found]
    mean = "" if None in claimed else f"{np.mean([c for c in claimed if c is not None]):.3f}"
    rms = [f"{np.sqrt(np.mean(np.square(values))):.3f}" for values in (errors, shapes, players)]
    return {
        "what": "error of the map", "method": name, "budget": budget,
        "evaluations": found[0].evaluations, "relative_error": rms[0], "error_up_to_scale": rms[1],
        "player_error": rms[2], "claimed_standard_error": mean, "seeds": len(found), "model": args.model,
        "machine": machine(args.device),
    }  # fmt: skip


if __name__ == "__main__":
    main()

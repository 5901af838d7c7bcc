"""Error of SIG's maps against their budget: of the array and of the map as shown, relative L2, root mean square over seeds.

The truth is a run of `--reference` evaluations with another seed, whose own variance is taken off the squared errors; with
few players (`--players 80x80`) that run spreads its nodes over all coalitions. The peer is SIG as the paper runs it, at
`--paper` evaluations: independent coalitions, and 50 Riemann steps for each; beside it, the same steps on our coalitions,
which come in antithetic pairs with stratified sizes. `claimed` is the standard error that the tool states.

python benchmarks/variance.py --images photo.jpg --model squeezenet1_1 --precision bf16
python benchmarks/variance.py --images photo.jpg --model mobilenet_v2 --players 80x80 --baseline black
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, model, report

from sigcli.engine.allocator import keep_freed_memory
from sigcli.inputs.images import read_image
from sigcli.methods import METHODS
from sigcli.methods.run import attributions
from sigcli.scores.classifier import ClassScore
from sigcli.types import Attribution, Subject
from sigcli.views import Lens, parse, shown_error

PAPER = {"steps": 50, "rule": "riemann-middle", "coalitions": "sampled"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", nargs="+", required=True, help="pictures, or `shapes` for the bundled one")
    parser.add_argument("--model", default="squeezenet1_1")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--players")
    parser.add_argument("--baseline")
    parser.add_argument("--budgets", default="32,64,128,256,512,1024")
    parser.add_argument("--walks", default="2,4", help="orders of sig-walk")
    parser.add_argument("--paper", type=int, default=2560)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--reference", type=int, default=8192)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    keep_freed_memory()  # as the command line does
    net = model(args.model, args.device)
    for image in args.images:
        measure(Path(image), net, args)


def measure(file: Path, net: Any, args: argparse.Namespace) -> None:
    picture = read_image(file)
    x = net.preprocess(picture.pixels).to(net.device)
    scorer = ClassScore(net.module, precision=args.precision)
    target = int(scorer.outputs(x[None]).argmax())
    low, high = net.preprocess.low.to(net.device), net.preprocess.high.to(net.device)
    given = {name: getattr(args, name) for name in ("players", "baseline") if getattr(args, name)}

    def runs(method: str, seeds: range, **options: Any) -> list[Attribution]:
        who = (Subject(x, target, low, high, picture.key, seed) for seed in seeds)
        return list(attributions(METHODS[method], given | options, scorer, who, batch_size=args.batch_size, check=0))

    lens = parse("auto").of(unsmoothed=False).at(x.shape)
    told = partial(row, file=file, lens=lens, args=args)
    truth = runs("sig", range(10**6, 10**6 + 1), samples=args.reference)[0]
    kept = [told("sig", runs("sig", range(args.seeds), samples=k), truth) for k in map(int, args.budgets.split(","))]
    if args.paper:
        few = range(max(2, args.seeds // 2))
        count = args.paper // 50
        alone = [runs("sig", range(k * count, (k + 1) * count), samples=1, **PAPER) for k in few]
        kept.append(told("paper: independent, 50 steps", [together(each) for each in alone], truth))
        kept.append(told("our coalitions, 50 steps", runs("sig", few, samples=count, **PAPER), truth))
    if args.walks:
        least = int(args.walks.split(",")[-1])
        truth = runs("sig-walk", range(10**6, 10**6 + 1), orders=8 * least)[0]
        for orders in map(int, args.walks.split(",")):
            kept += [told("sig-walk", runs("sig-walk", range(args.seeds), orders=orders), truth)]
    report(args.out, kept)


def together(found: list[Attribution]) -> Attribution:
    """The mean of independent runs as one."""
    values = torch.stack([one.values for one in found]).mean(0)
    return replace(found[0], values=values, deviations=None, evaluations=sum(one.evaluations for one in found))


def row(
    method: str, found: list[Attribution], truth: Attribution, *, file: Path, lens: Lens, args: argparse.Namespace
) -> dict[str, object]:
    raw, raw_claimed = errors(found, truth, lambda maps: maps)
    shown, claimed = errors(found, truth, lens)
    return {
        "image": file.stem, "model": args.model, "method": method, "evaluations": found[0].evaluations,
        "error_as_shown": text(shown), "claimed": text(claimed), "error_of_array": text(raw),
        "claimed_of_array": text(raw_claimed), "reference": truth.evaluations, "seeds": len(found),
        "players": args.players or "default", "precision": args.precision, "machine": machine(args.device),
    }  # fmt: skip


def text(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def errors(found: list[Attribution], truth: Attribution, lens: Lens) -> tuple[float, float | None]:
    """The true error of the maps through a view, and what they claim of it; relative to the truth."""
    right = lens(truth.values.sum(0).double()[None])[0]
    norm = float(right.square().sum())
    own = 0.0 if truth.deviations is None else float(lens(truth.deviations.double()).square().sum())
    off = [float((lens(one.values.sum(0).double()[None])[0] - right).square().sum()) for one in found]
    claims = [
        shown_error(lens, one.values.sum(0).double(), one.deviations.double())[1]
        for one in found
        if one.deviations is not None
    ]
    true = float(np.sqrt(max(0.0, np.mean(off) - own) / norm))
    return true, float(np.sqrt(np.mean(np.square(claims)))) if claims else None


if __name__ == "__main__":
    main()

"""What a tolerance costs: evaluations at which runs stop, beside those that a fixed run needs for the same true error.

The truth is a run of `--longer` draws. Errors are of the map as shown, relative to it, root mean square over seeds. The
fixed run has the mean length of the others; its length for the same error follows, since errors fall as 1/√length.

python benchmarks/tolerance.py --images photos/*.jpg --size 64 --tolerance 0.1 --seeds 6
python benchmarks/tolerance.py --images toy --view smooth:2 --tolerance 0.03 --seeds 100 --longer 65536 --batch-size 256
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, model, report
from coverage_maps import Measured
from torch import Tensor
from torch.nn.functional import interpolate

from sigcli.inputs.images import read_image
from sigcli.methods import METHODS
from sigcli.methods.growing import Aim
from sigcli.methods.run import Job, attributions, explain_all
from sigcli.scores.classifier import ClassScore
from sigcli.types import Attribution, Subject
from sigcli.views import parse, shown_error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", nargs="+", required=True)
    parser.add_argument("--model", default="squeezenet1_1")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--view", default="smooth")
    parser.add_argument("--tolerance", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--longer", type=int, default=8192)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    for file in args.images:
        report(args.out, [measure(Path(file), args)])


def asked(file: Path, args: argparse.Namespace) -> tuple[ClassScore, Subject, dict[str, Any]]:
    """The score, the picture and the options of `sig`; "toy" stands for the small network of `coverage_maps.py`."""
    if file.name == "toy":
        of = Measured(args.batch_size)
        options = {"players": "grid:10x10", "baseline": "black"}
        return of.scorer, Subject(of.x, of.target, of.low, of.low + 1, 7), options
    net, picture = model(args.model, "cpu"), read_image(file)
    x = interpolate(net.preprocess(picture.pixels)[None], (args.size, args.size), mode="area")[0]
    scorer = ClassScore(net.module)
    target = int(scorer.outputs(x[None]).argmax())
    return scorer, Subject(x, target, net.preprocess.low, net.preprocess.high, picture.key), {}


def measure(file: Path, args: argparse.Namespace) -> dict[str, object]:
    scorer, subject, options = asked(file, args)
    lens, entry = parse(args.view).at(subject.x.shape), METHODS["sig"]

    def who(seed: int) -> Subject:
        return replace(subject, seed=seed)

    def fixed(samples: int, seeds: range) -> list[Attribution]:
        long = {**options, "samples": samples}
        return list(attributions(entry, long, scorer, map(who, seeds), batch_size=args.batch_size, check=0))

    right = lens(fixed(args.longer, range(10**6, 10**6 + 1))[0].values.sum(0)[None])[0]

    def error(found: list[Attribution]) -> float:
        off = [float((lens(one.values.sum(0)[None])[0] - right).norm() / right.norm()) for one in found]
        return float(np.sqrt(np.square(off).mean()))

    def told(values: Tensor, deviations: Tensor) -> float:
        return shown_error(lens, values, deviations)[1]

    aim, seeds = Aim(args.tolerance, 10**6, told), range(args.seeds)
    jobs = [Job(entry, options, who(seed), seed, aim) for seed in seeds]
    every = explain_all(jobs, scorer, batch_size=args.batch_size, contain=False)
    stopped = [found for _, found in every if isinstance(found, Attribution)]
    spent = np.array([one.evaluations for one in stopped])
    lengths = [int(one.stopped.split("=")[1]) for one in stopped]
    others = fixed(int(np.mean(lengths) / 16) * 16, range(100, 100 + args.seeds))
    beside, reached, cost = error(others), error(stopped), others[0].evaluations
    needed = cost * (beside / reached) ** 2
    return {
        "image": file.name, "model": args.model, "size": args.size, "view": args.view, "tolerance": args.tolerance,
        "seeds": args.seeds, "true_error": f"{reached:.4f}", "evaluations": f"{spent.mean():.0f}",
        "from": int(spent.min()), "to": int(spent.max()), "fixed_evaluations": cost, "fixed_true_error": f"{beside:.4f}",
        "fixed_needs": f"{needed:.0f}", "ratio": f"{spent.mean() / needed:.2f}", "threads": torch.get_num_threads(),
        "machine": machine("cpu"),
    }  # fmt: skip


if __name__ == "__main__":
    main()

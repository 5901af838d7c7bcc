"""Which scales should a view have, and in which shares? Deletion and insertion of the arrays of a run under trial weights.

Maps are made once (`sig explain … --no-pictures --out RUN`) and measured under every trial, so differences are paired. The
shares of the view `multi` and the form of `sig` were chosen in this way (docs/defaults.md), on photographs of `imagenet50`
and `coco`; others must report them.

python benchmarks/weights_of_scales.py --run RUN --model mobilenet_v2 --weights FILE --rows rows.csv \
  "gradcam=gradcam@0" "equal=sig@4.5,9,18,36" "by scale=sig@4.5*4.5,9*9,18*18,36*36,72*72"

A trial is NAME=METHOD@σ*SHARE,…; shares are divided by their sum.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sigcli.inputs.images import read_image
from sigcli.metrics.case import Case
from sigcli.metrics.faithfulness import deletion, insertion
from sigcli.metrics.removal import follow
from sigcli.metrics.statistics import paired
from sigcli.models.loading import load_model
from sigcli.runs.folder import read_manifest
from sigcli.scores.classifier import ClassScore
from sigcli.types import Subject
from sigcli.views import parse


def seen(values: Tensor, shares: str) -> Tensor:
    """A map (H, W) under the trial's Gaussians."""
    parts = [(float(sigma), float(share or 1)) for sigma, _, share in (one.partition("*") for one in shares.split(","))]
    whole = sum(share for _, share in parts)
    return torch.stack([
        share / whole * parse(f"smooth:{sigma:g}").at(values.shape)(values[None])[0] for sigma, share in parts
    ]).sum(0)  # fmt: skip


def measure(args: argparse.Namespace) -> None:
    net = load_model(args.model, weights=args.weights, device="cpu")
    scorer, rows = ClassScore(net.module), Path(args.rows)
    known = {tuple(line.split(",")[:3]) for line in rows.read_text().splitlines()} if rows.exists() else set()
    trials = [(name, *rest.split("@")) for name, _, rest in (trial.partition("=") for trial in args.trials)]
    with rows.open("a", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for name in (read_manifest(Path(args.run)) or {})["images"]:
            picture = read_image(Path(args.images or "", Path(name).name if args.images else name))
            x = net.preprocess(picture.pixels)
            target = int(scorer.outputs(x[None]).argmax())
            subject = Subject(x, target, net.preprocess.low, net.preprocess.high, picture.key, 0)
            for trial, method, shares in trials:
                array = Path(args.run, Path(name).stem, f"{method}.npy")
                if not array.is_file():
                    continue
                case = Case(subject, seen(torch.from_numpy(np.load(array)).double().sum(0), shares))
                for imputation in args.imputation.split(","):
                    if (Path(name).stem, trial, imputation) not in known:
                        both = [plan(case, imputation=imputation, steps=args.steps) for plan in (deletion, insertion)]
                        found = [
                            plan.finish(step)
                            for plan, step in zip(both, follow(scorer, [p.removal for p in both]), strict=True)
                        ]
                        writer.writerow([Path(name).stem, trial, imputation, *(f"{one.value:.5f}" for one in found)])
                        stream.flush()


def tell(args: argparse.Namespace) -> None:
    """Means of every trial, and by how much it is better than `--against`, with paired 95 % intervals."""
    found: dict[str, dict[str, dict[str, tuple[float, float]]]] = defaultdict(lambda: defaultdict(dict))
    with Path(args.rows).open(newline="") as stream:
        for image, trial, imputation, gone, back in csv.reader(stream):
            found[imputation][trial][image] = float(gone), float(back)
    for imputation, trials in found.items():
        print(imputation)
        for trial, values in sorted(trials.items(), key=lambda one: -float(np.mean([v[1] for v in one[1].values()]))):
            mean = np.mean(list(values.values()), axis=0)
            line = f"  {trial:28} n = {len(values):2}  deletion {mean[0]:.3f}  insertion {mean[1]:.3f}"
            other = trials.get(args.against, {})
            for place, (word, sign) in enumerate((("deletion", -1), ("insertion", 1))):
                gain = paired(
                    {k: sign * v[place] for k, v in values.items()}, {k: sign * v[place] for k, v in other.items()}
                )
                if gain.mean is not None and gain.low is not None and gain.high is not None and trial != args.against:
                    line += f"  {word} better by {gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
            print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", nargs="*")
    parser.add_argument("--run", default="")
    parser.add_argument("--images", default="", help="where the images are, if no longer where the run found them")
    parser.add_argument("--model", default="squeezenet1_1")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--rows", required=True)
    parser.add_argument("--imputation", default="black,blur")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--against", default="gradcam")
    args = parser.parse_args()
    if args.trials:
        measure(args)
    tell(args)


if __name__ == "__main__":
    main()

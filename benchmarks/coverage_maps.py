"""How often 95 % intervals of maps hold the value that endless draws give: per pixel, per player, as shown, of the sum.

An interval is the value ± Student's t × its standard error, with the degrees of freedom that `--significant` takes for the
deviations of the map (`sigcli.attribution.significance.quantile`). The truth is enumerated where it can be
(Shapley values, SIG) and otherwise the mean of runs that are together `--longer` times as long.

python benchmarks/coverage_maps.py --seeds 200 --out benchmarks/results/coverage_maps.csv
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from common import report
from torch import Tensor, nn

from sigcli.attribution.significance import quantile
from sigcli.methods import METHODS
from sigcli.methods.run import attributions
from sigcli.players import parse as parse_players
from sigcli.scores.classifier import ClassScore
from sigcli.types import Attribution, Subject
from sigcli.views import parse

SIDE, OTHERS = 20, 21
PLAYERS = "grid:3x3"
_GAME = {"players": PLAYERS, "baseline": "black"}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any] | None]] = {
    "sig": ("sig", {**_GAME, "samples": 128, "coalitions": "sampled"}, {"coalitions": "auto", "samples": 65536}),
    "sig, all in reach": ("sig", {**_GAME, "samples": 512}, {"coalitions": "auto", "samples": 65536}),
    "sig, 10x10 players": ("sig", {**_GAME, "players": "grid:10x10", "samples": 128}, None),
    "sig-walk, 8 orders": ("sig-walk", {**_GAME, "orders": 8, "coalitions": "sampled"}, None),
    "sig-walk, 16 orders": ("sig-walk", {**_GAME, "orders": 16, "coalitions": "sampled"}, None),
    "sig-walk, 32 orders": ("sig-walk", {**_GAME, "orders": 32, "coalitions": "sampled"}, None),
    "eg": ("eg", {"samples": 256, "baselines": "uniform"}, None),
    "eg, 21 images": ("eg", {"samples": 256}, None),
    "agn": ("agn", {"samples": 256}, None),
    "smoothgrad": ("smoothgrad", {"samples": 50}, None),
    "gradient-shap": ("gradient-shap", {"samples": 64, "baselines": "uniform"}, None),
    "rise": ("rise", {"samples": 1000}, None),
    "lime": ("lime", {**_GAME, "players": "grid:5x5", "samples": 500}, None),
    "kernelshap": ("kernelshap", {**_GAME, "budget": 256}, {"budget": 512}),
    "kernelshap, 25 players": ("kernelshap", {**_GAME, "players": "grid:5x5", "budget": 1024}, {"budget": 200000}),
    "shapley-sampling": ("shapley-sampling", {**_GAME, "orders": 40}, None),
    "bshap": ("bshap", {**_GAME, "players": "grid:5x5", "budget": 1024}, None),
}


def toy(seed: int = 3) -> nn.Module:
    """A small network of ReLUs with random weights."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(144, 16), nn.ReLU(), nn.Linear(16, 4),
    )  # fmt: skip
    return net.eval().requires_grad_(requires_grad=False)


class Others:
    """Images that references are drawn from, (k, C, H, W)."""

    def __init__(self, images: Tensor):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> Tensor:
        return self.images[index]

    def mean(self) -> Tensor:
        return self.images.mean(0)

    def keys(self) -> Sequence[int]:
        return range(100, 100 + len(self.images))


class Measured:
    """A score, a picture and all that is asked of both.

    Args:
        batch_size: images per pass.
    """

    def __init__(self, batch_size: int):
        generator = torch.Generator().manual_seed(5)
        self.batch_size, self.low, self.scorer = batch_size, torch.zeros(3, 1, 1), ClassScore(toy())
        self.x = torch.rand(3, SIDE, SIDE, generator=generator)
        self.others = torch.rand(OTHERS, 3, SIDE, SIDE, generator=generator)
        self.target = int(self.scorer.outputs(self.x[None]).argmax())

    def runs(self, method: str, options: Mapping[str, Any], seeds: range) -> list[Attribution]:
        """One run for each seed."""
        peers = Others(self.others)
        who = (Subject(self.x, self.target, self.low, self.low + 1, 7, seed, peers) for seed in seeds)
        return list(attributions(METHODS[method], options, self.scorer, who, batch_size=self.batch_size, check=0))


def held(
    found: list[Attribution], truth: Tensor, functionals: Callable[[Tensor], Tensor]
) -> tuple[float | None, float]:
    """How often intervals hold the truth, and the standard error over the true error; None where values are exact.

    Args:
        found: one map for each seed.
        truth: (H, W).
        functionals: maps (k, H, W) → the numbers that are looked at, (k, m).
    """
    within, told, true = [], 0.0, 0.0
    right = functionals(truth[None].double())[0]
    for one in found:
        assert one.deviations is not None
        error = functionals(one.deviations.double()).square().sum(0).sqrt()
        off = (functionals(one.values.double().sum(0)[None])[0] - right).abs()
        moves = error > 1e-6 * float(
            one.values.double().sum(0).abs().sum()
        )  # what is exact but for rounding is left out
        within.append((off <= quantile(one.deviations) * error)[moves].double())
        told, true = told + float(error[moves].square().sum()), true + float(off[moves].square().sum())
    if not true:
        return None, 1.0
    return float(torch.cat(within).mean()), (told / true) ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--longer", type=int, default=50)
    parser.add_argument("--only", default="")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    of = Measured(args.batch_size)
    rows = [measure(of, name, args) for name in CASES if name.startswith(args.only)]
    report(args.out, rows)


def measure(of: Measured, name: str, args: argparse.Namespace) -> dict[str, object]:
    method, options, exact = CASES[name]
    found = of.runs(method, options, range(args.seeds))
    assert found[0].deviations is not None
    if exact is not None:
        truth = of.runs(method, {**options, **exact}, range(1))[0].values.double().sum(0)
    else:
        others = of.runs(method, options, range(10**6, 10**6 + args.longer))
        truth = torch.stack([one.values.double().sum(0) for one in others]).mean(0)
    labels = parse_players(options.get("players", PLAYERS), of.x).labels.flatten()
    lens = parse("smooth:2").at(truth.shape)

    def per_player(maps: Tensor) -> Tensor:
        sums = torch.zeros(len(maps), int(labels.max()) + 1, dtype=maps.dtype)
        return sums.index_add_(1, labels, maps.flatten(1))

    row: dict[str, object] = {"case": name, "groups": len(found[0].deviations), "seeds": args.seeds}
    looks = {
        "pixel": lambda maps: maps.flatten(1), "player": per_player,
        "shown": lambda maps: lens(maps).flatten(1), "sum": lambda maps: maps.flatten(1).sum(1, keepdim=True),
    }  # fmt: skip
    for what, functionals in looks.items():
        covered, ratio = held(found, truth, functionals)
        row |= {what: "exact" if covered is None else f"{100 * covered:.1f}", f"{what}_ratio": f"{ratio:.2f}"}
    return row


if __name__ == "__main__":
    main()

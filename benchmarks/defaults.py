"""Which players and which default sample x' serve SIG best? Every setting beside IG, EG and AGN, under every imputation.

Each variant spends the same number of gradient evaluations on each image. Its map is measured as it is and smoothed as the
pictures are, by deletion and insertion under black, mean, blur and ROAD imputation (a blurred x' must not win only because
the metric blurs), and by masks where there are some. One row per image and figure is kept, so that a second run goes on.

python benchmarks/defaults.py --images ../shared/real/images ../shared/real/coco/images --rows rows.csv --every 3
python benchmarks/defaults.py --network shapes --drawn 24 --rows rows.csv
python benchmarks/defaults.py --rows rows.csv --table benchmarks/results/defaults-cpu.csv
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from common import machine, model, report
from PIL import Image

from sigcli.attribution.decoding import ImageSet
from sigcli.attribution.select import Chosen, choose_methods
from sigcli.engine.allocator import keep_freed_memory
from sigcli.engine.integrate import Task, integrate
from sigcli.inputs.images import find_images, read_image
from sigcli.metrics.case import Case
from sigcli.metrics.faithfulness import Plan, deletion, insertion
from sigcli.metrics.localisation import relevance_mass, roc_auc
from sigcli.metrics.removal import follow
from sigcli.metrics.statistics import paired, summarise
from sigcli.models.model import Model
from sigcli.render import default_sigma, smooth
from sigcli.scenarios.shapes import data as shapes
from sigcli.scores.classifier import ClassScore
from sigcli.types import Subject

EVALUATIONS, STEPS, ROAD_STEPS = 128, 12, 6
PLAIN = {"form": "to-input", "samples": EVALUATIONS}
SWEEP = {
    **{
        f"sig {grid} {x}": {"method": "sig", "players": grid, "baseline": x, **PLAIN}
        for grid, x in (
            ("grid:14x14", "blur"),
            ("grid:14x14", "mean"),
            ("grid:14x14", "black"),
            ("grid:7x7", "blur"),
            ("80x80", "blur"),
            ("80x80", "black"),
            ("grid:28x28", "blur"),
            ("grid:7x7", "mean"),
            ("grid:28x28", "mean"),
        )
    },
    **{
        f"sig grid:14x14 blur:{s}": {"method": "sig", "players": "grid:14x14", "baseline": f"blur:{s}", **PLAIN}
        for s in (5, 25)
    },
    "sig algorithm1": {"method": "sig", "players": "grid:14x14", "sizes": "algorithm1", **PLAIN},
    "sig from-default": {"method": "sig", "players": "grid:14x14", "form": "from-default", "samples": EVALUATIONS},
    "sig both grid:14x14 blur": {"method": "sig", "players": "grid:14x14", "form": "both", "samples": EVALUATIONS // 2},
    "sig normalise": {"method": "sig", "players": "grid:14x14", "normalise": True, **PLAIN},
    **{
        f"sig both {grid} {x}": {
            "method": "sig",
            "form": "both",
            "samples": EVALUATIONS // 2,
            "players": grid,
            "baseline": x,
        }
        for grid, x in (("grid:28x28", "blur"), ("grid:28x28", "mean"), ("grid:56x56", "blur"))
    },
    "sig grid:56x56 blur": {"method": "sig", "players": "grid:56x56", **PLAIN},
    **{
        f"sig-walk {grid} {x}": {"method": "sig-walk", "players": grid, "baseline": x, "orders": orders}
        for x in ("blur", "mean")
        for grid, orders in (("grid:4x4", 8), ("grid:7x7", 2))
    },
}
PEERS = {
    **{f"ig {x}": {"method": "ig", "baseline": x}
       for x in ("black", "white", "mean", "random", "uniform", "max-distance", "blur")},
    "eg images": {"method": "eg", "baselines": "images"},
    "eg uniform": {"method": "eg", "baselines": "uniform"},
    "agn": {"method": "agn"},
}  # fmt: skip
COLUMNS = ("network", "variant", "image", "smoothed", "metric", "imputation", "value")
Key = tuple[str, str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="squeezenet1_1")
    parser.add_argument("--images", nargs="*", default=[])
    parser.add_argument(
        "--masks", nargs="*", default=[], help="folders of masks, named as the images or beginning with it"
    )
    parser.add_argument(
        "--drawn", type=int, default=0, help="so many generated pictures with masks, for the network shapes"
    )
    parser.add_argument("--every", type=int, default=1, help="take every k-th image")
    parser.add_argument("--variants", default="", help="only those whose name begins with one of these, with commas")
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--against", default="sig both grid:28x28 blur")
    parser.add_argument("--markdown", action="store_true", help="print the tables of docs/defaults.md")
    args = parser.parse_args()
    keep_freed_memory()
    if args.drawn:
        args.images, args.masks = draw_pictures(args.rows.parent / "drawn", args.drawn)
    if args.images:
        measure(args)
    if args.markdown:
        print(markdown(table(args.rows, args.against)))
    if args.table:
        report(args.table, table(args.rows, args.against))


def draw_pictures(folder: Path, count: int) -> tuple[list[str], list[str]]:
    """Pictures of the scenario `shapes` that the network has not seen, and their masks: the folders of both."""
    masks = folder / "masks"
    masks.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        picture = shapes.draw(30_000, index)
        Image.fromarray(picture.image).save(folder / f"{index:03d}.png")
        Image.fromarray(np.where(picture.mask, np.uint8(255), np.uint8(0))).save(masks / f"{index:03d}.png")
    return [str(folder)], [str(masks)]


def measure(args: argparse.Namespace) -> None:
    """Add rows for every variant and image that has none."""
    network = model(args.network, "cpu")
    scorer = ClassScore(network.module, "logit", "fp32")
    every = find_images(args.images)
    peers = ImageSet(every, network.preprocess)
    wanted = [part for part in args.variants.split(",") if part]
    done = {(row["network"], row["variant"], row["image"]) for row in read_rows(args.rows)}
    for name, options in {**SWEEP, **PEERS}.items():
        if wanted and not any(name.startswith(part) for part in wanted):
            continue
        chosen = _chosen(options)
        for path in every[:: args.every]:
            if (args.network, name, path.name) not in done:
                subject = _subject(network, scorer, path, peers)
                rows = list(_figures(scorer, subject, chosen, _mask(network, path, args.masks)))
                _append(args.rows, [(args.network, name, path.name, *row) for row in rows])
        print(name, flush=True)


def _chosen(options: dict[str, object]) -> Chosen:
    rest = {key: value for key, value in options.items() if key != "method"}
    (chosen,) = choose_methods(str(options["method"]), rest)
    count = next((name for name in ("samples", "steps") if name in chosen.entry.options()), None)
    if count is None or count in rest or "orders" in rest:
        return chosen
    return choose_methods(str(options["method"]), {**rest, count: EVALUATIONS})[0]


def _subject(network: Model, scorer: ClassScore, path: Path, peers: ImageSet) -> Subject:
    picture = read_image(path)
    x = network.preprocess(picture.pixels)
    target = int(scorer.outputs(x[None])[0].argmax())
    return Subject(x, target, network.preprocess.low, network.preprocess.high, picture.key, 0, peers)


def _mask(network: Model, path: Path, folders: list[str]) -> torch.Tensor | None:
    for folder in folders:
        for file in sorted(Path(folder).glob(f"{path.stem}*")):
            return torch.from_numpy(network.preprocess.display(read_image(file).pixels)[..., 0] > 127)
    return None


def _figures(
    scorer: ClassScore, subject: Subject, chosen: Chosen, mask: torch.Tensor | None
) -> Iterator[tuple[int, str, str, float]]:
    task = Task(subject, chosen.entry.load()(subject, **chosen.options))
    (found,) = integrate(scorer, [task], batch_size=16)
    flat = found.values.sum(0).numpy()
    plans: list[tuple[int, str, str, Plan]] = []
    for smoothed in (1, 0):
        shown = smooth(flat, default_sigma(flat.shape)) if smoothed else flat
        case = Case(subject, torch.from_numpy(np.ascontiguousarray(shown)), mask)
        for imputation in ("black", "mean", "blur", "road") if smoothed else ("black", "blur"):
            steps = ROAD_STEPS if imputation == "road" else STEPS
            for metric in (deletion, insertion):
                plan = metric(case, imputation=imputation, steps=steps)
                plans.append((smoothed, metric.__name__, imputation, plan))
        if mask is not None and bool(mask.any()) and not bool(mask.all()):
            for local in (roc_auc, relevance_mass):
                yield smoothed, local.__name__, "", local(case).value
    steps_of = follow(scorer, [plan.removal for *_, plan in plans], batch_size=32)
    for (smoothed, metric, imputation, plan), steps in zip(plans, steps_of, strict=True):
        yield smoothed, metric, imputation, plan.finish(steps).value


def read_rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _append(path: Path, rows: list[tuple[object, ...]]) -> None:
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(COLUMNS)
        writer.writerows(rows)


def table(path: Path, against: str) -> list[dict[str, object]]:
    """Mean of every variant with its interval, and how much better `against` is, image by image (above 0: better)."""
    groups: dict[tuple[str, str, str, str], dict[str, dict[str, float]]] = {}
    for row in read_rows(path):
        kind = row["network"], row["smoothed"], row["metric"], row["imputation"]
        groups.setdefault(kind, {}).setdefault(row["variant"], {})[row["image"]] = float(row["value"])
    found: list[dict[str, object]] = []
    for (network, smoothed, metric, imputation), variants in groups.items():
        sign = -1 if metric == "deletion" else 1
        for variant, values in variants.items():
            mean = summarise(list(values.values()), seed=0)
            theirs = {image: sign * value for image, value in values.items()}
            ours = {image: sign * value for image, value in variants.get(against, {}).items()}
            gain = paired(ours, theirs, seed=0)
            found.append({
                "network": network, "smoothed": smoothed, "metric": metric, "imputation": imputation, "variant": variant,
                "mean": _text(mean.mean), "ci_low": _text(mean.low), "ci_high": _text(mean.high), "n": mean.n,
                f"gain of {against}": _text(gain.mean), "gain_low": _text(gain.low), "gain_high": _text(gain.high),
                "paired": gain.n, "machine": machine("cpu"),
            })  # fmt: skip
    return found


def markdown(rows: list[dict[str, object]]) -> str:
    """Smoothed maps, variants by figures; bold where the paired interval says that the default is better."""
    lines: list[str] = []
    for network in dict.fromkeys(row["network"] for row in rows):
        mine = [row for row in rows if row["network"] == network and row["smoothed"] == "1" and row["metric"] in SHOWN]
        kinds = list(dict.fromkeys((row["metric"], row["imputation"]) for row in mine))
        heads = [f"{SHOWN[str(metric)]} {imputation}".strip() for metric, imputation in kinds]
        lines += [
            "",
            f"**{network}**",
            "",
            "| variant | n | " + " | ".join(heads) + " |",
            "|---|---" * 1 + "|---" * len(kinds) + "|",
        ]
        for variant in dict.fromkeys(row["variant"] for row in mine):
            cells = {(row["metric"], row["imputation"]): row for row in mine if row["variant"] == variant}
            n = max(int(str(row["n"])) for row in cells.values())
            lines.append(f"| {variant} | {n} | " + " | ".join(_cell(cells.get(kind)) for kind in kinds) + " |")
    return "\n".join(lines)


SHOWN = {"deletion": "del ↓", "insertion": "ins ↑", "roc_auc": "ROC AUC ↑"}


def _cell(row: dict[str, object] | None) -> str:
    if row is None:
        return "-"
    mean = f"{float(str(row['mean'])):.3f}"
    low, high = str(row["gain_low"]), str(row["gain_high"])
    if low and float(low) > 0:
        return f"**{mean}**"
    return f"_{mean}_" if high and float(high) < 0 else mean


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    main()

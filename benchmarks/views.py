"""How good a map is through each view: deletion and insertion per image, for every method and view, from one set of maps.

The maps are made once and measured through every view, so that differences between views are paired. Choose defaults on some
photographs (`imagenet50`, `coco`) and report them on others (`images`).

python benchmarks/views.py --images ../shared/real/imagenet50 ../shared/real/coco/images --rows rows.csv
python benchmarks/views.py --rows rows.csv --against "sig multi"             (prints means and paired intervals)
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from common import REAL

from sigcli.metrics.statistics import paired

METHODS = (
    "sig,sig-walk,black=ig,blur=ig,mean=ig,guided-ig,idgi,eg,gradcam,lime,rise",
    ("black.baseline=black", "blur.baseline=blur", "mean.baseline=mean"),
)
FIELDS = ("network", "image", "method", "view", "metric", "imputation", "value")
Key = tuple[str, str, str]


def sig(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "sigcli", *arguments], stdout=subprocess.DEVNULL)


def measure(args: argparse.Namespace) -> None:
    methods, settings = METHODS
    with tempfile.TemporaryDirectory() as at, Path(args.rows).open("a", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if not stream.tell():
            writer.writerow(FIELDS)
        for network in args.networks.split(","):
            begun = time.perf_counter()
            run, out = Path(at, network), ["--no-pictures", "--device", args.device]
            weights = str(REAL / "weights" / f"{network}_imagenet.pt")
            chosen = [part for one in settings for part in ("--set", one)]
            made = sig(
                "explain", *args.images, "--model", network, "--weights", weights, "--method", args.methods or methods,
                *([] if args.methods else chosen), "--out", str(run), *out,
            )  # fmt: skip
            if made.wait() not in (0, 1):
                raise SystemExit("sig explain failed")
            print(f"{network}: maps made in {time.perf_counter() - begun:.0f} s", flush=True)
            waiting = args.views.split()
            while waiting:
                some, waiting = waiting[: args.processes], waiting[args.processes :]
                outs = {view: Path(at, f"{network} {view.replace(':', '_')}") for view in some}
                asked = ["--metric", "deletion,insertion", "--imputation", args.imputation, *out]
                for process in [
                    sig("evaluate", str(run), "--view", view, "--out", str(outs[view]), *asked) for view in some
                ]:
                    process.wait()
                for view in some:
                    with (outs[view] / "metrics.csv").open(newline="") as rows:
                        for row in csv.DictReader(rows):
                            kind = row["metric"].split(":")[0], row["imputation"], row["value"]
                            writer.writerow([network, row["image"], row["method"], view, *kind])
                stream.flush()
                print(f"{network}: {' '.join(some)} by {time.perf_counter() - begun:.0f} s", flush=True)


def tell(args: argparse.Namespace) -> None:
    """Means of every method and view, and paired intervals of one of them less each other."""
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    with Path(args.rows).open(newline="") as stream:
        for row in csv.DictReader(stream):
            if row["value"]:
                figure = f"{row['metric']}, {row['imputation']}"
                found[row["network"], figure][f"{row['method']} {row['view']}"][row["image"]] = float(row["value"])
    for (network, figure), maps in found.items():
        sign = -1 if figure.startswith("deletion") else 1
        print(f"\n{network} · {figure}")
        order = sorted(maps, key=lambda name: -sign * float(np.mean(list(maps[name].values()))))
        for name in order:
            line = f"  {name:32} {np.mean(list(maps[name].values())):.3f}"
            if args.against in maps and name != args.against:
                gain = paired(maps[args.against], maps[name], within=(0, 1))
                line += f"   {args.against} better by {sign * (gain.mean or 0):+.3f}"
                if gain.low is not None and gain.high is not None:
                    ends = sorted((sign * gain.low, sign * gain.high))
                    line += f" ({ends[0]:+.3f} to {ends[1]:+.3f}), n = {gain.n}"
            print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--images", nargs="*", default=[])
    parser.add_argument("--networks", default="squeezenet1_1,mobilenet_v2")
    parser.add_argument("--methods", default="")
    parser.add_argument("--views", default="raw smooth smooth:9 smooth:18 multi regions multi+regions smooth+regions")
    parser.add_argument("--imputation", default="black,mean,blur")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--processes", type=int, default=1, help="views that are measured side by side")
    parser.add_argument("--against", default="sig multi")
    args = parser.parse_args()
    if args.images:
        measure(args)
    tell(args)


if __name__ == "__main__":
    main()

"""How long one gradient of one picture takes from a shell, beside the imports of torch and torchvision alone.

python benchmarks/start.py
python benchmarks/start.py --rounds 5 --model squeezenet1_1 --weights none

The commands take turns; the medians of their wall times and of their CPU times (user and system) are printed. The
bundled network needs no torchvision, a network of torchvision's does.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sigcli.inputs.samples import sample_images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="shapes")
    parser.add_argument("--weights", default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = [] if args.weights is None else ["--weights", args.weights]
        explain = [
            "-m",
            "sigcli",
            "explain",
            str(sample_images() / "star.png"),
            "--method",
            "gradient",
            "--model",
            args.model,
        ]
        commands = {
            "import torch, torchvision": ["-c", "import torch, torchvision"],
            f"sig explain, {args.model}": [*explain, *weights, "--overwrite", "--out", str(Path(folder) / "out")],
            "sig --help": ["-m", "sigcli", "--help"],
        }
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(args.rounds + 1):  # the first round warms the file cache
            for name, command in commands.items():
                spent[name].append(run(command))
        spent = {name: times[1:] for name, times in spent.items()}
    base = [statistics.median(times) for times in zip(*spent["import torch, torchvision"], strict=True)]
    print(f"{'command':32} {'wall s':>8} {'CPU s':>8} {'of the imports (wall, CPU)':>28}")
    for name, times in spent.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:32} {wall:8.2f} {cpu:8.2f} {wall / base[0]:17.2f} {cpu / base[1]:10.2f}")


def run(arguments: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one Python process; raises CalledProcessError where it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()

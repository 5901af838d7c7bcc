"""Runs that are killed (SIGKILL) and resumed, again and again, against one that was left alone: every file must be the same.

    python benchmarks/kills.py [--kills 25] [--command explain|evaluate|benchmark|train] [--keep FOLDER] [--out FILE.csv]

Each process is forked from one that has imported everything, so that a kill hits the work and not the imports. A folder that
gets done in spite of the kills is compared, and the next one begun. Timings are left out: `seconds` in tables, and the
pictures of a benchmark that show them. After every kill each file that stands is read: none may be half of one.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import machine, report
from PIL import Image
from safetensors import safe_open

import sigcli.evaluation.benchmark
import sigcli.render.plots.benchmark
import sigcli.render.plots.evaluation
import sigcli.training.curves
import sigcli.training.train
from sigcli.__main__ import main as sig

COMMON = [
    "--model",
    "shapes",
    "--device",
    "cpu",
    "--method",
    "sig,ig,gradient",
    "--set",
    "sig.samples=4",
    "--set",
    "ig.steps=4",
]
COMMANDS = {
    "explain": ["explain", *COMMON, "--uncertainty"],
    "evaluate": ["evaluate", *COMMON, "--metric", "deletion,sparseness", "--set", "deletion.steps=8"],
    "benchmark": ["benchmark", "images", *COMMON, "--metric", "deletion,sparseness", "--set", "deletion.steps=8"],
    "train": [
        "train",
        "--arch",
        "small-cnn",
        "--image-size",
        "32",
        "--epochs",
        "6",
        "--batch-size",
        "8",
        "--device",
        "cpu",
    ],
}
KILLS = {"explain": 50, "evaluate": 25, "benchmark": 10, "train": 10}
TIMED = ("time.png", "counts.png", "quality-cost.png")
"""Pictures that show seconds."""


def pictures(folder: Path, count: int, classes: int = 1) -> None:
    """Pictures of noise, in folders of classes where there are several."""
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (24, 24, 3), np.uint8)
        place = folder / f"class{number % classes}" if classes > 1 else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).resize((96, 96)).save(place / f"{number:03d}.png")


def begin(arguments: list[str]) -> int:
    """Start `sig` in a process of its own; its id."""
    child = os.fork()
    if child:
        return child
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        sys.argv = ["sig", *arguments]
        sig()
    except SystemExit as end:
        os._exit(int(end.code or 0))
    except BaseException:  # noqa: BLE001
        os._exit(99)
    os._exit(0)


def code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def contents(folder: Path) -> dict[str, object]:
    """Every file but timings."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.name in ("results.csv", "benchmark.csv"):
            with path.open(newline="") as stream:
                rows = csv.DictReader(stream)
                found[path.name] = [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]
        elif path.name in TIMED:
            found[path.name] = "drawn"
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def differing(one: Path, other: Path) -> list[str]:
    left, right = contents(one), contents(other)
    return sorted(name for name in {*left, *right} if left.get(name) != right.get(name))


def halves(folder: Path) -> list[str]:
    """Files that are not whole; what is being written stands under a name of its own and does not count."""
    return sorted(str(path) for path in folder.rglob("*") if path.is_file() and not _whole(path))


def _whole(path: Path) -> bool:
    try:
        if path.suffix == ".npy":
            np.load(path, allow_pickle=False)
        elif path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".safetensors":
            with safe_open(path, framework="numpy") as tensors:
                list(tensors.keys())
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix in (".csv", ".jsonl"):
            return path.read_bytes().endswith(b"\n")
    except Exception:  # noqa: BLE001  whatever a reader raises, the file is damaged
        return False
    return True


def trial(command: str, base: Path, kills: int, draw: random.Random) -> tuple[int, int, list[str]]:
    """(kills, whole folders, names of files that differ, or were half written after a kill)."""
    begins = "manifest.json" if command == "train" else "files.jsonl"
    line = [*COMMANDS[command], str(base / "in")]
    start = time.monotonic()
    assert code(begin([*line, "--out", str(base / "warm")])) == 0, "sig failed; try: sig " + " ".join(line)
    shutil.rmtree(base / "warm")
    child, first = begin([*line, "--out", str(base / "whole")]), 0.0
    while not first:
        time.sleep(0.002)
        first = time.monotonic() - start if (base / "whole" / begins).exists() else 0.0
        assert time.monotonic() - start < 600, f"no {begins} after ten minutes"
    assert code(child) == 0, "the undisturbed run failed"
    total, killed, folders, wrong = time.monotonic() - start, 0, 0, list[str]()
    while killed < kills:
        out, resume = base / f"killed-{folders}", list[str]()
        while True:
            child = begin([*line, "--out", str(out), *resume])
            last = killed >= kills
            if not last:
                time.sleep(draw.uniform(0.8 * min(first, 0.5 * total), 0.8 * total))
                os.kill(child, signal.SIGKILL)
            ended = code(child)
            if ended == 0 and not last:  # it was faster than the undisturbed run, or had little left to do
                total = max(0.7 * total, 0.2)
            resume = ["--resume"]
            if ended == -signal.SIGKILL:
                killed += 1
                wrong += [f"half written after a kill: {name}" for name in halves(out)]
                continue
            assert ended == 0, f"sig ended with {ended}"
            folders += 1
            wrong += [f"{out.name}/{name}" for name in differing(base / "whole", out)]
            break
    return killed, folders, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, help=f"by default {KILLS}")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", choices=COMMANDS)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    assert sigcli.evaluation.benchmark, sigcli.training.train
    failed = False
    for command in [options.command] if options.command else COMMANDS:
        with tempfile.TemporaryDirectory() as temporary:
            base = (options.keep or Path(temporary)) / command
            pictures(base / "in", *((60, 2) if command == "train" else (options.images,)))
            kills = options.kills or KILLS[command]
            killed, folders, wrong = trial(command, base, kills, random.Random(options.seed))
            parts = len(list(base.rglob("*.part")))
            row = {"command": command, "kills": killed, "folders": folders, "files_that_differ": len(wrong)}
            report(options.out, [{**row, "part_files": parts, "machine": machine("cpu")}])
            print("\n".join(wrong[:20]), flush=True)
            failed |= bool(wrong or parts)
    sys.exit(failed)


if __name__ == "__main__":
    main()

"""Runs that are killed (SIGKILL) and resumed, again and again, against one that was left alone: every file must be the same.

    python benchmarks/kills.py --kills 25 [--command explain|evaluate] [--keep FOLDER]

Each process is forked from one that has imported everything, so that a kill hits the work and not the imports. A folder that
gets done in spite of the kills is compared, and the next one begun. Timings (`seconds` in results.csv) are left out.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import sigcli.evaluation.evaluate
import sigcli.render.plots.evaluation
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
}


def pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(noise).resize((96, 96)).save(folder / f"{number:03d}.png")


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
        if path.name == "results.csv":
            with path.open(newline="") as stream:
                found[path.name] = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def differing(one: Path, other: Path) -> list[str]:
    left, right = contents(one), contents(other)
    return sorted(name for name in {*left, *right} if left.get(name) != right.get(name))


def trial(command: str, base: Path, kills: int, draw: random.Random) -> tuple[int, int, list[str]]:
    """(kills, whole folders, names of files that differ)."""
    line = [*COMMANDS[command], str(base / "in")]
    start = time.monotonic()
    child, first = begin([*line, "--out", str(base / "whole")]), 0.0
    while not first:
        time.sleep(0.002)
        first = time.monotonic() - start if (base / "whole" / "files.jsonl").exists() else 0.0
    assert code(child) == 0, "the undisturbed run failed"
    total, killed, folders, wrong = time.monotonic() - start, 0, 0, list[str]()
    while killed < kills:
        out, resume = base / f"killed-{folders}", list[str]()
        while True:
            child = begin([*line, "--out", str(out), *resume])
            last = killed >= kills
            if not last:
                time.sleep(draw.uniform(0.8 * first, first + 0.4 * (total - first)))
                os.kill(child, signal.SIGKILL)
            ended = code(child)
            resume = ["--resume"]
            if ended == -signal.SIGKILL:
                killed += 1
                continue
            assert ended == 0, f"sig ended with {ended}"
            folders += 1
            wrong += [f"{out.name}/{name}" for name in differing(base / "whole", out)]
            break
    return killed, folders, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", choices=COMMANDS)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    assert sigcli.evaluation.evaluate, sigcli.render.plots.evaluation
    failed = False
    for command in [options.command] if options.command else COMMANDS:
        with tempfile.TemporaryDirectory() as temporary:
            base = (options.keep or Path(temporary)) / command
            pictures(base / "in", options.images)
            killed, folders, wrong = trial(command, base, options.kills, random.Random(options.seed))
            parts = len(list(base.rglob("*.part")))
            print(f"{command}: {killed} kills, {folders} folders, {len(wrong)} files differ, {parts} .part files")
            print("\n".join(wrong[:20]))
            failed |= bool(wrong or parts)
    sys.exit(failed)


if __name__ == "__main__":
    main()

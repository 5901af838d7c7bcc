"""Runs that are killed (SIGKILL) and resumed, again and again, against one that was left alone: every file must be the same.

    python benchmarks/kills.py [--kills 25] [--case explain-view] [--keep FOLDER] [--out FILE.csv]

A case is a command, or one varied: with two workers, with the view of its pictures changed from start to start, and with a
remote output folder. Two of the images differ in their suffix only.

Each process is forked from one that has imported everything, so that a kill hits the work and not the imports. A folder that
gets done in spite of the kills is compared, and the next one begun. Timings are left out: `seconds` in tables, and the
pictures of a benchmark that show them. After every kill each file that stands is read: none may be half of one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from common import machine, report
from folders import differing
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
VIEWS = ("smooth:6", "raw", "multi:4,8")


@dataclass(frozen=True)
class Case:
    """A command that is killed.

    Args:
        command: of `COMMANDS`.
        kills: how many, by default.
        more: further arguments.
        turns: arguments of which each start draws one; the last start has the first.
        remote: the output folder is named by a URL.
    """

    command: str
    kills: int
    more: tuple[str, ...] = ()
    turns: tuple[tuple[str, ...], ...] = field(default=((),))
    remote: bool = False

    def begin(self, base: Path, out: Path, turn: tuple[str, ...], *more: str) -> int:
        """Start it in a process of its own; its id."""
        to = f"file://{out}" if self.remote else str(out)
        return begin([*COMMANDS[self.command], str(base / "in"), *self.more, *turn, "--out", to, *more])


CASES = {
    "explain": Case("explain", 50),
    "evaluate": Case("evaluate", 25),
    "benchmark": Case("benchmark", 10),
    "train": Case("train", 10),
    "explain-view": Case("explain", 20, ("--save-view",), turns=tuple(("--view", view) for view in VIEWS)),
    "explain-remote": Case("explain", 15, remote=True),
    "evaluate-remote": Case("evaluate", 10, remote=True),
    "explain-workers": Case("explain", 10, more=("--workers", "2")),
    "evaluate-workers": Case("evaluate", 6, more=("--workers", "2")),
}
TIMED = ("time.png", "counts.png", "quality-cost.png")
"""Pictures that show seconds."""


def pictures(folder: Path, count: int, classes: int = 1) -> None:
    """Pictures of noise, in folders of classes where there are several."""
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (24, 24, 3), np.uint8)
        place = folder / f"class{number % classes}" if classes > 1 else folder
        place.mkdir(parents=True, exist_ok=True)
        name = "000.jpg" if number == 1 and classes == 1 else f"{number:03d}.png"
        Image.fromarray(noise).resize((96, 96)).save(place / name)


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


def undisturbed(case: Case, base: Path) -> tuple[float, float]:
    """Make the folder that all others must equal: seconds to its first result, and to its end."""
    begins = "manifest.json" if case.command == "train" else "files.jsonl"
    assert code(case.begin(base, base / "warm", case.turns[0])) == 0, f"sig {case} failed"
    shutil.rmtree(base / "warm")
    start, first = time.monotonic(), 0.0
    child = case.begin(base, base / "whole", case.turns[0])
    while not first:
        time.sleep(0.002)
        first = time.monotonic() - start if next((base / "whole").glob(begins), None) else 0.0
        assert time.monotonic() - start < 600, f"no {begins} after ten minutes"
    assert code(child) == 0, "the undisturbed run failed"
    return first, time.monotonic() - start


def trial(case: Case, base: Path, kills: int, draw: random.Random) -> tuple[int, int, list[str]]:
    """(kills, whole folders, names of files that differ, or were half written after a kill)."""
    first, total = undisturbed(case, base)
    killed, folders, wrong = 0, 0, list[str]()
    while killed < kills:
        out, resume = base / f"killed-{folders}", list[str]()
        while True:
            turn = draw.choice(case.turns)
            last = killed >= kills
            child = case.begin(base, out, case.turns[0] if last else turn, *resume)
            if not last:
                time.sleep(draw.uniform(0.8 * min(first, 0.5 * total), total))
                os.kill(child, signal.SIGKILL)
            ended = code(child)
            if ended == 0 and not last and not resume:  # it was faster than the undisturbed run
                total = max(0.9 * total, 0.2)
            resume = ["--resume"]
            if ended == -signal.SIGKILL:
                killed += 1
                wrong += [f"half written after a kill: {name}" for name in halves(out)]
                continue
            assert ended == 0, f"sig ended with {ended}: {case} {out}"
            if not last and turn != case.turns[0]:
                continue  # it is whole, and must take the view of the others
            folders += 1
            wrong += [f"{out.name}/{name}" for name in differing(base / "whole", out, TIMED)]
            break
    return killed, folders, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, help="by default 50 of explain, 25 of evaluate, fewer of the others")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", help=f"by default all: {', '.join(CASES)}")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    assert sigcli.evaluation.benchmark, sigcli.training.train
    failed = False
    for name in options.case.split(",") if options.case else CASES:
        with tempfile.TemporaryDirectory() as temporary:
            case, base = CASES[name], (options.keep or Path(temporary)).absolute() / name
            os.environ["XDG_CACHE_HOME"] = str(base / "cache")  # the staging folder of a remote run
            pictures(base / "in", *((60, 2) if case.command == "train" else (options.images,)))
            killed, folders, wrong = trial(case, base, options.kills or case.kills, random.Random(options.seed))
            parts = len(list(base.rglob("*.part")))
            row = {"command": name, "kills": killed, "folders": folders, "files_that_differ": len(wrong)}
            report(options.out, [{**row, "part_files": parts, "machine": machine("cpu")}])
            print("\n".join(wrong[:20]), flush=True)
            failed |= bool(wrong or parts)
    sys.exit(failed)


if __name__ == "__main__":
    main()

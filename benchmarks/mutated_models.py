"""Damaged model files, by thousands: does each end in a sentence?

Run: python benchmarks/mutated_models.py --count 8000. Workers have an address-space limit, so that a file which swells is
seen, and a crash of one ends neither the run nor the count.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from mutations import mutated, outcome, seeds


def work(folder: Path, first: int, last: int, memory: int) -> None:
    import torch

    torch.set_num_threads(1)
    good = [(path, path.read_bytes()) for path in sorted(folder.glob("seeds/*"))]
    outcome(good[0][0])  # imports, before the limit
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    for index in range(first, last):
        rng = random.Random(index)
        path, content = good[index % len(good)]
        target = (
            folder / f"{first}{path.suffix}"
            if path.suffix != ".safetensors"
            else folder / f"{path.stem}{first}.safetensors"
        )
        target.write_bytes(mutated(content, rng))
        began = time.monotonic()
        found = " ".join(outcome(target).split())
        print(index, path.name, round(time.monotonic() - began, 2), found, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=8000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--memory", type=int, default=6 << 30, help="bytes of address space of a worker")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(Path(given.worker[0]), int(given.worker[1]), int(given.worker[2]), given.memory)
        return
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "seeds").mkdir()
        files = seeds(folder / "seeds")
        at, last = given.first, given.first + given.count
        while at < last:
            command = [sys.executable, __file__, "--memory", str(given.memory), "--worker", name, str(at), str(last)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
                for line in worker.stdout or ():
                    if line.split(" ", 1)[0].isdigit() and line.count(" ") >= 3:
                        index, file, _, what = line.rstrip("\n").split(" ", 3)
                        at = int(index) + 1
                        counts[file, " ".join(what.split()[:2])] += 1
                        if what.startswith("unexpected"):
                            print(index, file, what, flush=True)
            if worker.returncode:
                print(at, files[at % len(files)].name, f"the process ended with {worker.returncode}", flush=True)
                counts[files[at % len(files)].name, f"crash {worker.returncode}"] += 1
                at += 1
    for (file, what), count in sorted(counts.items()):
        print(f"{file:22} {what:30} {count}")
    print(f"{'all':22} {'files':30} {sum(counts.values())}")


if __name__ == "__main__":
    main()

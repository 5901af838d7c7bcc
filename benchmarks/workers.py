"""How much faster `sig explain --workers 2` is than one process, start-up included: `python benchmarks/workers.py`.

Both explain the same pictures with one thread each, in turns. CPU seconds of all processes are noted beside wall time,
which tells little on a machine that others use.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image

RESULTS = Path(__file__).parent / "results" / "workers-cpu.csv"


def seconds(folder: str, workers: int, samples: int) -> tuple[float, float]:
    """Wall time, and CPU time of all processes."""
    out = f"{folder}/out-{workers}"
    command = [
        sys.executable, "-m", "sigcli", "explain", f"{folder}/in", "--device", "cpu", "--set", f"samples={samples}",
        "--workers", str(workers), "--out", out, "--overwrite",
    ]  # fmt: skip
    begun, before = time.perf_counter(), cpu()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - begun, cpu() - before


def cpu() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--note", default="")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "in").mkdir()
        draw = np.random.default_rng(0)
        for number in range(asked.images):
            Image.fromarray(draw.integers(0, 255, (112, 112, 3), np.uint8)).save(f"{folder}/in/{number:03}.png")
        (one, cpu_one), (two, cpu_two) = (seconds(folder, workers, asked.samples) for workers in (1, 2))
    new = not RESULTS.exists()
    with RESULTS.open("a") as stream:
        if new:
            stream.write(
                "date,images,samples,one_seconds,two_seconds,ratio,one_cpu_seconds,two_cpu_seconds,load,cores,note\n"
            )
        load = os.getloadavg()[0]
        today = date.today()
        ratio = f"{one:.1f},{two:.1f},{one / two:.2f},{cpu_one:.1f},{cpu_two:.1f}"
        stream.write(f"{today},{asked.images},{asked.samples},{ratio},{load:.0f},{os.cpu_count()},{asked.note}\n")
    print(f"one {one:.1f} s, two {two:.1f} s: {one / two:.2f} times; CPU {cpu_one:.1f} s and {cpu_two:.1f} s")


if __name__ == "__main__":
    main()

"""Runs on a Ray cluster of two nodes against runs of this process, file by file: `python benchmarks/ray_nodes.py`.

Both nodes are on this machine and have one CPU each. `explain` and `evaluate` are run by either engine. One run loses its
second node in the middle (SIGKILL of the raylet); one is interrupted (SIGINT) and resumed by the local engine; one that the
local engine has begun is resumed by Ray. Each must leave the files of an undisturbed run, byte for byte but for the time.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import date
from pathlib import Path

import numpy as np
from folders import differing
from PIL import Image

RESULTS = Path(__file__).parent / "results" / "ray-cpu.csv"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
COLUMNS = (
    "date", "images", "samples", "local_seconds", "ray_seconds", "equal", "killed_code", "killed_rows", "killed_seconds",
    "killed_equal", "interrupted_code", "interrupted_rows", "interrupted_left", "resumed_by_local_equal",
    "resumed_by_ray_equal", "evaluate_equal", "load", "cores", "note",
)  # fmt: skip


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sigcli", *arguments, "--device", "cpu"]


def run(line: list[str], when=None) -> tuple[int, float]:
    """Run a command; returns its exit code and its wall time. `when`: called again and again until it returns True."""
    begun = time.perf_counter()
    with subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True
    ) as process:
        while when is not None and process.poll() is None and not when(process):
            time.sleep(0.1)
        told = process.communicate()[1]
    if process.returncode not in (0, 130):
        print(told, file=sys.stderr)
    print(
        f"{process.returncode} after {time.perf_counter() - begun:.0f} s: {' '.join(line[2:])}",
        file=sys.stderr,
        flush=True,
    )
    return process.returncode, time.perf_counter() - begun


def rows(folder: Path) -> int:
    """How many explanations stand."""
    try:
        return (folder / "results.csv").read_bytes().count(b"\n") - 1
    except OSError:
        return 0


def same(one: Path, other: Path) -> bool:
    """Whether two runs left the same; what differs is printed."""
    differ = differing(one, other)
    if differ:
        print(f"{one.name} and {other.name} differ in {differ[:9]}", file=sys.stderr)
    return not differ


def left() -> int:
    """How many actors are there."""
    told = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return sum(line.startswith("ray::Actor") for line in told.splitlines())


class Nodes:
    """A cluster of two nodes with one CPU each."""

    def __init__(self) -> None:
        # This machine has other work: Ray would end actors where memory is short, and runs them at low priority.
        os.environ |= {"RAY_memory_monitor_refresh_ms": "0", "RAY_worker_niceness": "0", **ENVIRONMENT}
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.address = self.cluster.address
        self.add_second()

    def add_second(self) -> None:
        self.second = self.cluster.add_node(num_cpus=1)

    def kill_second(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)

    def close(self) -> None:
        self.cluster.shutdown()


def proof(folder: Path, images: int, samples: int, found: dict[str, object]) -> None:
    pictures, draw = folder / "in", np.random.default_rng(0)
    pictures.mkdir()
    for number in range(images):
        Image.fromarray(draw.integers(0, 255, (112, 112, 3), np.uint8)).save(pictures / f"{number:03}.png")
    explain = ["explain", str(pictures), "--set", f"samples={samples}"]
    evaluate = ["evaluate", str(pictures), "--method", "ig,gradient", "--set", "ig.steps=4", "--metric"]
    evaluate += ["deletion,sparseness", "--set", "deletion.steps=4", "--no-pictures"]
    local, killed, stopped, begun = (folder / name for name in ("local", "killed", "stopped", "begun"))
    found["local_seconds"] = round(run(command(*explain, "--out", str(local)))[1], 1)
    nodes = Nodes()
    try:
        ray = ["--engine", "ray", "--address", nodes.address]
        found["ray_seconds"] = round(run(command(*explain, *ray, "--out", str(folder / "ray")))[1], 1)
        found["equal"] = same(local, folder / "ray")

        def lose(_: subprocess.Popen) -> bool:
            if rows(killed) < images // 4:
                return False
            nodes.kill_second()
            found["killed_rows"] = rows(killed)  # of those that are done, when one node is lost
            return True

        code, seconds = run(command(*explain, *ray, "--workers", "2", "--out", str(killed)), lose)
        found["killed_code"], found["killed_seconds"], found["killed_equal"] = (
            code,
            round(seconds, 1),
            same(local, killed),
        )
        nodes.add_second()

        def halfway(process: subprocess.Popen) -> bool:
            return rows(stopped) >= images // 4 and not process.send_signal(signal.SIGINT)

        found["interrupted_code"] = run(command(*explain, *ray, "--out", str(stopped)), halfway)[0]
        time.sleep(3)
        found["interrupted_left"], found["interrupted_rows"] = left(), rows(stopped)
        run(command(*explain, "--resume", "--out", str(stopped)))
        found["resumed_by_local_equal"] = same(local, stopped)

        def quarter(process: subprocess.Popen) -> bool:
            return rows(begun) >= images // 4 and not process.send_signal(signal.SIGINT)

        run(command(*explain, "--out", str(begun)), quarter)
        run(command(*explain, *ray, "--resume", "--out", str(begun)))
        found["resumed_by_ray_equal"] = same(local, begun)
        run(command(*evaluate, "--out", str(folder / "evaluated")))
        run(command(*evaluate, *ray, "--out", str(folder / "evaluated-ray")))
        found["evaluate_equal"] = same(folder / "evaluated", folder / "evaluated-ray")
    finally:
        nodes.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--note", default="")
    asked = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background jobs ignore it, and so would the commands
    found: dict[str, object] = {"date": date.today(), "images": asked.images, "samples": asked.samples}
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):  # what was found until then is kept
        proof(Path(folder), asked.images, asked.samples, found)
    found |= {"load": round(os.getloadavg()[0]), "cores": os.cpu_count(), "note": asked.note}
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(found)
    print("\n".join(f"{name}: {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()

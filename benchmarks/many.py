"""A run of thousands of tiny images as a user runs it: does anything grow with their number? Then `--resume` of all of it.

    python benchmarks/many.py --images 20000 [--pictures] [--command explain|evaluate] [--out results/many-cpu.csv]

The network is a trivial one and the method the cheapest, so what is measured is all that is not the model: listing,
decoding, writing, tables. The lines of `--json` say when each explanation is done; /proc says what the process holds.
`per_image_start_ms` and `per_image_end_ms` are medians over ten stretches of the second and of the last tenth (the first
tenth has the start in it), `cpu_start_ms` and `cpu_end_ms` the processor's time there, which a busy neighbour changes less;
`ratio` is that of the latter. `tail_s` is from the last image to the end of the process, `resume_s` from the start of
`--resume` of the finished run to its first line, and `resume_all_s` to its end.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from common import machine, report
from PIL import Image

NETWORK = """
from torch import nn

def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 3))
"""
COMMANDS = {
    "explain": ["explain", "--method", "gradient"],
    "evaluate": ["evaluate", "--method", "gradient", "--metric", "sparseness"],
}
_EARLY, _STRETCHES = 1000, 10


@dataclass
class Watched:
    """What was seen of one process.

    Args:
        times: of its lines, in seconds since its start.
        held: at some of the lines: resident memory in MiB, open files, seconds of the processor.
        end: when it had ended.
        used: seconds of the processor by then.
    """

    times: list[float]
    held: dict[int, tuple[float, int, float]]
    end: float = 0
    used: float = 0


def pictures(folder: Path, count: int) -> None:
    """Tiny PNGs of noise, in folders of a thousand."""
    draw = np.random.default_rng(0)
    for number in range(count):
        if number % 1000 == 0:
            (folder / f"{number // 1000:03d}").mkdir(parents=True)
        noise = draw.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{number // 1000:03d}" / f"{number:06d}.png")


def held(process: int) -> tuple[float, int, float]:
    """Resident memory in MiB, how many files are open, and seconds of the processor so far."""
    status = Path(f"/proc/{process}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    clock = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    used = (int(clock[11]) + int(clock[12])) / os.sysconf("SC_CLK_TCK")
    return int(resident.split()[1]) / 1024, len(os.listdir(f"/proc/{process}/fd")), used


def watched(command: list[str], base: Path, marks: set[int]) -> Watched:
    """Run a command with `--json`; every line is an explanation (of `evaluate`, whose lines come at its end, a value).

    The last line has the counts: it is no explanation, and comes once the folder is settled.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(base), os.environ.get("PYTHONPATH", "")])}
    start, found = time.monotonic(), Watched([], {})
    with (base / "errors.txt").open("wb") as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=base, env=environment)
        assert child.stdout is not None
        for _ in child.stdout:
            found.times.append(time.monotonic() - start)
            if len(found.times) in marks:
                found.held[len(found.times)] = held(child.pid)
        found.times.pop()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if status:
            raise SystemExit((base / "errors.txt").read_text()[-2000:])
        found.used = usage.ru_utime + usage.ru_stime
    found.end = time.monotonic() - start
    return found


def per_image(times: list[float]) -> float:
    """Median over stretches, in ms: a neighbour on the machine who is busy for a while does not count."""
    size = max(1, len(times) // _STRETCHES)
    ends = times[::size]
    return 1000 * statistics.median((later - earlier) / size for earlier, later in pairwise(ends))


def measured(command: str, count: int, *, drawn: bool, device: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        (base / "tiny_network.py").write_text(NETWORK)
        pictures(base / "in", count)
        line = [
            sys.executable, "-m", "sigcli", *COMMANDS[command], str(base / "in"), "--model", "tiny_network:linear",
            "--resize", "16", "--crop", "16", "--mean", "0", "--std", "1", "--device", device, "--json", "--out",
            str(base / "out"), "--pictures" if drawn else "--no-pictures",
        ]  # fmt: skip
        tenth = max(1, count // 10)
        early = min(_EARLY, tenth)
        run = watched(line, base, {early, tenth, 2 * tenth, count - tenth, count})
        assert len(run.times) == count, f"{len(run.times)} lines"
        again = watched([*line, "--resume"], base, set())
        rows = (base / "out" / "results.csv").read_text().count("\n") - 1
    start, end = per_image(run.times[tenth : 2 * tenth]), per_image(run.times[-tenth:])
    at = run.held
    used = [1000 * (at[b][2] - at[a][2]) / tenth for a, b in ((tenth, 2 * tenth), (count - tenth, count))]
    return {
        "command": command, "images": count, "pictures": "yes" if drawn else "no", "rows": rows,
        "per_image_start_ms": f"{start:.2f}", "per_image_end_ms": f"{end:.2f}", "cpu_start_ms": f"{used[0]:.2f}",
        "cpu_end_ms": f"{used[1]:.2f}", "ratio": f"{used[1] / used[0]:.3f}", "tail_s": f"{run.end - run.times[-1]:.2f}",
        "tail_cpu_s": f"{run.used - at[count][2]:.2f}", "total_s": f"{run.end:.1f}", "resume_s": f"{again.times[0]:.2f}",
        "resume_all_s": f"{again.end:.1f}", "resume_cpu_s": f"{again.used:.1f}", "rss_early_mib": f"{at[early][0]:.0f}",
        "rss_end_mib": f"{at[count][0]:.0f}", "rss_ratio": f"{at[count][0] / at[early][0]:.3f}",
        "files_early": at[early][1], "files_end": at[count][1], "load": f"{os.getloadavg()[1]:.1f}",
        "machine": machine(device),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--command", choices=COMMANDS, default="explain")
    parser.add_argument("--pictures", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report(options.out, [measured(options.command, options.images, drawn=options.pictures, device=options.device)])


if __name__ == "__main__":
    main()

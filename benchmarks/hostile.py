"""A folder of 200 files, 40 and more of them hostile, through `sig explain`: what is explained, what is said, time, memory.

    python benchmarks/hostile.py [--good 160] [--out results/hostile.csv] [--keep FOLDER]

The bundled network explains the folder in a process of its own; a good picture alone tells what the model itself takes. Each
file is then read once more alone, for the longest time that one takes.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from common import machine, report

from sigcli.errors import SigError
from sigcli.files import safe_cell
from sigcli.inputs.images import read_image
from sigcli.names import escaped

from hostile_files import make, saved


def sig(*arguments: str) -> tuple[int, float, int]:
    """Exit code, seconds and most resident bytes of a command."""
    began = time.monotonic()
    child = os.posix_spawn(sys.executable, [sys.executable, "-m", "sigcli", *arguments], os.environ)
    _, ended, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(ended), time.monotonic() - began, used.ru_maxrss * 1024


def explained(root: Path, out: Path) -> tuple[int, float, int]:
    return sig("explain", str(root), "--method", "sig", "--set", "samples=8", "--device", "cpu", "--out", str(out))


def longest(root: Path, names: list[str]) -> tuple[float, str]:
    """Seconds of processor time of the file that takes the longest to be read or refused."""
    found = []
    for name in names:
        began = time.process_time()
        with suppress(SigError):
            read_image(root / name)
        found.append((time.process_time() - began, escaped(name)))
    return max(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--good", type=int, default=160)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        base = options.keep or Path(temporary)
        (base / "one").mkdir(parents=True)
        (base / "one" / "a.png").write_bytes(saved(1, "PNG"))
        (base / "in").mkdir()
        good, reasons = make(base / "in", options.good)
        _, _, own = explained(base / "one", base / "out-one")
        code, seconds, most = explained(base / "in", base / "out")
        with (base / "out" / "results.csv").open(newline="", encoding="utf-8") as stream:
            rows = {row["image"]: row for row in csv.DictReader(stream)}
        done = [name for name in good if rows[safe_cell(escaped(name))]["status"] == "ok"]
        told = [name for name, why in reasons.items() if re.search(why, rows[safe_cell(escaped(name))]["error"])]
        slowest, name = longest(base / "in", [*good, *reasons])
        row = {
            "good": len(good), "hostile": len(reasons), "explained": len(done), "named_with_reason": len(told),
            "exit_code": code, "seconds": round(seconds, 1), "peak_mb": most >> 20, "peak_of_one_picture_mb": own >> 20,
            "above_mb": (most - own) >> 20, "longest_file_cpu_seconds": round(slowest, 2), "longest_file": name,
            "machine": machine("cpu"),
        }  # fmt: skip
        report(options.out, [row])
        for name in sorted({*good} - {*done}) + sorted(reasons.keys() - {*told}):
            print("WRONG", escaped(name), rows[safe_cell(escaped(name))]["error"])
    sys.exit(len(done) != len(good) or len(told) != len(reasons) or code != 1)


if __name__ == "__main__":
    main()

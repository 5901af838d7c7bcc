"""Peak resident memory of the whole process `sig explain`, with many samples over that with few.

python benchmarks/memory.py --image photo.jpg --model squeezenet1_1 --weights FILE
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import machine, report


def peak_mib(command: list[str]) -> float:
    """Peak resident set of a child process in MiB, as the kernel counted it."""
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen([*command, "--out", folder], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(child.stderr.read().decode() if child.stderr else "the command failed")
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", required=True)
    parser.add_argument("--model", default="squeezenet1_1")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--few", type=int, default=64)
    parser.add_argument("--many", type=int, default=4096)
    parser.add_argument("--methods", default="sig,eg,agn")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = []
    for method in args.methods.split(","):
        command = [sys.executable, "-m", "sigcli", "explain", args.image, "--model", args.model, "--weights", args.weights,
                   "--method", method, "--device", "cpu", "--overwrite"]  # fmt: skip
        command += ["--set", "baselines=uniform"] if method == "eg" else []
        few, many = (peak_mib([*command, "--set", f"samples={n}"]) for n in (args.few, args.many))
        rows.append(
            {"what": "peak resident memory", "model": args.model, "method": method, f"mib_at_{args.few}": f"{few:.0f}",
             f"mib_at_{args.many}": f"{many:.0f}", "ratio": f"{many / few:.3f}", "machine": machine("cpu")}
        )  # fmt: skip
    report(args.out, rows)


if __name__ == "__main__":
    main()

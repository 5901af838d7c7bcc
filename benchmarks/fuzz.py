"""Every loader against damaged files: does each call end in success or a sentence, in time and in bounded memory?

    python benchmarks/fuzz.py --minutes 30 --seed 1 [--kind image,labels]

A worker does one trial after the other under a limit of address space. Where it takes more than --patience seconds of
processor time, waits for minutes, or crashes, it is ended and reported, and the next worker goes on behind it. Every
finding is printed with its target and seed: `--only TARGET --first SEED --count 1` repeats it.
"""

from __future__ import annotations

import argparse
import os
import resource
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from fuzzing import targets, trial


def work(folder: Path, options: argparse.Namespace) -> None:
    """Trials from --first on, a line before and after each."""
    import torch

    import sigcli.evaluation.masks.located
    import sigcli.evaluation.true_classes
    import sigcli.inputs.arrays
    import sigcli.models.labels

    assert sigcli.evaluation.masks.located, sigcli.evaluation.true_classes
    assert sigcli.inputs.arrays, sigcli.models.labels
    torch.set_num_threads(1)
    kinds = {options.only.partition("/")[0]} if options.only else set(options.kind.split(",")) if options.kind else None
    every = targets(folder, kinds)
    names = [options.only] if options.only else sorted(every)
    here = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (here + options.memory, here + options.memory))
    for seed in range(options.first, options.first + options.count):
        name = names[seed % len(names)]
        print("begin", seed, name, flush=True)
        began = time.process_time()
        told = " ".join(trial(every[name], seed, folder / "trial").split())
        print("end", seed, name, round(time.process_time() - began, 2), told, flush=True)


def used(process: int) -> float:
    """Seconds of processor time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """What a worker says, and how long it is silent.

    Args:
        worker: the process.
        patience: seconds of processor time of one trial.
        counts: (kind, how it ended) → how often.
        slowest: (seconds, target, seed) of the slowest trials.
    """

    def __init__(self, worker: subprocess.Popen[bytes], patience: float, counts: Counter, slowest: list):
        self.worker, self.patience, self.counts, self.slowest = worker, patience, counts, slowest
        self.begun: int | None = None
        self.name, self.at, self.since, self._rest = "", 0.0, 0.0, b""

    def follow(self, until: float) -> int | None:
        """The seed of the trial at which the worker ended, or None where it did all or the time is over."""
        assert self.worker.stdout is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.worker.stdout, selectors.EVENT_READ)
            while self.begun is not None or time.monotonic() < until:
                if not waiting.select(1.0):
                    if self.begun is not None and self._late():
                        return self._found("hang", f"hangs for more than {self.patience:g} s")
                    continue
                text = os.read(self.worker.stdout.fileno(), 1 << 16)
                if not text:
                    ended = self.worker.wait()
                    return self._found("crash", f"the process ended with {ended}") if ended else None
                *lines, self._rest = (self._rest + text).split(b"\n")
                for line in lines:
                    self._line(line.decode(errors="replace"))
        return None

    def _late(self) -> bool:
        return (
            used(self.worker.pid) - self.at > self.patience or time.monotonic() - self.since > 60 + 10 * self.patience
        )

    def _found(self, what: str, told: str) -> int | None:
        print("FOUND", self.name, self.begun, told, flush=True)
        self.counts[self.name.partition("/")[0], what] += 1
        return self.begun

    def _line(self, line: str) -> None:
        word, _, told = line.partition(" ")
        if word == "begin":
            seed, self.name = told.split(" ", 1)
            self.begun, self.at, self.since = int(seed), used(self.worker.pid), time.monotonic()
        elif word == "end":
            seed, name, seconds, outcome = told.split(" ", 3)
            self.begun = None
            self.slowest.append((float(seconds), name, int(seed)))
            self.slowest[:] = sorted(self.slowest, reverse=True)[:5]
            self.counts[name.partition("/")[0], outcome.split()[0]] += 1
            if outcome.startswith("unexpected"):
                print("FOUND", name, seed, outcome, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0, help="first seed, in millions")
    parser.add_argument(
        "--kind", help="of targets: image, array, labels, names, boxes, coco, mask, model, hf, run, config, train"
    )
    parser.add_argument("--only", help="one target, as findings name it")
    parser.add_argument("--first", type=int)
    parser.add_argument("--count", type=int, default=10**6)
    parser.add_argument("--memory", type=int, default=2 << 30, help="bytes of address space above those at the start")
    parser.add_argument("--patience", type=float, default=10, help="seconds of processor time")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.first = options.seed * 10**6 if options.first is None else options.first
    if options.worker:
        work(Path(options.worker), options)
        return
    counts: Counter[tuple[str, str]] = Counter()
    slowest: list[tuple[float, str, int]] = []
    until, end = time.monotonic() + 60 * options.minutes, options.first + options.count
    first = options.first
    try:
        while time.monotonic() < until and first < end:
            with tempfile.TemporaryDirectory() as folder:
                given = [
                    "--worker",
                    folder,
                    "--first",
                    str(first),
                    "--count",
                    str(end - first),
                    "--memory",
                    str(options.memory),
                ]
                more = [
                    part
                    for name in ("kind", "only")
                    if getattr(options, name)
                    for part in (f"--{name}", getattr(options, name))
                ]
                command = [sys.executable, __file__, *given, *more]
                with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
                    stopped = Watch(worker, options.patience, counts, slowest).follow(until)
                    worker.kill()
            if stopped is None:
                break
            first = stopped + 1
    except KeyboardInterrupt:
        print("interrupted; until now:")
    for (kind, what), count in sorted(counts.items()):
        print(f"{kind:10} {what:12} {count}")
    print(f"{'all':10} {'trials':12} {sum(counts.values())}")
    print("slowest:", "; ".join(f"{name} {seed}: {seconds:.1f} s" for seconds, name, seed in slowest))
    sys.exit(any(what not in ("read", "refused") for _, what in counts))


if __name__ == "__main__":
    main()

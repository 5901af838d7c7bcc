"""Tables of very many rows: how long each takes that a run reads, writes and makes, and what it holds of a row.

    python benchmarks/rows.py --rows 100000 [--out results/rows-cpu.csv]

The rows are made up: nothing is explained, for that would take hours. What is timed is what a run does with them, by the
functions that it calls: list the files (empty ones, in folders of a thousand), name them, write row by row, open the run
again, ask of each image whether it stands, settle table and ledger, write the page, and read and write `metrics.jsonl`.
`held_bytes` is what a run holds of a row while it goes on, `page_peak_bytes` what writing its page takes besides, for each
row; both by tracemalloc, in a run of a tenth of the rows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, report

from sigcli.evaluation.cache import FILE, Kept
from sigcli.evaluation.value import MetricValue
from sigcli.files import stamp_of
from sigcli.gallery.live import LivePage
from sigcli.inputs.images import find_images
from sigcli.runs.filenames import run_names
from sigcli.runs.folder import RunFolder, open_run
from sigcli.runs.ledger import Entry
from sigcli.runs.lines import Source
from sigcli.runs.order import RowOrder
from sigcli.runs.passed_over import Asked
from sigcli.runs.table import FACTS, row_of

Names = Sequence[tuple[str, str]]
_ARRAY = b"made up"


def _timed(do: Callable[[], Any]) -> tuple[Any, str]:
    begun = time.perf_counter()
    found = do()
    return found, f"{time.perf_counter() - begun:.2f}"


def _files(folder: Path, count: int) -> None:
    for number in range(count):
        if number % 1000 == 0:
            (folder / f"{number // 1000:04d}").mkdir(parents=True)
        (folder / f"{number // 1000:04d}" / f"{number:07d}.png").touch()


def _entry(name: str, folder: str, number: int) -> Entry:
    content = f"{(number + 1) * 0x9E3779B97F4A7C15 % 2**64:016x}"
    score = float(np.sin(number + 1.0)) / 7
    answers = [[2, "goldfish", score / 3], [0, "tench", score / 5], [1, "great white shark", score / 7]]
    facts = dict.fromkeys(FACTS) | {
        "score": score, "predicted": "goldfish", "probability": score / 3, "predictions": answers, "chance": score / 3,
        "error": "", "stopped": "", "region": "", "view": "multi", "gradient_evaluations": 50, "forward_evaluations": 0,
    }  # fmt: skip
    return Entry(name, "ig", "2", content, folder, "goldfish", "logit", facts, {"ig.npy": stamp_of(_ARRAY)})


def _opened(path: Path, names: Names, *, resume: bool) -> RunFolder:
    manifest = {"spec": {"model": "made up", "methods": {"ig": {}}}, "images": [name for name, _ in names]}
    return open_run(path, manifest, resume=resume, images=names, page=True)


def _source(entry: Entry) -> Source:
    return Source(entry.folder, (852, entry.content * 2), "0123456789abcdef", entry.content, ("2",))


def _fill(run: RunFolder, names: Names) -> None:
    for number, (name, folder) in enumerate(names):
        entry = _entry(name, folder, number)
        (run.path / folder).mkdir(parents=True, exist_ok=True)
        (run.path / folder / "ig.npy").write_bytes(_ARRAY)
        run.ledger.begin(f"{folder}/ig")
        run.add(row_of(entry, "0.125"), entry)
        run.seal(_source(entry))


def _pass_over(run: RunFolder, names: Names) -> None:
    for number, (name, folder) in enumerate(names):
        source = _source(_entry(name, folder, number))
        found = run.standing(Asked(name, folder, source.file, source.of, ["ig"], pictures=False))
        assert found is not None, name
        run.keep(row_of(found.items[0][0], found.items[0][1]))


def _metrics(path: Path, names: Names) -> tuple[str, str]:
    """Seconds to write `metrics.jsonl` row by row, and to read and settle it."""
    curve = np.linspace(0, 1, 20)
    values = [
        MetricValue(name, "ig", 2, "deletion", "blur", 0.25, at=curve, curve=curve, digest=f"{number:032x}")
        for number, (name, _) in enumerate(names)
    ]

    def written() -> None:
        kept = Kept(path, resume=False)
        for one in values:
            kept.add(one)

    def read() -> None:
        Kept(path, resume=True).settle(values, {name for name, _ in names})

    return _timed(written)[1], _timed(read)[1]


def _memory(path: Path, names: Names) -> tuple[int, int]:
    """Bytes that are held of a row, and bytes of a row that writing the page takes at most."""
    run, half = _opened(path, names, resume=False), len(names) // 2
    _fill(run, names[:half])
    tracemalloc.start()
    _fill(run, names[half:])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    LivePage(run, len(names)).end(whole=True)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    run.close()
    return round(held / (len(names) - half)), round((most - held) / len(names))


def measured(count: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        _files(base / "in", count)
        paths, listing = _timed(lambda: find_images([base / "in"]))
        names, naming = _timed(lambda: run_names(paths))
        order = RowOrder((name for name, _ in names), ["ig"], 1000)
        run = _opened(base / "out", names, resume=False)
        live = LivePage(run, count)
        _, filling = _timed(lambda: _fill(run, names))
        _, settling = _timed(lambda: run.settle(order))
        _, page = _timed(lambda: live.end(whole=True))
        run.close()
        again, opening = _timed(lambda: _opened(base / "out", names, resume=True))
        _, passing = _timed(lambda: _pass_over(again, names))
        _, settling_again = _timed(lambda: again.settle(order))
        again.close()
        wrote, read = _metrics(base / "out", names)
        held, peak = _memory(base / "small", names[: count // 10])
        size = (base / "out" / FILE).stat().st_size
        assert json.loads((base / "out" / FILE).open().readline())["metric"] == "deletion"
    return {
        "rows": count, "list_s": listing, "name_s": naming, "write_s": filling, "settle_s": settling, "page_s": page,
        "open_again_s": opening, "pass_over_s": passing, "settle_again_s": settling_again, "metrics_write_s": wrote,
        "metrics_read_s": read, "metrics_mb": f"{size / 1e6:.0f}", "held_bytes": held, "page_peak_bytes": peak,
        "machine": machine("cpu"),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report(options.out, [measured(options.rows)])


if __name__ == "__main__":
    main()

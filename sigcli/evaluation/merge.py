"""`sig merge` as a library: shards of a run in, the whole run out. No printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..door import door
from ..errors import OutputError, UsageError
from ..gallery.publishing import adopt
from ..inputs.given import listed
from ..listener import SILENT, Listener
from ..names import PAGE, local
from ..runs.earlier import differences
from ..runs.filenames import run_names
from ..runs.folder import FolderLock, folder_for, manifest_or_none, open_run, save_text, take
from ..runs.merge import Part, fill, whole
from .benchmark import FILES as BENCHMARK_FILES
from .benchmark import drawn, write_benchmark
from .benchmark_tables import Spent, benchmark_rows
from .cache import FILE, merged_lines
from .measured import Record, joined, read_record
from .options import MergeOptions
from .prepare import OWN

DEFAULT_OUT = "sig-merged"
_FACTS = "evaluation.json"
_AGAIN = "Repeat its command with --resume."


@dataclass(frozen=True)
class Merged:
    """A run that was merged.

    Args:
        folder: where it is.
        images: how many images it has.
        done: how many of them are done.
        failed: how many of its explanations have failed.
        notes: what the user must know.
    """

    folder: Path
    images: int
    done: int
    failed: int
    notes: list[str]


@door(MergeOptions)
def merge(options: MergeOptions, listener: Listener = SILENT) -> Merged:
    """Bring the shards of a run together: the folder that one process would have left, but for the times that it took.

    Called with options as arguments, or with a `MergeOptions` and a `Listener`:

        merge(["out/1", "out/2", "out/3", "out/4"], out="out/all")

    The shards stay as they are. A merge that was interrupted goes on when it is repeated.

    Raises:
        UsageError: folders that are no shards, shards of different runs, or shards that lack or are not finished.
        OutputError: a file of a shard is damaged, or the folder cannot be written or holds another run.
    """
    paths = [Path(str(one)) for one in listed(options.runs, "run")]
    lost = [path for path in paths if not path.is_dir()]
    if lost:
        raise UsageError("no such run folder", given=lost[0])
    with ExitStack() as held:
        for path in dict.fromkeys(path.resolve() for path in paths):
            held.enter_context(FolderLock(path))
        parts = [Part.read(path) for path in paths]
        manifest, notes = whole(parts, partial=options.partial)
        records = _records(parts, complete=not notes or all(not part.unfinished for part in parts))
        out = folder_for(options.out, DEFAULT_OUT, manifest)
        if out.resolve() in {path.resolve() for path in paths}:
            raise UsageError("the folder to merge into is one of the shards", given=out, hint="Name another --out.")
        return _merged(options, parts, records, manifest, out=out, notes=notes, listener=listener)


def _merged(
    options: MergeOptions,
    parts: Sequence[Part],
    records: Sequence[Record],
    manifest: Mapping[str, Any],
    *,
    out: Path,
    notes: list[str],
    listener: Listener,
) -> Merged:
    """Fill the folder and, where shards have measured, make the tables of all."""
    names = run_names([Path(local(name)) for name in manifest["images"]])
    earlier = manifest_or_none(out) if out.is_dir() else None
    again = earlier is not None and not differences(earlier, manifest, images=True)
    endings = tuple(dict.fromkeys(ending for part in parts for ending in part.ledger.endings))
    paged = any((part.path / PAGE).is_file() for part in parts)
    run = open_run(out, manifest, resume=again, overwrite=options.overwrite, images=names, endings=endings, page=paged)
    try:
        listener.begin(len(names), notes, out)
        copied = [0]

        def progress(_: str) -> None:
            copied[0] += 1
            listener.stage("merging", copied[0], len(names))

        fill(run, parts, int(manifest["classes"]), progress)
        if any((part.path / FILE).exists() for part in parts):
            take(out, OWN)
            save_text(out / FILE, merged_lines([part.path for part in parts], [name for name, _ in names]))
        lacking = any(part.unfinished for part in parts) or sum(len(part.names) for part in parts) < len(names)
        if records and not lacking:
            _tables(out, parts, records, [name for name, _ in names], manifest)
        elif records or any((part.path / _FACTS).exists() for part in parts):
            notes = [
                *notes,
                "metrics have no tables of a part of the run: complete it with its command and --resume.",
            ]
        if paged:
            adopt(out, [part.path for part in parts])
        rows = run.rows.values()
        failed = sum(row["status"] != "ok" for row in rows)
        return Merged(out, len(names), len({row["image"] for row in rows}), failed, [*notes, *run.notes])
    finally:
        run.close()


def _records(parts: Sequence[Part], *, complete: bool) -> list[Record]:
    """What the shards have measured; nothing where they only explain.

    Raises:
        UsageError: some have measured and others not, or not the same.
    """
    found: dict[Path, Record] = {}
    for part in parts:
        try:
            record = read_record(part.path)
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError("shard.jsonl of a shard is damaged", given=part, hint=_AGAIN) from error
        if record is not None:
            found[part.path] = record
    measured = [part for part in parts if (part.path / _FACTS).exists()]
    without = [str(part) for part in measured if part.path not in found] or [
        str(part) for part in parts if part not in measured
    ]
    if measured and without and complete:
        raise UsageError(f"shard {', '.join(without)} has no finished evaluation", given=parts[0].path, hint=_AGAIN)
    if len({(part.path / _FACTS).read_bytes() for part in measured}) > 1:
        raise UsageError(f"the shards are evaluated in different ways: their {_FACTS} differ", given=measured[0].path)
    if len({record.counts for record in found.values()}) > 1:
        raise UsageError("the shards are of different commands: their counts differ", given=parts[0].path)
    return list(found.values()) if len(found) == len(parts) else []


def _tables(
    out: Path, parts: Sequence[Part], records: Sequence[Record], names: Sequence[str], manifest: Mapping[str, Any]
) -> None:
    """The tables and figures of an evaluation, and of a benchmark where it is one."""
    seed, first = manifest["spec"]["seed"], records[0]
    take(out, (*OWN, *(BENCHMARK_FILES if first.counts else ())))
    measured = joined(records, names, seed)
    save_text(out / _FACTS, (parts[0].path / _FACTS).read_text(encoding="utf-8"))
    measured.write(out, pictures=first.pictures)
    if first.counts:
        costs = _costs(parts, names)
        rows = benchmark_rows(measured.values, costs, names, first.counts, seed)
        write_benchmark(out, BENCHMARK_FILES, rows, drawn if first.pictures else None)


def _costs(parts: Sequence[Part], names: Sequence[str]) -> list[Spent]:
    """What each explanation cost, as the shards' tables tell; raises OutputError where one is damaged."""
    found: list[Spent] = []
    for name in names:
        part = next((part for part in parts if name in part.rows), None)
        for row in () if part is None else part.rows[name]:
            if row["status"] != "ok" or not row["seconds"]:
                continue
            counts = (row["gradient_evaluations"] or 0, row["forward_evaluations"] or 0)
            try:
                found.append(Spent(name, row["method"], float(row["seconds"]), *map(int, counts)))
            except ValueError as error:
                raise OutputError("results.csv of a shard is damaged", given=part, hint=_AGAIN) from error
    return found

"""Several shards of a run, brought together in one folder: files, rows and ledger as an undivided run leaves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import OutputError, UsageError
from ..files import Stamp, cell_text, safe_cell, stamp_of, write_aside, writing
from ..names import local
from .earlier import differences
from .filenames import methods_of, run_names
from .folder import RunFolder
from .ledger import Entry, Ledger, Sheet
from .manifest import read_manifest
from .order import RowOrder
from .shards import Shard, without_shard
from .table import read_rows, row_of

_APART = ("spec", "images", "owns", "device", "notes")
"""Of a manifest: what is compared by itself, and what may differ between shards."""
_TEXTS = ("image", "label", "error")


@dataclass(frozen=True, eq=False)
class Part:
    """One shard of a run on disk.

    Args:
        path: its folder.
        shard: which one it is.
        manifest: as it stands.
        ledger: what it owns.
    """

    path: Path
    shard: Shard
    manifest: Mapping[str, Any]
    ledger: Ledger

    @classmethod
    def read(cls, path: Path) -> Part:
        """The shard that a folder holds.

        Raises:
            UsageError: none, or its record of files cannot be read.
            OutputError: its manifest is damaged.
        """
        manifest, ledger = read_manifest(path), Ledger.read(path)
        spec = {} if manifest is None else manifest["spec"]
        if manifest is None or "shard" not in spec:
            what = "no run" if manifest is None else "a whole run, not a shard of one"
            raise UsageError(f"the folder holds {what}", given=path, hint="Shards are made with --shard NUMBER/COUNT.")
        if ledger is None or ledger.unreadable:
            raise UsageError("files.jsonl of the shard is missing or damaged", given=path, hint=_AGAIN)
        shard = Shard.read(spec["shard"])
        assert shard is not None
        return cls(path, shard, manifest, ledger)

    def __str__(self) -> str:
        return f"{self.shard} ({self.path})"

    @cached_property
    def names(self) -> list[str]:
        """Names of its images, in the order of the run."""
        paths = [Path(local(name)) for name in self.manifest["images"]]
        every = run_names(paths)
        return [every[place][0] for place in self.shard.places(paths)]

    @cached_property
    def rows(self) -> dict[str, list[dict[str, str]]]:
        """Rows of its table by image, by the image's name in the run."""
        found: dict[str, list[dict[str, str]]] = {}
        for row in read_rows(self.path)[0]:
            found.setdefault(row["image"], []).append(row)
        return {name: found[safe_cell(name)] for name in self.names if safe_cell(name) in found}

    @cached_property
    def unfinished(self) -> int:
        """How many of its images lack a row of some method, or its own record of it; all that were begun count as one."""
        methods = methods_of(self.manifest)
        lacking = sum(
            not set(methods)
            <= {row["method"] for row in self.rows.get(name, ()) if self.entry(name, row) or _failed(row)}
            for name in self.names
        )
        return lacking or bool(self.ledger.begun)

    def entry(self, image: str, row: Mapping[str, str]) -> Entry | None:
        """What the shard owns of an item, by its row."""
        return self.ledger.entries.get((image, row["method"], row["target"]))


_AGAIN = "Repeat the command of that shard with --resume."


def _failed(row: Mapping[str, str]) -> bool:
    return row["status"] != "ok"


def whole(parts: Sequence[Part], *, partial: bool) -> tuple[dict[str, Any], list[str]]:
    """The manifest of the run that these are the shards of, and what the user must know.

    Args:
        parts: in any order.
        partial: shards may lack or be unfinished.

    Raises:
        UsageError: shards of different runs, two of one number, or without `partial` one that lacks or is not finished.
    """
    first = parts[0]
    for part in parts[1:]:
        _check_same(first, part)
    by_number: dict[int, Part] = {}
    for part in parts:
        other = by_number.setdefault(part.shard.number, part)
        if other is not part:
            raise UsageError(f"shard {part.shard} was named twice", given=f"{other.path}, {part.path}")
    lacking = [str(Shard(k, first.shard.count)) for k in range(1, first.shard.count + 1) if k not in by_number]
    undone = [part for part in parts if part.unfinished]
    notes: list[str] = []
    if lacking:
        what = f"{'shard' if len(lacking) == 1 else 'shards'} {', '.join(lacking)} missing"
        if not partial:
            raise UsageError(
                what, hint="Name the folders of all shards, or add --partial to merge those that are there."
            )
        notes.append(f"{what}; the run can be completed with its command, --out and --resume.")
    if undone and not partial:
        told = ", ".join(f"{part}: {part.unfinished} of {len(part.names)} images" for part in undone)
        hint = f"{_AGAIN} Or add --partial to merge what is done."
        raise UsageError(f"unfinished: shard {told}", hint=hint)
    notes += [f"shard {part} is not finished." for part in undone]
    manifest = without_shard(first.manifest)
    devices = dict.fromkeys(str(part.manifest.get("device", "")) for part in parts)
    if len(devices) > 1:
        manifest["device"] = "; ".join(devices)
        notes.append(
            f"the shards were made on different devices ({manifest['device']}): values agree to rounding only."
        )
    manifest["notes"] = list(dict.fromkeys(note for part in parts for note in part.manifest.get("notes", [])))
    return manifest, notes


def _check_same(first: Part, part: Part) -> None:
    """Raise UsageError where two shards are not of one run."""
    if part.shard.count != first.shard.count:
        raise UsageError("shards of different divisions", given=f"{first}, {part}")
    one, other = without_shard(first.manifest), without_shard(part.manifest)
    differing = differences(one, other, images=True)
    differing += sorted(name for name in {*one, *other} - {*_APART} if one.get(name) != other.get(name))
    if differing:
        raise UsageError(
            f"the shards are of different runs ({', '.join(differing)} differ)", given=f"{first}, {part}",
            hint="Merge shards of one command, whose --shard alone differs.",
        )  # fmt: skip


def fill(run: RunFolder, parts: Sequence[Part], classes: int, progress: Callable[[str], None]) -> None:
    """Copy what the shards own into a run folder that was opened, row by row in the order of the run, and settle it.

    What stands there already, from a merge that was interrupted, is not copied again.

    Args:
        run: the folder, opened with the names of all images.
        parts: the shards.
        classes: of the model, which tell a class from a comparison of two.
        progress: called with the name of each image that is done.

    Raises:
        OutputError: a file of a shard is missing or damaged.
    """
    of = {name: part for part in parts for name in part.rows}
    folders = dict(run.images)
    sheets = {part.path: _sheets(part) for part in parts}
    done = False
    try:
        with writing(run.path):
            for name, _ in run.images:
                if name in of:
                    _image(run, of[name], name, folders[name], sheets[of[name].path])
                progress(name)
        done = not any(part.unfinished for part in parts) and len(of) == len(run.images)
    finally:
        methods = methods_of(parts[0].manifest)
        run.settle(RowOrder((name for name, _ in run.images), methods, classes), whole=done)


def _image(run: RunFolder, part: Part, name: str, folder: str, sheets: Mapping[str, list[Sheet]]) -> None:
    """Everything of one image; its sheets and what is known of its file last, as a run writes them."""
    where = ""
    for row in part.rows[name]:
        entry = part.entry(name, row)
        if entry is not None:
            where = entry.folder
            _item(run, part, replace(entry, folder=folder), row["seconds"], entry.folder)
        elif _failed(row):
            run.add({**row, **{text: cell_text(row[text]) for text in _TEXTS}})
    for sheet in sheets.get(where, []):
        name = f"{folder}/{sheet.sheet.rpartition('/')[2]}"
        if name not in run.foreign and not run.sheet_stands(name, sheet.of):
            run.ledger.begin(name.removesuffix(".png"))
            _copy(part, sheet.sheet, run.path / name, sheet.file)
            run.add_sheet(name, sheet.of)
    source = part.ledger.sources.get(where)
    if source is not None:
        run.seal(replace(source, source=folder))


def _item(run: RunFolder, part: Part, entry: Entry, seconds: str, origin: str) -> None:
    """The files of one item, then its row and its line of the ledger."""
    row = row_of(entry, seconds)
    if run.ledger.entries.get(entry.key) == entry and run.ledger.whole(entry, lambda _: True):
        run.keep(row)
        return
    for name in entry.files:
        run.ledger.begin(f"{entry.folder}/{name}")
    for name, known in entry.files.items():
        _copy(part, f"{origin}/{name}", run.path / entry.folder / name, known)
    if entry.players:
        run.ledger.keep_players(part.ledger.players(entry.players))
    run.add(row, entry)


def _sheets(part: Part) -> dict[str, list[Sheet]]:
    """Sheets by the folder that they are in."""
    found: dict[str, list[Sheet]] = {}
    for sheet in part.ledger.sheets.values():
        found.setdefault(sheet.sheet.rpartition("/")[0], []).append(sheet)
    return found


def _copy(part: Part, name: str, place: Path, known: Stamp) -> None:
    """Copy a file of a shard; raises OutputError where it is not as it was written."""
    try:
        content = (part.path / name).read_bytes()
    except FileNotFoundError:
        content = b""
    if stamp_of(content) != tuple(known):
        raise OutputError(f"a file of shard {part.shard} is missing or damaged", given=part.path / name, hint=_AGAIN)
    write_aside(place, lambda aside: aside.write_bytes(content))

"""A finished run folder, read for an export: its manifest, tables, maps and pictures."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OutputError, UsageError
from ..files import cell_text, load_array, read_bytes, safe_cell
from ..names import local
from ..runs.earlier import folders_there
from ..runs.filenames import run_names
from ..runs.folder import MANIFEST, read_manifest
from ..runs.ledger import Entry, Ledger
from ..runs.table import RESULTS, read_rows, row_key

TABLES = (".csv", ".json")
Parameter = str | int | float | bool | None


@dataclass(frozen=True)
class Map:
    """One map of a run.

    Args:
        entry: what the run's record says of it.
        row: its row of `results.csv`.
        file: its array, float32 (C, H, W), or the shape of the sample where that was an array.
        source: the file that was explained, or None where it was in memory.
    """

    entry: Entry
    row: Mapping[str, str]
    file: Path
    source: Path | None

    @property
    def name(self) -> str:
        """Folder and method, as the run folder has them: `star/ig`."""
        return f"{self.entry.folder}/{self.file.name.removesuffix('.npy')}"

    @property
    def field(self) -> str:
        """Method, and class where several were explained: `ig`, `ig.class3`."""
        return self.file.name.removesuffix(".npy")


class Finished:
    """A run folder that is only read.

    Args:
        path: the folder.

    Raises:
        UsageError: there is none, or it is no run folder.
    """

    def __init__(self, path: Path):
        hint = "Name the folder that 'sig explain' or 'sig evaluate' wrote: it holds manifest.json."
        if not path.is_dir():
            raise UsageError("no such run folder", given=path, hint=hint)
        manifest = read_manifest(path)
        if manifest is None:
            raise UsageError("the folder is not a run folder of sig", given=path, hint=hint)
        self.path, self.manifest = path, manifest

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @cached_property
    def ledger(self) -> Ledger | None:
        """The run's record of its files; None where it explained nothing."""
        return Ledger.read(self.path)

    @cached_property
    def maps(self) -> list[Map]:
        """The maps that stand, in the order of `results.csv`.

        Raises:
            UsageError: the run has none.
        """
        entries = {} if self.ledger is None else {
            (safe_cell(image), method, target): entry for (image, method, target), entry in self.ledger.entries.items()
        }  # fmt: skip
        sources = self._sources()
        found = [
            Map(entry, row, self.path / entry.folder / _array_of(entry), sources.get(entry.folder))
            for row in read_rows(self.path)[0]
            if row["status"] == "ok" and (entry := entries.get(row_key(row))) is not None
        ]
        if not found:
            hint = "Export a run of 'sig explain' or 'sig evaluate'."
            raise UsageError("the run has no maps", given=self.path, hint=hint)
        lost = [one.file for one in found if not one.file.is_file()]
        if lost:
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            raise UsageError(
                "maps of the run are missing", given=f"{lost[0]}{more}", hint="Repeat its command with --resume."
            )
        return found

    def _sources(self) -> dict[str, Path]:
        """Folder of an image in the run → its file, of images that were files."""
        named = self.manifest.get("images") or []
        paths = [Path(local(name)) for name in named if isinstance(name, str)]
        if len(paths) != len(named):
            return {}
        there = folders_there(self.path, self.manifest)  # an image keeps its folder, whatever came beside it later
        return {folder: path for (_, folder), path in zip(run_names(paths, there), paths, strict=True)}

    def parameters(self) -> dict[str, Parameter]:
        """What the run was made with, flat: `model`, `methods.ig.steps`, …, and versions and device."""
        spec = dict(_flat(self.manifest["spec"]))
        more = {name: self.manifest[name] for name in ("device", "versions") if name in self.manifest}
        return spec | dict(_flat(more))

    def measures(self) -> dict[str, float]:
        """Means: `deletion/ig` and its interval `deletion/ig/ci_low` from `summary.csv`; costs and counts of the table."""
        found: dict[str, float] = {}
        for row in self._table("summary.csv"):
            method = f"{row.get('method', '')} minus {row['minus']}" if row.get("minus") else row.get("method", "")
            parts = (row.get("metric", ""), row.get("imputation", ""), method)
            name = "/".join(filter(None, map(_word, parts)))
            for column, ending in (("mean", ""), ("ci_low", "/ci_low"), ("ci_high", "/ci_high")):
                if (value := _number(row.get(column))) is not None:
                    found[name + ending] = value
        return found | self._costs()

    def _costs(self) -> dict[str, float]:
        rows, found = read_rows(self.path)[0], {}
        if rows:
            found["images"] = float(len({row["image"] for row in rows}))
            found["failed"] = float(sum(row["status"] != "ok" for row in rows))
        for column in ("seconds", "relative_gap", "relative_standard_error"):
            for method in dict.fromkeys(row["method"] for row in rows):
                values = [_number(row[column]) for row in rows if row["method"] == method and row["status"] == "ok"]
                known = [value for value in values if value is not None]
                if known:
                    found[f"{column}/{_word(method)}"] = sum(known) / len(known)
        return found

    def _table(self, name: str) -> list[dict[str, str]]:
        file = self.path / name
        if not file.is_file():
            return []
        lines = csv.DictReader(io.StringIO(read_bytes(file).decode("utf-8-sig", errors="replace"), newline=""))
        return [{key: cell_text(cell or "") for key, cell in row.items() if key} for row in lines]

    def owned(self, *, pictures: bool) -> Iterator[str]:
        """Names of the run's files, relative to its folder: tables and manifest, and pictures where they are wanted."""
        own = [name for name in self.manifest.get("owns", []) if isinstance(name, str) and Path(name).name == name]
        own = own or [MANIFEST, RESULTS]
        every = [*own, *(sorted(self.ledger.files()) if self.ledger is not None else ())]
        for name in dict.fromkeys(every):
            wanted = name.endswith(TABLES) or (pictures and name.endswith(".png"))
            if wanted and (self.path / name).is_file():
                yield name


def array_of(file: Path) -> np.ndarray:
    """The values of a file of a run.

    Raises:
        OutputError: it is damaged.
    """
    try:
        return load_array(file)
    except (OSError, ValueError) as error:
        raise damaged(file) from error


def damaged(file: Path) -> OutputError:
    """The error for a file of a run that is not as it was written."""
    return OutputError("a file of the run is damaged", given=file, hint="Repeat the run's command with --resume.")


def _array_of(entry: Entry) -> str:
    """The file of the map among those of an item: the one that no longer ending fits."""
    arrays = [name for name in entry.files if name.endswith(".npy")]
    return min(arrays, key=len, default=f"{entry.method}.npy")


def _flat(value: Any, before: str = "") -> Iterator[tuple[str, Parameter]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{before}.{name}" if before else str(name))
    elif isinstance(value, (str, int, float, bool)) or value is None:
        yield before, value
    else:
        yield before, ", ".join(map(str, value))


def _word(text: str) -> str:
    """A part of a name that trackers take: letters, digits and -_. and space."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_. ") else "_" for c in text)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None

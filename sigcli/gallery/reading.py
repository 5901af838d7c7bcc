"""What a run folder holds, as its page shows it: explanations one by one, and what is known of each. From files alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from ..errors import OutputError, UsageError
from ..files import cell_text, safe_cell
from ..names import escaped, local
from ..runs.earlier import folders_there
from ..runs.filenames import methods_of, run_names
from ..runs.ledger import Entry, Key, Ledger
from ..runs.manifest import read_manifest
from ..runs.table import COLUMNS, RESULTS
from . import tables
from .tables import number
from .thumbnails import Names, there

Cell = dict[str, Any]
_NUMBERS = {
    "score": "score", "seconds": "seconds", "gap": "relative_gap", "error": "relative_standard_error",
    "shown": "shown_standard_error",
}  # fmt: skip
"""What the page calls a number of a row, and its column."""


@dataclass(eq=False)
class RunFiles:
    """What a run folder holds.

    Args:
        path: the folder.
        manifest: its manifest.
        rows: rows of its table, which can be gone through again and again.
        entries: what files each item has.
        thumbnails: names of the pictures that are there.
        named: what the page calls it.
    """

    path: Path
    manifest: Mapping[str, Any]
    rows: Iterable[Mapping[str, str]]
    entries: Mapping[Key, Entry]
    thumbnails: set[str] = field(default_factory=set)
    named: str = ""

    @classmethod
    def read(cls, path: Path) -> RunFiles:
        """A run folder.

        Raises:
            UsageError: it is no folder, or holds no run that explained images.
            OutputError: its manifest is damaged.
        """
        if not path.is_dir():
            raise UsageError("no such run folder", given=path, hint="Name the folder that --out named.")
        try:
            manifest = read_manifest(path)
        except OutputError as error:
            hint = "The page is made from it: repeat the run into another folder, or bring back the file."
            raise OutputError(error.what, given=error.given, hint=hint) from error
        hint = "A run of sig explain, evaluate or benchmark images holds manifest.json and results.csv."
        if manifest is None:
            raise UsageError("the folder holds no run of sig", given=path, hint=hint)
        rows = tables.Table(path / RESULTS, COLUMNS)
        if not (path / RESULTS).is_file():
            raise UsageError("the run explained no images, so there is nothing to show", given=path, hint=hint)
        ledger = Ledger.read(path)
        name = escaped(path.resolve().name)
        return cls(path, manifest, rows, {} if ledger is None else ledger.entries, there(path), name)

    @cached_property
    def _folders(self) -> dict[str, str]:
        """Image → folder of its files, as the names of the images tell."""
        paths = [Path(local(one)) for one in self.manifest.get("images", []) if isinstance(one, str)]
        return dict(run_names(paths, folders_there(self.path, self.manifest)))

    def told(self) -> list[str]:
        """What a user should know of its table: explanations that it has lost."""
        rows = set(keys_of(self.rows))
        lost = sum((safe_cell(image), method, target) not in rows for image, method, target in self.entries)
        if not lost:
            return []
        lines = f"{lost:,} {'explanation' if lost == 1 else 'explanations'}"
        return [f"{self.path / RESULTS} has no row of {lines} whose files stand: it is damaged, or the run "
                "goes on. The command of the run with --resume makes it whole."]  # fmt: skip

    @property
    def methods(self) -> list[str]:
        """In the order of the run; those of its table where the manifest tells none."""
        return list(self._known.methods)

    @cached_property
    def _known(self) -> _Known:
        return _Known.of(keys_of(self.rows), methods_of(self.manifest))

    @property
    def items(self) -> Iterator[Item]:
        """Its explanations, in the order of its table; each is read when it is its turn, for a run may have very many."""
        return (self._item(row) for row in self.rows if row.get("image") and row.get("method"))

    @property
    def images(self) -> Iterator[list[Item]]:
        """Its explanations image by image, in the order in which the images come."""
        if self._known.together:
            yield from (list(each) for _, each in groupby(self.items, key=lambda item: item.image))
            return
        rows: dict[str, list[Mapping[str, str]]] = {}
        for row in self.rows:
            if row.get("image") and row.get("method"):
                rows.setdefault(row["image"], []).append(row)
        yield from ([self._item(row) for row in each] for each in rows.values())

    def _item(self, row: Mapping[str, str]) -> Item:
        image, method, target = cell_text(row["image"]), row["method"], row.get("target", "")
        entry = self.entries.get((image, method, target))
        numbered = f"{method}.class{target}"
        if entry is not None:
            name = method if f"{method}.npy" in entry.files else numbered
            answers = entry.facts.get("predictions") or ()
            return Item(self, row, image, entry.folder, name, frozenset(entry.files), answers)
        folder, name = self._folders.get(image, ""), numbered if self._known.several else method
        files = [one for one in (f"{name}.npy", *_drawn(name)) if folder and (self.path / folder / one).is_file()]
        return Item(self, row, image, folder, name, frozenset(files))


def keys_of(rows: Iterable[Mapping[str, str]]) -> Iterable[Key]:
    """Image, method and target of each row: where the rows are known by them, none of the rows is read."""
    keys = getattr(rows, "keys", None)
    if keys is not None:
        return keys()
    return ((row.get("image", ""), row.get("method", ""), row.get("target", "")) for row in rows)


@dataclass(frozen=True)
class _Known:
    """What is known of all rows of a run, in one look.

    Args:
        methods: in the order of the run; those of its table where the manifest tells none.
        several: several targets of an image are explained.
        together: the rows of an image stand one after another.
    """

    methods: Sequence[str]
    several: bool
    together: bool

    @classmethod
    def of(cls, keys: Iterable[Key], methods: Iterable[str]) -> _Known:
        found, seen = dict.fromkeys(methods), set[str]()
        several, together, last = False, True, ""
        first: dict[str, str] = {}
        for image, method, target in keys:
            if method:
                found.setdefault(method)
            if image != last:
                together = together and image not in seen
                seen.add(image)
                last = image
            if target:
                several = several or first.setdefault(image, target) != target
        return cls(list(found), several, together)


@dataclass(frozen=True, eq=False)
class Item:
    """One explanation of a run.

    Args:
        run: the run.
        row: its row.
        image: name of its image.
        folder: of its image, relative to the run's.
        name: of its files, without what follows the name of the method.
        files: names of its files.
        answers: the model's likeliest, by number, name and probability, best first; none where no record tells.
    """

    run: RunFiles
    row: Mapping[str, str]
    image: str
    folder: str
    name: str
    files: frozenset[str]
    answers: Sequence[Any] = ()

    @cached_property
    def names(self) -> Names:
        """Of its small pictures."""
        return Names.of(self.folder, self.name, self.row.get("content", ""))

    @property
    def array(self) -> Path | None:
        """Its raw values, or None where there are none."""
        return self.run.path / self.folder / f"{self.name}.npy" if f"{self.name}.npy" in self.files else None

    def _large(self) -> dict[str, str]:
        """Its pictures for the large view, where there are any."""
        there, large = self.run.thumbnails, self.names.large
        return {key: name for key, name in (("lmap", large.map), ("lover", large.overlay)) if name in there}

    def cell(self, metrics: Mapping[str, float]) -> Cell:
        """What the page shows of it."""
        row, there = self.row, self.run.thumbnails
        values = {key: number(row.get(column)) for key, column in _NUMBERS.items()}
        evaluations = [number(row.get(f"{kind}_evaluations")) for kind in ("gradient", "forward")]
        found = {
            "label": cell_text(row.get("label", "")), "target": row.get("target", ""), **values,
            "region": cell_text(row.get("region", "")), "unit": row.get("output", ""),
            "evaluations": sum(filter(None, evaluations)) or None,
            "failed": row.get("status") != "ok", "note": cell_text(row.get("error", "")), "stopped": row.get("stopped"),
            "map": self.names.map if there and self.names.map in there else "",
            "over": self.names.overlay if there and self.names.overlay in there else "",
            **self._large(),
            "file": self.name, "png": f"{self.name}.png" in self.files,
            "opng": f"{self.name}.overlay.png" in self.files, "npy": f"{self.name}.npy" in self.files,
            "metrics": metrics,
        }  # fmt: skip
        return {key: value for key, value in found.items() if value or isinstance(value, float)}  # 0 is a value


def _drawn(name: str) -> tuple[str, ...]:
    return f"{name}.png", f"{name}.overlay.png"

"""The run folder: manifest, results, arrays and pictures; complete at any moment, so a run can be resumed.

Every file is written aside and renamed. A row of `results.csv` is appended in one write once the files it speaks of stand,
and then the line of `files.jsonl` that owns them. When the run ends, both are put into the order of the inputs, and what an
earlier run of the folder owned and this one does not is removed: a resumed run leaves the same files as an undisturbed one.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files import (
    append_row,
    append_whole,
    cell_text,
    figure,
    going_on,
    holds,
    remove_leftovers,
    safe_cell,
    save_array,
    save_table,
    save_text,
    stamp,
    stopped,
    write_aside,
    writing,
)
from ..names import PAGE
from .claims import (
    claim_folder,
    folder_for,
    free_folder,
    output_folder,
    refuse_items,
    refuse_strangers,
    remove_empty,
    remove_files,
    standing,
    take,
)
from .earlier import began_elsewhere, extends, folders_there, rename
from .filenames import ENDINGS, methods_of, run_names
from .ledger import LEDGER, Ledger, digest_of
from .lines import Entry, Key, Sheet, Source, shared
from .lock import FolderLock
from .manifest import MANIFEST, manifest_or_none, owned, read_manifest
from .opening import opened
from .passed_over import Asked, Standing, find_standing
from .predictions import PREDICTIONS, Predictions
from .table import COLUMNS, RESULTS, Rows, cells_of, read_rows, row_key

__all__ = [
    "COLUMNS", "LEDGER", "MANIFEST", "PREDICTIONS", "RESULTS", "FolderLock", "RunFolder", "append_row", "append_whole",
    "cell_text", "claim_folder", "figure", "folder_for", "folders_there", "free_folder", "going_on", "manifest_or_none",
    "open_run", "output_folder", "owned", "read_manifest", "read_rows", "refuse_strangers", "row_key", "run_names",
    "safe_cell", "save_array", "save_table", "save_text", "stopped", "take", "write_aside",
]  # fmt: skip

_SHOWN = 3
PICTURES = (".png",)
"""Endings of pictures, unless told otherwise."""
Order = Callable[[Mapping[str, str]], Any]
"""Where a row belongs, by its image, method and target."""


@dataclass(eq=False)
class RunFolder:
    """One run on disk.

    Args:
        path: the folder.
        ledger: what it owns.
        rows: rows of its table by (image, method, target), images as the table shows them.
        again: all is made anew, and the table of before stands until the run ends.
        notes: what the user must know of the folder's state.
        lock: held until the run ends.
        pictures: endings of files that are pictures.
        images: (name, folder) of each image.
        foreign: sheets that someone else wrote, which stay.
        in_order: once it is settled, the keys of the rows as the table has them.
    """

    path: Path
    ledger: Ledger
    rows: Rows = field(default_factory=Rows)
    again: bool = False
    notes: list[str] = field(default_factory=list)
    lock: FolderLock | None = None
    pictures: tuple[str, ...] = PICTURES
    images: Sequence[tuple[str, str]] = ()
    foreign: frozenset[str] = frozenset()
    in_order: Sequence[Key] = ()
    _seen: dict[str, tuple[str, set[str]]] = field(default_factory=dict)
    _done: dict[Key, bool] = field(default_factory=dict)
    _sheets: set[str] = field(default_factory=set)
    _sealed: set[str] = field(default_factory=set)
    _lost: list[str] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._predictions = Predictions(self.path, self.ledger.answers)

    def add(self, row: Mapping[str, Any], entry: Entry | None = None) -> None:
        """Append one row of `results.csv`, and what its item owns; safe from several threads."""
        cells = self.keep(row)
        if not self.again:
            with self._guard:
                self.check()
                append_whole(self.path / RESULTS, self.rows.line(row_key(cells)))
        if entry is not None:
            self.own(entry)

    def check(self) -> None:
        """Raise FileNotFoundError where the folder was taken away since the run began: none is made anew in its place."""
        if not (self.path / MANIFEST).exists():
            raise FileNotFoundError(errno.ENOENT, "it was removed or renamed", str(self.path))

    def keep(self, row: Mapping[str, Any]) -> dict[str, str]:
        """An item is done, with this row; returns its cells."""
        cells = cells_of(row)
        with self._guard:
            key = shared(row_key(cells))  # one object in all dictionaries
            if cells["image"] == row.get("image"):
                key = row["image"], *key[1:]
            self.rows[key] = cells
            self._done[key] = cells["status"] == "ok"
        return cells

    @property
    def count(self) -> int:
        """How many of its items are done, or were found done."""
        return len(self._done)

    def own(self, entry: Entry) -> None:
        """Write down what an item owns, and remove what it owned before and does not now."""
        before = self.ledger.entries.get(entry.key)
        if before is not None:
            new = {f"{entry.folder}/{name}" for name in entry.files}
            old = {f"{before.folder}/{name}" for name in before.files}
            remove_files(self.path, old - new)
        if not self.again:
            self._predictions.prepare()
        self.ledger.add(entry)
        if not self.again:
            self._predictions.tell(entry)

    def see(self, image: str, content: str, targets: Iterable[str]) -> None:
        """What the image of that name is now, and the targets it is explained for: rows of another are no longer true."""
        with self._guard:
            if safe_cell(image) in self._earlier:
                self._seen[safe_cell(image)] = content, set(targets)

    @cached_property
    def _earlier(self) -> frozenset[str]:
        """The images of which an earlier run has left rows."""
        return frozenset(key[0] for key in self.rows if key not in self._done)

    def finished(self, image: str, method: str, target: str, content: str) -> tuple[Entry, str] | None:
        """What an earlier run did of an item whose arrays still stand as they were written, and its seconds as text."""
        entry = self.ledger.entries.get((image, method, target))
        if self.again or entry is None or entry.content != content or self._moved(entry):
            return None
        seconds = self.rows.get((safe_cell(image), method, target), {}).get("seconds", "")
        if not seconds or not self.ledger.whole(entry, lambda name: not self.is_picture(name)):
            self._lost.append(f"{image} {method}")
            return None
        return entry, seconds

    def standing(self, asked: Asked) -> Standing | None:
        """What an earlier run made of an image, where nothing of it has to be done again; safe from several threads."""
        found = find_standing(self, asked)
        if found is not None:
            self._sealed.add(asked.folder)
        return found

    def seal(self, source: Source) -> None:
        """Everything of an image is done and stands; safe from several threads."""
        self._sealed.add(source.source)
        if self.ledger.sources.get(source.source) != source:
            self.ledger.add(source)

    def _moved(self, entry: Entry) -> bool:
        """Whether the files of an item would now be in another folder."""
        return self._folders.get(entry.image, entry.folder) != entry.folder

    @cached_property
    def _folders(self) -> dict[str, str]:
        return dict(self.images)

    def drawn(self, entry: Entry, of: str) -> bool:
        """Whether the pictures of an item are those that would be drawn now, and as they were written."""
        return entry.drawn == of and self.ledger.whole(entry, self.is_picture)

    def file(self, name: str) -> Path:
        """A file of an item that is done, by its name relative to the run folder."""
        return self.path / name

    def is_picture(self, name: str) -> bool:
        """Whether a file is a picture, which may be drawn anew, and not what was computed."""
        return name.endswith(self.pictures)

    def sheet_stands(self, name: str, of: str | None) -> bool:
        """Whether a sheet is there as it was written and, where `of` is given, as it would be drawn now."""
        sheet = self.ledger.sheets.get(name)
        if sheet is None or of not in (None, sheet.of) or not holds(self.path / name, sheet.file):
            return False
        self._sheets.add(name)
        return True

    def add_sheet(self, name: str, of: str) -> None:
        """A sheet was drawn; safe from several threads."""
        self._sheets.add(name)
        self.ledger.add(Sheet(name, of, stamp(self.path / name)))

    def settle(self, order: Order, *, whole: bool = True) -> None:
        """Put table and ledger in order; once all is done, drop what the run does not own.

        Args:
            order: order of the rows.
            whole: everything was done; otherwise what was not reached stays.
        """
        with self._guard, going_on(self.path):
            self.check()
            for key in [key for key in self.rows if not self._holds(key, whole)]:
                del self.rows[key]

            def place(key: Key) -> Any:
                return order(dict(zip(("image", "method", "target"), key, strict=True)))

            self.in_order = sorted(self.rows, key=place)
            self.rows.save(self.path, self.in_order)
            if whole:
                self._drop()
            folders = {folder: number for number, (_, folder) in enumerate(self.images)} or None
            keys = self.ledger.settle(lambda key: place((safe_cell(key[0]), *key[1:])), folders)
            self._predictions.settle(self.ledger.answers(keys))
            if self._lost:
                shown = ", ".join(self._lost[:_SHOWN]) + (", …" if len(self._lost) > _SHOWN else "")
                self.notes.append(
                    f"{len(self._lost)} explanations were made again, since a file or row was missing or damaged: {shown}."
                )
                self._lost.clear()

    def _holds(self, key: Key, whole: bool) -> bool:
        if whole or key in self._done:
            return key in self._done
        content = self.rows[key]["content"]
        now, targets = self._seen.get(key[0], (content, {key[2]}))
        return now == content and key[2] in targets

    def _drop(self) -> None:
        """Remove entries, sheets and files of an earlier run that belong to nothing that this one did or found done."""
        ledger = self.ledger
        items = {key for key in ledger.entries if self._done.get((safe_cell(key[0]), *key[1:]))}
        remove_files(self.path, ledger.keep(items, self._sheets, self._sealed))

    def close(self) -> None:
        """Let another process have the folder."""
        if self.lock is not None:
            self.lock.release()


def open_run(
    path: Path,
    manifest: Mapping[str, Any],
    *,
    resume: bool,
    overwrite: bool = False,
    images: Sequence[tuple[str, str]] = (),
    endings: Sequence[str] = ENDINGS,
    pictures: Sequence[str] = PICTURES,
    page: bool = False,
) -> RunFolder:
    """Make the folder of a run, or open it to go on with it or to make it anew.

    Args:
        path: the folder, made where it does not exist.
        manifest: what will be written; its "spec" must equal that of the run being resumed.
        resume: take over what is done.
        overwrite: replace another run.
        images: (name, folder) of each image.
        endings: what follows the name of a method in the names of its files.
        pictures: those of them that are pictures.
        page: the run will write `index.html`.

    Raises:
        OutputError: the folder cannot be written, holds another run or strangers' files, or its run does not fit.
    """
    folders, methods = [folder for _, folder in images], methods_of(manifest)
    there = path.is_dir()
    lock = FolderLock(path, alone=True)
    try:
        earlier, _ = standing(path, manifest, resume=resume, overwrite=overwrite)
        if resume and earlier is not None and "owns" not in earlier and (path / RESULTS).exists():
            raise OutputError(
                f"{path} holds a run of an older version of sig, which did not record its files",
                hint="Name another --out, or repeat it without --resume; 'sig evaluate' can measure it as it is.",
            )
        places = folders, methods, endings
        foreign = refuse_items(path, earlier, places, overwrite=overwrite, resume=resume and earlier is not None)
        name = digest_of(manifest["spec"])
        if resume and earlier is not None and extends(earlier, manifest):
            rename(path, digest_of(earlier["spec"]), name)
        owns = (RESULTS, PREDICTIONS, LEDGER, *((PAGE,) if page else ()))
        same = claim_folder(path, manifest, owns, resume=resume, overwrite=overwrite)
        with writing(path):
            run = RunFolder(path, *opened(path, name, again=same and not resume, places=places, images=images))
            remove_leftovers([path])
    except BaseException:
        lock.release()
        if not there:
            remove_empty(path)
        raise
    run.lock, run.pictures, run.images, run.foreign = lock, tuple(pictures), images, foreign
    run.notes += began_elsewhere(earlier, manifest) if resume else []
    if foreign:
        run.notes.append(f"{', '.join(sorted(foreign)[:_SHOWN])} in {path} is not of this run and stays as it is.")
    return run

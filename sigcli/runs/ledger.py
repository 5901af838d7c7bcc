"""`files.jsonl`: what a run of explanations owns, one line for each item that is done, with size and digest of its files.

A line is appended once the files it speaks of stand. So what a killed process left is known: a file that no line names, or
that is not as its line says, counts as not made. A line that cannot be read, for whatever reason, counts as not written.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..files import append_whole, holds, write_aside
from .filenames import ENDINGS, files_in
from .lines import (
    Entry,
    Key,
    Lines,
    Sheet,
    Source,
    entry_again,
    entry_of,
    inside,
    line_of,
    object_of,
    partition_line,
    partition_of,
    shared,
    sheet_of,
    source_of,
)

__all__ = ["LEDGER", "Entry", "Key", "Ledger", "Sheet", "Source", "digest_of", "digest_of_text"]

LEDGER = "files.jsonl"


def digest_of(*facts: object) -> str:
    """A digest of anything that JSON or text can show."""
    return hashlib.blake2b(json.dumps(facts, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def digest_of_text(text: str) -> str:
    """A digest of a text, which may hold any name of a file."""
    return hashlib.blake2b(os.fsencode(text), digest_size=8).hexdigest()


_LAST: dict[tuple[Path, int, int, int, int], Ledger | None] = {}


@dataclass(eq=False)
class Ledger:
    """The lines of a run's `files.jsonl`.

    Args:
        path: the run folder.
        run: digest of the run's spec.
        begun: what a process has begun to write, and may have left without a line of its own: `folder/method` for the files
            of an item, `folder/compare` for a sheet, or the name of a file.
        endings: what follows the name of a method in the names of its files.
    """

    path: Path
    run: str
    entries: Lines[Key, Entry] = field(default_factory=lambda: Lines(entry_again))
    sheets: Lines[str, Sheet] = field(default_factory=lambda: Lines(sheet_of))
    sources: Lines[str, Source] = field(default_factory=lambda: Lines(source_of))
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    unreadable: int = 0
    endings: tuple[str, ...] = ENDINGS
    _begun_here: set[str] = field(default_factory=set)
    _glance: tuple[dict[str, str], set[str]] | None = None
    _stands: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def there(path: Path) -> bool:
        """Whether a folder has one that `sig` has written."""
        try:
            with (path / LEDGER).open("rb") as stream:
                return _run_of(stream.readline()) is not None
        except OSError:
            return False

    @classmethod
    def read(cls, path: Path) -> Ledger | None:
        """The ledger of a folder, or None where there is none that `sig` has written."""
        found = cls.peek(path)
        _LAST.clear()  # it may be changed from now on
        if found is not None:
            found._glance = None
        return found

    @staticmethod
    def peek(path: Path) -> Ledger | None:
        """Like `read`, to look at only: the one that was read last is kept while its file is as it was."""
        try:
            facts = (path / LEDGER).stat()
        except OSError:
            return None
        key = path, facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns
        if key not in _LAST:
            _LAST.clear()
            _LAST[key] = Ledger._read(path)
        return _LAST[key]

    @staticmethod
    def _read(path: Path) -> Ledger | None:
        try:
            if not (path / LEDGER).is_file():  # to read a pipe may never end
                return None
            with (path / LEDGER).open("rb") as stream:
                head = _run_of(stream.readline())
                return None if head is None else Ledger(path, head["run"])._filled(head, stream)
        except OSError:
            return None

    def _filled(self, head: Mapping[str, Any], lines: Iterable[bytes]) -> Ledger:
        more = (end for end in head.get("endings", []) if isinstance(end, str))
        self.endings = (*ENDINGS, *(end for end in more if end.startswith(".") and "/" not in end))
        self._glance, count, line, ours = ({}, set()), 0, b"\n", True
        for line in lines:
            count, ours = count + 1, ours and line.isascii()
            if line != b"\n" and not self._take(object_of(line), line.strip()):
                self.unreadable += 1
        kept = sum(map(len, (self.entries, self.sheets, self.sources, self.labels, self.begun)))
        self._stands = self._outline() if count == kept and ours and line.endswith(b"\n") else None
        return self

    def _outline(self) -> int:
        """A number that is another one as soon as something is added, removed or renamed."""
        keys = (*self.entries, None, *self.sheets, None, *self.sources, None, *self.labels)
        return hash((self.run, self.endings, keys, frozenset(self.unfinished)))

    def _take(self, line: dict[str, Any], text: bytes) -> bool:
        """Keep what a line says, which is kept as it stands; whether it says anything."""
        if not text.isascii():  # another program has written it anew
            text = json.dumps(line).encode()
        try:
            if "image" in line:
                entry = entry_of(line)
                self.entries.put(shared(entry.key), text)
                self._changed(entry.folder)
                self._see(entry)
            elif "sheet" in line:
                sheet = sheet_of(line)
                self.sheets.put(sheet.sheet, text)
                self._changed(sheet.sheet.rpartition("/")[0])
            elif "source" in line:
                source = source_of(line)
                self.sources.put(source.source, text)
            elif "begins" in line:
                self.begun.add(inside(line["begins"]))
            elif isinstance(line["players"], str):
                self.labels[line["players"]] = line
        except (KeyError, TypeError, ValueError):
            return False
        return bool(line)

    def _see(self, entry: Entry) -> None:
        """Note what those ask who only peek: to make all entries again takes longer than to read the file."""
        if self._glance is not None:
            folders, files = self._glance
            folders[entry.image] = entry.folder
            files.update(f"{entry.folder}/{name}" for name in entry.files)

    def add(self, line: Entry | Sheet | Source) -> None:
        """Append a line; safe from several threads. It says all that this process began to write of an item or sheet."""
        text = line_of(line)
        with self._lock:
            if isinstance(line, Entry):
                self.entries.put(shared(line.key), text)
                self._whole(line.folder, line.files)
                self._changed(line.folder)
            elif isinstance(line, Sheet):
                self.sheets.put(line.sheet, text)
                folder, _, name = line.sheet.rpartition("/")
                self._whole(folder, (name,))
                self._changed(folder)
            else:
                self.sources.put(line.source, text)
            self._append_text(text.decode())

    def begin(self, what: str) -> None:
        """Write down that files of an item or sheet are about to be written, see `begun`; safe from several threads."""
        with self._lock:
            if what not in self.begun and what not in self._begun_here:
                self._begun_here.add(what)
                self._append({"begins": what})

    def _changed(self, folder: str) -> None:
        """Something of an image is written: that all of it is done is no longer known, until it is said again."""
        self.sources.pop(folder, None)

    def _whole(self, folder: str, names: Iterable[str]) -> None:
        """Files are written and recorded: what this process began of them has left nothing else."""
        for name in names:
            ends = [end for end in self.endings if name.endswith(end)]
            self._begun_here.difference_update(f"{folder}/{name.removesuffix(end)}" for end in ("", *ends))

    def take_line(self, line: dict[str, Any]) -> None:
        """Keep a line that a worker has made, unless it is known; safe from several threads."""
        if "begins" in line:
            self.begin(line["begins"])
            return
        with self._lock:
            text = json.dumps(line)
            if ("source" in line or line["players"] not in self.labels) and self._take(line, text.encode()):
                self._append_text(text)

    @property
    def unfinished(self) -> set[str]:
        """What was begun, by this process or an earlier one, and is not known to be whole."""
        return self.begun | self._begun_here

    def left(self) -> set[str]:
        """Names of the files of what was begun, as far as they are there; each folder is looked into once."""
        folders: dict[str, set[str]] = {}
        for what in self.unfinished:
            folder, _, name = what.rpartition("/")
            names = (name,) if what.endswith(self.endings) else (name + ending for ending in self.endings)
            folders.setdefault(folder, set()).update(names)
        return {
            f"{folder}/{name}" if folder else name
            for folder, names in folders.items()
            for name in names.intersection(files_in(self.path / folder))
        }

    def keep_players(self, players: np.ndarray | None) -> str:
        """Keep a partition, once for all items that share it; returns its digest."""
        if players is None:
            return ""
        line = partition_line(players)
        with self._lock:
            if line["players"] not in self.labels:
                self.labels[line["players"]] = line
                self._append(line)
        return line["players"]

    def players(self, name: str) -> np.ndarray | None:
        """A partition that was kept, or None where it was not or cannot be read."""
        return partition_of(self.labels[name]) if name in self.labels else None

    def _head(self) -> dict[str, Any]:
        more = [end for end in self.endings if end not in ENDINGS]
        return {"sig": 1, "run": self.run, **({"endings": more} if more else {})}

    def _append(self, line: Mapping[str, Any]) -> None:
        self._append_text(json.dumps(line))

    def _append_text(self, text: str) -> None:
        append_whole(self.path / LEDGER, f"{text}\n")

    def whole(self, entry: Entry, asked: Callable[[str], bool]) -> bool:
        """Whether all files of an item whose names are asked for are as they were written."""
        named = [name for name in entry.files if asked(name)]
        return all(holds(self.path / entry.folder / name, entry.files[name]) for name in named)

    def files(self) -> set[str]:
        """The name of every file of an item or sheet, relative to the run folder."""
        if self._glance is not None:
            return self._glance[1] | self.sheets.keys()
        return {f"{one.folder}/{name}" for one in self.entries.values() for name in one.files} | self.sheets.keys()

    def folders(self) -> Mapping[str, str]:
        """The folder of each image that has an item."""
        if self._glance is not None:
            return self._glance[0]
        return {one.image: one.folder for one in self.entries.values()}

    def answers(self, keys: Iterable[Key] | None = None) -> Iterator[tuple[str, Any]]:
        """The image of each item, and the model's likeliest answers to it; of these items, or of all."""
        for key in self.entries if keys is None else keys:
            line = self.entries.fields(key)
            yield line["image"], line["facts"].get("predictions")

    def sheet_folders(self) -> set[str]:
        """The folders that sheets are in."""
        return {name.rpartition("/")[0] for name in self.sheets}

    def keep(self, items: Container[Key], sheets: Container[str], sources: Container[str]) -> set[str]:
        """Forget what is not among these, and all that was begun; returns the names of the files that are left over.

        Args:
            items: keys of items.
            sheets: names of sheets.
            sources: folders of images.
        """
        lost = [key for key in self.entries if key not in items]
        gone = {f"{one.folder}/{name}" for one in map(self.entries.__getitem__, lost) for name in one.files}
        gone |= {name for name in self.sheets if name not in sheets} | self.left()
        self.entries.keep(items)
        self.sheets.keep(sheets)
        self.sources.keep(sources)
        self.begun.clear()
        self._begun_here.clear()
        return gone - self.files() if gone else gone

    def settle(self, order: Callable[[Key], Any] | None = None, folders: Mapping[str, int] | None = None) -> list[Key]:
        """Write all anew: the head, then partitions, items, sheets and images in an order that no interruption changes.

        The keys of the items are returned in that order.

        Args:
            order: of the items; None leaves all lines as they come.
            folders: of images → their places, in which sheets and images are put; those of the items where it is None.
        """
        with self._lock:
            keys = list(self.entries) if order is None else sorted(self.entries, key=order)
            if order is not None and folders is None:
                folders = {self.entries[key].folder: place for place, key in enumerate(keys)}
            write_aside(self.path / LEDGER, lambda aside: self._write(aside, keys, folders))
        return keys

    def mend(self) -> None:
        """Write all anew as `settle` does, unless the file has just been read and says no more and no less than this."""
        if self._stands is None or self._stands != self._outline():
            self.settle()

    def _write(self, aside: Path, keys: Sequence[Key], folders: Mapping[str, int] | None) -> None:
        with aside.open("w", encoding="utf-8", newline="") as stream:
            stream.writelines(f"{line}\n" for line in self._text(keys, folders))

    def _text(self, keys: Sequence[Key], folders: Mapping[str, int] | None) -> Iterator[str]:
        partitions = dict.fromkeys(self.entries.fields(key)["players"] for key in keys) if self.labels else ()
        yield json.dumps(self._head())
        yield from (json.dumps(self.labels[name]) for name in partitions if name in self.labels)
        yield from (self.entries.line(key) for key in keys)
        sheets, sources = list(self.sheets), list(self.sources)
        if folders is not None:
            sheets.sort(key=lambda name: (folders.get(name.rpartition("/")[0], -1), name))
            sources.sort(key=lambda folder: (folders.get(folder, -1), folder))
        yield from map(self.sheets.line, sheets)
        yield from map(self.sources.line, sources)
        yield from (json.dumps({"begins": what}) for what in sorted(self.unfinished))


def _run_of(line: bytes) -> dict[str, Any] | None:
    """The head of a ledger, or None where the line is none."""
    head = object_of(line.removeprefix(b"\xef\xbb\xbf"))
    ours = isinstance(head.get("run"), str) and isinstance(head.get("endings", []), list)
    return head if ours and head.get("sig") == 1 else None

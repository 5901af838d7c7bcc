"""`files.jsonl`: what a run of explanations owns, one line for each item that is done, with size and digest of its files.

A line is appended once the files it speaks of stand. So what a killed process left is known: a file that no line names, or
that is not as its line says, counts as not made. A line that cannot be read, for whatever reason, counts as not written.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import threading
import zlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..files import append_whole, holds, read_bytes, write_aside
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
            lines = read_bytes(path / LEDGER).split(b"\n")
        except OSError:
            return None
        head = _run_of(lines[0])
        if head is None:
            return None
        told = head.get("endings", [])
        more = [end for end in told if isinstance(end, str) and end.startswith(".") and "/" not in end]
        found = Ledger(path, head["run"], endings=(*ENDINGS, *more))
        for line in lines[1:]:
            if line and not found._take(_object(line)):
                found.unreadable += 1
        return found

    def _take(self, line: dict[str, Any]) -> bool:
        """Keep what a line says; whether it says anything."""
        try:
            if "image" in line:
                entry = entry_of(line)
                self.entries[shared(entry.key)] = entry
                self._changed(entry.folder)
            elif "sheet" in line:
                sheet = sheet_of(line)
                self.sheets[sheet.sheet] = sheet
                self._changed(sheet.sheet.rpartition("/")[0])
            elif "source" in line:
                source = source_of(line)
                self.sources[source.source] = source
            elif "begins" in line:
                self.begun.add(inside(line["begins"]))
            elif isinstance(line["players"], str):
                self.labels[line["players"]] = line
        except (KeyError, TypeError, ValueError):
            return False
        return bool(line)

    def add(self, line: Entry | Sheet | Source) -> None:
        """Append a line; safe from several threads. It says all that this process began to write of an item or sheet."""
        with self._lock:
            if isinstance(line, Entry):
                self.entries[shared(line.key)] = line
                self._whole(line.folder, line.files)
                self._changed(line.folder)
            elif isinstance(line, Sheet):
                self.sheets[line.sheet] = line
                folder, _, name = line.sheet.rpartition("/")
                self._whole(folder, (name,))
                self._changed(folder)
            else:
                self.sources[line.source] = line
            self._append(vars(line))

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
            known = "source" not in line and line["players"] in self.labels
            if not known and self._take(line):
                self._append(line)

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
        flat = np.diff(players.ravel().astype("<i4"), prepend=np.int32(0)).astype("<i4")  # of a grid mostly 0
        name = hashlib.blake2b(flat.tobytes() + str(players.shape).encode(), digest_size=8).hexdigest()
        with self._lock:
            if name not in self.labels:
                text = base64.b64encode(zlib.compress(flat.tobytes(), 6)).decode()
                self.labels[name] = {"players": name, "shape": list(players.shape), "labels": text}
                self._append(self.labels[name])
        return name

    def players(self, name: str) -> np.ndarray | None:
        """A partition that was kept, or None where it was not or cannot be read."""
        try:
            line = self.labels[name]
            size = 4 * math.prod(line["shape"])
            content = zlib.decompressobj().decompress(base64.b64decode(line["labels"]), max(size, 1))  # no bomb
            return np.cumsum(np.frombuffer(content, "<i4"), dtype=np.int64).reshape(line["shape"])
        except (KeyError, OverflowError, TypeError, ValueError, zlib.error):
            return None

    def _head(self) -> dict[str, Any]:
        more = [end for end in self.endings if end not in ENDINGS]
        return {"sig": 1, "run": self.run, **({"endings": more} if more else {})}

    def _append(self, line: Mapping[str, Any]) -> None:
        append_whole(self.path / LEDGER, json.dumps(line) + "\n")

    def whole(self, entry: Entry, asked: Callable[[str], bool]) -> bool:
        """Whether all files of an item whose names are asked for are as they were written."""
        named = [name for name in entry.files if asked(name)]
        return all(holds(self.path / entry.folder / name, entry.files[name]) for name in named)

    def files(self) -> set[str]:
        """The name of every file of an item or sheet, relative to the run folder."""
        return {f"{one.folder}/{name}" for one in self.entries.values() for name in one.files} | self.sheets.keys()

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

    def in_order(self, order: Callable[[Key], Any]) -> Iterator[Entry]:
        """The items one after another."""
        return map(self.entries.__getitem__, sorted(self.entries, key=order))

    def settle(self, order: Callable[[Key], Any]) -> None:
        """Write all anew: the head, then partitions, items, sheets and images in an order that no interruption changes."""
        with self._lock:
            write_aside(self.path / LEDGER, lambda aside: self._write(aside, order))

    def _write(self, aside: Path, order: Callable[[Key], Any]) -> None:
        with aside.open("w", encoding="utf-8", newline="") as stream:
            stream.writelines(f"{line}\n" for line in self._text(order))

    def _text(self, order: Callable[[Key], Any]) -> Iterator[str]:
        keys = sorted(self.entries, key=order)
        places: dict[str, int] = {}
        used: dict[str, None] = {}
        if self.labels or self.sheets or self.sources:
            for place, entry in enumerate(map(self.entries.__getitem__, keys)):
                places[entry.folder] = place
                if entry.players in self.labels:
                    used[entry.players] = None
        yield json.dumps(self._head())
        yield from (json.dumps(self.labels[name]) for name in used)
        yield from (self.entries.line(key) for key in keys)
        sheets = sorted(self.sheets, key=lambda name: (places.get(name.rpartition("/")[0], -1), name))
        yield from (self.sheets.line(name) for name in sheets)
        yield from (
            self.sources.line(name) for name in sorted(self.sources, key=lambda one: (places.get(one, -1), one))
        )
        yield from (json.dumps({"begins": what}) for what in sorted(self.unfinished))


def _object(line: bytes) -> dict[str, Any]:
    """The JSON object of a line, empty where it is not one."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _run_of(line: bytes) -> dict[str, Any] | None:
    """The head of a ledger, or None where the line is none."""
    head = _object(line.removeprefix(b"\xef\xbb\xbf"))
    ours = isinstance(head.get("run"), str) and isinstance(head.get("endings", []), list)
    return head if ours and head.get("sig") == 1 else None

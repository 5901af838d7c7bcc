"""`files.jsonl`: what a run of explanations owns, one line for each item that is done, with size and digest of its files.

A line is appended once the files it speaks of stand. So what a killed process left is known: a file that no line names, or
that is not as its line says, counts as not made. A line that cannot be read, for whatever reason, counts as not written.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..files import Stamp, append_whole, holds, read_bytes, write_aside, write_text
from .filenames import ENDINGS, files_in

LEDGER = "files.jsonl"
Key = tuple[str, str, str]
"""Image, method, target."""


@dataclass(frozen=True)
class Entry:
    """One item that is done.

    Args:
        image: its name in the run.
        method: as the user named it.
        target: as text.
        content: hash of the image's pixels.
        folder: folder of its files, relative to the run folder.
        label: label of the target.
        output: what the score is.
        facts: its values, in full precision.
        files: name within the folder → size and digest.
        drawn: digest of all that its pictures depend on, empty where none were drawn.
        players: digest of its partition, empty where it has none.
    """

    image: str
    method: str
    target: str
    content: str
    folder: str
    label: str
    output: str
    facts: Mapping[str, Any]
    files: Mapping[str, Stamp]
    drawn: str = ""
    players: str = ""

    @property
    def key(self) -> Key:
        """What makes it one item."""
        return self.image, self.method, self.target


_NAMES = tuple(one.name for one in fields(Entry))


@dataclass(frozen=True)
class Sheet:
    """One picture of all methods of an image and target.

    Args:
        sheet: its file, relative to the run folder.
        of: digest of all that it depends on.
        file: size and digest.
    """

    sheet: str
    of: str
    file: Stamp


def digest_of(*facts: object) -> str:
    """A digest of anything that JSON or text can show."""
    return hashlib.blake2b(json.dumps(facts, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def digest_of_text(text: str) -> str:
    """A digest of a text, which may hold any name of a file."""
    return hashlib.blake2b(os.fsencode(text), digest_size=8).hexdigest()


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
    entries: dict[Key, Entry] = field(default_factory=dict)
    sheets: dict[str, Sheet] = field(default_factory=dict)
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    unreadable: int = 0
    endings: tuple[str, ...] = ENDINGS
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @staticmethod
    def there(path: Path) -> bool:
        """Whether a folder has one that `sig` has written."""
        try:
            with (path / LEDGER).open("rb") as stream:
                return _run_of(stream.readline()) is not None
        except OSError:
            return False

    @staticmethod
    def read(path: Path) -> Ledger | None:
        """The ledger of a folder, or None where there is none that `sig` has written."""
        try:
            lines = read_bytes(path / LEDGER).split(b"\n")
        except OSError:
            return None
        head = _run_of(lines[0])
        if head is None:
            return None
        more = [
            end for end in head.get("endings", []) if isinstance(end, str) and end.startswith(".") and "/" not in end
        ]
        found = Ledger(path, head["run"], endings=(*ENDINGS, *more))
        for line in lines[1:]:
            if line and not found._take(_object(line)):
                found.unreadable += 1
        return found

    def _take(self, line: dict[str, Any]) -> bool:
        """Keep what a line says; whether it says anything."""
        try:
            if "image" in line:
                entry = _entry(line)
                self.entries[entry.key] = entry
            elif "sheet" in line:
                sheet = Sheet(_inside(line["sheet"]), str(line["of"]), _stamp(line["file"]))
                self.sheets[sheet.sheet] = sheet
            elif "begins" in line:
                self.begun.add(_inside(line["begins"]))
            elif isinstance(line["players"], str):
                self.labels[line["players"]] = line
        except (KeyError, TypeError, ValueError):
            return False
        return bool(line)

    def add(self, line: Entry | Sheet) -> None:
        """Append a line; safe from several threads."""
        with self._lock:
            if isinstance(line, Entry):
                self.entries[line.key] = line
            else:
                self.sheets[line.sheet] = line
            self._append(vars(line))

    def begin(self, what: str) -> None:
        """Write down that files of an item or sheet are about to be written, see `begun`; safe from several threads."""
        with self._lock:
            if what not in self.begun:
                self.begun.add(what)
                self._append({"begins": what})

    def take_line(self, line: dict[str, Any]) -> None:
        """Keep a line that a worker has made, unless it is known; safe from several threads."""
        if "begins" in line:
            self.begin(line["begins"])
            return
        with self._lock:
            if line["players"] not in self.labels:
                self.labels[line["players"]] = line
                self._append(line)

    def left(self) -> set[str]:
        """Names of the files of what was begun, as far as they are there; each folder is looked into once."""
        folders: dict[str, set[str]] = {}
        for what in self.begun:
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
            flat = np.frombuffer(zlib.decompress(base64.b64decode(line["labels"])), "<i4")
            return np.cumsum(flat, dtype=np.int64).reshape(line["shape"])
        except (KeyError, TypeError, ValueError, zlib.error):
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

    def folders(self) -> set[str]:
        """The folders that these are in."""
        return {file.rpartition("/")[0] for file in self.files()}

    def settle(self, order: Callable[[Entry], Any]) -> None:
        """Write all anew: the head, then partitions, items and sheets in an order that no interruption changes."""
        entries = sorted(self.entries.values(), key=order)
        used = dict.fromkeys(entry.players for entry in entries if entry.players in self.labels)
        places = {entry.folder: i for i, entry in enumerate(entries)}
        sheets = sorted(self.sheets.values(), key=lambda s: (places.get(s.sheet.rpartition("/")[0], -1), s.sheet))
        lines: Iterable[Any] = (
            self._head(), *(self.labels[name] for name in used), *map(vars, entries), *map(vars, sheets),
            *({"begins": what} for what in sorted(self.begun)),
        )  # fmt: skip
        text = "".join(json.dumps(line) + "\n" for line in lines)
        with self._lock:
            write_aside(self.path / LEDGER, lambda aside: write_text(aside, text))


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
    return head if isinstance(head.get("run"), str) and head.get("sig") == 1 else None


def _entry(line: dict[str, Any]) -> Entry:
    texts = {name: line[name] for name in _NAMES if name not in ("facts", "files")}
    if not all(isinstance(text, str) for text in texts.values()) or len(line) != len(_NAMES):
        raise ValueError("the line is of another kind")
    facts = {str(name): value for name, value in line["facts"].items()}
    numbers = [value for name, value in facts.items() if name not in ("error", "stopped", "view", "region")]
    if not all(value is None or isinstance(value, (int, float)) for value in numbers):
        raise ValueError("a value is not a number")
    files = {_inside(name): _stamp(known) for name, known in line["files"].items()}
    _inside(line["folder"])
    return Entry(**{**texts, "facts": facts, "files": files})


def _inside(name: str) -> str:
    """A name below the run folder: what a ledger says may be removed must be nowhere else."""
    if "/" not in name and name not in ("", ".", "..") and os.sep == "/":
        return name
    parts = name.split("/")
    if (
        not parts[0]
        or ".." in parts
        or (os.sep in name and os.sep != "/")
        or not any(p not in ("", ".") for p in parts)
    ):
        raise ValueError("the name leads out of the run folder")
    return name


def _stamp(known: Any) -> Stamp:
    size, digest = known
    if not isinstance(size, int) or not isinstance(digest, str):
        raise ValueError("no size and digest")
    return size, digest

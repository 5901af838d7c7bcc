"""The lines of `files.jsonl`: what each kind of them says, and many of them in little memory."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import sys
import zlib
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from ..files import Stamp
from .packed import OfPacked

Key = tuple[str, str, str]
"""Image, method, target."""
K = TypeVar("K")
R = TypeVar("R")


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

    @property
    def name(self) -> str:
        """Of its files, without what follows the name of the method."""
        return next(name for name in self.files if name.endswith(".npy")).removesuffix(".npy")


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


@dataclass(frozen=True)
class Source:
    """One image of which everything is done: what a resumed run must know of it to pass it over without decoding it.

    The file's time is not kept: a copy of the images has other times, and a file that was changed twice within a second
    may have the same. Size and digest say whether it is the same file.

    Args:
        source: folder of its files, relative to the run folder.
        file: size and digest of the image's file; of a sample in memory those of its content.
        of: digest of all that its pictures and words depend on, besides what its items depend on.
        content: hash of its pixels.
        targets: what was explained of it, as text, in order.
        note: what is told of it.
        assumed: what was assumed of its file.
    """

    source: str
    file: Stamp
    of: str
    content: str
    targets: tuple[str, ...]
    note: str = ""
    assumed: tuple[str, ...] = ()


class Lines(OfPacked[K, R]):
    """Records by key, each kept as its line of JSON, without its end.

    Args:
        read: makes a record of the object of its line.
    """

    def __init__(self, read: Callable[[dict[str, Any]], R]):
        super().__init__()
        self._read = read

    def fields(self, key: K) -> dict[str, Any]:
        """A record as its line has it, which takes half the time that making it does."""
        return json.loads(self._lines[key])

    def put(self, key: K, line: bytes) -> None:
        """Keep a record whose line is known."""
        self._lines[key] = line

    def keep(self, keys: Container[K]) -> None:
        """Forget all records but these."""
        self._lines.keep(keys)

    def __getitem__(self, key: K) -> R:
        return self._read(self.fields(key))

    def __setitem__(self, key: K, record: R) -> None:
        self._lines[key] = line_of(record)


def line_of(record: Any) -> bytes:
    """The line of a record, without its end."""
    return json.dumps(vars(record)).encode()


def entry_of(line: Mapping[str, Any]) -> Entry:
    """What a line says of an item; raises KeyError, TypeError or ValueError where it is no such line."""
    texts = {name: line[name] for name in _NAMES if name not in ("facts", "files")}
    if not all(isinstance(text, str) for text in texts.values()) or len(line) != len(_NAMES):
        raise ValueError("the line is of another kind")
    if not isinstance(line["facts"], Mapping) or not isinstance(line["files"], Mapping):
        raise TypeError("facts or files are no mapping")
    facts = line["facts"]
    answers = facts.get("predictions") or []
    if not isinstance(answers, list) or not all(map(_is_answer, answers)):
        raise ValueError("the predictions are of another kind")
    for name, value in facts.items():
        if value is not None and not isinstance(value, _KINDS.get(name, _NUMBER)):
            raise ValueError("a fact is of another kind")
    if facts.get("score") is None:  # what is done has one
        raise ValueError("there is no score")
    files = {inside(name): stamp_from(known) for name, known in line["files"].items()}
    inside(line["folder"])
    return Entry(**{**texts, "facts": facts, "files": files})


_NUMBER = (int, float)
_KINDS = {**dict.fromkeys(("error", "stopped", "view", "region", "predicted"), str), "predictions": list}
"""Facts that are no numbers."""


def _is_answer(one: Any) -> bool:
    """Whether this is the number of a class, its name and its probability."""
    kinds = (int, str, (int, float))
    return isinstance(one, list) and len(one) == 3 and all(map(isinstance, one, kinds))


def inside(name: str) -> str:
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


def stamp_from(known: Any) -> Stamp:
    """Size and digest as a line has them; raises ValueError or TypeError for anything else."""
    size, digest = known
    if not isinstance(size, int) or not isinstance(digest, str):
        raise ValueError("no size and digest")
    return size, digest


def entry_again(line: dict[str, Any]) -> Entry:
    """What a line says of an item that was written here, or that `entry_of` has looked through."""
    return Entry(**{**line, "files": {name: (known[0], known[1]) for name, known in line["files"].items()}})


def sheet_of(line: Mapping[str, Any]) -> Sheet:
    """What a line says of a sheet; raises as `entry_of` does."""
    return Sheet(inside(line["sheet"]), str(line["of"]), stamp_from(line["file"]))


def source_of(line: Mapping[str, Any]) -> Source:
    """What a line says of an image that is done; raises as `entry_of` does."""
    texts = [line["of"], line["content"], line["note"], *line["targets"], *line["assumed"]]
    if not all(isinstance(text, str) for text in texts) or isinstance(line["targets"], str):
        raise ValueError("the line is of another kind")
    targets, assumed = tuple(line["targets"]), tuple(line["assumed"])
    known = stamp_from(line["file"])
    return Source(inside(line["source"]), known, line["of"], line["content"], targets, line["note"], assumed)


def shared(key: Key) -> Key:
    """A key whose method and target, which many items have, are the same objects in all of them."""
    return key[0], sys.intern(key[1]), sys.intern(key[2])


def object_of(line: bytes) -> dict[str, Any]:
    """The JSON object of a line, empty where it is not one."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def partition_line(players: np.ndarray) -> dict[str, Any]:
    """The line of a partition (H, W), whose name is a digest of it."""
    flat = np.diff(players.ravel().astype("<i4"), prepend=np.int32(0)).astype("<i4").tobytes()  # of a grid mostly 0
    name = hashlib.blake2b(flat + str(players.shape).encode(), digest_size=8).hexdigest()
    text = base64.b64encode(zlib.compress(flat, 6)).decode()
    return {"players": name, "shape": list(players.shape), "labels": text}


def partition_of(line: Mapping[str, Any]) -> np.ndarray | None:
    """The partition (H, W) int64 of its line, or None where it cannot be read."""
    try:
        size = 4 * math.prod(line["shape"])
        content = zlib.decompressobj().decompress(base64.b64decode(line["labels"]), max(size, 1))  # no bomb
        return np.cumsum(np.frombuffer(content, "<i4"), dtype=np.int64).reshape(line["shape"])
    except (KeyError, OverflowError, TypeError, ValueError, zlib.error):
        return None

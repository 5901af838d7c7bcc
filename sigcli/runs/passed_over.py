"""Images of which everything is done already: a resumed run passes them over, without decoding them or asking the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..files import Stamp, filled, safe_cell
from ..inputs.given import Given
from ..inputs.given import Source as Sample
from ..places.remote import Remote
from .lines import Entry, Source

if TYPE_CHECKING:
    from .folder import RunFolder

_PART = 1 << 20
_MOST = 2 << 30
"""Bytes of the largest file that is read as an image or array; of a larger one decoding tells."""


@dataclass(frozen=True)
class Asked:
    """What a run asks of an image before it decodes it.

    Args:
        image: its name.
        folder: of its files, relative to the run folder.
        file: size and digest of its file now.
        of: digest of all that its pictures and words depend on, see `Source`.
        methods: of the run.
        pictures: whether pictures are drawn.
        beside: names of files that stand with those of an item and that no line records; a function that can be sent to
            another process, or None.
    """

    image: str
    folder: str
    file: Stamp
    of: str
    methods: Sequence[str]
    pictures: bool
    beside: Callable[[Entry], Iterable[str]] | None = None


@dataclass(frozen=True)
class Standing:
    """An image that is passed over.

    Args:
        source: what was recorded of it.
        items: of each target and method what was made, and its seconds as text.
    """

    source: Source
    items: Sequence[tuple[Entry, str]]


def file_stamp(sample: Sample) -> Stamp | None:
    """Size and digest of the file of a sample, in bounded memory; of one in memory those of its content,
    of a remote one those that its place tells without sending it.

    None of what is no ordinary file, cannot be read, or is larger than any that is decoded: that tells what is wrong.
    """
    if isinstance(sample, Given):
        return sample.picture.pixels.nbytes, f"{sample.picture.key:016x}"
    if isinstance(sample, Remote):
        return sample.stamp()
    digest, size = hashlib.blake2b(digest_size=16), 0
    try:
        if not sample.is_file() or sample.stat().st_size > _MOST:
            return None
        with sample.open("rb") as stream:
            while part := stream.read(_PART):
                size += len(part)
                if size > _MOST:  # it grows while it is read
                    return None
                digest.update(part)
    except OSError:
        return None
    return size, digest.hexdigest()


def find_standing(run: RunFolder, asked: Asked) -> Standing | None:
    """What an earlier run made of an image, where all of it stands and nothing would be made or drawn otherwise now.

    Its file is the same, byte for byte; every method has every target; every file is as it was written.
    """
    source = None if run.again else run.ledger.sources.get(asked.folder)
    if source is None or source.file != tuple(asked.file) or source.of != asked.of:
        return None
    found: list[tuple[Entry, str]] = []
    sheets: list[str] = []
    for target in source.targets:
        for method in asked.methods:
            entry = run.ledger.entries.get((asked.image, method, target))
            row = run.rows.get((safe_cell(asked.image), method, target))
            if entry is None or not row or not row["seconds"] or not _stands(run, entry, source, asked):
                return None
            found.append((entry, row["seconds"]))
        sheets.append(_sheet(found[-1][0]))
    of_all = f"{asked.folder}/compare.png"
    if len(source.targets) > 1 and of_all in run.ledger.sheets:
        sheets.append(of_all)
    if not _sheets_stand(run, sheets, asked):
        return None
    return Standing(source, found)


def _stands(run: RunFolder, entry: Entry, source: Source, asked: Asked) -> bool:
    if entry.content != source.content or entry.folder != asked.folder or (asked.pictures and not entry.drawn):
        return False
    beside = () if asked.beside is None else asked.beside(entry)
    return run.ledger.whole(entry, lambda name: asked.pictures or not run.is_picture(name)) and all(
        filled(run.path / name) for name in beside
    )


def _sheet(entry: Entry) -> str:
    """The picture of all methods that an item is in."""
    return f"{entry.folder}/compare{entry.name.removeprefix(entry.method)}.png"


def _sheets_stand(run: RunFolder, names: Sequence[str], asked: Asked) -> bool:
    stand = [name in run.foreign or run.sheet_stands(name, None) for name in names]
    return all(stand) or not asked.pictures

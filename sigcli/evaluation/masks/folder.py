"""A folder of masks: images and arrays with the names of the pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import ImageError, SigError, UsageError
from ...inputs.images import IMAGE_SUFFIXES
from ...names import printable
from .areas import Areas
from .files import read_raw
from .meaning import Look, Meaning, judge, look_at, some
from .source import Source, unusable
from .wanted import Wanted

SUFFIXES = (*IMAGE_SUFFIXES, ".npy")


class Folder(Source):
    """Mask files of a folder, by their path within it without the suffix.

    Raises:
        UsageError: it is not there, or holds no mask; two masks have one name.
    """

    def __init__(self, path: Path):
        self.path, self._files = path, dict[str, Path]()
        self._meaning: Meaning | None = None
        self._others: list[str] = []
        if not path.is_dir():
            raise UsageError(
                "no such folder of masks",
                given=path,
                allowed="a folder, boxes in a .csv, or COCO's annotations in a .json",
            )
        for file in _walk(path, set()):
            if file.suffix.lower() not in SUFFIXES:
                self._others.append(file.relative_to(path).as_posix())
                continue
            name = file.relative_to(path).with_suffix("").as_posix()
            before = self._files.setdefault(name, file)
            if before is not file:
                raise UsageError(
                    "two masks have one name", given=f"{before} and {file}", hint="Leave one of them in the folder."
                )
        self.names = list(self._files)
        if not self._files:
            tables = [name for name in self._others if name.lower().endswith((".json", ".csv"))]
            hint = f"Name the file itself: --masks {path / tables[0]}." if tables else None
            raise UsageError("the folder has no masks", given=path, allowed=", ".join(SUFFIXES), hint=hint)

    def judge(self, names: Sequence[str], wanted: Wanted) -> tuple[list[str], dict[str, SigError]]:
        """Read all masks once, and keep what their values mean."""
        looks: dict[str, Look] = {}
        problems: dict[str, SigError] = {}
        for name in names:
            try:
                looks[self._file(name)] = look_at(read_raw(self._files[name]))
            except ImageError as error:
                problems[name] = error
        if not looks:
            raise unusable(next(iter(problems.values())))
        self._meaning = judge(looks, wanted)
        return [self._meaning.text], problems

    def areas(self, name: str, size: tuple[int, int]) -> Areas:  # noqa: ARG002  a mask has its own
        """Object and void of one mask."""
        assert self._meaning is not None, "judge comes first"
        return self._meaning.areas(read_raw(self._files[name]))

    def notes(self) -> list[str]:
        """Which files are no masks."""
        if not self._others:
            return []
        return [f"{len(self._others)} files of {self.path} are no masks: {some([printable(n) for n in self._others])}"]

    def told(self, name: str) -> str:
        """A mask by its file."""
        return f"mask {self._file(name)}"

    def _file(self, name: str) -> str:
        return printable(self._files[name].relative_to(self.path).as_posix())


def _walk(folder: Path, seen: set[str]) -> Iterator[Path]:
    """All files below a folder but hidden ones, in sorted order; links are followed, but never in circles."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except PermissionError:
        raise UsageError("no permission to list the folder", given=folder) from None
    yield from (entry for entry in entries if not entry.is_dir())
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry, seen)

"""What a search for images passes over: counted, named, and told in one note."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from PIL import features

from ..files import read_bytes
from ..names import GALLERY, PAGE, escaped, is_thumbnail

OTHER, HIDDEN, RUN, MAPS, MASKS, APART, CIRCLE, DEEPER = (
    "without the suffix of an image", "hidden", "run folder of sig", "written by the run of sig in that folder",
    "folder of masks of the pictures beside it", "folder of --masks or --partner",
    "link to a folder that is searched already", "folder further down",
)  # fmt: skip
HEIC_SUFFIXES, JP2_SUFFIXES = (".heic", ".heif", ".hif"), (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx")
HEIC = "HEIC, readable after pip install pillow-heif"
JP2 = "JPEG 2000, which this Pillow cannot read: pip install --upgrade pillow"
_SHOWN = 3
_COUNTED = ("run folder", "folder", "link")
"""What reasons begin with that name a thing, which is several where there are several."""


class LeftOut:
    """Files and folders that a search passed over, by reason.

    Args:
        apart: folders that hold something else than images, as the command says.
    """

    def __init__(self, apart: Iterable[str | Path] = ()):
        self.apart = [Path(one) for one in apart]
        self._found: dict[str, dict[str, None]] = {}

    def add(self, reason: str, path: Path) -> None:
        """Note a file or folder."""
        self._found.setdefault(reason, {})[f"{escaped(path.name)}{'/' if path.is_dir() else ''}"] = None

    def file(self, path: Path) -> None:
        """Note a file that is no image by its suffix."""
        suffix = path.suffix.lower()
        self.add(HEIC if suffix in HEIC_SUFFIXES else JP2 if suffix in JP2_SUFFIXES else OTHER, path)

    @property
    def notes(self) -> tuple[str, ...]:
        """One note, or none where nothing was passed over.

        >>> left = LeftOut()
        >>> left.file(Path("notes.txt")); left.file(Path("b.heic")); print(*left.notes)
        Left out: 1 without the suffix of an image (notes.txt); 1 HEIC, readable after pip install pillow-heif (b.heic).
        """
        told = [_counted(len(names), why, listed_names(list(names))) for why, names in self._found.items()]
        return (f"Left out: {'; '.join(told)}.",) if told else ()


def _counted(count: int, reason: str, shown: str) -> str:
    """How many were passed over and why; things are several where there are several.

    >>> _counted(2, RUN, "a/, b/"), _counted(1, CIRCLE, "up"), _counted(2, HIDDEN, ".a, .b")
    ('2 run folders of sig (a/, b/)', '1 link to a folder that is searched already (up)', '2 hidden (.a, .b)')
    """
    thing = next((one for one in _COUNTED if reason.startswith(one)), None)
    if count > 1 and thing is not None:
        reason = f"{thing}s{reason.removeprefix(thing)}"
    return f"{count} {reason} ({shown})"


def listed_names(names: Sequence[str]) -> str:
    """The first names, and whether there are more."""
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, …"


def further_suffixes() -> tuple[str, ...]:
    """Suffixes of images that can be read here, and not everywhere."""
    jp2 = JP2_SUFFIXES if features.check_codec("jpg_2000") else ()
    return (*jp2, *(HEIC_SUFFIXES if find_spec("pillow_heif") else ()))


def is_run(folder: Path) -> bool:
    """Whether `sig` wrote a folder: it holds a manifest of ours, or what has the names of one beside a table."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return False
    found = _object(manifest)
    return (isinstance(found.get("spec"), dict) and "versions" in found) or (folder / "results.csv").is_file()


def maps_of(folder: Path) -> set[Path]:
    """The files that the run in a folder has written there, as far as its own list says."""
    owns = _object(folder / "manifest.json").get("owns", [])
    found = {folder / name for name in owns if isinstance(name, str)} if isinstance(owns, list) else set()
    if folder / PAGE in found and (folder / GALLERY).is_dir():
        found.update(one for one in (folder / GALLERY).iterdir() if is_thumbnail(one.name))
    try:
        lines = read_bytes(folder / "files.jsonl").splitlines()
    except OSError:
        return found
    for line in map(_parsed, lines):
        if isinstance(line.get("files"), dict) and isinstance(line.get("folder"), str):
            found.update(folder / line["folder"] / name for name in line["files"])
        elif isinstance(line.get("sheet"), str):
            found.add(folder / line["sheet"])
    return found


def _object(path: Path) -> dict[str, object]:
    try:
        return _parsed(read_bytes(path))
    except OSError:
        return {}


def _parsed(text: bytes) -> dict:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

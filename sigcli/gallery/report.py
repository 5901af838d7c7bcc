"""`sig report` as a library: run folders in, a page out. No printing."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..door import door
from ..errors import OutputError, UsageError
from ..files import is_page, read_bytes, write_aside, write_text, writing
from ..inputs.given import listed
from ..listener import SILENT, Listener
from ..names import GALLERY, PAGE, is_thumbnail
from .cards import Place, page_data
from .completing import complete
from .data import pictures_of, write_script
from .differences import MEASURE, add_differences
from .options import ReportOptions
from .paper import page, single_page, title_of
from .publishing import DATA, lacking, publish
from .reading import RunFiles
from .thumbnails import file_of

_DEFAULT = "sig-report.html"
_LARGE = 200e6
_EXTRA = 20e6
"""Bytes of pictures of the large view that a single file may have besides the small ones."""


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Args:
        file: the page.
        cards: how many images, or images and targets, it shows.
        notes: what the user must know.
    """

    file: Path
    cards: int
    notes: list[str]


@door(ReportOptions)
def report(options: ReportOptions, listener: Listener = SILENT) -> Report:
    """Make a page to look through a run, or through several side by side, from the files of their folders.

    Called with options as arguments, or with a `ReportOptions` and a `Listener`:

        report("sig-out")
        report(["before", "after"], out="tuning.html")

    Of several runs the images stand side by side, those whose maps differ most on top: 1 − Spearman's ρ of the raw maps,
    as means over 56 × 56 cells, averaged over the methods that the runs share. Small pictures that a run lacks are made
    from its arrays and photographs. Beside a page that is not a single file stands a folder with its data and pictures.

    Raises:
        UsageError: a folder that is no run, or a name that no page can have.
        OutputError: the page cannot be written, or a file that `sig` did not write stands in its place.
    """
    paths = [Path(str(one)) for one in listed(options.runs, "run")]
    if not paths:
        raise UsageError("no run is named", hint="For example: sig report sig-out.")
    again = [one for one, count in Counter(path.resolve() for path in paths).items() if count > 1]
    if again:
        raise UsageError("a run is named twice", given=again[0])
    if len(paths) == 1 and options.out is None and not options.single_file:
        return _of_folder(paths[0], listener)
    file = _file(options, paths)
    runs = [RunFiles.read(path) for path in paths]
    _name_apart(runs)
    notes = [note for run in runs for note in (*_completed(run, listener), *run.told())]
    places = [Place(_relative(run.path, file), _pictures_of(file, number)) for number, run in enumerate(runs)]
    data = page_data(runs, places)
    data["cards"] = list(data["cards"])
    if len(runs) > 1:
        add_differences(data, runs)
        data["measure"] = MEASURE
        notes += _apart(data, runs)
    title = title_of([run.named for run in runs])
    with writing(file.parent):
        notes += _single(file, title, data, runs) if options.single_file else _beside(file, title, data, runs)
    return Report(file, len(data["cards"]), notes)


def _of_folder(path: Path, listener: Listener) -> Report:
    """The page in a run folder."""
    with writing(path):
        cards, notes = publish(path, progress=lambda done, total: listener.stage("pictures", done, total))
    return Report(path / PAGE, cards, notes)


def _file(options: ReportOptions, paths: Sequence[Path]) -> Path:
    """Where the page is written.

    Raises:
        UsageError, OutputError: it cannot be written there.
    """
    default = _DEFAULT if len(paths) > 1 else f"{paths[0].resolve().name}.html"
    file = Path(default if options.out is None else options.out)
    if not str(file).strip() or "\0" in str(file):
        raise UsageError(
            "the name of the page is impossible", given=repr(str(file)), hint="For example --out report.html."
        )
    if file.is_dir():
        raise UsageError("the page is a folder", given=file, hint=f"Name a file: --out {file}/report.html.")
    if file.suffix.lower() not in (".html", ".htm"):
        raise UsageError("the page needs a name that ends in .html", given=file, hint=f"For example --out {file}.html.")
    if file.exists() and not options.overwrite and not is_page(file):
        raise OutputError(f"{file} is a file that sig did not write", hint="Name another --out, or add --overwrite.")
    return file


def _completed(run: RunFiles, listener: Listener) -> list[str]:
    """Draw what a run lacks in its own folder; returns what the user should know."""
    try:
        without = complete(run, lambda done, total: listener.stage("pictures", done, total))
    except OSError as error:
        return [f"{run.path} cannot be written, so pictures that it lacks are left out: {error.strerror or error}."]
    return [f"{run.path}: {told}" for told in lacking(without)]


def _name_apart(runs: Sequence[RunFiles]) -> None:
    """Runs whose folders are called alike are told apart by the folders above, or by a number."""
    for count in range(2, 6):
        if len({run.named for run in runs}) == len(runs):
            return
        for run in runs:
            run.named = "/".join(run.path.resolve().parts[-count:])


def _relative(run: Path, file: Path) -> str:
    """URL of a run folder relative to the page."""
    try:
        path = os.path.relpath(run.resolve(), file.resolve().parent)
    except ValueError:  # of another drive
        return ""
    return "" if path == "." else f"{quote(Path(path).as_posix(), errors='surrogateescape')}/"


def _folder(file: Path) -> Path:
    """What stands beside a page that is not a single file."""
    return file.with_name(f"{file.stem}-files")


def _pictures_of(file: Path, number: int) -> str:
    return f"{quote(_folder(file).name, errors='surrogateescape')}/{number}/"


def _pictures(data: Mapping[str, Any], number: int, *, large: bool = True) -> set[str]:
    """Names of the pictures of one run that a page shows, with those of the large view or without."""
    mine = [place for place, one in enumerate(data["columns"]) if one["run"] == number]
    cards = [
        {"runs": [card["runs"][number]], "cells": [card["cells"][place] for place in mine]} for card in data["cards"]
    ]
    return pictures_of(cards, large=large)


def _beside(file: Path, title: str, data: dict[str, Any], runs: Sequence[RunFiles]) -> list[str]:
    """Write the page, and its data and pictures in a folder beside it."""
    folder = _folder(file)
    if folder.exists() and not (folder / DATA).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} is not of a page that sig wrote", hint="Name another --out.")
    for number, run in enumerate(runs):
        place, names = folder / str(number), {f"{name}.jpg" for name in _pictures(data, number)}
        place.mkdir(parents=True, exist_ok=True)
        for old in place.iterdir():
            if is_thumbnail(old.name) and old.name not in names:
                old.unlink()
        for name in names:
            shutil.copyfile(run.path / GALLERY / name, place / name)
    write_script(folder / DATA, data)
    text = page(title, f"{quote(folder.name, errors='surrogateescape')}/{DATA}")
    write_aside(file, lambda aside: write_text(aside, text))
    return []


def _single(file: Path, title: str, data: dict[str, Any], runs: Sequence[RunFiles]) -> list[str]:
    """Write the page with everything in it."""
    pictures, notes = _embedded(data, runs)
    for number, run in enumerate(data["runs"]):
        run["thumbnails"], run["files"] = f"{number}/", ""
    text = single_page(title, data, pictures)
    write_aside(file, lambda aside: write_text(aside, text))
    size = len(text)
    if size > _LARGE:
        notes.append(
            f"the page has {size / 1e6:.0f} MB, which browsers open slowly; without --single-file it opens at once."
        )
    return notes


def _embedded(data: Mapping[str, Any], runs: Sequence[RunFiles]) -> tuple[dict[str, bytes], list[str]]:
    """The pictures of a single file, and what the user should know: those of the large view only where there are few."""
    every = [(number, name) for number in range(len(runs)) for name in sorted(_pictures(data, number))]
    small = {(number, name) for number in range(len(runs)) for name in _pictures(data, number, large=False)}
    files = {one: file_of(runs[one[0]].path, one[1]) for one in every}
    extra = sum(files[one].stat().st_size for one in every if one not in small)
    few = extra <= _EXTRA
    found = {
        f"{number}/{name}": read_bytes(files[number, name]) for number, name in every if few or (number, name) in small
    }
    left = f"pictures of the large view, {extra / 1e6:.0f} MB, are left out of the single file: it enlarges the small ones."
    return found, [] if few else [left]


def _apart(data: Mapping[str, Any], runs: Sequence[RunFiles]) -> list[str]:
    """What cannot be compared."""
    together = [card for card in data["cards"] if sum(one is not None for one in card["runs"]) > 1]
    if not together:
        return ["the runs share no image, by name: nothing is compared."]
    lone = len(data["cards"]) - len(together)
    notes = [f"{lone} of {len(data['cards'])} images {'is' if lone == 1 else 'are'} not in all runs."] if lone else []
    outputs = {str(run.manifest.get("spec", {}).get("output")) for run in runs}
    if len(outputs) > 1:
        notes.append(f"scores are of different kinds ({', '.join(sorted(outputs))}), so their change is not shown.")
    return notes

"""What a run folder holds as it is opened: what its ledger says, what its table tells, and what a killed process left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..files import remove_leftovers
from .claims import Places, remove_files
from .earlier import named_now
from .filenames import item_files
from .ledger import LEDGER, Ledger
from .lines import Entry, Key, shared
from .table import RESULTS, Rows, cells_of, read_seconds, row_key, row_of


def opened(
    path: Path, name: str, *, again: bool, places: Places, images: Sequence[tuple[str, str]]
) -> tuple[Ledger, Rows, bool, list[str]]:
    """The ledger and the rows of a folder that was claimed, whether all is made anew, and what the user must know.

    Args:
        path: the folder.
        name: digest of the spec of the run to come.
        again: all is made anew, and the table of before stands until the run ends.
        places: where the run writes.
        images: (name, folder) of each image.
    """
    before = Ledger.read(path)
    found = _of_run(path, before, name)
    seconds, untouched = ({}, True) if found is None else read_seconds(path)
    ledger = found or Ledger(path, name)
    ledger.endings = tuple(dict.fromkeys((*ledger.endings, *places[2])))
    if before is None or before.unreadable:  # strangers' files were refused, so what is there was left by the run
        known = ledger.files()
        ledger.begun |= {file for file in item_files(path, *places) if file not in known}
    notes = _notes(path, ledger, lost=before is None, untouched=untouched)
    rows, folders = Rows(), {*places[0], *ledger.sheet_folders()}
    taken = _taken(ledger, rows, {folder: image for image, folder in images}, seconds)
    for entry in taken:
        folders.add(entry.folder)
    remove_leftovers([f"{path}/{one}" for one in folders], before=True)
    ledger.mend()
    if not (again and untouched and (path / RESULTS).exists()):
        rows.save(path, rows)
    return ledger, rows, again, notes


def _of_run(path: Path, ledger: Ledger | None, name: str) -> Ledger | None:
    """The ledger that stands in a folder, or None where it is of another run, which was being replaced: its files go."""
    if ledger is None or ledger.run == name:
        return ledger
    remove_files(path, {*ledger.files(), *ledger.left()})
    return None


def _notes(path: Path, ledger: Ledger, *, lost: bool, untouched: bool) -> list[str]:
    """What the user must know of the folder's state."""
    notes = list[str]()
    if lost and (path / RESULTS).exists():
        notes.append(f"{LEDGER} is missing or damaged, so the run's work is repeated.")
    if ledger.unreadable:
        notes.append(f"{LEDGER} has {ledger.unreadable} damaged lines; what they recorded is made again.")
    if not untouched:
        notes.append(f"{RESULTS} is damaged, or another program or version wrote it; it is rewritten from {LEDGER}.")
    return notes


def _taken(ledger: Ledger, rows: Rows, names: Mapping[str, str], seconds: Mapping[Key, str]) -> Iterator[Entry]:
    """Make the row of each item from the ledger; yields the items.

    Args:
        ledger: of the run.
        rows: get the rows.
        names: folder of an image → its name now.
        seconds: of items by the table, by their names of then.
    """
    for entry, before in named_now(ledger, names):
        cells = cells_of(row_of(entry, ""))
        key = row_key(cells if before is entry else cells_of(row_of(before, "")))
        cells["seconds"] = seconds.get(key, "")
        rows[shared(row_key(cells))] = cells
        yield entry

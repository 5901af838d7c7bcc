"""The page of a run that goes on: written at its start, from time to time, and at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import OutputError, reason
from ..names import PAGE, escaped
from ..runs.folder import RunFolder
from ..runs.lines import Key
from ..runs.manifest import manifest_or_none
from .cards import Place, page_data
from .publishing import publish, write_page
from .reading import RunFiles
from .thumbnails import prune, there

EVERY = 10.0
"""Seconds between two writings, at least."""
SHARE = 50
"""A writing is followed by at least so many times as long without one: the page takes at most 2 % of a run."""


class _Rows:
    """The rows of a run, one after the other; what is added meanwhile is left for the next time.

    Once the run has settled they come in the order of the images, and before as workers, or an earlier run, made them.
    """

    def __init__(self, run: RunFolder):
        self._rows, self._keys = run.rows, run.in_order or list(run.rows)

    def keys(self) -> Sequence[Key]:
        """Image, method and target of each."""
        return self._keys

    def __iter__(self) -> Iterator[dict[str, str]]:
        return map(self._rows.__getitem__, self._keys)


class LivePage:
    """The page of a run folder while its run goes on.

    A page that cannot be written stops no run: what went wrong is a note of the run.

    Args:
        run: the folder.
        planned: how many explanations the run will make.
    """

    def __init__(self, run: RunFolder, planned: int):
        self._run, self._planned, self._next, self._broken = run, planned, time.monotonic() + EVERY, False
        if not (run.rows and (run.path / PAGE).is_file()):  # the page of a run that goes on stands until there is more
            self._write(going=True)

    def look(self) -> None:
        """Something more is done; the page is written where it is time."""
        if time.monotonic() >= self._next and not self._broken:
            self._write(going=True)

    def end(self, *, whole: bool) -> None:
        """The run has settled.

        Args:
            whole: everything was done; otherwise the page says how far it came.
        """
        if not self._broken and self._run.path.is_dir():
            self._write(going=not whole, ended=True)

    def _write(self, *, going: bool, ended: bool = False) -> None:
        began, run = time.monotonic(), self._run
        try:
            name = escaped(run.path.resolve().name)
            manifest = manifest_or_none(run.path) or {}
            files = RunFiles(run.path, manifest, _Rows(run), run.ledger.entries, there(run.path, whole=not going), name)
            data = page_data([files], [Place()], going=(run.count, self._planned) if going else None, ended=ended)
            _, needed = write_page(run.path, data)
            if not going:
                prune(run.path, needed)
        except OSError as error:
            self._broken = True
            run.notes.append(f"{PAGE} could not be written: {reason(error)}. 'sig report {run.path}' makes it later.")
        written = time.monotonic()
        self._next = written + max(EVERY, SHARE * (written - began))


def refresh(path: Path) -> None:
    """Write the page of a folder anew where it has one, since its tables have changed."""
    if (path / PAGE).is_file():
        try:
            publish(path, pictures=False)
        except OutputError:  # someone else's page
            return

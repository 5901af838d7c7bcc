"""The run folder as a worker has it: it writes arrays and pictures itself; table and ledger are written by who leads.

A worker on another machine may not see the folder. It then writes into one of its own, and sends the files to who leads.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..files import aside_of, read_bytes, write_aside, write_text
from ..names import GALLERY, is_thumbnail
from .folder import Order, RunFolder, going_on
from .ledger import Entry, Ledger
from .lines import Source
from .passed_over import Asked, Standing

Ask = Callable[..., Any]
"""Asks the leading process: the name of a function of `LED`, and its arguments."""
LED = (
    "run_add",
    "run_keep",
    "run_own",
    "run_see",
    "run_finished",
    "run_standing",
    "run_seal",
    "run_sheet_stands",
    "run_add_sheet",
    "run_line",
    "run_players",
    "run_drawn",
    "run_file",
    "run_take_file",
)
_MARK = "seen"
_OWN = "sig-worker-"


def lead(run: RunFolder, what: str, *arguments: Any) -> Any:
    """Do in a run folder what a worker asks, by its name in `LED`; safe from several threads."""
    if what == "run_line":
        return run.ledger.take_line(*arguments)
    if what == "run_players":
        return run.ledger.players(*arguments)
    if what == "run_file":
        return read_bytes(run.path / arguments[0])
    if what == "run_take_file":
        return _take_file(run, *arguments)
    return getattr(run, what.removeprefix("run_"))(*arguments)


def _take_file(run: RunFolder, name: str, content: bytes) -> None:
    """Write a file that a worker has made in a folder of its own."""
    with going_on(run.path):
        run.check()
        write_aside(run.path / name, lambda aside: aside.write_bytes(content))


@contextmanager
def marked(path: Path) -> Iterator[str]:
    """While it lasts, a file is in a run folder; by its content, yielded here, a worker knows that it sees the folder."""
    mark, file = secrets.token_hex(16), aside_of(path / _MARK)
    with going_on(path):
        write_text(file, mark)
    try:
        yield mark
    finally:
        file.unlink(missing_ok=True)


def far_run(
    path: Path,
    images: Sequence[tuple[str, str]],
    pictures: tuple[str, ...],
    foreign: frozenset[str],
    *,
    ask: Ask,
    mark: str,
) -> FarRun:
    """The run folder of a worker, see `FarRun`; one of its own where it must see a mark and does not."""
    seen = not mark
    with suppress(OSError):
        seen = seen or aside_of(path / _MARK).read_text() == mark
    return (FarRun if seen else ApartRun)(path, images, pictures, foreign, ask)


class FarLedger(Ledger):
    """A ledger whose lines are written by who leads."""

    ask: Ask

    def _append(self, line: Mapping[str, Any]) -> None:
        self.ask("run_line", dict(line))

    def players(self, name: str) -> np.ndarray | None:
        """A partition that was kept, or None."""
        found = super().players(name)
        return self.ask("run_players", name) if found is None else found


class FarRun(RunFolder):
    """A run folder whose table and ledger are written by who leads.

    Args:
        path: the folder.
        images: (name, folder) of each image.
        pictures: endings of files that are pictures.
        foreign: sheets that someone else wrote.
        ask: asks the leading process.
    """

    def __init__(
        self,
        path: Path,
        images: Sequence[tuple[str, str]],
        pictures: tuple[str, ...],
        foreign: frozenset[str],
        ask: Ask,
    ):
        ledger = FarLedger(path, "")
        ledger.ask = ask
        super().__init__(path, ledger, images=images, pictures=pictures, foreign=foreign)
        self._ask = ask

    def add(self, row: Mapping[str, Any], entry: Entry | None = None) -> None:
        """Append one row, and what its item owns."""
        self.check()
        self._ask("run_add", dict(row), entry)

    def keep(self, row: Mapping[str, Any]) -> dict[str, str]:
        """An item is done, with this row."""
        return self._ask("run_keep", dict(row))

    def own(self, entry: Entry) -> None:
        """Write down what an item owns."""
        self.ledger.entries[entry.key] = entry
        self._ask("run_own", entry)

    def see(self, image: str, content: str, targets: Any) -> None:
        """What the image of that name is now."""
        self._ask("run_see", image, content, list(targets))

    def finished(self, image: str, method: str, target: str, content: str) -> tuple[Entry, str] | None:
        """What an earlier run did of an item."""
        found = self._ask("run_finished", image, method, target, content)
        if found is not None:
            self.ledger.entries[found[0].key] = found[0]
        return found

    def standing(self, asked: Asked) -> Standing | None:
        """What an earlier run made of an image of which everything stands."""
        return self._ask("run_standing", asked)

    def seal(self, source: Source) -> None:
        """Everything of an image is done."""
        self._ask("run_seal", source)

    def sheet_stands(self, name: str, of: str | None) -> bool:
        """Whether a sheet is there as it would be drawn now."""
        return self._ask("run_sheet_stands", name, of)

    def add_sheet(self, name: str, of: str) -> None:
        """A sheet was drawn."""
        self._ask("run_add_sheet", name, of)

    def settle(self, order: Order, *, whole: bool = True) -> None:
        """Who leads settles the folder."""

    def close(self) -> None:
        """Who leads holds the folder."""

    def home(self, file: Path) -> Path:
        """Where who leads has a file."""
        return file

    def let_go(self, folder: str) -> None:
        """All of an image is done, whose files are in this folder."""
        del folder


class ApartRun(FarRun):
    """A run folder that this machine does not see: files are written into one of its own, sent to who leads, and removed."""

    def __init__(self, path: Path, *more: Any):
        _remove_left()
        super().__init__(Path(tempfile.mkdtemp(prefix=f"{_OWN}{os.getpid()}-")), *more)
        self.ledger.path, self._home = self.path, path
        self._fetched: set[str] = set()
        self._small = threading.Lock()

    def check(self) -> None:
        """Who leads checks the folder."""

    def add(self, row: Mapping[str, Any], entry: Entry | None = None) -> None:
        """Send what an item owns, and append its row."""
        if entry is not None:
            self._send(f"{entry.folder}/{name}" for name in entry.files)
        self._send_small()
        super().add(row, entry)

    def own(self, entry: Entry) -> None:
        """Send what was drawn anew of an item, and write down what it owns."""
        self._send(f"{entry.folder}/{name}" for name in entry.files)
        super().own(entry)

    def add_sheet(self, name: str, of: str) -> None:
        """Send a sheet."""
        self._send([name])
        super().add_sheet(name, of)

    def finished(self, image: str, method: str, target: str, content: str) -> tuple[Entry, str] | None:
        """What an earlier run did of an item, whose arrays are then fetched."""
        found = super().finished(image, method, target, content)
        if found is not None:
            for name in found[0].files:
                if not self.is_picture(name):
                    self._fetch(f"{found[0].folder}/{name}")
        return found

    def drawn(self, entry: Entry, of: str) -> bool:
        """Whether the pictures of an item are those that would be drawn now."""
        return self._ask("run_drawn", entry, of)

    def _send(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._fetched and (self.path / name).is_file():
                self._ask("run_take_file", name, (self.path / name).read_bytes())

    def _send_small(self) -> None:
        """Send the small pictures of the run's page, which nothing owns."""
        with self._small, suppress(FileNotFoundError):
            for one in [one for one in (self.path / GALLERY).iterdir() if is_thumbnail(one.name)]:
                self._ask("run_take_file", f"{GALLERY}/{one.name}", one.read_bytes())
                one.unlink()

    def file(self, name: str) -> Path:
        """A file of an item that is done, fetched where it is not here."""
        if not (self.path / name).exists():
            self._fetch(name)
        return self.path / name

    def _fetch(self, name: str) -> None:
        content = self._ask("run_file", name)
        write_aside(self.path / name, lambda aside: aside.write_bytes(content))
        self._fetched.add(name)

    def home(self, file: Path) -> Path:
        """Where who leads has a file."""
        return self._home / file.relative_to(self.path)

    def let_go(self, folder: str) -> None:
        """Remove the files of an image that is done."""
        self._send_small()
        shutil.rmtree(self.path / folder, ignore_errors=True)
        self._fetched = {name for name in self._fetched if not name.startswith(f"{folder}/")}

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_left() -> None:
    """Remove the folders of workers of this machine that were killed."""
    for one in Path(tempfile.gettempdir()).glob(f"{_OWN}*"):
        found = re.fullmatch(rf"{_OWN}(\d+)-.*", one.name)
        if found and not _alive(int(found[1])):
            shutil.rmtree(one, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

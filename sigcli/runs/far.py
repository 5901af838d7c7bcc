"""The run folder as a worker has it: it writes arrays and pictures itself; table and ledger are written by who leads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .folder import Order, RunFolder
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
)


def lead(run: RunFolder, what: str, *arguments: Any) -> Any:
    """Do in a run folder what a worker asks, by its name in `LED`; safe from several threads."""
    if what == "run_line":
        return run.ledger.take_line(*arguments)
    if what == "run_players":
        return run.ledger.players(*arguments)
    return getattr(run, what.removeprefix("run_"))(*arguments)


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

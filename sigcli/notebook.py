"""Progress in a notebook: a bar of plain HTML that is renewed in place; nothing anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from .listener import SILENT, Listener

_EVERY = 0.25


def listener_here() -> Listener:
    """The listener of a call that names none: a bar in a Jupyter notebook, one that hears nothing elsewhere."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return NotebookBar() if type(shell).__name__ == "ZMQInteractiveShell" else SILENT


class NotebookBar(Listener):
    """Shows in a notebook how many explanations are done, with the time that they took and what has failed."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._total = self._done = self._failed = 0
        self._label = "explaining"
        self._begun = self._shown = time.perf_counter()

    def begin(self, items: int, notes: Sequence[str], folder: Path | None) -> None:
        """Show an empty bar."""
        del notes, folder
        self._total, self._begun = items, time.perf_counter()
        self._show(force=True)

    def explained(self, item: Any) -> None:
        """One explanation more."""
        self._done += 1
        self._failed += item.status != "ok"
        self._show(force=self._done == self._total)

    def stage(self, stage: str, done: int, total: int, point: Any = None) -> None:
        """Show how far a stage is."""
        del point
        self._label, self._done, self._total = stage, done, total
        self._show(force=done == total)

    def html(self) -> str:
        """The bar as it stands now."""
        seconds = time.perf_counter() - self._begun
        of = f" of {self._total}" if self._total else ""
        told = f"{escape(self._label)}: {self._done}{of}, {seconds:.0f} s"
        told += f", {self._failed} failed" if self._failed else ""
        whole = f' max="{self._total}"' if self._total else ""
        value = f' value="{self._done}"' if self._total else ""
        return f'<progress{value}{whole} style="width:16em"></progress> <span>{told}</span>'

    def _show(self, *, force: bool = False) -> None:
        now = time.perf_counter()
        if not force and now - self._shown < _EVERY:
            return
        shell = import_module("IPython.display")  # a notebook has it
        self._shown, shown = now, shell.HTML(self.html())
        if self._handle is None:
            self._handle = shell.display(shown, display_id=True)
        else:
            self._handle.update(shown)

"""What a command tells while it works: its progress, notes and results as they come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Listener:
    """Hears how a command goes on. Every method does nothing here; a subclass overrides those that it wants to hear."""

    def begin(self, items: int, notes: Sequence[str], folder: Path | None) -> None:
        """Everything is checked and the run folder is open: from now on finished work is kept.

        Args:
            items: how many explanations will be made.
            notes: what the user must know of the model, and of what an earlier run left.
            folder: the run folder, or None where nothing is written.
        """

    def evaluated(self, images: int) -> None:
        """A batch of that many images went through the model."""

    def explained(self, item: Any) -> None:
        """An explanation (`sigcli.Explanation`) is finished, and its files stand."""

    def stage(self, stage: str, done: int, total: int, point: Any = None) -> None:
        """`done` of `total` parts of a stage are finished.

        Args:
            stage: in words.
            done: parts that are finished.
            total: parts there are.
            point: a point of the training's curves where one was measured, else None.
        """

    def note(self, text: str) -> None:
        """Something the user should know that came up while the command ran."""


SILENT = Listener()
"""Hears nothing."""

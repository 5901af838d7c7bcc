"""What a command reports while it runs: progress, notes and results as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Listener:
    """Receives the progress of a command. Every method does nothing here; a subclass overrides the ones it needs."""

    def begin(self, items: int, notes: Sequence[str], folder: Path | None) -> None:
        """Called once everything is checked and the run folder is open; from now on finished work is kept.

        Args:
            items: how many explanations will be made.
            notes: what the user must know about the model and the results of an earlier run.
            folder: the run folder, or None where nothing is written.
        """

    def planned(self, evaluations: Mapping[str, int | None]) -> None:
        """Called before the first explanation.

        Args:
            evaluations: method → passes of the model for one explanation, None where they are not known.
        """

    def evaluated(self, images: int) -> None:
        """Called after a batch went through the model.

        Args:
            images: how many images it held.
        """

    def explained(self, item: Any) -> None:
        """Called when an explanation is finished and its files are written.

        Args:
            item: the `sigcli.Explanation`.
        """

    def stage(self, stage: str, done: int, total: int, point: Any = None) -> None:
        """Called when `done` of `total` parts of a stage are finished.

        Args:
            stage: in words.
            done: parts that are finished.
            total: parts there are.
            point: a point of the training's curves where one was measured, else None.
        """

    def note(self, text: str) -> None:
        """Called with what the user should know of the run.

        Args:
            text: one sentence.
        """


def tell_new(listener: Listener, before: Sequence[str], now: Sequence[str]) -> None:
    """Tell a listener the notes that were not there when the command began."""
    for text in now:
        if text not in before:
            listener.note(text)


SILENT = Listener()
"""Hears nothing."""

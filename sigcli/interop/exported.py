"""What an export tells of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exported:
    """Where a run went.

    Args:
        kind: npz, fiftyone, mlflow or wandb.
        where: the file or folder, or what the tracker calls the run.
        maps: how many maps; None where a tracker took tables and pictures.
        files: how many files.
    """

    kind: str
    where: str
    maps: int | None
    files: int

"""The options of `sig export`."""

from dataclasses import MISSING, dataclass
from pathlib import Path

from ..options import OUTPUT, Options, folder_name, option


@dataclass(frozen=True, repr=False)
class ExportOptions(Options):
    """A run folder, and where it goes."""

    run: str | Path = option(
        MISSING, "Run folder of a finished run.", keyword_only=False, argument=True, kind=str, metavar="RUN", shown=False,
    )  # fmt: skip
    format: str | None = option(
        None, "Write a file: npz; or a folder: fiftyone.", panel=OUTPUT, metavar="NAME", shown=False
    )
    to: str | None = option(None, "Log to a tracker: mlflow or wandb.", panel=OUTPUT, metavar="NAME", shown=False)
    out: str | Path | None = option(
        None, "With --format: the file or folder; by default RUN.npz or RUN-fiftyone in the current folder.",
        panel=OUTPUT, flags=("--out", "-o"), kind=str, read=folder_name, metavar="PATH", shown=False,
    )  # fmt: skip
    overwrite: bool = option(False, "Replace what an earlier export wrote to --out.", panel=OUTPUT)
    project: str = option("sig", "With --to: MLflow's experiment, or the project of W&B.", panel=OUTPUT)
    name: str | None = option(
        None, "With --to: name of the run there; by default that of the run folder.", panel=OUTPUT, shown=False
    )
    pictures: bool = option(True, "With --to: log PNGs too.", panel=OUTPUT, flags=("--pictures/--no-pictures",))

"""Exports: what a finished run is written as, or logged to. A table of text; the functions are imported when they are used.

A file's export is a function of (run, path, listener) that writes the path and returns how many files or arrays it holds; a
tracker's is one of (run, options, listener) that returns an `Exported`. Adding one is such a function and a line here.

Properties:
    to: "file", it writes `--out`; "tracker", it logs to a service.
    default: of --out, in terms of the run folder's name NAME.
    marker: a file by which an earlier export, which is a folder, is known.
    extra: the extra of `sigcli` that it needs, or "".
"""

from __future__ import annotations

from ..catalog import Catalog, Entry

EXPORTS = Catalog(
    "export",
    [
        Entry(
            "npz", "interop.npz:npz", "one NumPy archive: every map by folder and method, and the table of results",
            {"to": "file", "default": "NAME.npz", "extra": ""},
        ),
        Entry(
            "fiftyone", "interop.fiftyone:fiftyone",
            "a folder for FiftyOne: pictures, heatmaps, predictions, and a script that loads them",
            {"to": "file", "default": "NAME-fiftyone", "marker": "load.py", "extra": ""},
        ),
        Entry(
            "mlflow", "interop.trackers:mlflow", "a run of MLflow: parameters, metrics, tables and pictures",
            {"to": "tracker", "extra": "mlflow"},
        ),
        Entry(
            "wandb", "interop.trackers:wandb", "a run of Weights & Biases: configuration, summary, tables and pictures",
            {"to": "tracker", "extra": "wandb"},
        ),
    ],
)  # fmt: skip


def names(kind: str) -> list[str]:
    """The exports of one kind."""
    return [name for name, entry in EXPORTS.items() if entry.properties["to"] == kind]

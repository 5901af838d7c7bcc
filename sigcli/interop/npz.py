"""A run as one NumPy archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from ..listener import Listener
from ..runs.table import COLUMNS, RESULTS
from .finished import Finished, array_of, damaged

_NUMBERS = (
    "score", "seconds", "gradient_evaluations", "forward_evaluations", "completeness_gap", "relative_gap",
    "standard_error", "relative_standard_error", "sum_standard_error", "shown_standard_error",
)  # fmt: skip
_BESIDE = (".stderr.npy", ".deviations.npy")


def npz(run: Finished, out: Path, listener: Listener) -> int:
    """Write an archive that `numpy.load` reads without pickle; returns the number of its arrays.

    It holds each map by the name that it has in the run folder without `.npy`, float32 (C, H, W): `star/ig`; with standard
    errors also `star/ig.stderr`. `results.COLUMN` are the columns of `results.csv`, one value for each map: numbers as
    float64 (NaN where there is none), the others as text; `results.map` names the map.
    """
    maps = run.maps
    try:
        columns = {f"results.{name}": _column(name, [one.row[name] for one in maps]) for name in COLUMNS}
    except ValueError as error:
        raise damaged(run.path / RESULTS) from error
    columns["results.map"] = np.array([one.name for one in maps])
    count = 0
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for done, one in enumerate(maps, 1):
            beside = [one.file.with_name(one.field + ending) for ending in _BESIDE]
            for file in [one.file, *(file for file in beside if file.is_file())]:
                _add(archive, f"{one.entry.folder}/{file.name.removesuffix('.npy')}", array_of(file))
                count += 1
            listener.stage("writing", done, len(maps))
        for name, values in columns.items():
            _add(archive, name, values)
    return count + len(columns)


def _column(name: str, cells: list[str]) -> np.ndarray:
    if name in _NUMBERS:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    return np.array(cells, dtype=np.str_)


def _add(archive: zipfile.ZipFile, name: str, values: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, np.ascontiguousarray(values), allow_pickle=False)

"""The tables of a run folder as the page reads them: whatever is missing or damaged counts as not there."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import cell_text, read_bytes

Row = dict[str, str]


class Table:
    """Rows of a CSV file that `sig` wrote, by column, read anew each time they are gone through; none where it cannot be.

    Args:
        path: the file.
        columns: which every row has; empty where the file lacks them.
    """

    def __init__(self, path: Path, columns: Iterable[str] = ()):
        self._path, self._blank = path, dict.fromkeys(columns, "")

    def __iter__(self) -> Iterator[Row]:
        try:
            text = read_bytes(self._path).decode("utf-8-sig", errors="replace").replace("\0", "")
        except OSError:
            return
        limit = csv.field_size_limit(max(len(text), 1))
        try:
            for row in csv.DictReader(io.StringIO(text, newline="")):
                yield self._blank | {str(name): cell for name, cell in row.items() if isinstance(cell, str)}
        except csv.Error:  # what could be read was told
            return
        finally:
            csv.field_size_limit(limit)


def number(cell: str | None) -> float | None:
    """A number of a table; None where the cell is empty or holds none.

    >>> number("0.25"), number(""), number("n/a")
    (0.25, None, None)
    """
    try:
        value = float(cell or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def metric_key(row: Mapping[str, str]) -> str:
    """What the page calls a metric: its name and its imputation."""
    return " ".join(filter(None, (row.get("metric", ""), row.get("imputation", ""))))


def metric_values(rows: Iterable[Row]) -> dict[tuple[str, str, str], dict[str, float]]:
    """Values of `metrics.csv`: image, method and target → metric → value."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows:
        value = number(row.get("value"))
        if value is not None:
            found.setdefault(_key(row), {})[metric_key(row)] = value
    return found


def _key(row: Row) -> tuple[str, str, str]:
    return cell_text(row.get("image", "")), row.get("method", ""), row.get("target", "")


def means(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of `summary.csv` for the page: means and paired differences; of means, whether `table.png` has them bold."""
    known = [
        {
            **{name: row.get(name, "") for name in ("method", "minus", "unit", "better", "interval")},
            "metric": metric_key(row),
            **{name: number(row.get(name)) for name in ("mean", "ci_low", "ci_high", "n", "failed")},
        }
        for row in rows
        if row.get("metric")
    ]
    best = _best(known)
    return [
        {**one, "best": True} if (one["method"], one["metric"]) in best and not one["minus"] else one for one in known
    ]


def _best(known: Sequence[dict[str, Any]]) -> set[tuple[str, str]]:
    """(method, metric) of the means that beat all others by paired intervals, as the table of an evaluation marks them."""
    pairs = [one | {"imputation": "", "n": one["n"] or 0} for one in known if one["minus"]]
    if not pairs:  # no best without one: matplotlib is not imported
        return set()
    from ..render.plots.table import supported_best

    rows = [one | {"imputation": ""} for one in known if one["method"] and not one["minus"]]
    return {(method, metric) for method, metric, _ in supported_best(rows, pairs)}


def curves(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Curves of `curves.csv` with their points: at, mean, low and high."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = row.get("method", ""), metric_key(row)
        at, mean = number(row.get("at")), number(row.get("mean"))
        if at is None or mean is None:
            continue
        blank = {"method": key[0], "metric": key[1], "along": row.get("along", ""), "points": []}
        one = found.setdefault(key, blank)
        one["points"].append([at, mean, number(row.get("ci_low")), number(row.get("ci_high"))])
    return list(found.values())


def predictions(rows: Iterable[Row]) -> dict[str, list[tuple[str, float]]]:
    """Rows of `predictions.csv`: image → (class, probability), the likeliest first."""
    found: dict[str, list[tuple[float, str, float]]] = {}
    for row in rows:
        rank, probability = number(row.get("rank")), number(row.get("probability"))
        if probability is not None:
            one = (rank or 0.0, cell_text(row.get("label") or row.get("class", "")), probability)
            found.setdefault(cell_text(row.get("image", "")), []).append(one)
    return {image: [(name, share) for _, name, share in sorted(each)] for image, each in found.items()}


def truths(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """Rows of `model.csv`: image → its true class, what the model said, and whether that is right."""
    return {
        cell_text(row.get("image", "")): {
            "true": cell_text(row.get("label_name") or row.get("label", "")),
            "predicted": cell_text(row.get("predicted_name") or row.get("predicted", "")),
            "probability": number(row.get("confidence")),
            "wrong": row.get("correct") == "0",
        }
        for row in rows
    }

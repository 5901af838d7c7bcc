"""All that an evaluation has measured: the tables and figures that follow, and the record that a shard leaves of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..metrics.statistics import Summary
from ..runs.folder import save_table, save_text
from ..runs.ledger import digest_of_text
from .labelled import MODEL_FILE, Labelled, labelled_of
from .tables import Agreement, Alike, Group, Row, agreement_rows, curve_rows, metric_row, paired_rows, summary_rows
from .value import MetricValue

METRICS_FILE = "metrics.csv"
FILES = (
    METRICS_FILE, "summary.csv", "curves.csv", "agreement.csv", MODEL_FILE, "evaluation.json",
    "curves.png", "table.png", "agreement.png", "reliability.png",
)  # fmt: skip
"""Tables and figures of an evaluation, besides those of the run."""
RECORD = "shard.jsonl"
"""What a shard has measured, in full precision; `sig merge` makes the tables of the whole run from it."""
_VALUE = [one.name for one in fields(MetricValue) if one.name != "cause"]


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured, in the order of the images.

    Args:
        values: one metric value for each explanation and metric.
        alike: how alike the maps of each two methods are, image by image.
        model: accuracy and calibration, where labels were given.
        checks: rows of the summary from the certainty metrics.
        seed: seed of the intervals.
    """

    values: list[MetricValue]
    alike: list[Alike]
    model: Labelled | None
    checks: Sequence[Mapping[str, Any]]
    seed: int

    @cached_property
    def _summary(self) -> list[tuple[Group, Summary, Row]]:
        return summary_rows(self.values, self.seed)

    @property
    def summary(self) -> dict[Group, Summary]:
        """(method, metric, imputation) → mean over the images with its interval."""
        return {key: found for key, found, _ in self._summary}

    @property
    def means(self) -> list[Row]:
        """The same as rows of `summary.csv`."""
        return [row for _, _, row in self._summary]

    @cached_property
    def pairs(self) -> list[Row]:
        """Paired differences between methods, as rows of `summary.csv`."""
        return paired_rows(self.values, self.seed)

    @cached_property
    def agreement(self) -> list[Agreement]:
        """Between each two methods."""
        return agreement_rows(self.alike, self.seed)

    def write(self, path: Path, *, pictures: bool) -> None:
        """Write tables and figures, and remove those of the measurement before that this one does not have."""
        curves, agreement = curve_rows(self.values, self.seed), [one.row() for one in self.agreement]
        model = self.model
        tables = {
            METRICS_FILE: [metric_row(value) for value in self.values],
            "summary.csv": [*self.means, *self.pairs, *([] if model is None else model.summary), *self.checks],
            "curves.csv": curves, "agreement.csv": agreement, MODEL_FILE: [] if model is None else model.rows,
        }  # fmt: skip
        for name, rows in tables.items():
            if rows:
                save_table(path / name, rows)
        for name in FILES:
            if name.endswith(".png") or not tables.get(name, True):
                (path / name).unlink(missing_ok=True)
        if not pictures:
            return
        from ..render.plots.evaluation import draw_evaluation
        from ..render.plots.reliability import draw_reliability

        if self.means:
            draw_evaluation(self.means, self.pairs, curves, agreement, path)
        if model is not None and model.diagram is not None:
            draw_reliability(model.diagram, path / "reliability.png")

    def record(self, path: Path, *, pictures: bool, counts: Sequence[int]) -> None:
        """Write the record of a shard.

        Args:
            path: its folder.
            pictures: whether figures are drawn.
            counts: numbers of images of a benchmark; none for an evaluation.
        """
        model = self.model
        lines: list[Any] = [{"value": [_plain(getattr(value, name)) for name in _VALUE]} for value in self.values]
        lines += [{"alike": one} for one in self.alike]
        if model is not None:
            lines += [{"judged": row, "ranked": best} for row, best in zip(model.rows, model.ranked, strict=True)]
            lines += [{"missing": pair} for pair in model.missing.items()]
        rest = "".join(json.dumps(line) + "\n" for line in lines)
        head: dict[str, Any] = {"pictures": pictures, "counts": list(counts), "checks": list(self.checks)}
        head["digest"] = digest_of_text(json.dumps(head) + rest)
        save_text(path / RECORD, json.dumps(head) + "\n" + rest)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


@dataclass(frozen=True, eq=False)
class Record:
    """The record of a shard, see `Measured.record`: what it has of each image by the image's name."""

    pictures: bool
    counts: tuple[int, ...]
    checks: list[Row]
    values: dict[str, list[MetricValue]]
    alike: dict[str, list[Alike]]
    judged: dict[str, tuple[Row, list[int]]]
    missing: dict[str, str]


def read_record(folder: Path) -> Record | None:
    """The record of a shard's folder, or None where it has none: it explains only, or is not finished.

    Raises:
        ValueError, KeyError, TypeError: it is damaged.
    """
    try:
        text = (folder / RECORD).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    first, _, rest = text.partition("\n")
    try:
        head, lines = dict(json.loads(first)), [json.loads(line) for line in rest.splitlines()]
    except RecursionError as error:
        raise ValueError("a line is nested too deeply") from error
    if head.pop("digest") != digest_of_text(json.dumps(head) + rest):
        raise ValueError("the record is not as it was written")
    found = Record(head["pictures"], tuple(head["counts"]), head["checks"], {}, {}, {}, {})
    for line in lines:
        if "value" in line:
            value = _value(line["value"])
            found.values.setdefault(value.image, []).append(value)
        elif "alike" in line:
            image, one, other, ranks, overlap = line["alike"]
            found.alike.setdefault(image, []).append((image, one, other, ranks, overlap))
        elif "judged" in line:
            found.judged[line["judged"]["image"]] = line["judged"], line["ranked"]
        else:
            image, reason = line["missing"]
            found.missing[image] = reason
    return found


def _value(cells: Sequence[Any]) -> MetricValue:
    known = dict(zip(_VALUE, cells, strict=True))
    for name in ("at", "curve"):
        known[name] = None if known[name] is None else np.array(known[name], float)
    return MetricValue(**known)


def joined(records: Sequence[Record], images: Sequence[str], seed: int) -> Measured:
    """What the shards of a run have measured together, as one run would have.

    Args:
        records: of all shards.
        images: names of all images of the run, in its order.
        seed: seed of the run.
    """
    values = {name: found for one in records for name, found in one.values.items()}
    alike = {name: found for one in records for name, found in one.alike.items()}
    judged = {name: found for one in records for name, found in one.judged.items()}
    missing = {name: reason for one in records for name, reason in one.missing.items()}
    ordered = [judged[name] for name in images if name in judged]
    return Measured(
        [value for name in images for value in values.get(name, ())],
        [one for name in images for one in alike.get(name, ())],
        labelled_of([row for row, _ in ordered], [best for _, best in ordered], missing) if ordered else None,
        records[0].checks, seed,
    )  # fmt: skip

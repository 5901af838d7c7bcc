"""Metric values that an earlier measurement of the same folder left, so `--resume` measures nothing twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..attribution.decoding import ImageSet
from ..attribution.explanation import Explanation
from ..attribution.manifest import spec_of
from ..attribution.select import Chosen
from ..attribution.session import Session
from ..baselines import uses_peers
from ..files import read_bytes, stamp
from ..metrics.case import Case, Judge
from ..runs.folder import append_whole, going_on, save_text
from ..runs.ledger import digest_of
from .value import MetricValue

FILE = "metrics.jsonl"
"""One object per metric value, with its curve and the digest of all that it depends on."""


def digest(session: Session, case: Case, metric: Chosen, method: Chosen | None, peers: ImageSet) -> str:
    """Of everything that a metric value depends on: the map, the image, the model, the metric with its options.

    Args:
        session: its model, score and seed.
        case: map, image, target, mask and void.
        metric: with its options.
        method: for metrics that run it again.
        peers: the images that a mean or random imputation comes from.
    """
    found = hashlib.blake2b(digest_size=16)
    for array in (case.relevance, case.subject.x, case.mask, case.void):
        if array is not None:
            found.update(np.ascontiguousarray(array.cpu().numpy()).tobytes())
    model, score, subject = session.model, session.scorer, case.subject
    target = session.scorer.identity(subject.target) if isinstance(session.scorer, Judge) else subject.target
    facts: list[Any] = [
        metric.entry.name, metric.resolved(), method and [method.entry.name, method.resolved()], target,
        subject.key, session.seed, model.weights_hash, score.output, score.precision,
    ]  # fmt: skip
    if metric.entry.properties["edition"]:
        facts.append(f"edition {metric.entry.properties['edition']}")
    if model.head.kind != "logits":
        facts.append(model.head.kind)
    if any(one.uses_peers or uses_peers(one.resolved().get("imputation")) for one in (metric, method) if one):
        facts.append(list(peers.keys()))
    found.update(json.dumps(facts, sort_keys=True, default=str).encode())
    return found.hexdigest()


def of_run(session: Session) -> str:
    """A digest of what all metric values of a run depend on: model, preprocessing, score, seed."""
    if session.run is None or session.options is None:
        return ""
    return digest_of(spec_of(session.options, session.samples, session.model, [], session.scorer))


def brief(session: Session, item: Explanation, metric: Chosen, method: Chosen | None, more: Sequence[str]) -> str:
    """Of the same as `digest`, as far as a run records it: the image is not decoded, and the map not looked at.

    Args:
        session: its model, score and seed.
        item: an explanation whose files stand.
        metric: with its options.
        method: for metrics that run it again.
        more: `of_run` of the session, and how the map is looked at.

    Returns:
        The digest; empty of a value that also depends on other images, or of a map that no run has written.
    """
    if session.run is None or item.file is None or not item.content:
        return ""
    if any(one.uses_peers or uses_peers(one.resolved().get("imputation")) for one in (metric, method) if one):
        return ""
    entry = session.run.ledger.entries.get((item.image, item.method, str(item.target)))
    known = None if entry is None else entry.files.get(item.file.name)
    facts: list[Any] = [
        *more, metric.entry.name, metric.resolved(), metric.entry.properties["edition"],
        method and [method.entry.name, method.resolved()], item.target, item.content, known or stamp(item.file),
    ]  # fmt: skip
    return digest_of(*facts)


class Kept:
    """The metric values of `metrics.jsonl`, and the file itself.

    Args:
        folder: folder of the evaluation.
        resume: take over what is there; else all is measured, and what is there is replaced when that is done.

    `notes` says what of the file could not be read.
    """

    def __init__(self, folder: Path, *, resume: bool):
        self._path = folder / FILE
        before, damaged = _read(self._path)
        self._before = before
        self._found = dict(before) if resume else {}
        self._by_brief = {row["brief"]: row for row in self._found.values() if row.get("brief")}
        self._begun = False
        self.notes = (
            [f"{FILE} has {damaged} damaged lines; their values are measured again."] if damaged and resume else []
        )

    def known(self, blank: MetricValue) -> MetricValue | None:
        """The metric value that is known already, by its digest or before that is known by its brief one; or None."""
        row = self._found.get(blank.digest) if blank.digest else self._by_brief.get(blank.brief)
        if row is None:
            return None
        if blank.brief and row.get("brief") != blank.brief:
            row["brief"] = blank.brief
            self._by_brief[blank.brief] = row
        # An image may have another name now, or two images may have changed places.
        row.update(image=blank.image, method=blank.method, target=blank.target)
        blank = replace(blank, digest=row["digest"])
        at, curve = (None if row[name] is None else np.array(row[name], float) for name in ("at", "curve"))
        return replace(blank, value=float(row["value"]), at=at, curve=curve)

    def add(self, figure: MetricValue) -> None:
        """Keep one more metric value; one that failed is not kept, and is tried again."""
        if figure.value is None or not figure.digest or figure.digest in self._found:
            return
        row = {
            "digest": figure.digest, "brief": figure.brief, "image": figure.image, "method": figure.method,
            "target": figure.target, "metric": figure.metric, "imputation": figure.imputation, "value": figure.value,
            "at": None if figure.at is None else figure.at.tolist(),
            "curve": None if figure.curve is None else figure.curve.tolist(),
        }  # fmt: skip
        self._found[figure.digest] = row
        if not self._begun:  # without a torn or damaged line, and what comes next begins a line
            self._begun = True
            self._write(self._before)
        with going_on(self._path):
            append_whole(self._path, json.dumps(row) + "\n")

    def settle(self, figures: Sequence[MetricValue], images: Collection[str]) -> None:
        """Put the file in the order of the metric values; earlier values of other metrics come after them.

        Args:
            figures: all of this measurement.
            images: names of those of the run.
        """
        order = [figure.digest for figure in figures if figure.digest in self._found]
        measured = {figure.key for figure in figures}
        others = {
            name: row for name, row in self._found.items() if _key(row) not in measured and row["image"] in images
        }
        self._write({name: self._found[name] for name in dict.fromkeys([*order, *others])})

    def _write(self, rows: Mapping[str, dict[str, Any]]) -> None:
        if rows or self._path.exists():
            save_text(self._path, "".join(json.dumps(row) + "\n" for row in rows.values()))


def merged_lines(folders: Sequence[Path], images: Sequence[str]) -> str:
    """The lines of several folders' files together, in the order of the images.

    Args:
        folders: shards of one run.
        images: names of all its images.
    """
    found: dict[str, list[str]] = {}
    for folder in folders:
        for row in _read(folder / FILE)[0].values():
            found.setdefault(row["image"], []).append(json.dumps(row) + "\n")
    return "".join(line for name in images for line in found.get(name, ()))


def _key(row: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    return row["image"], row["method"], str(row["target"]), row["metric"], row["imputation"]


def _read(path: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """Rows by digest, and how many lines cannot be used; a last line that was cut short is left out without a word."""
    try:
        lines = read_bytes(path).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError:
        return {}, 0
    rows: dict[str, dict[str, Any]] = {}
    damaged = 0
    for line in lines[:-1]:
        try:
            row = json.loads(line)
            _check(row)
            rows[row["digest"]] = row
        except (ValueError, TypeError, KeyError, RecursionError):
            damaged += bool(line.strip())
    return rows, damaged


def _check(row: dict[str, Any]) -> None:
    """Raise an error of some kind for a row that `add` would not have written."""
    if not all(isinstance(row[name], str) for name in ("digest", "image", "method", "metric", "imputation")):
        raise TypeError("a name is not a text")
    if not isinstance(row.get("brief", ""), str):
        raise TypeError("a digest is not a text")
    numbers = [row["value"], *(row["at"] or []), *(row["curve"] or [])]
    if not np.isfinite(np.array(numbers, float)).all() or (row["at"] is None) != (row["curve"] is None):
        raise ValueError("a value is not a number")
    if row["at"] is not None and len(row["at"]) != len(row["curve"]):
        raise ValueError("the curve is not whole")
    if not isinstance(row["target"], int | str | None):
        raise TypeError("the target is neither a number nor a text")

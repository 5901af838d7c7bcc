"""Figures that an earlier measurement of the same folder left, so that `--resume` measures nothing twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..metrics.case import Case
from ..runs import append_whole, going_on
from .choices import PEERS, Chosen
from .figures import Figure
from .inputs import ImageSet
from .work import Session

FILE = "metrics.jsonl"
"""One object per figure, with its curve and the digest of all that it depends on."""


def digest(session: Session, case: Case, metric: Chosen, method: Chosen | None, peers: ImageSet) -> str:
    """Of everything that a figure depends on: the map, the image, the model, the metric with its options.

    Args:
        session: its model, score and seed.
        case: map, image, target and mask.
        metric: with its options.
        method: for metrics that run it again.
        peers: the images that a mean or random imputation comes from.
    """
    found = hashlib.blake2b(digest_size=16)
    for array in (case.relevance, case.subject.x, case.mask):
        if array is not None:
            found.update(np.ascontiguousarray(array.cpu().numpy()).tobytes())
    model, score, subject = session.model, session.scorer, case.subject
    facts: list[Any] = [
        metric.entry.name, metric.resolved(), method and [method.entry.name, method.resolved()], subject.target,
        subject.key, session.seed, model.weights_hash, score.output, score.precision,
    ]  # fmt: skip
    if any(one.uses_peers or one.resolved().get("imputation") in PEERS for one in (metric, method) if one):
        facts.append(list(peers.keys()))
    found.update(json.dumps(facts, sort_keys=True, default=str).encode())
    return found.hexdigest()


class Kept:
    """The figures of `metrics.jsonl`, and the file itself.

    Args:
        folder: of the evaluation.
        resume: take over what is there; else it is begun anew.
    """

    def __init__(self, folder: Path, *, resume: bool):
        self._path, self._resume = folder / FILE, resume
        self._found = _read(self._path) if resume else {}

    def begin(self) -> None:
        """Drop what an earlier measurement left, unless it is gone on with; not before all has been checked."""
        if not self._resume:
            self._path.unlink(missing_ok=True)

    def known(self, blank: Figure) -> Figure | None:
        """The figure with the value that it has already, or None."""
        row = self._found.get(blank.digest)
        if row is None:
            return None
        at, curve = (None if row[name] is None else np.array(row[name], float) for name in ("at", "curve"))
        return replace(blank, value=float(row["value"]), at=at, curve=curve)

    def add(self, figure: Figure) -> None:
        """Keep one more figure; one that failed is not kept, and is tried again."""
        if figure.value is None or not figure.digest or figure.digest in self._found:
            return
        row = {
            "digest": figure.digest, "image": figure.image, "method": figure.method, "target": figure.target,
            "metric": figure.metric, "imputation": figure.imputation, "value": figure.value,
            "at": None if figure.at is None else figure.at.tolist(),
            "curve": None if figure.curve is None else figure.curve.tolist(),
        }  # fmt: skip
        self._found[figure.digest] = row
        with going_on(self._path):
            append_whole(self._path, json.dumps(row) + "\n")


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Rows by digest; a torn last line is left out."""
    if not path.exists():
        return {}
    rows: dict[str, dict[str, Any]] = {}
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n"):  # what comes next must begin a line
        text = text[: text.rfind("\n") + 1]
        path.write_text(text, encoding="utf-8")
    for line in text.splitlines():
        row = json.loads(line)
        rows[row["digest"]] = row
    return rows

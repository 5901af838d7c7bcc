"""The model itself: accuracy and calibration on images whose true classes are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..attribution.session import Session
from ..catalog import Entry
from ..engine.batches import Batcher
from ..engine.failures import attempted
from ..engine.request import Request
from ..errors import AttributionError, ModelError, SigError, UsageError
from ..metrics import METRICS
from ..metrics.classifier import Reliability, reliability
from ..metrics.statistics import WILSON, wilson
from ..models.model import Model

MODEL_FILE = "model.csv"
_BATCH = 32
_TOP = 5


@dataclass(frozen=True, eq=False)
class Labelled:
    """The model's outputs for images whose class is known.

    Args:
        rows: rows of `model.csv`: image, label, predicted, confidence, correct, in_top5.
        summary: rows of `summary.csv`: accuracy, top-5 accuracy of more than five classes, and calibration error.
        diagram: reliability; None of a shard without a labelled image.
        missing: images that have no label, or cannot be read.
        ranked: of each row the five likeliest classes, the likeliest first; empty where there are no more than five.
    """

    rows: list[dict[str, Any]]
    summary: list[dict[str, Any]]
    diagram: Reliability | None
    missing: dict[str, str]
    ranked: Sequence[list[int]] = ()


def judge_model(session: Session, truth: Mapping[str, int]) -> Labelled:
    """Run the model on every image that has a label. A shard may have none: others have.

    Raises:
        UsageError: no image that has one can be read.
        ModelError: the model fails on all that have one.
    """
    judged: list[_Judged] = []
    missing: dict[str, str] = {}
    failed = ""
    scorer = session.classifier
    batcher = Batcher(lambda images, _: (scorer.outputs(images).double(),), session.passed(_BATCH), contain=True)
    for one in batcher.run(_with_labels(session, truth, missing)):
        if one.error is None:
            judged.append(one)
        else:
            missing[one.name] = " ".join(str(one.error).split())
            failed = failed or one.name
    if not judged and session.shard is None:
        if failed:
            raise ModelError("the model fails on every labelled image", given=f"{failed}: {missing[failed]}")
        raise UsageError("none of the labelled images can be read", given=", ".join(list(missing)[:3]))
    return labelled_of([one.row for one in judged], [one.ranked for one in judged], missing)


def labelled_of(rows: list[dict[str, Any]], ranked: list[list[int]], missing: dict[str, str]) -> Labelled:
    """What follows of rows of `model.csv` and of the likeliest classes of each image, see `Labelled`."""
    if not rows:  # of a shard
        return Labelled([], [], None, missing)
    right = np.array([row["correct"] == 1 for row in rows])
    diagram = reliability(np.array([row["confidence"] for row in rows]), right)
    return Labelled(rows, _summary(rows, ranked, len(missing)), diagram, missing, ranked)


def _with_labels(session: Session, truth: Mapping[str, int], missing: dict[str, str]) -> Iterator[_Judged]:
    """The images that have a label and can be read; notes in `missing` why others are left out."""
    for (name, _), path in zip(session.names, session.paths, strict=True):
        if name not in truth:
            missing[name] = "the image has no label"
            continue
        x = attempted(
            lambda path=path: session.model.preprocess(session.samples.read(path).pixels).to(session.model.device)
        )
        if isinstance(x, SigError):
            missing[name] = " ".join(str(x).split())
        else:
            yield _Judged(session.model, name, truth[name], x)


@dataclass(eq=False)
class _Judged(Request):
    """An image whose class is known, as a request of one item, and its row of `model.csv`."""

    model: Model
    name: str
    label: int
    x: torch.Tensor
    row: dict[str, Any] = field(default_factory=dict, init=False)
    ranked: list[int] = field(default_factory=list, init=False)

    def __len__(self) -> int:
        return 1

    @property
    def like(self) -> torch.Tensor:
        return self.x

    @property
    def target(self) -> int:
        return self.label

    def write(self, items: slice, place: torch.Tensor) -> None:
        place.copy_(self.x[None][items])

    def take(self, items: slice, *answers: torch.Tensor) -> None:  # noqa: ARG002  there is one
        outputs = answers[0].cpu()
        if not bool(torch.isfinite(outputs).all()):
            raise AttributionError("the model gives NaN or infinity for this image")
        (shares,) = self.model.head.answers(outputs)
        top = shares.topk(min(_TOP, len(shares))).indices.tolist()
        self.ranked = top if len(shares) > _TOP else []
        self.row = {
            "image": self.name, "label": self.label, "label_name": self.model.answer(self.label), "predicted": top[0],
            "predicted_name": self.model.answer(top[0]), "confidence": float(shares[top[0]]),
            "correct": int(top[0] == self.label), "in_top5": int(self.label in top),
        }  # fmt: skip


def _summary(rows: Sequence[Mapping[str, Any]], ranked: Sequence[list[int]], failed: int) -> list[dict[str, Any]]:
    """Every metric of the model that, by its entry in the catalogue, takes only what is known here."""
    known: dict[str, np.ndarray] = {
        "predicted": np.array([row["predicted"] for row in rows]), "labels": np.array([row["label"] for row in rows]),
        "confidence": np.array([row["confidence"] for row in rows]),
        "right": np.array([row["correct"] == 1 for row in rows]),
    }  # fmt: skip
    if all(ranked):  # else every class is among the best five
        known["ranked"] = np.array(ranked)
    return [
        _row(entry, float(entry.load()(*(known[name] for name in entry.properties["takes"]))), len(rows), failed)
        for entry in METRICS.values()
        if entry.properties["scope"] == "model" and known.keys() >= set(entry.properties["takes"])
    ]


def _row(entry: Entry, value: float, count: int, failed: int) -> dict[str, Any]:
    facts = entry.properties
    low, high = wilson(round(value * count), count) if facts["interval"] == "wilson" else (None, None)
    return {
        "method": "", "minus": "", "metric": entry.name, "imputation": "", "unit": facts["unit"],
        "better": "higher" if facts["higher_is_better"] else "lower", "mean": value, "ci_low": low, "ci_high": high,
        "interval": "" if low is None else WILSON, "n": count, "failed": failed,
    }  # fmt: skip

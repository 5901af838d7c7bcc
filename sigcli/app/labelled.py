"""The model itself: accuracy and calibration on images whose true classes are known."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import ImageError, UsageError
from ..images import read_image
from ..metrics import METRICS
from ..metrics.classifier import Reliability, reliability
from ..metrics.summary import wilson
from .choices import parse_target
from .inputs import run_names
from .work import Session

MODEL_FILE = "model.csv"
_IMAGE = ("image", "file", "filename", "path", "name")
_CLASS = ("label", "class_index", "index", "target", "class", "class_name")
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Labelled:
    """What the model says of images whose class is known.

    Args:
        rows: of `model.csv`: image, label, predicted, confidence, correct, in_top5.
        summary: of `summary.csv`: accuracy, top-5 accuracy and calibration error.
        diagram: reliability.
        missing: images that have no label, or cannot be read.
    """

    rows: list[dict[str, Any]]
    summary: list[dict[str, Any]]
    diagram: Reliability
    missing: dict[str, str]


def read_true_classes(path: Path, names: list[str] | None, classes: int) -> dict[str, int]:
    """Image → class index, from a CSV with a header.

    Args:
        path: a column `image` (or file, filename, path) and one of `label`, `class_index`, `class_name`, ….
        names: of the classes, where labels are names.
        classes: their number.

    Raises:
        UsageError: no such file, no such columns, an image twice, or a label that is no class.
    """
    if not path.is_file():
        raise UsageError("the file of labels is not there", given=path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = [str(name) for name in reader.fieldnames or []]
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"the file of labels cannot be read: {error}", given=path) from error
    image, label = (next((n for n in wanted if n in columns), None) for wanted in (_IMAGE, _CLASS))
    if image is None or label is None:
        raise UsageError(
            "the file of labels needs a column of images and one of classes", given=f"{path.name}: {', '.join(columns)}",
            allowed="image,label (an index or a name)",
        )  # fmt: skip
    found: dict[str, int] = {}
    for row in rows:
        name, text = (row[image] or "").strip(), (row[label] or "").strip()
        try:
            index = parse_target(text, names, classes) if text else None
        except UsageError as error:
            raise UsageError(f"{path.name}, image {name}: {error.what}", given=text, hint=error.hint) from error
        if not isinstance(index, int):
            raise UsageError("an image has a label that is no class", given=f"{path.name}: {name}: {text!r}")
        if found.setdefault(name, index) != index:
            raise UsageError("an image has two labels", given=f"{path.name}: {name}")
    return found


def judge_model(session: Session, truth: Mapping[str, int]) -> Labelled:
    """Run the model on every image that has a label.

    Raises:
        UsageError: no image has one.
    """
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    alike = Counter(path.name for path in session.paths)
    waiting: list[tuple[str, int, torch.Tensor]] = []
    for (name, _), path in zip(run_names(session.paths), session.paths, strict=True):
        label = truth.get(name, truth.get(path.name) if alike[path.name] == 1 else None)
        if label is None:
            several = alike[path.name] > 1 and path.name in truth
            missing[name] = (
                f"several images are called {path.name}: write {name}" if several else "the image has no label"
            )
            continue
        try:
            x = session.model.preprocess(read_image(path).pixels)
        except ImageError as error:
            missing[name] = " ".join(str(error).split())
            continue
        if waiting and (len(waiting) == _BATCH or waiting[0][2].shape != x.shape):
            rows += _answers(session, waiting)
            waiting = []
        waiting.append((name, label, x))
    if waiting:
        rows += _answers(session, waiting)
    if not rows:
        raise UsageError("no image has a label in the file", given=", ".join(list(missing)[:3]))
    diagram = reliability(
        np.array([row["confidence"] for row in rows]), np.array([row["correct"] == 1 for row in rows])
    )
    return Labelled(rows, _summary(rows, diagram, len(missing)), diagram, missing)


def _answers(session: Session, batch: list[tuple[str, int, torch.Tensor]]) -> list[dict[str, Any]]:
    model = session.model
    images = torch.stack([x for *_, x in batch]).to(model.device)
    probability = model.head.answers(session.classifier.outputs(images).double()).cpu()
    top = probability.topk(min(5, probability.shape[1])).indices.tolist()
    return [
        {
            "image": name, "label": label, "label_name": model.answer(label), "predicted": best[0],
            "predicted_name": model.answer(best[0]), "confidence": float(shares[best[0]]),
            "correct": int(best[0] == label), "in_top5": int(label in best),
        }
        for (name, label, _), best, shares in zip(batch, top, probability, strict=True)
    ]  # fmt: skip


def _summary(rows: list[dict[str, Any]], diagram: Reliability, failed: int) -> list[dict[str, Any]]:
    found = []
    for metric, column in (("accuracy", "correct"), ("top-5-accuracy", "in_top5"), ("calibration-error", None)):
        mean, low, high = diagram.error, None, None
        if column is not None:
            right = sum(row[column] for row in rows)
            mean, (low, high) = right / len(rows), wilson(right, len(rows))
        entry = METRICS[metric].properties
        found.append({
            "method": "", "minus": "", "metric": metric, "imputation": "", "unit": entry["unit"],
            "better": "higher" if entry["higher_is_better"] else "lower", "mean": mean, "ci_low": low, "ci_high": high,
            "n": len(rows), "failed": failed,
        })  # fmt: skip
    return found

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

from ..attribution.decoding import run_names
from ..attribution.select import parse_target
from ..attribution.session import Session
from ..engine.failures import attempted
from ..engine.memory import Batches
from ..errors import AttributionError, ModelError, SigError, UsageError
from ..inputs.images import read_image
from ..metrics import METRICS
from ..metrics.classifier import Reliability, reliability
from ..metrics.statistics import wilson
from ..names import escaped, printable
from ..runs.folder import cell_text

MODEL_FILE = "model.csv"
_IMAGE = ("image", "file", "filename", "path", "name")
_CLASS = ("label", "class_index", "index", "target", "class", "class_name")
_BATCH = 32
_Waiting = tuple[str, int, torch.Tensor]
"""Name, class and what the model sees."""


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
        name, text = printable(cell_text((row[image] or "").strip())), (row[label] or "").strip()
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
        ModelError: the model fails on all that have one.
    """
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    short = [escaped(path.name) for path in session.paths]
    alike = Counter(short)
    size, waiting = session.passed(_BATCH), list[_Waiting]()
    batches = Batches(size)
    for (name, _), own, path in zip(run_names(session.paths), short, session.paths, strict=True):
        label = _known(truth, name) if alike[own] > 1 or _known(truth, name) is not None else _known(truth, own)
        if label is None:
            several = alike[own] > 1 and _known(truth, own) is not None
            missing[name] = f"several images are called {own}: write {name}" if several else "the image has no label"
            continue
        x = attempted(lambda path=path: session.model.preprocess(read_image(path).pixels))
        if isinstance(x, SigError):
            missing[name] = " ".join(str(x).split())
            continue
        if waiting and (len(waiting) == size or waiting[0][2].shape != x.shape):
            rows += _answers(session, waiting, batches, missing)
            waiting = []
        waiting.append((name, label, x))
    if waiting:
        rows += _answers(session, waiting, batches, missing)
    if not rows:
        if waiting:
            name = waiting[0][0]
            raise ModelError("the model can judge no image that has a label", given=f"{name}: {missing[name]}")
        raise UsageError("no image has a label in the file", given=", ".join(list(missing)[:3]))
    diagram = reliability(
        np.array([row["confidence"] for row in rows]), np.array([row["correct"] == 1 for row in rows])
    )
    return Labelled(rows, _summary(rows, diagram, len(missing)), diagram, missing)


def _known(truth: Mapping[str, int], name: str) -> int | None:
    """The class of an image, whose name a table may write as a run does or with backslashes as they are."""
    return truth.get(name, truth.get(name.replace("\\\\", "\\")))


def _answers(
    session: Session, batch: list[_Waiting], batches: Batches, missing: dict[str, str]
) -> list[dict[str, Any]]:
    """Rows of a batch; what the model raises for one image leaves that one out."""
    images = torch.stack([x for *_, x in batch]).to(session.model.device)
    found = attempted(lambda: _judged(session, batch, images, batches))
    if not isinstance(found, SigError):
        return found
    rows: list[dict[str, Any]] = []
    for place, one in enumerate(batch):  # one by one, in batches of the same shape
        alone = images[[place] * len(batch)]
        found = attempted(lambda one=one, alone=alone: _judged(session, [one], alone, batches))
        if isinstance(found, SigError):
            missing[one[0]] = " ".join(str(found).split())
        else:
            rows += found
    return rows


def _judged(session: Session, batch: list[_Waiting], images: torch.Tensor, batches: Batches) -> list[dict[str, Any]]:
    model, scorer = session.model, session.classifier
    said = batches.parts(len(images), tuple(images.shape[1:]), lambda part: scorer.outputs(images[part]).double())
    outputs = torch.cat([outputs for _, outputs in said])[: len(batch)].cpu()
    if not bool(torch.isfinite(outputs).all()):
        raise AttributionError("the model gives NaN or infinity for this image")
    probability = model.head.answers(outputs)
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

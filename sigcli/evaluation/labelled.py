"""The model itself: accuracy and calibration on images whose true classes are known."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..attribution.decoding import run_names
from ..attribution.select import parse_target
from ..attribution.session import Session
from ..catalog import Entry
from ..engine.batches import Batcher, Batches, Request
from ..engine.failures import attempted
from ..errors import AttributionError, ModelError, SigError, UsageError
from ..inputs.images import read_image
from ..metrics import METRICS
from ..metrics.classifier import Reliability, reliability
from ..metrics.statistics import WILSON, wilson
from ..models.model import Model
from ..names import escaped, printable
from ..runs.folder import cell_text

MODEL_FILE = "model.csv"
_IMAGE = ("image", "file", "filename", "path", "name")
_CLASS = ("label", "class_index", "index", "target", "class", "class_name")
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Labelled:
    """The model's outputs for images whose class is known.

    Args:
        rows: rows of `model.csv`: image, label, predicted, confidence, correct, in_top5.
        summary: rows of `summary.csv`: accuracy, top-5 accuracy and calibration error.
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
        names: names of the classes, where labels are names.
        classes: their number.

    Raises:
        UsageError: no such file, no such columns, an image twice, or a label that is not a class.
    """
    if not path.is_file():
        raise UsageError("no such labels file", given=path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = [str(name) for name in reader.fieldnames or []]
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"the labels file cannot be read: {error}", given=path) from error
    image, label = (next((n for n in wanted if n in columns), None) for wanted in (_IMAGE, _CLASS))
    if image is None or label is None:
        raise UsageError(
            "the labels file needs a column of images and a column of classes", given=f"{path.name}: {', '.join(columns)}",
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
            raise UsageError("a label is not a class of the model", given=f"{path.name}: {name}: {text!r}")
        if found.setdefault(name, index) != index:
            raise UsageError("an image has two labels", given=f"{path.name}: {name}")
    return found


def judge_model(session: Session, truth: Mapping[str, int]) -> Labelled:
    """Run the model on every image that has a label.

    Raises:
        UsageError: no image has one.
        ModelError: the model fails on all that have one.
    """
    judged: list[_Judged] = []
    missing: dict[str, str] = {}
    failed = ""
    scorer = session.classifier
    batcher = Batcher(
        lambda images, _: (scorer.outputs(images).double(),), Batches(session.passed(_BATCH)), contain=True
    )
    for one in batcher.run(_with_labels(session, truth, missing)):
        if one.error is None:
            judged.append(one)
        else:
            missing[one.name] = " ".join(str(one.error).split())
            failed = failed or one.name
    if not judged:
        if failed:
            raise ModelError("the model fails on every labelled image", given=f"{failed}: {missing[failed]}")
        raise UsageError("the labels file has none of the images", given=", ".join(list(missing)[:3]))
    rows = [one.row for one in judged]
    diagram = reliability(
        np.array([row["confidence"] for row in rows]), np.array([row["correct"] == 1 for row in rows])
    )
    return Labelled(rows, _summary(judged, len(missing)), diagram, missing)


def _with_labels(session: Session, truth: Mapping[str, int], missing: dict[str, str]) -> Iterator[_Judged]:
    """The images that have a label and can be read; notes in `missing` why others are left out."""
    short = [escaped(path.name) for path in session.paths]
    alike = Counter(short)
    for (name, _), own, path in zip(run_names(session.paths), short, session.paths, strict=True):
        label = _known(truth, name) if alike[own] > 1 or _known(truth, name) is not None else _known(truth, own)
        if label is None:
            several = alike[own] > 1 and _known(truth, own) is not None
            missing[name] = f"several images are called {own}: write {name}" if several else "the image has no label"
            continue
        x = attempted(lambda path=path: session.model.preprocess(read_image(path).pixels).to(session.model.device))
        if isinstance(x, SigError):
            missing[name] = " ".join(str(x).split())
        else:
            yield _Judged(session.model, name, label, x)


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
        top = shares.topk(min(5, len(shares))).indices.tolist()
        self.ranked = top
        self.row = {
            "image": self.name, "label": self.label, "label_name": self.model.answer(self.label), "predicted": top[0],
            "predicted_name": self.model.answer(top[0]), "confidence": float(shares[top[0]]),
            "correct": int(top[0] == self.label), "in_top5": int(self.label in top),
        }  # fmt: skip


def _known(truth: Mapping[str, int], name: str) -> int | None:
    """The class of an image, whose name a table may write as a run does or with backslashes as they are."""
    return truth.get(name, truth.get(name.replace("\\\\", "\\")))


def _summary(judged: Sequence[_Judged], failed: int) -> list[dict[str, Any]]:
    """Every metric of the model that, by its entry in the catalogue, takes only what is known here."""
    rows = [one.row for one in judged]
    known = {
        "predicted": np.array([row["predicted"] for row in rows]), "labels": np.array([row["label"] for row in rows]),
        "ranked": np.array([one.ranked for one in judged]), "confidence": np.array([row["confidence"] for row in rows]),
        "right": np.array([row["correct"] == 1 for row in rows]),
    }  # fmt: skip
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

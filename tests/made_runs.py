"""Run folders as `sig` leaves them, written by hand in a moment: tables, ledger, arrays and small pictures."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

from sigcli.files import save_array, save_table
from sigcli.inputs.images import read_image
from sigcli.runs.filenames import run_names
from sigcli.runs.folder import open_run
from sigcli.runs.ledger import Entry
from sigcli.runs.table import FACTS

SIDE = 16
HOSTILE = (
    "<script>alert(1)</script>.png", "a'b\"c & <img src=x onerror=alert(1)>.png", "javascript:alert(1).png",
    "100%23 #half?.png", "</script><b>.png", "${alert(1)}.png", "plain.png",
)  # fmt: skip
"""Names of files; a slash is part of a path."""


def manifest(paths, methods, **more):
    preprocess = {
        "resize": SIDE, "crop": SIDE, "mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "cover": None,
    }  # fmt: skip
    spec = {
        "model": "tiny",
        "preprocess": preprocess,
        "methods": {m: {"method": m} for m in methods},
        "output": "logit",
        **more,
    }
    return {"spec": spec, "images": [str(path) for path in paths], "versions": {"sigcli": "0"}, "classes": 3}


def photographs(folder: Path, names):
    """Small photographs, each another."""
    paths = []
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(path, "PNG")
        paths.append(path)
    return sorted(paths)


def make_run(out: Path, paths, methods=("ig", "sig"), *, labels=("cat", "dog"), failing=(), seed=0, maps=None, **more):
    """A run over photographs; `failing` names files that could not be read. Returns the rows of its table."""
    names = run_names(paths)
    run = open_run(out, manifest(paths, methods, **more), resume=False, images=names)
    for number, (path, (name, folder)) in enumerate(zip(paths, names, strict=True)):
        content = f"{read_image(path).key:016x}"
        for place, method in enumerate(methods):
            if path.name in failing:
                run.add(
                    {
                        "image": name,
                        "method": method,
                        "output": "logit",
                        "status": "failed",
                        "error": "the image is <damaged>",
                    }
                )
                continue
            draw = np.random.default_rng([seed, number, place])
            values = draw.normal(size=(3, SIDE, SIDE)) if maps is None else maps(name, method)
            save_array(out / folder / f"{method}.npy", values.astype(np.float32))
            facts = dict.fromkeys(FACTS) | {
                "score": number - 1.5 + seed, "relative_gap": 0.01 * number, "shown_standard_error": 0.02,
                "view": "raw", "gradient_evaluations": 4, "error": "", "stopped": "", "region": "",
            }  # fmt: skip
            label = labels[number % len(labels)]
            row = {"image": name, "method": method, "target": str(number % 3), "label": label, "output": "logit",
                   "seconds": "0.125", "status": "ok", "content": content, **facts}  # fmt: skip
            entry = Entry(
                name, method, row["target"], content, folder, label, "logit", facts, {f"{method}.npy": (1, "")}
            )
            run.add({key: "" if value is None else value for key, value in row.items()}, entry)
    run.settle(lambda row: [name for name, _ in names].index(row["image"]) if row["image"] in dict(names) else 0)
    run.close()
    with (out / "results.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def add_metrics(out: Path, rows):
    """What `sig evaluate` adds: metric values, means and a curve."""
    done = [row for row in rows if row["status"] == "ok"]
    save_table(out / "metrics.csv", [
        {"image": row["image"], "method": row["method"], "target": row["target"], "metric": "deletion", "imputation": "blur",
         "value": 0.1 + 0.05 * at, "status": "ok", "error": ""} for at, row in enumerate(done)
    ])  # fmt: skip
    methods = list(dict.fromkeys(row["method"] for row in done))
    mean = {"minus": "", "metric": "deletion", "imputation": "blur", "unit": "probability", "better": "lower"}
    save_table(out / "summary.csv", [
        {"method": method, **mean, "mean": 0.25 + at, "ci_low": 0.2, "ci_high": 0.3 + at, "interval": "score", "n": 4,
         "failed": 0}
        for at, method in enumerate(methods)
    ])  # fmt: skip
    save_table(out / "curves.csv", [
        {"method": method, "metric": "deletion", "imputation": "blur", "along": "share of the pixels removed", "at": at / 4,
         "mean": 1 - at / 5, "ci_low": 0.5 - at / 9, "ci_high": 1.0, "interval": "score", "n": 4}
        for method in methods for at in range(5)
    ])  # fmt: skip


def add_predictions(out: Path, rows, wrong=()):
    """What a run tells of the model's answers, and of true classes."""
    images = {row["image"]: row for row in rows if row["status"] == "ok"}
    save_table(out / "predictions.csv", [
        {"image": image, "rank": rank, "class": name, "probability": share}
        for image, row in images.items() for rank, (name, share) in enumerate(((row["label"], 0.7), ("other", 0.2)), 1)
    ])  # fmt: skip
    save_table(out / "model.csv", [
        {"image": image, "label": 0, "label_name": "other" if image in wrong else row["label"], "predicted": 0,
         "predicted_name": row["label"], "confidence": 0.7, "correct": int(image not in wrong), "in_top5": 1}
        for image, row in images.items()
    ])  # fmt: skip


def data_of(script: Path):
    """The data of a page."""
    text = script.read_text(encoding="utf-8")
    return data_in(text)


def data_in(text: str):
    """The data that a script, or a page with one in it, assigns."""
    (found,) = re.findall(r"window\.SIG_PAGE = JSON\.parse\('((?:[^'\\]|\\.)*)'\);\n", text)
    return json.loads(re.sub(r"\\(.)", r"\1", found))

"""Arrays that were made before: which class each explains, and what is told of it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sigcli import evaluate, explain
from sigcli.evaluation.options import EvaluateOptions
from sigcli.evaluation.prepare import prepare_evaluation
from sigcli.inputs.samples import sample_images

NAMES = ("fish", "heart")


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for name in NAMES:
        with Image.open(sample_images() / f"{name}.png") as image:
            image.convert("RGB").save(tmp_path / "in" / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return "in"


def _notes(images, **options):
    prepared = prepare_evaluation(EvaluateOptions(images, **options))
    prepared.session.close()
    return " ".join(prepared.notes)


def _values(found):
    return {(one.image, one.method, one.target): one.value for one in found.values}


def test_a_run_of_several_classes_is_measured_as_its_methods(pictures):
    explain(pictures, method="gradient", target="top:2", out="run")
    reopened = _values(evaluate("run", metric="sparseness"))
    direct = _values(evaluate(pictures, method="gradient", target="top:2", metric="sparseness", out="direct"))
    assert len(direct) == 4
    assert reopened == pytest.approx(direct)


def test_one_class_of_a_run_can_be_named(pictures):
    made = explain(pictures, method="gradient", target="top:2", out="run")
    wanted = made[0].target
    found = evaluate("run", method=f"gradient.class{wanted}", metric="sparseness")
    assert {one.target for one in found.values if one.value is not None} == {wanted}


def test_arrays_of_no_known_class_are_told(pictures, tmp_path):
    (tmp_path / "maps").mkdir()
    for name in NAMES:
        np.save(tmp_path / "maps" / f"{name}.npy", np.random.default_rng(0).normal(size=(128, 128)))
    options = {"attributions": "maps", "metric": "sparseness"}
    assert "which class 2 of 2 arrays explain: the predicted one" in _notes(pictures, **options, out="out")
    assert "arrays" not in _notes(pictures, **options, target="star", out="named")


def test_another_class_than_the_arrays_is_told(pictures):
    explain(pictures, method="gradient", target="star", out="run")
    told = "though 2 of 2 were made for another class"
    assert told in _notes("run", target="ring", metric="sparseness", out="other")
    assert told not in _notes("run", target="star", metric="sparseness", out="same")

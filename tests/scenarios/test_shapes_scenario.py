"""`sig benchmark scenario shapes`: maps on drawn objects."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from sigcli.errors import UsageError
from sigcli.methods import METHODS as CATALOGUE
from sigcli.scenarios.scenario import run_scenario
from sigcli.scenarios.shapes.options import METHODS
from sigcli.scenarios.shapes.study import MEASURES, Shapes

FEW = {"images": 3, "method": "black=ig,gradient", "settings": {"black.steps": "8"}, "device": "cpu", "pictures": False}


def test_a_map_that_follows_the_object_beats_chance(tmp_path):
    found = run_scenario("shapes", **FEW, out=tmp_path / "run")
    rows = {row["method"]: row for row in found.rows}
    assert list(rows)[-1] == "(chance)"
    assert set(rows) == {"black", "gradient", "(chance)"}
    for measure in MEASURES:
        assert float(rows["black"][measure].split()[0]) > 2 * float(rows["(chance)"][measure]) * (
            0.6 if measure == "roc-auc" else 1
        )
    assert "right in 3 of them" in found.facts[0]
    assert not found.failed
    assert [text.split(":")[0] for text in found.findings] == list(MEASURES.values())
    assert {record["image"] for record in found.records} == {path.name for path in (tmp_path / "run").rglob("0*.png")}


def test_masks_are_those_of_the_pictures_and_a_second_run_gives_the_same(tmp_path):
    for name in ("one", "two"):
        run_scenario("shapes", **FEW, seed=3, out=tmp_path / name)
    one, two = ((tmp_path / name / "metrics.csv").read_bytes() for name in ("one", "two"))
    assert one == two
    masks = sorted((tmp_path / "one" / "drawn" / "seed-3" / "masks").iterdir())
    assert len(masks) == 3
    assert all(0.01 < (np.asarray(Image.open(mask)) > 127).mean() < 0.5 for mask in masks)
    with (tmp_path / "one" / "metrics.csv").open(encoding="utf-8", newline="") as stream:
        assert {row["metric"] for row in csv.DictReader(stream)} == set(MEASURES)


def test_every_method_that_fits_takes_part():
    taken = {one.rpartition("=")[2] for one in METHODS.split(",")}
    left_out = {
        "cam",
        "linear-shap",
        "max-shap",
        "effective-shapley",
        "low-order-shap",
        "bshap",
        "qii",
        "gradcam-counterfactual",
        "scorecam",
        "ablationcam",
        "meaningful-perturbation",
        "extremal-perturbation",
        "attention-rollout",
        "attention-gradient",
        "generic-attention",
        "transformer-attribution",
    }  # other networks, few players, ratios only, sampled twice over, another's map turned, hundreds of passes, attention
    assert taken | left_out == set(CATALOGUE)
    assert {key.partition(".")[0] for key in Shapes.defaults} <= {one.partition("=")[0] for one in METHODS.split(",")}


def test_a_wrong_option_is_named(tmp_path):
    with pytest.raises(UsageError, match="no such option"):
        run_scenario("shapes", pairs=3, out=tmp_path / "run")
    with pytest.raises(UsageError, match="images"):
        run_scenario("shapes", images=0, out=tmp_path / "run")

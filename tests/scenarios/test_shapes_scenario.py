"""`sig benchmark scenario shapes`: maps on drawn objects."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from sigcli import evaluate
from sigcli.errors import UsageError
from sigcli.methods import METHODS as CATALOGUE
from sigcli.scenarios.options import of_explain
from sigcli.scenarios.scenario import run_scenario
from sigcli.scenarios.shapes.options import METHODS, ShapesOptions
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
    }  # other networks, few players, ratios only, sampled twice over, another's map turned, hundreds of passes
    assert taken | left_out == set(CATALOGUE)
    assert {key.partition(".")[0] for key in Shapes.defaults} <= {one.partition("=")[0] for one in METHODS.split(",")}


TRANSFORMER = ("attention-rollout", "attention-gradient", "generic-attention", "transformer-attribution", "gradcam")


def test_a_transformer_has_the_methods_of_transformers(tmp_path):
    taken = {**FEW, "method": ",".join((*TRANSFORMER, "kernelshap-tokens=kernelshap"))}
    taken["settings"] = {"kernelshap-tokens.budget": "140"}
    found = run_scenario("shapes", **taken, model="shapes-vit", out=tmp_path / "run")
    assert not found.failed
    assert {row["method"] for row in found.rows} == {*TRANSFORMER, "kernelshap-tokens", "(chance)"}
    assert "The network shapes-vit is right in 3 of them." in found.facts[0]
    assert "certainty" not in found.facts[0]
    assert found.facts[1].count("not smoothed") == 0
    assert all(name in found.facts[1] for name in TRANSFORMER)  # coarse: looked at as they are
    kept = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert kept["spec"]["model"] == "shapes-vit"
    assert "tokens:8x8" in json.dumps(kept["spec"])
    other = run_scenario("shapes", **FEW, out=tmp_path / "other")
    assert (tmp_path / "other" / "drawn").is_dir()
    assert {r["image"] for r in other.records} == {r["image"] for r in found.records}  # the same pictures


@pytest.mark.parametrize(
    ("model", "fit", "others"),
    [
        ("shapes", ["gradient"], ["attention-rollout", "kernelshap-tokens=kernelshap"]),
        ("shapes-vit", ["gradient", "deepshap"], ["icg", "guided-backprop"]),
    ],
)
def test_methods_that_the_network_does_not_allow_are_left_out_by_name(model, fit, others, tmp_path):
    @dataclass(frozen=True, repr=False)
    class Fewer(ShapesOptions):
        method: str = of_explain("method", ",".join((*fit, *others)))

    options = Fewer(images=2, device="cpu", pictures=False, model=model, out=tmp_path / "run")
    found = Shapes("shapes", options).run()
    assert {row["method"] for row in found.rows} == {*fit, "(chance)"}
    names = [one.partition("=")[0] for one in others]
    assert [text.partition(" is left out: ")[0] for text in found.findings[len(MEASURES) :]] == names
    assert all(len(text.partition(" is left out: ")[2]) > 20 for text in found.findings[len(MEASURES) :])


@pytest.mark.parametrize("view", ["raw", "smooth", "auto"])
def test_maps_are_measured_as_the_view_says(view, tmp_path):
    found = run_scenario("shapes", **FEW, view=view, out=tmp_path / "run")
    said = {"raw": "not smoothed", "smooth": "smoothed, σ = 2.6 px", "auto": "smoothed at scales σ = 2.6, 5.2"}[view]
    assert f"Maps are {said}" in found.facts[1]
    masks = tmp_path / "run" / "drawn" / "seed-0" / "masks"
    again = evaluate(tmp_path / "run", masks=masks, metric="roc-auc", view=view)
    mine = {(r["image"], r["method"]): r["value"] for r in found.records if r["metric"] == "roc-auc"}
    assert {(f.image, f.method): f.value for f in again.values} == pytest.approx(mine)


def test_a_network_of_other_classes_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"needs a network of its classes(.|\n)*shapes-vit"):
        run_scenario("shapes", **FEW, model="squeezenet1_1", weights="none", out=tmp_path / "run")
    assert not (tmp_path / "run" / "manifest.json").exists()
    with pytest.raises(UsageError, match="attention"):  # named methods are refused, not left out
        run_scenario("shapes", **{**FEW, "method": "attention-rollout"}, out=tmp_path / "run")


def test_a_wrong_option_is_named(tmp_path):
    with pytest.raises(UsageError, match="no such option"):
        run_scenario("shapes", pairs=3, out=tmp_path / "run")
    with pytest.raises(UsageError, match="images"):
        run_scenario("shapes", images=0, out=tmp_path / "run")

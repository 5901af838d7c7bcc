"""How long methods run: one number of evaluations for all, or until their maps are exact enough."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sigcli
from sigcli.errors import UsageError
from sigcli.methods import METHODS
from sigcli.methods.costs import affordable, least_of, planned
from sigcli.views import parse, shown_error

SIDE = 72
SETTINGS = {"players": "grid:3x3", "baseline": "black"}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(2)
    layers = nn.Conv2d(3, 4, 9, 6), nn.ReLU(), nn.Conv2d(4, 6, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(150, 3)
    return nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(5)
    small = rng.integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)
    return [Image.fromarray(one).resize((SIDE, SIDE)) for one in small]


def explained(net, images, **options):
    return sigcli.explain(images, model=net, image_size=SIDE, device="cpu", mean=(0,), std=(1,), **options)


def rows(folder):
    with open(folder / "results.csv", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("view", ["raw", "smooth:3"])
def test_a_tolerance_is_of_the_map_as_it_is_shown(net, pictures, view):
    found = explained(
        net, pictures, method="eg", settings={"baselines": "uniform"}, tolerance=0.12, view=view, uncertainty=True
    )
    assert len(found) == len(pictures)
    for item in found:
        why, _, length = item.stopped.partition(": samples=")
        assert why == "tolerance"
        assert item.gradient_evaluations == int(length)
        lens = parse(view).at((SIDE, SIDE))
        values, apart = torch.from_numpy(item.values).sum(0), torch.from_numpy(item.deviations)
        assert shown_error(lens, values, apart)[1] == pytest.approx(item.shown_standard_error)
        assert item.shown_standard_error <= 0.12
        fixed = explained(
            net, pictures, method="eg", settings={"baselines": "uniform", "samples": int(length)}, view=view
        )
        assert np.abs(item.values - fixed.of(item.image)[0].values).max() < 1e-4 * np.abs(item.values).max()


def test_a_run_says_why_it_ended_and_goes_on_where_it_was_left(net, pictures, tmp_path):
    files = []
    for number, picture in enumerate(pictures):
        files.append(tmp_path / f"{number}.png")
        picture.save(files[-1])
    out = tmp_path / "out"
    options = {
        "method": "sig,ig", "settings": {"sig.players": "grid:3x3", "sig.form": "both"},
        "tolerance": 1e-4, "max_evaluations": 300, "out": out,
    }  # fmt: skip
    found = explained(net, files, **options, pictures=False)
    assert any("--tolerance does not apply to ig" in note for note in found.notes)
    of = found.of(method="sig")
    assert all(item.stopped == "max-evaluations: samples=144" for item in of)
    assert all("--max-evaluations ended it after 288 evaluations" in item.note for item in of)
    before = rows(out)
    assert [row["stopped"] for row in before] == ["max-evaluations: samples=144", ""] * 2
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["spec"]["tolerance"], manifest["spec"]["max_evaluations"]) == (1e-4, 300)
    again = explained(net, files, **options, pictures=False, resume=True)
    assert all(item.resumed for item in again)
    assert rows(out) == before
    for changed, named in (({"tolerance": 0.5}, "tolerance"), ({"max_evaluations": 400}, "max-evaluations")):
        with pytest.raises(sigcli.errors.SigError, match=rf"different kind of run \({named} differ\)"):
            explained(net, files, **{**options, **changed}, pictures=False, resume=True)


@pytest.mark.parametrize("evaluations", [100, 513])
def test_one_number_of_evaluations_for_every_method(net, pictures, evaluations):
    methods = "sig,form=sig,sig-walk,ig,eg,rise,shapley-sampling,gradcam"
    settings = {"players": "grid:3x3", "form.form": "both", "form.steps": 2, "eg.baselines": "uniform"}
    settings |= {"sig.coalitions": "sampled", "form.coalitions": "sampled", "sig-walk.coalitions": "sampled"}
    found = explained(net, pictures[:1], method=methods, settings=settings, evaluations=evaluations)
    spent = {item.method: item.evaluations for item in found}
    assert spent.pop("gradcam") == 1
    assert "--evaluations does not change the cost of gradcam (1)" in found.notes
    draw = {"form": 4, "sig-walk": 18, "shapley-sampling": 16}
    for method, cost in spent.items():
        assert evaluations - draw.get(method, 1) < cost <= evaluations, method


@pytest.mark.parametrize("name", [name for name, entry in METHODS.items() if entry.properties.get("budget")])
@pytest.mark.parametrize("evaluations", [97, 1000, 2500])
def test_no_greater_value_costs_as_little(name, evaluations):
    entry = METHODS[name]
    options = {option: parameter.default for option, parameter in entry.options().items()}
    options |= {"players": "grid:3x3"} if "players" in options else {}
    found = affordable(entry, options, evaluations)
    option = entry.properties["budget"]
    step = 2 if option == "orders" else 1
    if found is None:
        assert planned(entry, {**options, option: least_of(entry)}) > evaluations
        return
    assert planned(entry, {**options, option: found}) <= evaluations
    assert planned(entry, {**options, option: found + step}) > evaluations


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tolerance": 0.0}, "tolerance must be above 0"),
        ({"tolerance": 5.0}, "tolerance must be above 0 and below 1"),
        ({"evaluations": 0}, "evaluations must be at least 1"),
        ({"evaluations": 10**11}, "too many for one map"),
        ({"settings": {"samples": 10**11}}, "sig would take too many evaluations for one map"),
        ({"settings": {"samples": 10**6, "steps": 50}}, "too many evaluations for one map"),
        ({"tolerance": 0.1, "evaluations": 9}, "exclude each other"),
        ({"max_evaluations": 9}, "needs --tolerance"),
        ({"tolerance": 0.1, "method": "kernelshap"}, "cannot go on with a run"),
        ({"tolerance": 0.1, "method": "gradient-shap"}, "Allowed: sig"),
        ({"tolerance": 0.1, "settings": {"samples": 64}}, "length of sig is told twice"),
        ({"tolerance": 0.1, "settings": {"normalise": True}}, "with normalise"),
        ({"tolerance": 0.1, "settings": {"coalitions": "effective"}}, "with coalitions=effective"),
        ({"tolerance": 0.1, "max_evaluations": 127}, "max-evaluations 128 or more"),
        ({"evaluations": 512, "settings": {"samples": 64}}, "cost of sig is told twice"),
        ({"evaluations": 50, "method": "sig-walk", "players": "grid:7x7"}, "98 or more"),
        ({"evaluations": 500, "method": "sig-walk", "players": "superpixels:9"}, "depends on each picture"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(net, pictures, options, told):
    with pytest.raises(UsageError) as caught:
        explained(net, pictures, **options)
    assert told in " ".join(str(caught.value).split())


def test_settings_take_the_name_that_the_method_was_chosen_by(net, pictures):
    found = explained(net, pictures[:1], method="Score-CAM,rise", settings={"Score-CAM.relu": False, "rise.samples": 4})
    assert {item.method for item in found} == {"scorecam", "rise"}
    with pytest.raises(UsageError, match="not among those chosen"):
        explained(net, pictures[:1], method="rise", settings={"Score-CAM.relu": False})

"""`sig evaluate`: explanations measured in one stream, tables that agree with the figures, failures named."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from sigcli.attribution.explain import explain
from sigcli.cli.main import app
from sigcli.errors import OutputError, UsageError
from sigcli.evaluation import measure as measuring
from sigcli.evaluation.evaluate import carry_out, evaluate
from sigcli.evaluation.options import EvaluateOptions
from sigcli.evaluation.prepare import prepare_evaluation
from sigcli.metrics import METRICS
from sigcli.metrics.statistics import paired, summarise
from sigcli.models.loading import load_model
from sigcli.render.plots.table import supported_best

from repository import ROOT

QUICK = {"sig.samples": 6, "ig.steps": 3, "deletion.steps": 6, "insertion.steps": 6, "iaccuracy.steps": 6}
QUICK_IG = {"ig.steps": 3}
SMALL = {"image_size": 64, "pictures": False}
FAST = [part for name, value in QUICK.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Three bundled pictures with their masks."""
    for name in ("star", "heart", "house"):
        for folder in ("", "masks"):
            source = ROOT / "sample_images" / folder / f"{name}.png"
            (tmp_path / "in" / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tmp_path / "in" / folder / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path):
    with Path(path).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_tables_agree_with_the_figures(here):
    metric = "deletion,insertion,iaccuracy,roc-auc,sparseness"
    found = evaluate(
        "in", method="sig,ig", metric=metric, imputation="black,blur", masks="in/masks", settings=QUICK, out="out"
    )
    assert len(found.values) == 3 * 2 * (3 * 2 + 2)
    assert not any(f.error for f in found.values)
    written = rows("out/metrics.csv")
    assert [(r["image"], r["method"], r["metric"], r["imputation"]) for r in written] == [
        (f.image, f.method, f.metric, f.imputation) for f in found.values
    ]
    summary = {(r["method"], r["minus"], r["metric"], r["imputation"]): r for r in rows("out/summary.csv")}
    for method in ("sig", "ig"):
        mine = [f.value for f in found.values if (f.method, f.metric, f.imputation) == (method, "deletion", "black")]
        assert float(summary[method, "", "deletion", "black"]["mean"]) == pytest.approx(np.mean(mine), rel=1e-5)
    one, other = (
        {f.image: f.value for f in found.values if (f.method, f.metric) == (name, "roc-auc")} for name in ("sig", "ig")
    )
    difference = np.mean([one[image] - other[image] for image in one])
    assert float(summary["sig", "ig", "roc-auc", ""]["mean"]) == pytest.approx(difference, abs=1e-6)
    assert found.summary["sig", "roc-auc", ""].n == 3
    curves = [
        r for r in rows("out/curves.csv") if (r["method"], r["metric"], r["imputation"]) == ("sig", "deletion", "blur")
    ]
    assert len(curves) == 7
    assert (float(curves[0]["at"]), float(curves[-1]["at"])) == (0, 1)
    (agreement,) = rows("out/agreement.csv")
    assert (agreement["method"], agreement["other"], agreement["n"]) == ("sig", "ig", "3")
    for name in ("curves", "table", "agreement"):
        with Image.open(f"out/{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5


def test_every_metric_runs_on_the_bundled_network(here):
    names = [
        name
        for name, entry in METRICS.items()
        if not entry.properties["column"] and entry.properties["scope"] != "model"
    ]
    settings = {
        "gradient": 0, "max-sensitivity.samples": 2, "avg-sensitivity.samples": 2, "parameter-randomisation.stages": 2,
        "faithfulness-correlation.samples": 5, "sensitivity-n.samples": 3, "infidelity.samples": 5,
        "irof.segments": 9, "deletion.steps": 3, "insertion.steps": 3, "morf.steps": 3, "lerf.steps": 3,
    }  # fmt: skip
    settings.pop("gradient")
    found = evaluate(
        "in/star.png",
        method="input-x-gradient",
        metric=names,
        masks="in/masks",
        settings=settings,
        out="out",
        pictures=False,
    )
    assert [f.metric for f in found.values] == names
    assert not any(f.error for f in found.values)
    assert all(np.isfinite(f.value) for f in found.values)
    assert not Path("out/table.png").exists()


def test_the_same_figures_whatever_ran_before(here):
    options = {
        "method": "sig,ig",
        "metric": "deletion,iaccuracy",
        "settings": {k: v for k, v in QUICK.items() if "insertion" not in k},
        **SMALL,
    }
    whole = evaluate("in", **options, out="a")
    resumed = evaluate("in", **options, out="a", resume=True)
    assert [f.value for f in whole.values] == pytest.approx([f.value for f in resumed.values], rel=1e-6)
    alone = evaluate("in/house.png", **options, out="b")
    expected = [f.value for f in whole.values if f.image == "house.png"]
    assert [f.value for f in alone.values] == pytest.approx(expected, rel=1e-4)


def test_a_run_is_measured_by_its_folder_alone(here, monkeypatch):
    options = {"method": "sig,black=ig", "target": 3, "output": "prob", "seed": 5, **SMALL}
    settings = {"sig.samples": 6, "black.steps": 3, "black.baseline": "black"}
    whole = evaluate("in", **options, settings={**settings, "deletion.steps": 4}, metric="deletion", out="whole")
    explain("in", **options, settings=settings, out="run")
    before = Path("run/results.csv").read_text()
    monkeypatch.chdir(here / "in")  # the images are found from anywhere
    found = evaluate("../run", metric="deletion", settings={"deletion.steps": 4})
    assert found.folder == Path("../run")
    expected = {(f.image, f.method): f.value for f in whole.values}
    assert {(f.image, f.method): f.value for f in found.values} == pytest.approx(expected, rel=1e-6)
    assert {f.target for f in found.values} == {3}
    assert Path("../run/results.csv").read_text() == before
    told = json.loads(Path("../run/evaluation.json").read_text())
    assert told["metrics"][0][2]["steps"] == 4
    one = evaluate("../run", metric="sparseness", method="black")
    assert {f.method for f in one.values} == {"black"}
    assert not Path("../run/curves.csv").exists()  # of the measurement before
    with pytest.raises(UsageError, match="Did you mean 'sig'"):
        evaluate("../run", metric="sparseness", method="sgi")
    with pytest.raises(UsageError, match="runs the method again"):
        evaluate("../run", metric="max-sensitivity")
    Path("star.png").unlink()
    with pytest.raises(UsageError, match="images of the run are missing"):
        evaluate("../run", metric="sparseness")


@pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning", "ignore:.*jit.*:FutureWarning")
def test_the_command_takes_a_run_with_its_own_model(here):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    torch.jit.trace(net, torch.zeros(1, 3, 20, 20)).save("net.pt")
    common = ["--model", "net.pt", "--resize", "24", "--crop", "20", "--device", "cpu"]
    assert CliRunner().invoke(app, ["explain", "in", *common, "--method", "ig", "--out", "run"]).exit_code == 0
    done = CliRunner().invoke(app, ["evaluate", "run", "--metric", "deletion", "--set", "deletion.steps=4", "--json"])
    assert done.exit_code == 0, done.output
    assert len(rows("run/metrics.csv")) == 3
    other = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    torch.jit.trace(other, torch.zeros(1, 3, 20, 20)).save("net.pt")
    refused = CliRunner().invoke(app, ["evaluate", "run", "--metric", "deletion"])
    assert refused.exit_code == 2
    assert "weights differ from those of the run" in " ".join(refused.output.split())


def test_a_resumed_measurement_measures_nothing_twice(here, monkeypatch):
    options = {"method": "sig,ig", "metric": "deletion,sparseness,max-sensitivity", "out": "a", **SMALL}
    settings = {k: v for k, v in QUICK.items() if "in" not in k and "iacc" not in k}
    options["settings"] = {**settings, "max-sensitivity.samples": 2, "sig.samples": 6}
    whole = evaluate("in", **options)
    tables = {name: Path("a", name).read_bytes() for name in ("metrics.csv", "summary.csv", "curves.csv")}
    kept = Path("a/metrics.jsonl").read_text().splitlines(keepends=True)
    assert len(kept) == 3 * 2 * 3
    Path("a/metrics.jsonl").write_text("".join(kept[:8]) + kept[8][:30])  # killed while it wrote
    asked = []
    follow = measuring.follow
    monkeypatch.setattr(measuring, "follow", lambda model, removals, **k: follow(model, counted(removals, asked), **k))
    again = evaluate("in", **options, resume=True)
    assert [f.value for f in again.values] == [f.value for f in whole.values]
    assert len(asked) == sum('"deletion"' in line for line in kept[8:])
    assert {name: Path("a", name).read_bytes() for name in tables} == tables
    asked.clear()
    evaluate("in", **{**options, "settings": {**options["settings"], "deletion.steps": 7}}, resume=True)
    assert len(asked) == 6  # another option is another figure
    asked.clear()
    evaluate("in", **options)
    assert len(asked) == 6  # without --resume all is measured


def counted(removals, seen):
    for removal in removals:
        seen.append(removal)
        yield removal


def test_smoothed_maps_are_measured_as_they_are_drawn(here):
    options = {"method": "ig", "metric": "roc-auc,sparseness", "masks": "in/masks", "settings": {"ig.steps": 3}}
    raw = evaluate("in/star.png", **options, out="raw")
    smooth = evaluate("in/star.png", **options, smooth=3, out="smooth")
    values = np.load("raw/star/ig.npy")
    np.testing.assert_array_equal(values, np.load("smooth/star/ig.npy"))  # the array stays raw
    expected = np.stack([gaussian_filter(v, 3, truncate=3.0) for v in values.astype(float)]).sum(0)
    model = load_model("shapes")
    mask = model.preprocess.display(np.array(Image.open("in/masks/star.png").convert("RGB")))[..., 0] > 127
    inside, outside = expected[mask], expected[~mask]
    auc = np.mean((inside[:, None] > outside[None, ::7]) + 0.5 * (inside[:, None] == outside[None, ::7]))
    assert smooth.values[0].value == pytest.approx(auc, abs=5e-3)
    assert raw.values[0].value != pytest.approx(auc, abs=5e-3)
    Path("theirs").mkdir()
    np.save("theirs/star.npy", np.full_like(values, np.nan))
    bad = evaluate("in/star.png", attributions="theirs", metric="sparseness", smooth=3, out="bad")
    assert "NaN" in bad.values[0].error


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"method": "ig,gradcam"}, "σ = 1.4, 2.8, 5.6, 11.2, 22.4 px, those of gradcam as they are; --view raw"),
        ({"method": "ig", "view": "smooth:2"}, "σ = 2 px; --view raw"),
        ({"method": "ig", "view": "raw"}, None),
        ({"method": "ig", "image_size": 28}, None),
        ({"method": "ig", "metric": "completeness-gap"}, None),
    ],
)
def test_how_maps_are_looked_at_is_told_where_it_changes_them(here, options, told):
    asked = EvaluateOptions(
        "in/star.png", **{"image_size": 72, "metric": "entropy", "pictures": False, "out": "out"} | options
    )
    found = [note for note in prepare_evaluation(asked).notes if "measured" in note]
    assert [told in note for note in found] == ([True] if told else [])


def test_checks_of_certainty_say_how_many_images_they_look_at(here, monkeypatch):
    monkeypatch.setattr("sigcli.evaluation.prepare.MOST", 2)
    arguments = ["evaluate", "in", "--metric", "neutrality", "--out", "out", "--device", "cpu"]
    done = CliRunner().invoke(app, arguments)
    assert "neutrality looks at the first 2 images" in done.output
    monkeypatch.undo()
    assert "looks at the first" not in CliRunner().invoke(app, [*arguments, "--overwrite"]).output


def test_whether_the_network_has_understood_certainty(here):
    metrics = "information-absence,neutrality"
    done = CliRunner().invoke(app, ["evaluate", "in", "--metric", metrics, "--out", "out", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    summary = {row["metric"]: row for row in rows("out/summary.csv")}
    assert list(summary) == metrics.split(",")
    assert not Path("out/metrics.csv").exists()  # the model is measured, and no map made
    model = load_model("shapes")
    x = torch.stack(
        [model.preprocess(np.array(Image.open(p).convert("RGB"))) for p in sorted(Path("in").glob("*.png"))]
    )
    with torch.no_grad():
        blind = model.module.inner(x, torch.zeros(len(x), 1, 128, 128)).softmax(1)
        seen = model.module(x).softmax(1).mean(0)
    absence = (blind - blind.mean(0)).abs().sum(1).mean() / 2
    assert float(summary["information-absence"]["mean"]) == pytest.approx(float(absence), abs=1e-5)
    assert float(summary["neutrality"]["mean"]) == pytest.approx(float((blind - seen).abs().max()), rel=1e-3)
    assert f"neutrality {float((blind - seen).abs().max()):.3f}" in done.stderr
    assert float(summary["information-absence"]["mean"]) <= 0.02
    Path("labels.csv").write_text("image,label\nstar.png,star\nheart.png,star\nhouse.png,star\n")
    both = ["--metric", f"{metrics},sparseness", "--method", "gradient", "--labels", "labels.csv"]
    done = CliRunner().invoke(app, ["evaluate", "in", *both, "--out", "with", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    summary = {row["metric"]: row for row in rows("with/summary.csv")}
    assert {"sparseness", "accuracy", *metrics.split(",")} <= set(summary)
    shares = torch.zeros(model.classes).index_fill(0, torch.tensor([model.labels.index("star")]), 1.0)
    assert float(summary["neutrality"]["mean"]) == pytest.approx(float((blind - shares).abs().max()), rel=1e-3)


def test_checks_of_certainty_need_a_network_that_takes_one(here):
    quick = ["--metric", "neutrality", "--out", "out", "--device", "cpu"]
    refused = CliRunner().invoke(app, ["evaluate", "in", "--model", "squeezenet1_1", "--weights", "none", *quick])
    assert refused.exit_code == 2
    assert "needs a certainty-aware model" in refused.stderr
    one = CliRunner().invoke(app, ["evaluate", "in/star.png", *quick, "--overwrite"])
    assert one.exit_code == 2
    assert "at least two images" in " ".join(one.stderr.split())


def test_labels_give_accuracy_and_calibration(here):
    model = load_model("shapes")
    told = {"star": "star", "heart": "heart", "house": "star"}  # one of them is wrong
    Path("labels.csv").write_text("image,label\n" + "".join(f"{k}.png,{v}\n" for k, v in told.items()))
    quick = ["--method", "gradient", "--metric", "sparseness", "--out", "out"]
    done = CliRunner().invoke(app, ["evaluate", "in", *quick, "--labels", "labels.csv"])
    assert done.exit_code == 0, done.output
    assert "accuracy 0.667" in done.output
    summary = {r["metric"]: r for r in rows("out/summary.csv")}
    assert float(summary["accuracy"]["mean"]) == pytest.approx(2 / 3, rel=1e-5)
    written = rows("out/model.csv")
    assert [r["correct"] for r in written] == ["1", "0", "1"] or sorted(r["correct"] for r in written) == [
        "0",
        "1",
        "1",
    ]
    for row in written:
        x = model.preprocess(np.array(Image.open(f"in/{row['image']}").convert("RGB")))
        share = model.module(x[None]).softmax(1)[0]
        assert float(row["confidence"]) == pytest.approx(float(share.max()), rel=1e-3)
    with Image.open("out/reliability.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5
    for text, message in (("image,label\nstar.png,stra\n", "Did you mean 'star'"), ("a,b\n1,2\n", "needs a column"),
                          ("image,label\nx.png,1\n", "has none of the images"),
                          ("image,label\nstar.png,1\nstar.png,2\n", "two labels"),
                          ("image,label\nstar.png,99\n", "out of range")):  # fmt: skip
        Path("labels.csv").write_text(text)
        refused = CliRunner().invoke(app, ["evaluate", "in", *quick, "--overwrite", "--labels", "labels.csv"])
        assert refused.exit_code == 2
        assert message in " ".join(refused.output.split())
    Path("labels.csv").write_text("file,class_index\nstar.png,0\n")
    some = CliRunner().invoke(app, ["evaluate", "in", *quick, "--overwrite", "--labels", "labels.csv"])
    assert "heart.png: the image has no label" in " ".join(some.output.split())


def test_what_fails_is_named_and_the_rest_goes_on(here):
    (here / "in" / "broken.png").write_bytes(b"not a picture")
    Image.new("L", (9, 5), 255).save(here / "in" / "masks" / "heart.png")
    with Image.open("in/house.png") as house:
        Image.new("L", house.size, 0).save(here / "in" / "masks" / "house.png")
    arguments = [
        "evaluate",
        "in",
        "--metric",
        "pointing-game,deletion",
        "--masks",
        "in/masks",
        "--method",
        "ig",
        *FAST[2:6],
    ]
    done = CliRunner().invoke(app, [*arguments, "--out", "out", "--json"])
    assert done.exit_code == 1, done.output
    *records, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert last["values"]["done"] == sum(not r["error"] for r in records)
    assert last["values"]["failed"] == sum(last["values"]["reasons"].values()) == 4
    assert last["counts"]["failed"] == 1
    errors = {(r["image"], r["metric"]): r["error"] for r in records if r["error"]}
    assert "no explanation" in errors["broken.png", "deletion"]
    assert "9x5 pixels" in errors["heart.png", "pointing-game"]
    assert "no object" in errors["house.png", "pointing-game"]
    assert len(errors) == 4
    summary = {r["metric"]: (r["n"], r["failed"]) for r in rows("out/summary.csv")}
    assert summary == {"pointing-game": ("1", "3"), "deletion": ("3", "1")}


def test_arrays_of_a_run_give_the_figures_of_the_run(here):
    options = {"metric": "deletion,sparseness", "settings": {"deletion.steps": 6}, **SMALL}
    settings = {**options["settings"], "sig.samples": 6, "ig.steps": 3}
    made = evaluate("in", method="sig,ig", **{**options, "settings": settings}, out="run")
    prepared = prepare_evaluation(EvaluateOptions("in", attributions="run", **options, out="again"))
    assert prepared.items == 6
    again = carry_out(prepared)
    key = lambda f: (f.image, f.method, f.metric)  # noqa: E731
    expected = {key(f): f.value for f in made.values}
    assert {key(f): f.value for f in again.values} == pytest.approx(expected, rel=1e-6)
    assert {f.target for f in again.values} == {f.target for f in made.values}
    assert len(rows("again/agreement.csv")) == 1
    named = evaluate("in", attributions="run", **options, target=2, out="named")
    assert {f.target for f in named.values} == {2}
    with pytest.raises(UsageError, match="method options do not apply"):
        evaluate("in", attributions="run", **{**options, "settings": {"samples": 9}}, out="x")


def test_an_earlier_measurement_is_replaced_and_strangers_are_left(here):
    options = {"method": "gradient", "settings": {"deletion.steps": 3}}
    evaluate("in", metric="deletion", **options, out="out")
    evaluate("in", metric="sparseness", method="gradient", out="out")
    assert {r["metric"] for r in rows("out/metrics.csv")} == {"sparseness"}
    assert not Path("out/curves.csv").exists()
    (here / "mine").mkdir()
    (here / "mine" / "summary.csv").write_text("mine")
    with pytest.raises(OutputError, match="sig did not write"):
        evaluate("in", metric="deletion", **options, out="mine")


def test_anyones_arrays_and_what_is_wrong_with_them(here):
    from sigcli.inputs.images import read_image
    from sigcli.models.loading import load_model

    net = load_model("shapes", device="cpu")
    side = net.preprocess.size[0]
    (here / "theirs").mkdir()
    np.save("theirs/star.npy", np.random.default_rng(0).normal(size=(side, side)))
    np.save("theirs/heart.npy", np.zeros((3, 5, 5), np.float32))
    np.save("theirs/house.npy", np.full((3, side, side), np.nan))
    found = evaluate("in", attributions="theirs", metric="deletion", settings={"deletion.steps": 3}, out="out")
    errors = {f.image: f.error for f in found.values if f.error}
    assert "does not have the size" in errors["heart.png"]
    assert "NaN" in errors["house.png"]
    (good,) = [f for f in found.values if not f.error]
    x = net.preprocess(read_image("in/star.png").pixels)
    assert good.target == int(net.module(x[None]).argmax())
    for options, says in (
        ({"attributions": "nowhere"}, "no such folder"),
        ({"attributions": "in"}, "no array belongs"),
        ({"attributions": "theirs", "metric": "max-sensitivity"}, "runs the method again"),
    ):
        with pytest.raises(UsageError, match=says):
            evaluate("in", **{"metric": "deletion", **options}, out="other")
    (here / "theirs" / "house.npy").write_bytes(b"no array")
    found = evaluate("in", attributions="theirs", metric="sparseness", out="third")
    assert "cannot be used" in {f.image: f.error for f in found.values}["house.png"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"metric": "deletoin"}, "deletion"),
        ({"metric": "roc-auc"}, "--masks"),
        ({"metric": "roc-auc", "masks": "nowhere"}, "no such folder"),
        ({"metric": ""}, "no metric"),
        ({"metric": "deletion,deletion"}, "twice"),
        ({"metric": "deletion", "imputation": "blakc"}, "black"),
        ({"settings": {"deletion.stepz": "3"}, "metric": "deletion"}, "steps"),
        ({"settings": {"deletion.steps": "many"}, "metric": "deletion"}, "an integer"),
        ({"method": "sgi"}, "sig"),
    ],
)
def test_wrong_usage(options, says, here):
    with pytest.raises(UsageError, match=says):
        evaluate("in/star.png", **{"method": "gradient", **options}, out="out")


@pytest.mark.parametrize("n", [3, 5, 7, 8, 10, 16])
def test_intervals_of_few_images_hold_the_mean_as_often_as_they_say(n):
    generator = np.random.default_rng(n)
    held = 0
    for trial in range(400):
        found = summarise(generator.normal(size=n), seed=trial)
        held += found.low <= 0 <= found.high
    assert 0.915 <= held / 400 <= 0.985  # 0.95 within three standard errors


def test_several_targets_of_an_image_count_once(here):
    found = evaluate("in", method="gradient", metric="sparseness", target="top:2", out="out")
    assert len(found.values) == 6
    assert found.summary["gradient", "sparseness", ""].n == 3
    means = [
        np.mean([f.value for f in found.values if f.image == name]) for name in ("star.png", "heart.png", "house.png")
    ]
    assert found.summary["gradient", "sparseness", ""].mean == pytest.approx(np.mean(means))


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["--metric", "deletion", "--imputation", "blurr"], "unknown imputation"),
        (["--metric", "deletion", "--set", "deletion.steps=0"], "steps"),
        (["--metric", "sparseness", "--labels", "none.csv"], "has none of the images"),
        (["--metric", "sparseness", "--imputation", "black"], "none of the chosen metrics removes"),
        (["--metric", "deletion", "--set", "deletion.imputation=blur", "--imputation", "black"], "two imputations"),
    ],
)
def test_a_mistake_leaves_the_earlier_measurement_alone(here, extra, says):
    (here / "none.csv").write_text("image,label\nother.png,1\n")
    evaluate("in", method="gradient", metric="sparseness", out="out")
    before = {path.name: path.read_bytes() for path in (here / "out").iterdir() if path.is_file()}
    done = CliRunner().invoke(app, ["evaluate", "out", *extra])
    assert done.exit_code == 2, done.output
    assert says in done.output
    assert {path.name: path.read_bytes() for path in (here / "out").iterdir() if path.is_file()} == before


def test_a_mistake_in_a_metric_costs_no_explanation(here, monkeypatch):
    monkeypatch.setattr("sigcli.evaluation.evaluate.stream", lambda *_, **__: pytest.fail("explained"))
    for name, value in (("deletion.imputation", "blurr"), ("irof.segments", 1), ("max-sensitivity.samples", 0)):
        with pytest.raises(UsageError):
            evaluate("in", method="gradient", metric=name.partition(".")[0], settings={name: value}, out=f"o-{name}")


def test_a_changed_image_is_not_measured_with_the_map_of_another(here):
    explain("in", method="gradient", out="out", device="cpu")
    shutil.copy(here / "in" / "house.png", here / "in" / "star.png")
    found = evaluate("out", metric="sparseness,deletion", settings={"deletion.steps": 3})
    errors = {f.image: f.error for f in found.values}
    assert "image changed" in errors["star.png"]
    assert not errors["heart.png"]


def test_an_array_that_is_missing_is_named(here):
    for image, method in (("star", "one"), ("star", "two"), ("heart", "one"), ("house", "two")):
        (here / "arrays" / image).mkdir(parents=True, exist_ok=True)
        np.save(here / "arrays" / image / f"{method}.npy", np.random.default_rng(0).normal(size=(128, 128)))
    found = evaluate("in", attributions="arrays", metric="sparseness", out="out")
    failed = {(f.image, f.method) for f in found.values if "no array" in f.error}
    assert failed == {("heart.png", "two"), ("house.png", "one")}
    assert len(found.values) == 6


def test_agreement_is_of_the_maps_that_are_measured(here):
    rough, smooth = (
        evaluate(
            "in", method="gradient,ig", metric="sparseness", settings=QUICK_IG, smooth=sigma, out=f"o{sigma}", **SMALL
        )
        for sigma in (0, 6)
    )
    assert rough.agreement[0].spearman.mean != pytest.approx(smooth.agreement[0].spearman.mean, abs=1e-3)


def test_superpixel_curves_share_an_axis(here):
    found = evaluate("in", method="gradient", metric="irof", out="out", pictures=False)
    assert len({len(f.curve) for f in found.values}) > 1
    curve = [row for row in rows("out/curves.csv") if row["metric"] == "irof"]
    assert len(curve) == 51
    assert float(curve[0]["mean"]) == pytest.approx(1)


def test_bootstrap_intervals_cover_the_mean():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        found = summarise(rng.normal(2, 1, 40))
        hits += found.low < 2 < found.high
    assert 178 < hits < 200
    assert summarise([]).mean is None
    assert summarise([4.0]).low is None
    assert paired({"a": 3.0, "b": 5.0, "c": 1.0}, {"a": 1.0, "b": 2.0}).mean == 2.5


def test_the_best_is_marked_only_where_intervals_support_it():
    base = {"metric": "deletion", "imputation": "blur", "better": "lower", "mean": 0.1, "n": 20}
    table = [{**base, "method": m} for m in ("a", "b", "c")]
    pair = lambda one, other, low, high: {**base, "method": one, "minus": other, "ci_low": low, "ci_high": high}  # noqa: E731
    sure = [pair("a", "b", -0.3, -0.1), pair("a", "c", -0.2, -0.01), pair("b", "c", -0.1, 0.1)]
    assert supported_best(table, sure) == {("a", "deletion", "blur")}
    assert supported_best(table, [pair("a", "b", -0.3, 0.1), *sure[1:]]) == set()
    assert supported_best(table[:1], []) == set()


def test_a_perfect_map_scores_one_in_localisation(here):
    """The mask itself as the map, through the whole chain of sizes and crops."""
    from sigcli.attribution.explanation import Explanation
    from sigcli.attribution.options import ExplainOptions
    from sigcli.attribution.select import choose_metrics
    from sigcli.attribution.session import prepare
    from sigcli.evaluation.masks.located import Masks, open_masks
    from sigcli.evaluation.masks.wanted import Wanted
    from sigcli.evaluation.measure import Measuring

    session = prepare(ExplainOptions("in", method="gradient", write=False))
    masks = Masks(open_masks(Path("in/masks")), Wanted())
    masks.fit(session.paths, session.model.preprocess)
    metrics = choose_metrics("relevance-mass,relevance-rank,roc-auc,pointing-game,top-intersection", None, {})
    measuring = Measuring(session, metrics, masks)

    def items():
        for name in ("star", "heart", "house"):
            side = session.model.preprocess.size
            with Image.open(f"in/masks/{name}.png") as file:
                mask = np.asarray(file.convert("RGB"))
            drawn = session.model.preprocess.display(mask)[..., 0] > 127
            assert drawn.shape == side
            yield Explanation(f"{name}.png", "gradient", 0, values=drawn[None].astype(np.float32))

    figures = list(measuring.values(items()))
    assert len(figures) == 15
    assert all(f.value == 1 for f in figures), [(f.metric, f.value, f.error) for f in figures if f.value != 1]
    assert torch.is_tensor(session.model.preprocess.low)


def test_a_mistake_leaves_no_folder_that_stands_in_the_way(here):
    with pytest.raises(UsageError, match="imputation"):
        evaluate("in", method="gradient", metric="deletion", imputation="blurr", out="out")
    assert not Path("out").exists()


def test_reported_figures_get_means_and_intervals(here):
    found = evaluate("in", method="ig,gradient", metric="relative-gap", settings=QUICK_IG, out="out", **SMALL)
    table = {(r["image"], r["method"]): r["relative_gap"] for r in rows("out/results.csv")}
    gaps = [float(table[name, "ig"]) for name in ("heart.png", "house.png", "star.png")]
    assert found.summary["ig", "relative-gap", ""].mean == pytest.approx(np.mean(gaps), rel=1e-5)
    assert found.summary["gradient", "relative-gap", ""].n == 0
    assert all("does not report this value" in f.error for f in found.values if f.method == "gradient")


def test_boxes_stand_for_masks(here):
    with Image.open("in/star.png") as image:
        size = image.size
    box = np.zeros((size[1], size[0]), np.uint8)
    box[10:60, 20:90] = 255
    (here / "drawn").mkdir()
    Image.fromarray(box).save("drawn/star.png")
    (here / "boxes.csv").write_text("image,x0,y0,x1,y1\nstar.png,20,10,90,60\nheart.png,0,0,9999,9\n")
    options = {"method": "gradient", "metric": "roc-auc,pointing-game", "pictures": False}
    by_box, by_mask = (evaluate("in", masks=m, **options, out=f"o-{m}") for m in ("boxes.csv", "drawn"))
    value = lambda found: [f.value for f in found.values if f.image == "star.png"]  # noqa: E731
    assert value(by_box) == value(by_mask)
    errors = {f.image: f.error for f in by_box.values if f.error}
    assert "does not lie in the image" in errors["heart.png"]
    assert "no mask" in errors["house.png"]
    (here / "wrong.csv").write_text("image,left\nstar.png,3\n")
    with pytest.raises(UsageError, match="columns"):
        evaluate("in", masks="wrong.csv", **options, out="other")


def test_a_metric_can_be_added_to_measured_arrays(here):
    explain("in", method="gradient", out="run", device="cpu", pictures=False)
    evaluate("in", attributions="run", metric="sparseness", out="out", pictures=False)
    found = evaluate("in", attributions="run", metric="sparseness,entropy", out="out", resume=True, pictures=False)
    assert len(found.values) == 6


@pytest.mark.parametrize("named", [True, False])
def test_a_mistake_in_a_repeated_command_leaves_the_run_alone(here, named):
    out = {**SMALL, **({"out": "sig-out"} if named else {})}
    evaluate("in", method="gradient", metric="sparseness", **out)
    before = {path: path.read_bytes() for path in (here / "sig-out").rglob("*") if path.is_file()}
    (here / "labels.csv").write_text("image,label\nstar.png,no such class\n")
    for wrong in ({"metric": "deletion", "imputation": "blurr"}, {"metric": "sparseness", "labels": "labels.csv"}):
        with pytest.raises(UsageError):
            evaluate("in", method="gradient", **wrong, **out)
        assert {path: path.read_bytes() for path in (here / "sig-out").rglob("*") if path.is_file()} == before

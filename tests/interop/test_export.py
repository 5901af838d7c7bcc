"""`sig export`: what is written and logged is what the run holds, and nothing is written over."""

import csv
import importlib.util
import json
import os
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_run import LINE, NET, sig

import sigcli
from sigcli.cli.main import COMMANDS
from sigcli.errors import OutputError, UsageError
from sigcli.inputs.samples import sample_images
from sigcli.interop import EXPORTS

METHODS = "ig,gradient"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two pictures and two methods, measured; one picture cannot be read."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "tiny_net.py").write_text(NET)
    (folder / "in").mkdir()
    for name in ("star.png", "=fish.png"):
        Image.open(sample_images() / name.lstrip("=")).save(folder / "in" / name)
    (folder / "in" / "zz.png").write_text("no picture")
    before = os.getcwd()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        done = sig(
            "evaluate", "in", *LINE, "--method", METHODS, "--metric", "deletion,sparseness", "--set", "ig.steps=2",
            "--set", "deletion.steps=2", "--out", "run",
        )  # fmt: skip
    finally:
        os.chdir(before)
        sys.path.remove(str(folder))
    assert done.exit_code == 1, done.output  # of the picture that cannot be read
    return folder / "run"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def rows(run, name="results.csv"):
    with (run / name).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_npz_holds_every_map_and_the_table(run):
    before = contents(run)
    found = sigcli.export(run, format="npz")
    assert contents(run) == before
    assert (found.where, found.maps) == ("run.npz", 4)
    with np.load("run.npz", allow_pickle=False) as archive:
        assert len(archive.files) == found.files
        table = [row for row in rows(run) if row["status"] == "ok"]
        assert archive["results.method"].tolist() == [row["method"] for row in table]
        assert np.allclose(archive["results.score"], [float(row["score"]) for row in table])
        gaps = archive["results.completeness_gap"]
        assert np.isnan(gaps[1])
        assert np.isfinite(gaps[0])
        for name in archive["results.map"].tolist():
            assert np.array_equal(archive[name], np.load(run / f"{name}.npy"))


def load_script(folder, monkeypatch):
    """What the folder's own script makes, with a stand-in for FiftyOne's public classes."""
    module = types.ModuleType("fiftyone")

    class Label(dict):
        def __init__(self, **known):
            super().__init__(known)

    class Sample(Label):
        pass

    module.Sample, module.Heatmap, module.Classification = Sample, Label, Label
    monkeypatch.setitem(sys.modules, "fiftyone", module)
    spec = importlib.util.spec_from_file_location("load_export", folder / "load.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return list(script.samples())


def test_fiftyone_has_a_picture_and_a_heatmap_for_each_map(run, monkeypatch):
    found = sigcli.export(run, format="fiftyone", out="fo")
    assert found.files == len(list(Path("fo").rglob("*.*")))
    samples = load_script(Path("fo").resolve(), monkeypatch)
    assert len(samples) == 2
    known = json.loads(Path("fo/samples.json").read_text())["samples"]
    for sample, told in zip(samples, known, strict=True):
        assert Path(sample["filepath"]).is_file()
        assert Path(sample["source"]).is_file()
        with Image.open(sample["filepath"]) as picture:
            assert picture.size == (16, 16)
        for method in METHODS.split(","):
            heat = sample[method]
            shown = np.asarray(Image.open(heat["map_path"])).astype(float)
            assert shown.shape == (16, 16)
            assert heat["range"] == [0, 255]
            folder = {"star.png": "star", "=fish.png": "=fish"}[told["image"]]
            values = np.load(run / folder / f"{method}.npy").sum(0)
            back = (shown / 127.5 - 1) * heat["limit"]
            assert np.abs(back - values).max() <= heat["limit"] / 255 * 1.01
            assert sample[f"{method}_target"]["label"] == heat["target"]
            assert heat["score"] == pytest.approx(float(_row(run, told["image"], method)["score"]), rel=1e-4)


def _row(run, image, method):
    return next(row for row in rows(run) if row["image"].lstrip("'") == image and row["method"] == method)


def summary(run):
    named = {
        (row["metric"], row["imputation"], row["method"]): row for row in rows(run, "summary.csv") if not row["minus"]
    }
    return {"/".join(filter(None, key)): float(row["mean"]) for key, row in named.items() if row["mean"]}


def test_mlflow_has_parameters_metrics_and_artifacts(run, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    import warnings

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///m.db")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = sigcli.export(run, to="mlflow", project="birds", name="mine")
        client = mlflow.MlflowClient("sqlite:///m.db")
        (made,) = client.search_runs([client.get_experiment_by_name("birds").experiment_id])
        top = {one.path for one in client.list_artifacts(made.info.run_id)}
        inner = {one.path for one in client.list_artifacts(made.info.run_id, "star")}
        asked = ["--model", "shapes", "--method", "gradient", "--device", "cpu", "--no-pictures", "--out", "logged"]
        done = sig("explain", sample_images() / "star.png", *asked, "--log", "mlflow:birds")
        logged = client.search_runs(made.info.experiment_id, "attributes.run_name = 'logged'")
    assert done.exit_code == 0, done.output
    assert [one.data.metrics["images"] for one in logged] == [1]
    assert made.info.run_name == "mine"
    assert made.info.status == "FINISHED"
    assert made.info.run_id in found.where
    assert made.data.tags["sig"] == sigcli.__version__
    assert made.data.params["methods.ig.steps"] == "2"
    assert made.data.params["seed"] == "0"
    means = summary(run)
    assert means
    for name, value in means.items():
        assert made.data.metrics[name] == pytest.approx(value)
    assert made.data.metrics["failed"] == sum(row["status"] != "ok" for row in rows(run))
    assert {"manifest.json", "results.csv", "summary.csv", "star"} <= top
    assert {"star/ig.png", "star/compare.png"} <= inner
    assert not [name for name in inner if name.endswith(".npy")]


def test_wandb_has_configuration_summary_and_artifact(run, monkeypatch):
    """Its public functions alone, with a stand-in: the real one starts a process."""
    made, logged = types.SimpleNamespace(config={}, summary={}, id="abc", dir="d", offline=True, url=None), {}
    made.log, made.log_artifact, made.finish = logged.update, lambda one: logged.update(artifact=one), lambda **_: None
    module = types.ModuleType("wandb")
    module.__spec__ = importlib.util.spec_from_loader("wandb", None)

    class Artifact:
        def __init__(self, name, **known):
            self.name, self.files = name, []

        def add_file(self, path, name):
            assert Path(path).is_file()
            self.files.append(name)

    def init(**known):
        made.config.update(known["config"])
        logged["init"] = known
        return made

    module.Artifact, module.Image, module.Settings, module.init = Artifact, str, lambda **known: known, init
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setenv("WANDB_MODE", "offline")
    found = sigcli.export(run, to="wandb", pictures=False)
    assert logged["init"]["mode"] == "offline"
    assert made.config["methods.ig.steps"] == 2
    assert made.config["sig"] == sigcli.__version__
    assert summary(run).items() <= {name: made.summary[name] for name in summary(run)}.items()
    assert found.files == len(logged["artifact"].files)
    assert not [name for name in logged["artifact"].files if name.endswith(".png")]
    sigcli.export(run, to="wandb")
    assert "star/compare" in logged

    def refuses(**_):
        raise RuntimeError("api_key not configured")

    module.init = refuses
    with pytest.raises(OutputError, match="wandb login"):
        sigcli.export(run, to="wandb")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, UsageError, "say what to export to"),
        ({"format": "npz", "to": "mlflow"}, UsageError, "cannot be combined"),
        ({"format": "npy"}, UsageError, "Did you mean 'npz'"),
        ({"format": "mlflow"}, UsageError, "goes with --to"),
        ({"to": "npz"}, UsageError, "goes with --format"),
        ({"to": "mlflow", "out": "x"}, UsageError, "--out is for --format"),
        ({"run": "nowhere", "format": "npz"}, UsageError, "no such run folder"),
        ({"run": ".", "format": "npz"}, UsageError, "not a run folder"),
        ({"format": "npz", "out": "taken"}, OutputError, "taken"),
        ({"format": "npz", "out": "folder", "overwrite": True}, OutputError, "this is none"),
        ({"format": "fiftyone", "out": "taken", "overwrite": True}, OutputError, "this is none"),
        ({"format": "npz", "out": "taken/x.npz"}, OutputError, "cannot be written"),
    ],
)
def test_faults_are_told_and_nothing_is_touched(run, options, error, message):
    Path("taken").write_text("mine")
    Path("folder").mkdir()
    Path("folder/mine.txt").write_text("mine")
    before = contents(Path())
    with pytest.raises(error, match=message):
        sigcli.export(**{"run": run, **options})
    assert contents(Path()) == before


@pytest.mark.parametrize("name", ["npz", "fiftyone"])
def test_an_export_is_replaced_only_when_asked(run, name):
    sigcli.export(run, format=name, out="o")
    with pytest.raises(OutputError, match="--overwrite"):
        sigcli.export(run, format=name, out="o")
    before = contents(Path())
    sigcli.export(run, format=name, out="o", overwrite=True)
    if name == "fiftyone":
        assert contents(Path()) == before
    with pytest.raises(UsageError, match="into the run folder"):
        sigcli.export(run, format=name, out=run / "x")


def test_an_extra_that_is_missing_is_named(run, monkeypatch):
    for entry in EXPORTS.values():
        if extra := entry.properties["extra"]:
            monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
            with pytest.raises(UsageError, match=rf"pip install '.\[{extra}\]'"):
                sigcli.export(run, to=entry.name)


def test_lost_maps_and_images_are_named(run, tmp_path):
    import shutil

    shutil.copytree(run, "copy")
    manifest = json.loads(Path("copy/manifest.json").read_text())
    manifest["images"] = [name.replace("star", "moved") for name in manifest["images"]]
    Path("copy/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="an image of the run is missing"):
        sigcli.export("copy", format="fiftyone")
    Path("copy/star/ig.npy").unlink()
    with pytest.raises(UsageError, match="maps of the run are missing"):
        sigcli.export("copy", format="npz")
    assert {path.name for path in Path().iterdir()} == {"copy"}


def test_the_command(run):
    assert "export" in COMMANDS
    done = sig("export", run, "--format", "npz", "--out", "a.npz", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["maps"] == 4
    assert sig("export", run).exit_code == 2
    assert sig("export", run, "--format", "npz", "--out", "a.npz").exit_code == 2
    told = sig("export", "--help").output
    assert "Examples" in told
    assert "--to mlflow" in told


def test_arrays_and_pairs(tmp_path):
    import torch

    sample = np.arange(6, dtype=np.float32)
    out = sigcli.explain(sample, model=torch.nn.Linear(6, 2), method="gradient", target=1, out="arrays").folder
    sigcli.export(out, format="npz", out="a.npz")
    with np.load("a.npz") as archive:
        (name,) = archive["results.map"].tolist()
        assert archive[name].shape == (6,)
    with pytest.raises(UsageError, match=r"maps of pictures|an image of the run"):
        sigcli.export(out, format="fiftyone")


def test_an_image_keeps_its_folder_when_another_of_its_stem_comes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("heart.png", "star.png"):
        shutil.copy(sample_images() / name, "in")
    asked = {"method": "gradient", "out": "run", "pictures": False, "device": "cpu"}
    sigcli.explain("in", **asked)
    Image.open("in/heart.png").convert("RGB").save("in/star.jpg")
    sigcli.explain("in", resume=True, **asked)
    sigcli.export("run", format="fiftyone", out="exported")
    told = json.loads((tmp_path / "exported" / "samples.json").read_text())["samples"]
    assert {Path(one["source"]).name: one["image"] for one in told} == {
        name: name for name in ("heart.png", "star.jpg", "star.png")
    }

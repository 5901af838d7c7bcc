"""Folders of scenarios: what a repeated, interrupted or refused run leaves of what stood there, and what fails alone."""

import csv
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import sigcli.attribution.writers
from sigcli.cli.main import app
from sigcli.scenarios.burnt_snacks import study as burnt_snacks
from sigcli.scenarios.imagenette.study import Imagenette
from sigcli.scenarios.local_minimum import explaining, network
from sigcli.scenarios.local_minimum import study as local_minimum
from sigcli.scenarios.mnist import shared
from sigcli.scenarios.mnist import study as mnist
from sigcli.scenarios.mnist.data import SIDE
from sigcli.scenarios.mnist.in_space import InSpace
from sigcli.scenarios.mnist.masked import Masked
from sigcli.scenarios.two_features import study as two_features

QUICK = ["--images", 1, "--method", "zero=ig", "--set", "zero.steps=2", "--device", "cpu"]
TRAINED = {
    "burnt-snacks": (burnt_snacks.BurntSnacks, ["--steps", 2, *QUICK, "--images", 2]),
    "mnist": (mnist.Mnist, ["--data", "digits", "--steps", 2, *QUICK]),
    "mnist-in-space": (InSpace, ["--data", "digits", "--steps", 2, *QUICK]),
    "mnist-masked": (Masked, ["--data", "digits", "--steps", 2, *QUICK]),
    "imagenette": (
        Imagenette, ["--data", "classes", "--arch", "small-cnn", "--image-size", 32, "--set", "deletion.steps=2", *QUICK],
    ),
}  # fmt: skip
EPOCHS = ["--epochs", "0.1"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, cache):
    """Ten digits of each class as MNIST's files, and two classes of pictures; networks are trained once for all tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIG_CACHE", str(cache))
    for module in (burnt_snacks, shared, local_minimum):
        monkeypatch.setattr(module, "_REFERENCES", 4)
    for module in (burnt_snacks, network):
        monkeypatch.setattr(module, "_HELD", 32)
    draw = np.random.default_rng(0)
    Path("digits").mkdir()
    images, labels = draw.integers(0, 256, (100, SIDE, SIDE), dtype=np.uint8), np.arange(100, dtype=np.uint8) % 10
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        Path("digits", f"t10k-{name}-ubyte").write_bytes(header + array.tobytes())
    for name, level in (("dark", 60), ("light", 190)):
        Path("classes", name).mkdir(parents=True)
        for i in range(8):
            pixels = (level + draw.integers(-40, 40, (36, 40, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(Path("classes", name, f"{name}{i}.png"))
    return tmp_path


def sig(*arguments):
    return CliRunner().invoke(app, ["benchmark", "scenario", *map(str, arguments)])


def said(done):
    return " ".join(done.stderr.split())


def command(name):
    return [name, *TRAINED[name][1], *(EPOCHS if name == "imagenette" else []), "--out", "out"]


def contents(names, folder="out"):
    return {name: Path(folder, name).read_bytes() for name in names if Path(folder, name).exists()}


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", TRAINED)
def test_a_repeated_scenario_keeps_its_tables_until_the_new_ones_stand(name, monkeypatch):
    files = TRAINED[name][0].files
    done = sig(*command(name))
    assert done.exit_code == 0, done.output
    before = contents(files)
    assert set(before) == set(files)
    with monkeypatch.context() as patched:
        patched.setattr(sigcli.attribution.writers, "save_array", interrupted)
        assert sig(*command(name)).exit_code == 130
    assert contents(files) == before
    again = sig(*command(name), "--no-pictures")
    assert again.exit_code == 0, again.output
    pictures = {file for file in files if file.endswith(".png")}
    assert set(contents(files)) == set(files) - pictures  # no picture beside a table that it is not of
    tables = [file for file in files if file not in pictures and file != "training.csv"]
    assert contents(tables) == {file: before[file] for file in tables}
    owned = set(json.loads(Path("out", "manifest.json").read_text())["owns"])
    assert owned >= {*files, "network.safetensors"}


def test_a_network_of_another_run_or_of_nobody_is_not_replaced():
    trained = ["train", "classes", "--arch", "small-cnn", "--size", "16", "--epochs", "0.1", "--device", "cpu"]
    assert CliRunner().invoke(app, [*trained, "--no-pictures", "--out", "out"]).exit_code == 0
    before = contents(["network.safetensors", "training.csv", "manifest.json"])
    Path("strange").mkdir()
    Path("strange", "network.safetensors").write_bytes(b"someone's")
    for name in TRAINED:
        done = sig(*command(name))
        assert done.exit_code == 2
        assert "already holds another run" in said(done)
        assert contents(before) == before
        done = sig(*command(name)[:-1], "strange")
        assert done.exit_code == 2
        assert "contains network.safetensors, which sig did not write" in said(done)
        assert contents(before, "strange") == {"network.safetensors": b"someone's"}


@pytest.mark.parametrize("name", ["mnist", "imagenette"])
def test_a_scenario_that_ends_before_its_run_leaves_no_network(name):
    wrong = sig(*command(name), "--output", "oddity")
    assert wrong.exit_code == 2
    assert not list(Path("out").glob("*.safetensors"))


def test_what_fails_in_a_scenario_fails_alone(monkeypatch):
    """The network is asked about damaged digits too, and may raise for one of them."""
    right, calls = mnist.removal, []

    def removal(*given):
        calls.append(given)
        if len(calls) == 2:
            raise RuntimeError("a digit too far")
        return right(*given)

    monkeypatch.setattr(mnist, "removal", removal)
    done = sig(*command("mnist"), "--images", 3)
    assert done.exit_code == 1, done.output
    assert said(done).count("a digit too far") == 1
    with Path("out", "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [bool(row["deletion"]) for row in rows] == [True, False, True]
    assert [bool(row["ground"]) for row in rows] == [True] * 3
    assert ["a digit too far" in row["error"] for row in rows] == [False, True, False]


def test_one_input_of_the_local_minimum_fails_alone(monkeypatch):
    options = ["local-minimum", "--images", 3, "--steps", 2, "--method", "zero=ig,mean=ig", "--set", "steps=4"]
    options.append("--no-pictures")
    whole = sig(*options, "--out", "whole", "--json")
    assert whole.exit_code == 0, whole.output
    right = explaining.task

    def task(entry, options, scorer, subject, **given):
        if subject.key == 2 and options.get("baseline") == "mean":
            raise RuntimeError("not this one")
        return right(entry, options, scorer, subject, **given)

    monkeypatch.setattr(explaining, "task", task)
    done = sig(*options, "--out", "out", "--json")
    assert done.exit_code == 1, done.output
    assert said(done).count("failed: input 2 mean") == 1
    assert "not this one" in said(done)
    both = [[json.loads(line) for line in one.stdout.splitlines()] for one in (whole, done)]
    different = [(a["input"], a["method"]) for a, b in zip(*both, strict=True) if a != b]
    assert different == [(2, "mean")]


def test_a_method_that_fails_leaves_the_other_rows_of_two_features(monkeypatch):
    right = two_features.values

    def values(x, method, options, **given):
        if method.name == "gradient":
            raise RuntimeError("no gradient today")
        return right(x, method, options, **given)

    monkeypatch.setattr(two_features, "values", values)
    done = sig("two-features", "--method", "ig,gradient", "--out", "out")
    assert done.exit_code == 1, done.output
    assert "failed: gradient" in said(done)
    with Path("out", "values.csv").open() as stream:
        found = {(row["method"], row["input"], row["feature"]): float(row["value"]) for row in csv.DictReader(stream)}
    assert {name for name, _, _ in found} == {"bshap", "shap", "ig"}
    assert found["ig", "A", "1"] == pytest.approx(1, abs=1e-3)

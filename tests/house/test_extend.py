"""Adding to sig is one function and one line in a table: a fake of each kind runs through the command line at once."""

import csv
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from sigcli.attribution.formats import FORMATS
from sigcli.baselines import BASELINES
from sigcli.catalog import Entry
from sigcli.cli.main import app
from sigcli.inputs.samples import sample_images
from sigcli.methods import METHODS
from sigcli.metrics import METRICS
from sigcli.metrics.case import Measurement
from sigcli.types import Attribution

STAR = str(sample_images() / "star.png")


def brightness(passes, subject, *, power: float = 1.0):
    """The picture itself as a map."""
    return Attribution(subject.picture**power, passes.score(subject), passes.evaluations)


def chessboard(subject, argument):
    """Black and white in turn."""
    height, width = subject.x.shape[-2:]
    white = (torch.arange(height)[:, None] + torch.arange(width)) % 2
    return torch.where(white.bool().to(subject.x.device), subject.high, subject.low).expand_as(subject.x)


def largest(case, *, scale: float = 1.0):
    """The largest attribution of a pixel."""
    return Measurement(scale * float(case.relevance.max()))


def hits(predicted, labels):
    """How many images are named rightly."""
    return float((predicted == labels).sum())


def facts(base: Path, page):
    """The facts of an explanation as JSON."""
    name = f"{page.item.name}.json"
    (base / name).write_text(json.dumps({"score": page.item.score}))
    return [name]


@pytest.fixture
def extend(monkeypatch):
    """Add lines to tables for one test: `extend(METHODS, Entry(…))`."""
    module = types.ModuleType("sigcli.fake")
    for function in (brightness, chessboard, largest, hits, facts):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "sigcli.fake", module)
    added = []

    def add(table, entry):
        table.add(entry)
        added.append((table, entry.name))

    yield add
    for table, name in added:
        table.remove(name)


def sig(*arguments):
    done = CliRunner().invoke(app, [*arguments, "--no-pictures"])
    assert done.exit_code == 0, done.output
    return done


def test_a_method(extend, tmp_path):
    extend(METHODS, Entry("brightness", "fake:brightness", "the picture", METHODS["rise"].properties))
    sig(
        "explain", STAR, "--method", "brightness,mine=brightness", "--set", "mine.power=2", "--out", str(tmp_path / "o")
    )
    one, two = (np.load(tmp_path / "o" / "star" / f"{name}.npy") for name in ("brightness", "mine"))
    assert np.allclose(one**2, two, atol=1e-6)
    assert "power" in CliRunner().invoke(app, ["list", "methods", "brightness"]).output


def test_a_baseline(extend, tmp_path):
    extend(BASELINES, Entry("chessboard", "fake:chessboard", "black and white in turn"))
    options = ("--method", "ig", "--baseline", "chessboard", "--set", "steps=3")
    sig("explain", STAR, *options, "--out", str(tmp_path / "o"))
    manifest = json.loads((tmp_path / "o" / "manifest.json").read_text())
    assert manifest["spec"]["methods"]["ig"]["baseline"] == "chessboard"


def test_metrics_of_maps_and_of_the_model(extend, tmp_path):
    extend(
        METRICS, Entry("largest", "fake:largest", "the largest", METRICS["sparseness"].properties | {"unit": "score"})
    )
    told = METRICS["accuracy"].properties | {"takes": ("predicted", "labels"), "interval": "", "unit": "images"}
    extend(METRICS, Entry("hits", "fake:hits", "right answers", told))
    (tmp_path / "labels.csv").write_text("image,label\nstar.png,star\n")
    sig(
        "evaluate", STAR, "--method", "gradient", "--metric", "largest,twice=largest", "--set", "twice.scale=2",
        "--labels", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "o"),
    )  # fmt: skip
    with (tmp_path / "o" / "metrics.csv").open() as stream:
        values = {row["metric"]: float(row["value"]) for row in csv.DictReader(stream)}
    assert values["twice"] == pytest.approx(2 * values["largest"], rel=1e-5)
    with (tmp_path / "o" / "summary.csv").open() as stream:
        assert [row["mean"] for row in csv.DictReader(stream) if row["metric"] == "hits"] == ["1"]


def test_an_output_format(extend, tmp_path):
    known = {"of": ("picture",), "drawn": False, "endings": (".json",)}
    extend(FORMATS, Entry("json", "fake:facts", "the facts", known))
    out = str(tmp_path / "o")
    sig("explain", STAR, "--method", "gradient", "--out", out)
    file = tmp_path / "o" / "star" / "gradient.json"
    score = json.loads(file.read_text())["score"]
    assert score > 0
    file.unlink()  # it belongs to the run, and is made again
    sig("explain", STAR, "--method", "gradient", "--out", out, "--resume")
    assert json.loads(file.read_text())["score"] == score
    sig("explain", STAR, "--method", "ig", "--set", "steps=2", "--out", out, "--overwrite")
    assert not file.exists()


def test_a_stranger_s_file_of_such_a_format_is_left_alone(extend, tmp_path):
    known = {"of": ("picture",), "drawn": False, "endings": (".json",)}
    extend(FORMATS, Entry("json", "fake:facts", "the facts", known))
    folder = tmp_path / "o" / "star"
    folder.mkdir(parents=True)
    (folder / "gradient.json").write_text("mine")
    done = CliRunner().invoke(app, ["explain", STAR, "--method", "gradient", "--out", str(tmp_path / "o")])
    assert done.exit_code == 2
    assert (folder / "gradient.json").read_text() == "mine"


def test_two_lines_of_one_name_are_refused(extend):
    with pytest.raises(ValueError, match="two methods are named 'ig'"):
        METHODS.add(Entry("fake", "fake:brightness", "", {}, ("ig",)))
    assert "fake" not in METHODS


def net():
    """A network for the fake model source."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


def thumbnail(base: Path, page):
    """The map as a TIFF."""
    name = f"{page.item.name}.tif"
    page.heatmap().save(base / name)
    return [name]


def test_a_drawn_format_is_drawn_anew_and_not_computed_anew(extend, tmp_path):
    sys.modules["sigcli.fake"].thumbnail = thumbnail
    out, command = tmp_path / "o", ["explain", STAR, "--method", "gradient", "--out", str(tmp_path / "o")]
    assert CliRunner().invoke(app, command).exit_code == 0
    extend(
        FORMATS, Entry("tiff", "fake:thumbnail", "a TIFF", {"of": ("picture",), "drawn": True, "endings": (".tif",)})
    )
    file, array = out / "star" / "gradient.tif", out / "star" / "gradient.npy"
    before = array.stat().st_mtime_ns
    for _ in range(2):  # a format that was added later, and a picture that was lost
        done = CliRunner().invoke(app, [*command, "--resume"])
        assert done.exit_code == 0
        assert "made again" not in done.output
        assert array.stat().st_mtime_ns == before
        file.unlink()

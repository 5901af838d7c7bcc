"""Every method explains a bundled picture with the bundled network, which takes a second, optional input."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from sigcli import explain
from sigcli.errors import UsageError
from sigcli.methods import METHODS

from repository import ROOT

STAR = ROOT / "sample_images" / "star.png"
CHEAP = {"samples": 4, "steps": 3, "orders": 4, "budget": 60, "players": "grid:3x3", "stages": 2, "iterations": 3}
ATTENTION = tuple(name for name, entry in METHODS.items() if entry.properties.get("only") == "attention")
TRACED = ("guided-backprop", "deconvolution", "guided-gradcam", "deeplift", "deepshap", "lrp")
"""These trace the network's code, which the type checks of the tests do not let stand-ins through: run without them."""
OF_CERTAINTY = tuple(name for name, entry in METHODS.items() if entry.properties.get("certainty"))
OF_ONE_KIND = ("linear-shap", "max-shap")
REFUSING = {
    "linear-shap": "linear",
    "max-shap": "the maximum of what its players contribute",
    "cam": "one linear layer",
}


@pytest.mark.parametrize("method", [name for name in METHODS if name not in (*TRACED, *ATTENTION)])
def test_every_method_runs_on_the_bundled_network(method):
    options = {name: value for name, value in CHEAP.items() if name in METHODS[method].options()}
    if method == "kernelshap":
        options["budget"] = 200
    references = [str(STAR), str(STAR.with_name("heart.png"))]
    asked = {"method": method, "settings": options, "references": references, "device": "cpu", "seed": 1}
    if method in OF_ONE_KIND:
        with pytest.raises(UsageError, match=REFUSING[method]):
            explain(STAR, write=False, **asked)
        return
    (found,) = explain(STAR, write=False, **asked)
    assert found.status == "ok", found.error
    assert found.values.shape == ((1 if method == "icg" else 3), 128, 128)
    assert np.isfinite(found.values).all()
    assert np.abs(found.values).max() > 0


NOT_OF_TRANSFORMERS = {
    "guided-backprop": "ReLU",
    "deconvolution": "ReLU",
    "guided-gradcam": "ReLU",
}


@pytest.mark.parametrize("method", [name for name in METHODS if name not in OF_CERTAINTY])
def test_every_method_runs_on_the_bundled_transformer(method):
    options = {name: value for name, value in CHEAP.items() if name in METHODS[method].options()}
    if method == "kernelshap":
        options["budget"] = 200
    references = [str(STAR), str(STAR.with_name("heart.png"))]
    why = {**REFUSING, **NOT_OF_TRANSFORMERS}
    asked = {"model": "shapes-vit", "method": method, "settings": options, "references": references, "device": "cpu"}
    if method in ("cam", *OF_ONE_KIND, *NOT_OF_TRANSFORMERS):
        with pytest.raises(UsageError, match=why[method]):
            explain(STAR, write=False, **asked)
        return
    (found,) = explain(STAR, write=False, **asked)
    assert found.status == "ok", found.error
    assert found.values.shape == (3, 128, 128)
    assert np.isfinite(found.values).all()
    assert np.abs(found.values).max() > 0


BOTH = """
import json, sys
from typer.testing import CliRunner
from sigcli.cli.main import app
for line in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, line)
    if done.exit_code:
        sys.exit(done.output)
"""


@pytest.mark.slow
def test_methods_that_trace_the_network_run_on_the_bundled_one(tmp_path):
    """Whole, and with an area masked; both in one process, which starts as long as it works."""
    asked = {"whole": (TRACED, []), "masked": (TRACED[:3], ["--mask-certainty", "0.6,0,1,0.5"])}
    lines = []
    for name, (methods, mask) in asked.items():
        command = ["explain", str(STAR), "--method", ",".join(methods), "--references", str(STAR.parent / "heart.png")]
        where = ["--references", str(STAR), "--device", "cpu", "--no-pictures", "--out", str(tmp_path / name)]
        lines.append([*command, *where, *mask])
    done = subprocess.run([sys.executable, "-c", BOTH, json.dumps(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, (methods, _) in asked.items():
        with (tmp_path / name / "results.csv").open(encoding="utf-8", newline="") as stream:
            assert [row["method"] for row in csv.DictReader(stream)] == list(methods)
        for method in methods:
            assert np.abs(np.load(tmp_path / name / "star" / f"{method}.npy")).max() > 0

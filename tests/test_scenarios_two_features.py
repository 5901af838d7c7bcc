"""Table 1 of Integrated Certainty Gradients, from the function without a network."""

import csv
import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sigcli.app.scenario import scenario
from sigcli.app.two_features import two_features, values
from sigcli.cli.main import app
from sigcli.errors import OutputError, UsageError
from sigcli.methods.straight import ig
from sigcli.scenarios.two_features import PAPER, POINTS, baseline_shap, conditional_shap, score, within

NEAR = 0.01


def integrated(x):
    return values(x, ig, {"steps": 2000, "rule": "riemann-middle"}, key=0, seed=0)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(
    ("name", "function"), [("bshap", baseline_shap), ("shap", conditional_shap), ("ig", integrated)]
)
def test_table_1(name, function, point):
    assert np.abs(function(POINTS[point]) - PAPER[name][point]).max() < NEAR


def test_the_slip_in_table_1():
    """With 0.66 beside it -0.09 sums to 1 - 0.434, -0.11 does not."""
    found = conditional_shap(POINTS["A"])
    assert found.sum() == pytest.approx(1 - 0.434167, abs=1e-4)
    assert abs(found[0] + 0.11) > NEAR


def test_the_score_is_the_soft_range_of_fig_2():
    x = torch.tensor([0.0, 0.2, 0.25, 0.3, 0.375, 0.45, 0.5, 0.55, 1.0], dtype=torch.float64)
    assert torch.allclose(within(x), torch.tensor([0, 0, 0.5, 1, 1, 1, 0.5, 0, 0], dtype=torch.float64), atol=1e-12)
    assert torch.equal(score(torch.stack([x, x.flip(0)], 1)), torch.maximum(within(x), within(x.flip(0))))


def test_command_writes_table_and_figure(tmp_path):
    done = CliRunner().invoke(
        app, ["benchmark", "scenario", "two-features", "--method", "ig", "--out", str(tmp_path), "--json"]
    )
    assert done.exit_code == 0, done.output
    found = {(r["method"], r["input"], r["feature"]): r["value"] for r in map(json.loads, done.stdout.splitlines())}
    assert found["ig", "B", 1] == pytest.approx(-1, abs=NEAR)
    assert "as corrected" in done.stderr
    with (tmp_path / "values.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == len(found) == 12
    assert (tmp_path / "landscape.png").stat().st_size > 10_000


def test_verdict_says_who_transfers(tmp_path):
    verdict = two_features(method="ig,sig-walk", out=tmp_path, pictures=False)
    assert "by bshap, shap, sig-walk" in verdict.findings[0]
    assert "not by ig" in verdict.findings[1]
    assert not (tmp_path / "landscape.png").exists()


def test_wrong_use(tmp_path):
    with pytest.raises(UsageError, match=r"unknown scenario .*\n.*Did you mean 'two-features'"):
        scenario("two-feature")
    with pytest.raises(UsageError, match=r"no such option.*--images"):
        scenario("two-features", images=3)
    (tmp_path / "values.csv").write_text("mine")
    with pytest.raises(OutputError, match="not of a run"):
        two_features(out=tmp_path)

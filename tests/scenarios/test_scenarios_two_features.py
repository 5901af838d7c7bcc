"""Table 1 of Integrated Certainty Gradients, from the function without a network."""

import csv
import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.errors import OutputError, UsageError
from sigcli.methods import METHODS
from sigcli.scenarios.scenario import run_scenario
from sigcli.scenarios.two_features.data import PAPER, POINTS, baseline_shap, conditional_shap, score, within
from sigcli.scenarios.two_features.study import values

NEAR = 0.01


def integrated(x):
    return values(x, METHODS["ig"], {"steps": 2000, "rule": "riemann-middle"}, key=0, seed=0)[0]


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
    verdict = run_scenario("two-features", method="ig,sig-walk", out=tmp_path, pictures=False)
    assert "by bshap, shap, sig-walk" in verdict.findings[0]
    assert "not by ig" in verdict.findings[1]
    assert not (tmp_path / "landscape.png").exists()


def test_wrong_use(tmp_path):
    with pytest.raises(UsageError, match=r"unknown scenario .*\n.*Did you mean 'two-features'"):
        run_scenario("two-feature")
    with pytest.raises(UsageError, match=r"no such option.*--images"):
        run_scenario("two-features", images=3)
    (tmp_path / "values.csv").write_text("mine")
    with pytest.raises(OutputError, match="sig did not write"):
        run_scenario("two-features", out=tmp_path)


def slopes(x):
    """Gradient of the larger of two ranges, at points (…, 2), from the ramps' formula."""
    inside = np.clip(np.minimum((x - 0.2) / 0.1, (0.55 - x) / 0.1), 0, 1)
    slope = np.where((x > 0.2) & (x < 0.3), 10.0, np.where((x > 0.45) & (x < 0.55), -10.0, 0.0))
    first = inside[..., :1] > inside[..., 1:]
    return slope * np.concatenate([first, ~first], -1)


def line(start, end, nodes=40_000):
    alpha = (np.arange(nodes)[:, None] + 0.5) / nodes
    start, end = np.asarray(start, float), np.asarray(end, float)
    return slopes(start + alpha * (end - start)).mean(0) * (end - start)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return run_scenario("two-features", out=tmp_path_factory.mktemp("features"), pictures=False)


@pytest.mark.parametrize("point", POINTS)
def test_rows_of_known_answers_are_right_as_printed(table, point):
    """SIG by hand: from each coalition's image to x; ∅ has 1/2, the two others 1/4."""
    x = np.array(POINTS[point])
    corners = [(0.5, np.zeros(2)), (0.25, np.array([x[0], 0.0])), (0.25, np.array([0.0, x[1]]))]
    sig = sum(weight * line(corner, x) for weight, corner in corners)
    walk = (line([0, 0], [x[0], 0]) + line([x[0], 0], x) + line([0, 0], [0, x[1]]) + line([0, x[1]], x)) / 2
    rows = {row["method"]: row for row in table.rows}
    for name, expected in {"sig": sig, "ig": line([0, 0], x), "sig-walk": walk}.items():
        for feature in (0, 1):
            assert abs(rows[name][f"{point}{feature + 1}"] - expected[feature]) < 0.004, name


@pytest.mark.parametrize("point", POINTS)
def test_rows_that_are_drawn_carry_their_error(table, point):
    """Expected Gradients from uniform noise, by a grid of references: within three standard errors, which are told."""
    x, cells = np.array(POINTS[point]), 120
    place = (np.arange(cells) + 0.5) / cells
    grid = np.stack(np.meshgrid(place, place), -1).reshape(-1, 1, 2)
    points = grid + place[:, None] * (x - grid)
    expected = (slopes(points) * (x - grid)).mean((0, 1))
    for feature in (0, 1):
        record = next(r for r in table.records if (r["method"], r["input"], r["feature"]) == ("eg", point, feature + 1))
        assert abs(record["value"] - expected[feature]) < 3 * record["stderr"] + 0.003
        assert 0 < record["stderr"] < 0.02
        assert " ± 0.0" in next(row for row in table.rows if row["method"] == "eg")[f"{point}{feature + 1}"]

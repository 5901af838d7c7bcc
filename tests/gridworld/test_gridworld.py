"""Stand-ins, estimators, segments, tables, figures and the command, on small grids."""

from __future__ import annotations

import csv
import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.errors import BudgetError, OutputError, UsageError
from sigcli.gridworld import ESTIMATORS
from sigcli.gridworld.estimators import least_budget
from sigcli.gridworld.options import GridworldOptions
from sigcli.gridworld.rewards import REWARDS
from sigcli.gridworld.run import run_gridworld
from sigcli.gridworld.segments import sample_segments
from sigcli.gridworld.standin import Recipe, StandIns, coverage_codes, train
from sigcli.gridworld.study import Condition, measure, prepare
from sigcli.gridworld.world import World
from sigcli.listener import Listener
from sigcli.metrics.statistics import mean_interval
from sigcli.shapley.game import members_of

QUICK = Recipe(steps=150, batch=64)


@pytest.fixture(scope="module")
def trained():
    """Three networks on the 1x3 grid, 7 players."""
    return prepare(Condition(World(1, 3), "r2", REWARDS["r2"]), runs=3, coverage=0.8, seed=4, recipe=QUICK)


def networks(runs: int = 2, n: int = 5) -> StandIns:
    g = torch.Generator().manual_seed(0)
    shapes = ((64, n), (32, 64), (1, 32))
    weights = [torch.randn(runs, *shape, generator=g) / shape[1] ** 0.5 for shape in shapes]
    biases = [torch.randn(runs, shape[0], generator=g) for shape in shapes]
    return StandIns(tuple(weights), tuple(biases))


def test_gradients_of_the_stand_ins_are_those_of_autograd():
    nets = networks()
    images = torch.rand(9, 1, 1, 5)
    targets = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 1])
    values, gradients = nets.gradients(images, targets)
    for i in range(9):
        leaf = images[i].flatten().clone().requires_grad_()
        h = leaf
        for layer, (w, b) in enumerate(zip(nets.weights, nets.biases, strict=True)):
            h = w[targets[i]] @ (h if not layer else h.relu()) + b[targets[i]]
        (expected,) = torch.autograd.grad(h[0], leaf)
        torch.testing.assert_close(values[i], h[0].detach(), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(gradients[i].flatten(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(nets.scores(images, targets), values, atol=1e-5, rtol=1e-5)


def test_a_network_as_a_game_has_its_scores():
    nets = networks()
    members = members_of(np.arange(32), 5)
    for run in range(2):
        rows = torch.from_numpy(members.astype(np.float32))[:, None, None]
        expected = nets.scores(rows, torch.full((32,), run))
        np.testing.assert_allclose(nets.game(run)(members), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_coverage_is_a_share_without_repetition():
    codes = coverage_codes(8, 0.4, 1)
    assert len(codes) == len(set(codes.tolist())) == 102
    assert not np.array_equal(codes, coverage_codes(8, 0.4, 2))
    assert len(coverage_codes(4, 0.001, 1)) == 2


def test_networks_learn_the_game_and_do_so_again(trained):
    assert all(check.pearson > 0.95 for check in trained.checks)
    codes = np.stack(trained.codes)
    again, other = (train(trained.condition.values, codes, Recipe(20, 64), key=key) for key in (1, 2))
    third = train(trained.condition.values, codes, Recipe(20, 64), key=1)
    assert all(torch.equal(a, b) for a, b in zip(again.weights, third.weights, strict=True))
    assert not torch.equal(again.weights[0], other.weights[0])
    assert not torch.equal(again.weights[0][0], again.weights[0][1])


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_every_estimator_keeps_the_contract(name, trained):
    found = measure(trained, name, 120)
    again = measure(trained, name, 120)
    assert len(found) == 3
    for one, other in zip(found, again, strict=True):
        assert one.estimate.values.shape == (7,)
        assert np.isfinite(one.estimate.values).all()
        np.testing.assert_array_equal(one.estimate.values, other.estimate.values)
        assert one.estimate.evaluations <= (120 if ESTIMATORS[name].properties["budgeted"] else 2**7)
    assert not np.array_equal(found[0].estimate.values, found[1].estimate.values)


@pytest.mark.parametrize(("name", "tolerance"), [("sig-walk", 0.01), ("permutation", 0.08), ("kernelshap", 1e-6)])
def test_unbiased_estimators_come_to_the_exact_values(name, tolerance, trained):
    """With so large a budget sig-walk takes every move and KernelSHAP every coalition."""
    for found in measure(trained, name, 20_000):
        assert found.error < tolerance


def test_complete_estimators_sum_to_the_difference_they_should(trained):
    for name in ("zero", "sig-walk", "permutation", "kernelshap", "exact"):
        for found in measure(trained, name, 10_000 if name == "sig-walk" else 800):
            value = trained.networks.game(found.run)(np.array([[False] * 7, [True] * 7]))
            exactly = name in ("sig-walk", "permutation", "kernelshap", "exact")  # by construction, in float32
            tolerance = 1e-5 if exactly else 2e-3
            assert found.estimate.values.sum() == pytest.approx(value[1] - value[0], abs=tolerance), name


def test_ig_on_a_players_own_segment_is_its_marginal_difference(trained):
    """[ES] Theorem 3: exact where the network is straight between the two coalitions, and in the limit everywhere."""
    segments = sample_segments(trained.trial(0, 10), steps=(1, 10, 2000))
    errors = {steps: np.abs(values - segments.marginal).max() for steps, values in segments.integral.items()}
    assert errors[2000] < 2e-3
    assert errors[2000] < errors[10] < errors[1]
    weights, biases = trained.networks.weights, trained.networks.biases
    lifted = StandIns(weights, (biases[0] + 100, biases[1] + 1e4, biases[2]))  # every ReLU open: a straight network
    straight = sample_segments(type(trained.trial(0, 10))(lifted, 0, trained.trial(0, 10).sampled), steps=(1,))
    np.testing.assert_allclose(straight.integral[1], straight.marginal, atol=0.05, rtol=1e-3)
    for row, player in enumerate(segments.player):
        assert 0 <= segments.size[row] <= 6
        assert 0 <= player < 7


def test_the_interval_is_students():
    values = [1.0, 2.0, 4.0, 4.5]
    found = mean_interval([*values, float("nan")])
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.mean, found.n) == (pytest.approx(np.mean(values)), 4)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert mean_interval([3.0]).low is None
    assert mean_interval([float("nan")]).mean is None


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


SMALL = {"grid": "1x2,1x3", "reward": "r2", "runs": 2, "steps": 40, "samples": 100}


class Stages(Listener):
    """Keeps the stages that it hears of."""

    def __init__(self, seen):
        self.seen = seen

    def stage(self, stage, done, total, point=None):
        self.seen.append(stage)


@pytest.mark.slow
def test_a_study_leaves_tables_that_agree_and_pictures(tmp_path):
    seen = []
    study = run_gridworld(GridworldOptions(**SMALL, sweep="samples", out=tmp_path / "a"), Stages(seen))
    assert {stage.split(":")[0] for stage in seen} == {"1x2 r2", "1x3 r2"}
    estimates, summary = rows_of(tmp_path / "a" / "estimates.csv"), rows_of(tmp_path / "a" / "summary.csv")
    assert len(estimates) == len(ESTIMATORS) * 2 * (4 + 7)
    shapley = {(r["grid"], r["player"]): float(r["shapley"]) for r in rows_of(tmp_path / "a" / "shapley.csv")}
    for row in summary:
        if row["part"] != "study" or row["metric"] != "spearman" or row["estimator"] != "sig":
            continue
        values = []
        for run in "01":
            mine = [e for e in estimates if (e["grid"], e["run"], e["estimator"]) == (row["grid"], run, "sig")]
            truth = [shapley[row["grid"], e["player"]] for e in mine]
            values.append(stats.spearmanr([float(e["value"]) for e in mine], truth).statistic)
        assert float(row["mean"]) == pytest.approx(np.mean(values), abs=1e-5)
    means = {(r["grid"], r["estimator"], r["metric"]): r for r in summary if r["part"] == "study"}
    for grid in ("1x2", "1x3"):
        for metric in ("spearman", "error"):
            sig, zero = (float(means[grid, name, metric]["mean"]) for name in ("sig", "zero"))
            assert float(means[grid, "zero", metric]["sig_minus_it_mean"]) == pytest.approx(sig - zero, abs=2e-5)
    exact = [r for r in rows_of(tmp_path / "a" / "shapley.csv") if r["grid"] == "1x3"]
    assert sum(Fraction(r["exact"]) for r in exact) == Fraction(exact[0]["grand_coalition"])
    assert {r["part"] for r in summary} == {"study", "curve", "sweep"}
    assert all(float(r["pearson"]) <= 1 for r in rows_of(tmp_path / "a" / "standin.csv"))
    for name in ("game", "standin", "spearman", "error", "timing", "segments", "sweep"):
        with Image.open(tmp_path / "a" / f"{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    again = run_gridworld(**{**SMALL, "grid": "1x2"}, sweep="samples", out=tmp_path / "b", pictures=False)
    assert repr(study) == f"Study(1x2 r2, 1x3 r2: {len(ESTIMATORS)} estimators, folder={str(tmp_path / 'a')!r})"
    drawn = study.plot(tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "a" / "spearman.png").read_bytes()
    with Image.open(tmp_path / "again.png") as picture:
        assert drawn.size == picture.size
    assert (again.estimators, len(study.cases)) == (tuple(ESTIMATORS), 2)
    for name in ("shapley", "standin", "estimates", "summary", "segments"):
        before = [row for row in rows_of(tmp_path / "a" / f"{name}.csv") if row["grid"] == "1x2"]
        assert before == rows_of(tmp_path / "b" / f"{name}.csv") != []


def test_a_sweep_over_coverage_trains_anew_for_each_share():
    study = run_gridworld(
        grid="1x2", reward="r1", runs=1, steps=10, estimators="zero,exact", sweep="coverage", write=False
    )
    points = study.cases[0].sweep
    assert [p.value for p in points] == [p.coverage for p in points] == [0.1, 0.2, 0.4, 0.6, 0.8]
    assert len({float(p.measured[0].estimate.values[0]) for p in points}) == 5
    assert {m.estimator for p in points for m in p.measured} == {"zero"}


def test_estimators_that_cannot_run_within_the_budget_say_so():
    with pytest.raises(BudgetError, match="kernelshap needs at least 16"):
        run_gridworld(grid="1x3", reward="r1", runs=1, steps=5, samples=10, estimators="kernelshap", write=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"grid": "3x3"}, "33 players"),
        ({"grid": "two"}, "rows x columns"),
        ({"grid": ""}, "no grid"),
        ({"reward": ","}, "no reward"),
        ({"runs": 10**9}, "at most 1000"),
        ({"samples": 10**8}, "at most 10000000"),
        ({"reward": "r3"}, "unknown reward"),
        ({"reward": "nowhere:f"}, "cannot be loaded"),
        ({"runs": 0}, "runs must be at least 1"),
        ({"coverage": 1.5}, "coverage"),
        ({"coverage": 0.0}, "coverage"),
        ({"samples": 0}, "samples must be"),
        ({"sweep": "runs"}, "unknown sweep"),
        ({"estimators": "sgi"}, "sig"),
        ({"estimators": ","}, "no estimator"),
        ({"steps": 0}, "steps must be"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_done(options, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        run_gridworld(**{**SMALL, **options}, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_command_shows_a_table_and_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gold.py").write_text("def rush(step):\n    return None if step.arrived else 1.0\n")
    arguments = [
        "gridworld",
        "--grid",
        "1x2",
        "--reward",
        "gold:rush",
        "--runs",
        "2",
        "--steps",
        "20",
        "--samples",
        "60",
    ]
    done = CliRunner().invoke(app, [*arguments, "--estimators", "zero,sig,sig-walk", "--json"])
    assert done.exit_code == 0, done.output
    assert "sig-walk" in done.stderr
    assert "4 players" in done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert {r["estimator"] for r in records} == {"zero", "sig", "sig-walk"}
    assert (tmp_path / "sig-gridworld" / "manifest.json").exists()
    other = CliRunner().invoke(app, [*arguments, "--seed", "3", "--out", "sig-gridworld"])
    assert other.exit_code == 2
    assert "already holds another run" in other.stderr
    wrong = CliRunner().invoke(app, ["gridworld", "--estimators", "shap"])
    assert wrong.exit_code == 2
    assert "kernelshap" in wrong.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "more"),
    [
        ("return 0", ["--reward", "r1,NAME:reward"]),  # beside a game with differences, by every estimator
        *(
            (f"return {few}", ["--reward", "NAME:reward", "--estimators", "zero,sig,kernelshap"])
            for few in (None, 1e-10)
        ),
    ],
)
def test_a_game_without_differences_is_told_and_drawn(source, more, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"flat{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(f"def reward(step):\n    {source}\n")
    arguments = ["gridworld", "--grid", "1x2", "--runs", "2", "--steps", "10", "--samples", "60", "--out", "out"]
    done = CliRunner().invoke(app, [*arguments, *(one.replace("NAME", name) for one in more)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "timing.png").exists()


def test_a_changed_reward_is_another_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"grid": "1x2", "runs": 1, "steps": 5, "estimators": "zero"}
    first = run_gridworld(reward="r1", **options)
    monkeypatch.setitem(REWARDS, "r1", lambda step: None if step.arrived else 2.0)
    second = run_gridworld(reward="r1", **options)
    assert (first.folder.name, second.folder.name) == ("sig-gridworld", "sig-gridworld-2")


def test_budgets_are_checked_before_anything_is_trained(tmp_path):
    seen = []
    options = {"grid": "2x2", "reward": "r1", "runs": 1, "steps": 5, "samples": 50, "out": tmp_path / "x"}
    with pytest.raises(BudgetError, match=r"sig-effective needs at least 192 evaluations on 2x2 \(given: --samples 50"):
        run_gridworld(GridworldOptions(**options, estimators="zero,sig-effective"), Stages(seen))
    assert not seen
    assert not (tmp_path / "x").exists()
    study = run_gridworld(**options)
    assert "sig-effective" not in {m.estimator for m in study.cases[0].measured}
    assert {"zero", "sig-walk", "kernelshap"} <= {m.estimator for m in study.cases[0].measured}
    for name, entry in ESTIMATORS.items():
        if entry.properties["budgeted"]:
            least = least_budget(name, 7)
            found = measure(_tiny(), name, least)
            assert found[0].estimate.evaluations <= least


def _tiny():
    return prepare(Condition(World(1, 3), "r1", REWARDS["r1"]), runs=1, coverage=0.8, recipe=Recipe(2, 8))


def test_files_that_are_not_of_a_run_are_left_alone(tmp_path):
    (tmp_path / "summary.csv").write_text("mine")
    with pytest.raises(OutputError, match="sig did not write"):
        run_gridworld(grid="1x2", reward="r1", runs=1, steps=5, estimators="zero", out=tmp_path)
    assert (tmp_path / "summary.csv").read_text() == "mine"


@pytest.mark.parametrize("columns", [1, 2])
def test_titles_lie_within_their_figure(columns, tmp_path):
    from sigcli.render.plots.panels import panels

    title = "What each move is worth: exact Shapley values of the (cell, action) players, and more words than one line holds"
    with panels(tmp_path / "a.png", columns, size=(4.4, 3.0), title=title) as axes:
        figure = axes[0].figure
    box = figure._suptitle.get_window_extent(figure.canvas.get_renderer())
    assert box.x0 > 0
    assert box.x1 < figure.bbox.width


def test_another_run_is_not_overwritten(tmp_path):
    options = {**SMALL, "grid": "1x2", "estimators": "zero"}
    run_gridworld(**options, out=tmp_path)
    with pytest.raises(OutputError, match="another run"):
        run_gridworld(**{**options, "runs": 1}, out=tmp_path)
    run_gridworld(**{**options, "runs": 1}, out=tmp_path, overwrite=True)
    assert len(rows_of(tmp_path / "standin.csv")) == 1

"""`shap-convergence`: exact values over all coalitions by hand, LIME against scikit-learn's ridge, and the table."""

import csv

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sigcli import draws
from sigcli.errors import UsageError
from sigcli.scenarios.scenario import run_scenario
from sigcli.scenarios.shap_convergence import study as shap_convergence

from toys import shapley


@pytest.mark.parametrize("model", ["dense", "sparse"])
def test_the_exact_value_is_that_over_all_coalitions(model):
    game, right, feature = shap_convergence.tree_game(model, 0)
    n, used = {"dense": (10, 10), "sparse": (100, 3)}[model]
    sets = [frozenset(i for i in range(used) if code >> i & 1) for code in range(2**used)]
    members = np.zeros((len(sets), n), bool)
    for row, some in zip(members, sets, strict=True):
        row[list(some)] = True
    values = shapley(dict(zip(sets, game(members).tolist(), strict=True)))
    assert feature == int(np.abs(values).argmax())
    assert right == pytest.approx(values[feature], abs=1e-9)
    if model == "sparse":  # the other 97 features are dummies
        members[:, 3:] = np.random.default_rng(0).random((8, 97)) < 0.5
        assert np.allclose(game(members), [game(m[None])[0] for m in members & (np.arange(100) < 3)])


def test_lime_is_a_weighted_ridge_with_an_intercept():
    rng = np.random.default_rng(1)
    slopes = rng.normal(size=6)
    game = lambda m: np.tanh(m @ slopes) + m[:, 0] * m[:, 1]  # noqa: E731
    key = draws.stream(0, "lime")
    members = draws.rows(key, 0, 40, 6) < 0.5
    members[0] = True
    distance = np.sqrt((~members).sum(1))
    found = shap_convergence.lime(game, 6, 40, key)
    right = Ridge(alpha=1.0).fit(members.astype(float), game(members), np.exp(-(distance**2) / 6 / 0.75**2 / 2)).coef_
    assert np.allclose(found, right, atol=1e-9)


def test_the_scenario(tmp_path, monkeypatch):
    monkeypatch.setattr(shap_convergence, "BUDGETS", {"dense": (22, 1024), "sparse": (202,)})
    found = run_scenario("shap-convergence", images=4, out=tmp_path / "out")
    with (tmp_path / "out" / "estimates.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(found.rows) == 9
    assert all(float(row["p10"]) <= float(row["median"]) <= float(row["p90"]) for row in rows)
    whole = next(row for row in rows if row["evaluations"] == "1024" and row["method"] == "kernelshap")
    for name in ("p10", "median", "p90"):
        assert float(whole[name]) == pytest.approx(float(whole["exact"]), rel=1e-4)  # all 2^10 coalitions
    assert (tmp_path / "out" / "convergence.png").stat().st_size > 10_000
    with pytest.raises(UsageError, match="at least 2 replicates"):
        run_scenario("shap-convergence", images=1, out=tmp_path / "other")

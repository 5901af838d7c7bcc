"""`shapley-regression` against scikit-learn's fits, orders by hand, and a closed form."""

import csv
from itertools import permutations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from sigcli.errors import UsageError
from sigcli.scenarios.scenario import run_scenario
from sigcli.scenarios.shapley_regression.study import retrained
from sigcli.shapley.exact import exact


def data(columns=4, rows=30):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns))  # correlated features
    return x, x @ rng.normal(size=columns) + 0.5 * rng.normal(size=rows) + 3


def test_values_are_means_over_orders_of_models_fitted_anew():
    x, y = data()
    r2, said = {(): 0.0}, {(): y.mean()}
    right = np.zeros((2, 4))
    for order in permutations(range(4)):
        for k in range(4):
            for chosen in (tuple(sorted(order[:k])), tuple(sorted(order[: k + 1]))):
                if chosen not in r2:
                    net = LinearRegression().fit(x[:, chosen], y)
                    r2[chosen], said[chosen] = net.score(x[:, chosen], y), net.predict(x[7:8, chosen])[0]
            before, after = tuple(sorted(order[:k])), tuple(sorted(order[: k + 1]))
            right[:, order[k]] += np.array([r2[after] - r2[before], said[after] - said[before]]) / 24
    found = [exact(one) for one in retrained(x, y, 7)]
    assert np.allclose(found, right, atol=1e-9)


def test_features_that_do_not_correlate_get_their_squared_correlation():
    rng = np.random.default_rng(1)
    x, _ = np.linalg.qr(np.column_stack([np.ones(40), rng.normal(size=(40, 3))]))
    y = x[:, 1:] @ [3.0, -2.0, 1.0] + 0.1 * rng.normal(size=40)
    shares = exact(retrained(x[:, 1:], y, 0)[0])
    assert np.allclose(shares, [np.corrcoef(column, y)[0, 1] ** 2 for column in x[:, 1:].T], atol=1e-9)


def test_the_scenario_on_a_table_of_ones_own(tmp_path):
    x, y = data(3)
    lines = ["a,b,c,target", *(",".join(map(str, [*one, other])) for one, other in zip(x, y, strict=True))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    found = run_scenario("shapley-regression", data=tmp_path / "t.csv", row=2, out=tmp_path / "out", pictures=False)
    with (tmp_path / "out" / "values.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [one["feature"] for one in rows] == ["a", "b", "c"]
    full = LinearRegression().fit(x, y)
    assert sum(float(one["r2_share"]) for one in rows) == pytest.approx(full.score(x, y), abs=1e-4)
    assert sum(one["prediction"] for one in found.rows) == pytest.approx(full.predict(x[2:3])[0] - y.mean())
    for options, message in (({"row": 99}, "no such row"), ({"data": tmp_path / "none.csv"}, "cannot be read")):
        with pytest.raises(UsageError, match=message):
            run_scenario("shapley-regression", **{"data": tmp_path / "t.csv", **options}, out=tmp_path / "other")

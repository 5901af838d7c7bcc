"""The games of `shap-convergence`, two decision trees, and the estimators of one feature's value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import draws
from ...shapley.exact import exact
from ...shapley.game import Game, table
from ...shapley.kernel import kernel_shap
from ...shapley.sampling import permutation

FEATURES = {"dense": 10, "sparse": 100}
_USED, _ROWS = {"dense": 10, "sparse": 3}, 2000


def tree_game(model: str, seed: int) -> tuple[Game, float, int]:
    """The game of a tree's prediction of one input, the exact value of its most important feature, and which that is."""
    from sklearn.tree import DecisionTreeRegressor

    n, used = FEATURES[model], _USED[model]
    drawn = draws.rows(draws.stream(seed, model, "data"), 0, _ROWS, n)
    target = drawn[:, :used] @ np.arange(1, used + 1) + 4 * drawn[:, 0] * drawn[:, 1]
    tree: Any = DecisionTreeRegressor(max_depth=10, max_features=None, random_state=0).fit(drawn[:, :used], target)
    x, mean = drawn[0], drawn.mean(0)

    def game(members: np.ndarray) -> np.ndarray:
        return tree.predict(np.where(members, x, mean)[:, :used])

    values = exact(table(lambda some: game(np.pad(some, ((0, 0), (0, n - used)))), used))
    feature = int(np.abs(values).argmax())
    return game, float(values[feature]), feature


def lime(game: Game, n: int, budget: int, key: int) -> np.ndarray:
    """LIME as its authors' code has it for tables: a ridge of 1 on coalitions, each feature there with probability 1/2,
    weighted by sqrt(exp(-d²/w²)), d² the number of absent features and w = 0.75 √n (Ribeiro et al. 2016).
    """
    members = draws.rows(key, 0, budget, n) < 0.5
    members[0] = True
    scores, away = game(members), (~members).sum(1)
    weights = np.exp(-away / (0.75**2 * n) / 2)
    share = weights / weights.sum()
    z, y = members - share @ members, scores - share @ scores
    return np.linalg.solve(z.T @ (weights[:, None] * z) + np.eye(n), z.T @ (weights * y))


ESTIMATORS: dict[str, Callable[[Game, int, int, int], np.ndarray]] = {
    "kernelshap": lambda game, n, budget, key: kernel_shap(game, n, budget=budget, key=key).values,
    "shapley-sampling": lambda game, n, budget, key: permutation(game, n, budget=budget, key=key).values,
    "lime": lime,
}

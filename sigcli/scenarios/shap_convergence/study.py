"""The scenario `shap-convergence`: Fig. 3 of Lundberg, Lee 2017, how fast estimators near the Shapley value. No printing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ... import draws
from ...errors import UsageError
from ...runs.folder import save_table
from ...shapley.exact import exact
from ...shapley.game import Game, table
from ...shapley.kernel import kernel_shap
from ...shapley.sampling import permutation
from ..scenario import Progress, Verdict, claim

FILES = ("estimates.csv", "convergence.png")
BUDGETS = {"dense": (22, 50, 100, 200, 400, 800), "sparse": (202, 400, 800, 1600)}
"""Evaluations; KernelSHAP needs 2n + 2, of 10 features and of 100."""
_FEATURES, _USED, _ROWS = {"dense": 10, "sparse": 100}, {"dense": 10, "sparse": 3}, 2000


def shap_convergence(
    *,
    images: int = 200,
    seed: int = 0,
    out: str | Path | None = None,
    overwrite: bool = False,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """One feature's value by KernelSHAP, Shapley sampling and LIME as evaluations grow ([Slides] SHAP Fig. 3).

    A decision tree is trained on all of 10 features, another where 3 of 100 matter; the value of the most important feature
    of one input is estimated, where absent features have their mean. The exact value comes from all coalitions of the
    features that the tree reads: the others are dummies.

    Args:
        images: replicates of each estimate, 200 in the paper.
        seed: of data, trees and draws.
        out: the folder; by default sig-shap-convergence, or the next free one.
        overwrite: replace another run in `out`.
        pictures: draw the bands.
        progress: called with the stage, what is done of it, and its length.

    Raises:
        UsageError: fewer than two replicates.
        OutputError: the folder cannot be written or holds another run.
    """
    if images < 2:
        raise UsageError("the scenario needs at least 2 replicates", given=images)
    spec = {"replicates": images, "seed": seed}
    folder = claim("shap-convergence", spec, FILES, out=out, overwrite=overwrite)
    rows: list[dict[str, Any]] = []
    for model, budgets in BUDGETS.items():
        game, right, feature = tree_game(model, seed)
        for number, budget in enumerate(budgets):
            for method, estimate in ESTIMATORS.items():
                keys = [draws.stream(seed, model, method, budget, r) for r in range(images)]
                found = [estimate(game, _FEATURES[model], budget, key)[feature] for key in keys]
                low, middle, high = np.percentile(found, [10, 50, 90])
                rows.append({
                    "model": model, "method": method, "evaluations": budget, "exact": right, "p10": float(low),
                    "median": float(middle), "p90": float(high),
                })  # fmt: skip
            if progress is not None:
                progress(f"estimating, {model} tree", number + 1, len(budgets))
    save_table(folder / FILES[0], rows)
    if pictures:
        _draw(rows, folder / FILES[1])
    return Verdict(
        f"How fast does one feature's value near the exact one? 10th to 90th percentile of {images} replicates",
        {
            "name": "tree, method",
            "evaluations": "evaluations",
            "p10": "10 %",
            "median": "median",
            "p90": "90 %",
            "exact": "exact",
        },
        [{**row, "name": f"{row['model']}, {row['method']}"} for row in rows],
        ("Dense: a tree of all 10 features. Sparse: a tree of 3 of 100 features. Absent features have their mean.",),
        _findings(rows),
        rows,
        folder=folder,
    )


def tree_game(model: str, seed: int) -> tuple[Game, float, int]:
    """The game of a tree's prediction of one input, the exact value of its most important feature, and which that is."""
    from sklearn.tree import DecisionTreeRegressor

    n, used = _FEATURES[model], _USED[model]
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


def _findings(rows: list[dict[str, Any]]) -> list[str]:
    told = []
    for model in BUDGETS:
        last = [row for row in rows if row["model"] == model and row["evaluations"] == BUDGETS[model][-1]]
        inside = [row["method"] for row in last if row["p10"] - 1e-9 <= row["exact"] <= row["p90"] + 1e-9]
        outside = [row["method"] for row in last if row["method"] not in inside]
        of, beside = ", ".join(inside) or "none", f"; not of {', '.join(outside)}" if outside else ""
        told.append(f"{model}, {last[0]['evaluations']} evaluations: the exact value is in the band of {of}{beside}.")
    return told


def _draw(rows: list[dict[str, Any]], path: Path) -> None:
    from ...render.plots.looks import legend_below, looks
    from ...render.plots.panels import canvas, panels

    named = looks(ESTIMATORS)
    with panels(
        path, len(BUDGETS), size=(4.6, 3.2), columns=2, title="How fast one feature's value nears the exact one"
    ) as axes:
        for axis, model in zip(axes, BUDGETS, strict=True):
            for method, look in named.items():
                mine = [row for row in rows if (row["model"], row["method"]) == (model, method)]
                at = [row["evaluations"] for row in mine]
                axis.fill_between(
                    at, [r["p10"] for r in mine], [r["p90"] for r in mine], color=look.colour, alpha=0.2, lw=0
                )
                axis.plot(at, [r["median"] for r in mine], color=look.colour, marker=look.marker, ls=look.dashes)
            axis.axhline(next(row["exact"] for row in rows if row["model"] == model), color="#888888", lw=0.9)
            axis.set_xscale("log")
            axis.set_xticks(BUDGETS[model], [str(budget) for budget in BUDGETS[model]])
            axis.minorticks_off()
            axis.set_xlabel("evaluations")
            axis.set_title(f"{model} tree")
        axes[0].set_ylabel("value of the feature")
        told = "Lines with marks: medians. Bands: 10th to 90th percentile. Thin grey line: the exact value."
        legend_below(canvas(axes), named, note=told)

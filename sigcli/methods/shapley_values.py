"""Shapley values of players by scores alone; a player's value is divided evenly among its pixels and channels."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .. import draws
from ..engine.passes import Passes
from ..players import Players, parse
from ..shapley.closed_forms import low_order_shap as low_order
from ..shapley.exact import exact
from ..shapley.game import Estimate, table
from ..shapley.kernel import kernel_shap
from ..shapley.sampling import permutation
from ..types import Attribution, Subject
from .absence import game_of, score_of_none
from .common import at_least, one_of
from .references import references


def bshap(
    passes: Passes,
    subject: Subject,
    *,
    players: str | Tensor = "grid:7x7",
    baseline: str | Tensor = "blur",
    budget: int = 2048,
) -> Attribution:
    """Baseline Shapley, Sundararajan, Najmi 2020, section 2.2: the Shapley values of v(S) = F(b_S).

    Exact where all 2^n coalitions fit the budget; otherwise the mean over random orders in antithetic pairs, with its
    standard error.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        players: the partition, as `--players` takes it.
        baseline: the baseline x' of absent players.
        budget: forward passes that may be spent.

    Raises:
        BudgetError: a budget too small for one pair of orders.
        UsageError: unknown players or baseline.
    """
    at_least(2, budget=budget)
    partition = parse(players, subject.picture)
    game, n = game_of(passes, subject, partition, baseline), partition.n
    if n <= 24 and 2**n <= budget:
        found = Estimate(exact(table(game, n)), 2**n)
    else:
        found = permutation(game, n, budget=budget, key=draws.stream(subject.seed, subject.key, "bshap"))
    return _spread(passes, subject, partition, found, baseline)


def shapley_sampling(
    passes: Passes,
    subject: Subject,
    *,
    players: str | Tensor = "grid:7x7",
    baseline: str | Tensor = "blur",
    orders: int = 40,
) -> Attribution:
    """Shapley value sampling, Castro, Gómez, Tejada 2009; Štrumbelj, Kononenko 2010; orders in antithetic pairs.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        players: the partition, as `--players` takes it.
        baseline: the baseline x' of absent players.
        orders: random orders of the players, rounded up to pairs; each costs n - 1 forward passes.

    Raises:
        UsageError: unknown players or baseline, or fewer than two pairs of orders.
    """
    at_least(4, orders=orders)
    partition = parse(players, subject.picture)
    key = draws.stream(subject.seed, subject.key, "shapley-sampling")
    budget = 2 + (orders + orders % 2) * (partition.n - 1)
    found = permutation(game_of(passes, subject, partition, baseline), partition.n, budget=budget, key=key)
    return _spread(passes, subject, partition, found, baseline)


def kernelshap(
    passes: Passes,
    subject: Subject,
    *,
    players: str | Tensor = "grid:7x7",
    baseline: str | Tensor = "blur",
    budget: int = 2048,
) -> Attribution:
    """KernelSHAP, Lundberg, Lee 2017, Theorem 2: regression with the Shapley kernel; coalitions come with their complements.

    With a budget of 2^n the values are exact; otherwise they have the standard error of the regression.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        players: the partition, as `--players` takes it.
        baseline: the baseline x' of absent players.
        budget: forward passes that may be spent, at least 2n + 2.

    Raises:
        BudgetError: a budget below 2n + 2.
        UsageError: unknown players or baseline.
    """
    partition = parse(players, subject.picture)
    key = draws.stream(subject.seed, subject.key, "kernelshap")
    found = kernel_shap(game_of(passes, subject, partition, baseline), partition.n, budget=budget, key=key)
    return _spread(passes, subject, partition, found, baseline)


def low_order_shap(
    passes: Passes, subject: Subject, *, players: str | Tensor = "grid:3x3", baseline: str | Tensor = "blur"
) -> Attribution:
    """Low-Order SHAP, Lundberg, Lee 2017, section 4.1: the kernel regression on all 2^n coalitions, exact.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        players: the partition, at most 16 players.
        baseline: the baseline x' of absent players.

    Raises:
        UsageError: too many players, or unknown players or baseline.
    """
    partition = parse(players, subject.picture)
    found = low_order(game_of(passes, subject, partition, baseline), partition.n)
    return _spread(passes, subject, partition, found, baseline)


def qii(
    passes: Passes,
    subject: Subject,
    *,
    players: str | Tensor = "grid:7x7",
    form: Literal["unary", "shapley"] = "unary",
    samples: int = 16,
    baselines: Literal["images", "uniform"] = "images",
) -> Attribution:
    """Quantitative Input Influence, Datta, Sen, Zick 2016, of the score as the quantity of interest.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        players: the partition, as `--players` takes it.
        form: "unary" is Definition 4, E_u[F(x) - F(x with player i from u)], at samples × n passes; "shapley" is its section
            III.D, the Shapley value of set QII, by a pair of orders for each draw u, at samples × 2n passes.
        samples: draws u of what replaces players.
        baselines: where they are drawn: "images" from the other images, or "uniform" noise.

    Raises:
        AttributionError: no other images.
        UsageError: unknown players, or fewer than two samples.
    """
    at_least(2, samples=samples)
    one_of(("unary", "shapley"), form=form)
    one_of(("images", "uniform"), baselines=baselines)
    partition = parse(players, subject.picture)
    n, key = partition.n, draws.stream(subject.seed, subject.key, "qii", baselines)
    drawn = references(subject, baselines, samples, key, "qii")
    rows, totals = [], []
    for r in range(samples):
        game = passes.game(subject, partition, drawn.sample(torch.tensor([r]))[0])
        if form == "shapley":
            rows.append(permutation(game, n, budget=2 * n, key=draws.stream(key, "orders", r)).values)
            totals.append(rows[-1].sum())
        else:
            played = game(np.concatenate([np.ones((1, n), bool), ~np.eye(n, dtype=bool)]))
            rows.append(played[0] - played[1:])
    values = np.stack(rows)
    stderr = values.std(0, ddof=1) / np.sqrt(samples)
    apart = (values - values.mean(0)) / np.sqrt(samples * (samples - 1))
    found = Estimate(values.mean(0), passes.evaluations, stderr, apart)
    return _spread(passes, subject, partition, found, None)


def _spread(
    passes: Passes, subject: Subject, partition: Players, found: Estimate, baseline: str | Tensor | None
) -> Attribution:
    """An estimate per player as a map; with a baseline, the values should sum to F(x) - F(x')."""
    x = subject.x
    score, total, gap, forwards = passes.score(subject), None, None, 1
    if baseline is not None:
        total = score - score_of_none(passes, subject, partition, baseline)
        gap, forwards = abs(float(found.values.sum()) - total), 2
    return Attribution(
        values=per_pixel(found.values, partition, x),
        score=score,
        evaluations=passes.evaluations,
        check_evaluations=forwards,
        completeness_gap=gap,
        total=total,
        stderr=None if found.stderr is None else per_pixel(found.stderr, partition, x),
        deviations=maps_of(found.deviations, partition, x),
        players=partition.labels,
        player_values=torch.from_numpy(found.values),
    )


def maps_of(values: np.ndarray | None, partition: Players, x: Tensor) -> Tensor | None:
    """Rows of values per player, (g, n), as maps with channels summed, (g, H, W); None of none."""
    if values is None:
        return None
    sizes = torch.bincount(partition.labels.flatten(), minlength=partition.n).double()
    return partition.spread((torch.from_numpy(values) / sizes).to(x))


def per_pixel(values: np.ndarray, partition: Players, x: Tensor) -> Tensor:
    """A value per player, (n,), in equal shares for its pixels and channels: (C, H, W) of the image's type and device."""
    sizes = torch.bincount(partition.labels.flatten(), minlength=partition.n).double() * x.shape[0]
    shares = torch.from_numpy(np.asarray(values, np.float64)) / sizes
    return partition.spread(shares[None]).to(x).expand_as(x).contiguous()

"""A study of one condition: the exact game, its stand-in networks, and what each estimator makes of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import numpy as np
import torch
from jaxtyping import Float64
from scipy import stats

from .. import draws
from ..shapley.exact import exact_fractions
from ..shapley.game import Estimate
from . import ESTIMATORS, load_paper
from .estimators import SampledCoalitions, Trial, exact
from .rewards import Reward
from .standin import Recipe, StandIns, coverage_codes, train
from .world import World, value_table

_SMALL_WORLD, _FEW, _MANY = 12, 200, 1500
_REPEATS, _LONG = 3, 0.03


@dataclass(frozen=True, eq=False)
class Condition:
    """A grid and a reward: one of the papers' four cases.

    Args:
        world: the grid.
        name: name of the reward.
        reward: its function.
        values: (2^n,) the exact value of every coalition.
        fractions: (n) exact Shapley values.
    """

    world: World
    name: str
    reward: Reward
    values: Float64[np.ndarray, " k"] = field(init=False)
    fractions: tuple[Fraction, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", value_table(self.world, self.reward))
        object.__setattr__(self, "fractions", tuple(exact_fractions(self.values)))

    @property
    def shapley(self) -> Float64[np.ndarray, " n"]:
        """Exact Shapley values of the reward, (n,)."""
        return np.array([float(share) for share in self.fractions])

    @property
    def title(self) -> str:
        """Grid and reward."""
        return f"{self.world.name} {self.name}"

    @property
    def samples(self) -> int:
        """The papers' number of samples: 200 on 2x2 (12 players), 1500 on 2x3 (20)."""
        return _FEW if self.world.n <= _SMALL_WORLD else _MANY


@dataclass(frozen=True, eq=False)
class StandInCheck:
    """How well one network stands in for the reward ([SIG] Fig. 8).

    Args:
        run: number of the network.
        estimate: its own exact Shapley values.
        pearson: correlation with the reward's.
        spearman: rank correlation with the reward's.
        error: root mean square error over all coalitions, as a fraction of the reward's standard deviation.
        seconds: for its table of all coalitions and the values from it.
    """

    run: int
    estimate: Estimate
    pearson: float
    spearman: float
    error: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Measured:
    """One estimate, judged.

    Args:
        estimator: its name.
        run: number of the network.
        budget: evaluations it was given, or baselines under the papers' protocol.
        estimate: what it gave.
        spearman: rank correlation with the reward's Shapley values; NaN where all its values are equal.
        pearson: correlation with them.
        error: relative L2 distance from the network's own Shapley values.
        seconds: wall time.
    """

    estimator: str
    run: int
    budget: int
    estimate: Estimate
    spearman: float
    pearson: float
    error: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Trained:
    """A condition with its networks, trained on a fraction of the coalitions.

    Args:
        condition: the game.
        coverage: the fraction Q of coalitions that each network saw.
        networks: the stand-ins, one per run.
        codes: for each run the coalitions it saw, in random order.
        checks: one for each run.
        seed: seed of the study.
    """

    condition: Condition
    coverage: float
    networks: StandIns
    codes: list[np.ndarray]
    checks: tuple[StandInCheck, ...]
    seed: int

    def trial(self, run: int, budget: int) -> Trial:
        """A run with as many sampled coalitions as the budget, from those that its network saw ([SIG] appendix: N of Q)."""
        sampled = SampledCoalitions(self.codes[run][:budget], self.condition.world.n)
        return Trial(self.networks, run, sampled, self.seed, self.codes[run])


def correlation(values: Float64[np.ndarray, " n"], truth: Float64[np.ndarray, " n"]) -> tuple[float, float]:
    """Spearman and Pearson correlation; NaN where one side is constant.

    Values that are equal up to rounding count as ties: exact Shapley values of symmetric players are.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        spearman, _ = stats.spearmanr(_with_ties(values), _with_ties(truth))
        pearson, _ = stats.pearsonr(values, truth)
    return float(cast(float, spearman)), float(cast(float, pearson))


def _with_ties(values: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    scale = float(np.abs(values).max())
    return (values / scale).round(9) if scale else values


def prepare(
    condition: Condition,
    *,
    runs: int,
    coverage: float,
    seed: int = 0,
    recipe: Recipe | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> Trained:
    """Train the stand-ins of a condition, all runs together, and check each against the reward.

    Args:
        condition: the game.
        runs: number of independent runs.
        coverage: fraction Q of the coalitions that a network sees.
        seed: seed of the study; each run has samples, initial weights and draws of its own.
        recipe: recipe of the training.
        device: where to train.
        progress: called with the number of training steps done since the last call.
    """
    world = condition.world
    codes = [coverage_codes(world.n, coverage, draws.stream(seed, "coverage", world.name, run)) for run in range(runs)]
    key = draws.stream(seed, "train", world.name, condition.name)
    networks = train(condition.values, np.stack(codes), recipe or Recipe(), key=key, device=device, progress=progress)
    checks = tuple(_check(condition, networks, run) for run in range(runs))
    return Trained(condition, coverage, networks, codes, checks, seed)


def _check(condition: Condition, networks: StandIns, run: int) -> StandInCheck:
    begun = time.perf_counter()
    nothing = SampledCoalitions(np.zeros(0, np.int64), condition.world.n)
    estimate, table = exact(Trial(networks, run, nothing))
    seconds = time.perf_counter() - begun
    spearman, pearson = correlation(estimate.values, condition.shapley)
    spread = float(condition.values.std()) or 1.0
    error = float(np.sqrt(np.mean((table - condition.values) ** 2))) / spread
    return StandInCheck(run, estimate, pearson, spearman, error, seconds)


def measure(trained: Trained, estimator: str, budget: int, *, protocol: str = "equal") -> list[Measured]:
    """Run an estimator on every network of a condition.

    Args:
        trained: the condition.
        estimator: its name.
        budget: evaluations it may spend, or under the papers' protocol the number of baselines N.
        protocol: "equal" or "paper".

    Raises:
        BudgetError: the estimator cannot run within the budget.
    """
    entry = ESTIMATORS[estimator]
    if not entry.properties["budgeted"]:
        return [
            _judged(trained, estimator, budget, check.run, check.estimate, check.seconds) for check in trained.checks
        ]
    estimate = entry.load() if protocol == "equal" else load_paper(estimator)
    estimate(trained.trial(0, budget), budget)  # what is done once and kept (tables, imports) is no part of the time
    found = []
    for run in range(len(trained.networks)):
        trial = trained.trial(run, budget)
        result, seconds = _timed(lambda trial=trial: estimate(trial, budget))
        found.append(_judged(trained, estimator, budget, run, result, seconds))
    return found


def _timed(work: Callable[[], Estimate]) -> tuple[Estimate, float]:
    """A result and its wall time; what takes a few milliseconds is done three times, and the best time counts."""
    times: list[float] = []
    while True:
        begun = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - begun)
        if len(times) == _REPEATS or times[0] > _LONG:
            return result, min(times)


def _judged(trained: Trained, estimator: str, budget: int, run: int, estimate: Estimate, seconds: float) -> Measured:
    spearman, pearson = correlation(estimate.values, trained.condition.shapley)
    own = trained.checks[run].estimate.values
    error = float(np.linalg.norm(estimate.values - own) / max(np.linalg.norm(own), 1e-30))
    return Measured(estimator, run, budget, estimate, spearman, pearson, error, seconds)


def grouped(measured: Iterable[Measured]) -> dict[tuple[str, int], list[Measured]]:
    """Measurements by estimator and budget, in order."""
    groups: dict[tuple[str, int], list[Measured]] = {}
    for m in measured:
        groups.setdefault((m.estimator, m.budget), []).append(m)
    return groups

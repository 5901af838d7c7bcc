"""Every estimator of the comparison: the methods of `sig explain` over a network's scorer, Shapley estimators over its game.

An estimator is a function `(trial, budget) -> Estimate`. The budget counts evaluations of the network: a gradient evaluation
(forward and backward) is one, and so is a coalition's value (forward). The completeness check is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import Tensor

from .. import draws
from ..engine.integrate import Task, integrate
from ..engine.plan import Plan, Reference
from ..errors import BudgetError
from ..methods import METHODS
from ..methods.sig import through
from ..players import parse
from ..shapley import game, kernel, sampling
from ..shapley.coalitions import Coalitions
from ..shapley.effective import draw_effective, effective_shapley, sample_pool
from ..shapley.exact import exact as exact_values
from ..shapley.game import Estimate, members_of
from ..types import Subject
from .standin import StandIns

_BATCH, _GAUSS = 1024, 512


@dataclass(frozen=True, eq=False)
class SampledCoalitions:
    """Coalitions as the "other images": the random, mean and Expected-Gradients references come from them.

    Args:
        codes: (m,) drawn from the fraction Q of coalitions that the network was trained on.
        n: number of players.
    """

    codes: Int[np.ndarray, " m"]
    n: int

    def __len__(self) -> int:
        return len(self.codes)

    def image(self, index: int) -> Tensor:
        """One coalition as 0/1, (1, 1, n)."""
        return torch.from_numpy(members_of(self.codes[index : index + 1], self.n).astype(np.float32))[None]

    def mean(self) -> Tensor:
        """Mean of the coalitions, (1, 1, n)."""
        return torch.from_numpy(members_of(self.codes, self.n).mean(0, dtype=np.float32))[None, None]

    def keys(self) -> Sequence[int]:
        """A key for each, none of which is that of the input."""
        return range(1, len(self.codes) + 1)


@dataclass(frozen=True, eq=False)
class Trial:
    """One run: a stand-in network, and the coalitions sampled for it.

    Args:
        networks: the stand-ins of the condition.
        run: which of them.
        sampled: the N coalitions from which references are drawn.
        pool: (m,) codes of the fraction Q of coalitions that the network was trained on.
        seed: seed of the experiment.
    """

    networks: StandIns
    run: int
    sampled: SampledCoalitions
    seed: int = 0
    pool: Int[np.ndarray, " m"] = field(default_factory=lambda: np.zeros(0, np.int64))
    subject: Subject = field(init=False)

    def __post_init__(self) -> None:
        device = self.networks.biases[0].device
        subject = Subject(
            torch.ones(1, 1, self.n, device=device),
            self.run,
            torch.zeros(1, 1, 1, device=device),
            torch.ones(1, 1, 1, device=device),
            key=0,
            seed=draws.stream(self.seed, "gridworld", self.run),
            peers=self.sampled,
        )
        object.__setattr__(self, "subject", subject)

    @property
    def n(self) -> int:
        """Number of players."""
        return self.networks.n

    @property
    def key(self) -> int:
        """Of this run's stream of draws."""
        return draws.stream(self.subject.seed, "game")


def follow(trial: Trial, plan: Plan, spent: int = 0) -> Estimate:
    """Follow a plan on the network of a run; `spent` evaluations were needed to make it."""
    (found,) = integrate(trial.networks, [Task(trial.subject, plan)], batch_size=min(len(plan), _BATCH))
    stderr = None if found.stderr is None else found.stderr.flatten().double().cpu().numpy()
    return Estimate(found.values.flatten().double().cpu().numpy(), found.evaluations + spent, stderr)


def along(trial: Trial, method: str, **options: Any) -> Estimate:
    """One of `sigcli.methods` over the network's scorer."""
    return follow(trial, METHODS[method].load()(trial.subject, **options))


def _line(trial: Trial, baseline: str, budget: int) -> Estimate:
    """IG from one baseline. Gauss-Legendre nodes cost the cube of their number, and nobody needs a thousand of them."""
    return along(
        trial, "ig", baseline=baseline, steps=budget, rule="gauss-legendre" if budget <= _GAUSS else "riemann-middle"
    )


def least_budget(name: str, n: int) -> int:
    """Evaluations that an estimator needs at least, for n players."""
    pool = n * (n + 3) // 2  # a coalition of every size with its n - |S| successors
    needs = {
        "mean": 2, "random": 2, "eg": 2, "sig-both": 2, "sig-walk": 2 * n, "effective": pool, "sig-effective": 2 * pool + n,
        "permutation": 2 * n, "kernelshap": 2 * n + 2,
    }  # fmt: skip
    return needs.get(name, 1)


def zero(trial: Trial, budget: int) -> Estimate:
    """IG from the empty coalition."""
    return _line(trial, "zero", budget)


def mean(trial: Trial, budget: int) -> Estimate:
    """IG from the mean of the sampled coalitions."""
    return _line(trial, "mean", budget)


def random(trial: Trial, budget: int) -> Estimate:
    """IG from one of the sampled coalitions."""
    return _line(trial, "random", budget)


def eg(trial: Trial, budget: int) -> Estimate:
    """Expected Gradients over the sampled coalitions."""
    return along(trial, "eg", baselines="images", samples=budget)


def sig(trial: Trial, budget: int) -> Estimate:
    """Shapley Integrated Gradients, coalition sizes uniform."""
    return along(trial, "sig", players="pixels", baseline="zero", samples=budget, form="to-input")


def sig_algorithm1(trial: Trial, budget: int) -> Estimate:
    """Shapley Integrated Gradients, coalition sizes as [SIG] Algorithm 1 is printed."""
    return along(trial, "sig", players="pixels", baseline="zero", samples=budget, sizes="algorithm1", form="to-input")


def sig_from_default(trial: Trial, budget: int) -> Estimate:
    """Shapley Integrated Gradients from x' to the coalitions ([ES] B.1, proposal 2)."""
    return along(trial, "sig", players="pixels", baseline="zero", samples=budget, form="from-default")


def sig_both(trial: Trial, budget: int) -> Estimate:
    """The sum of both forms ([ES] B.1), half the coalitions each."""
    return along(trial, "sig", players="pixels", baseline="zero", samples=budget // 2, form="both")


def sig_walk(trial: Trial, budget: int) -> Estimate:
    """Polylines through coalitions."""
    orders = 2 * (budget // (2 * trial.n))  # orders come in pairs
    if orders < 2:
        raise BudgetError("the budget is too small for a walk", given=budget, allowed=f"{2 * trial.n} or more")
    return along(trial, "sig-walk", players="pixels", baseline="zero", orders=orders)


def effective(trial: Trial, budget: int) -> Estimate:
    """Effective Shapley, [ES] Algorithm 1."""
    return effective_shapley(trial.networks.game(trial.run), trial.n, budget=budget, key=trial.key)


def sig_effective(trial: Trial, budget: int) -> Estimate:
    """Shapley Integrated Gradients as [ES] Algorithm 2 has it: from each player's effective coalitions, then the mean.

    Half of the budget finds the coalitions, the other half integrates from them, one node on each segment.
    """
    n, key = trial.n, trial.key
    pool = sample_pool(trial.networks.game(trial.run), n, budget=budget - budget // 2, key=key)
    least = pool.tolerance(0.01)
    each = max(1, (budget - pool.evaluations) // n)
    rows = [
        draw_effective(pool, player, count=each, tolerance=least, bins=20, key=draws.stream(key, "draws"))
        for player in range(n)
    ]
    chosen = np.concatenate(rows)
    drawn = Coalitions.pack(pool.members[chosen])
    alpha = (np.arange(len(chosen)) * 0.6180339887498949 + 0.5) % 1
    weight = np.full((len(chosen), 1), 1 / len(chosen))
    partition = parse("pixels", trial.subject.x)
    reference = Reference.fixed(torch.zeros_like(trial.subject.x))
    plan = through("to-input", partition, reference, drawn, nodes=alpha[:, None], weights=weight, unit=None)
    return follow(trial, plan, spent=pool.evaluations)


def permutation(trial: Trial, budget: int) -> Estimate:
    """Permutation sampling, antithetic pairs."""
    return sampling.permutation(trial.networks.game(trial.run), trial.n, budget=budget, key=trial.key)


def kernelshap(trial: Trial, budget: int) -> Estimate:
    """KernelSHAP."""
    return kernel.kernel_shap(trial.networks.game(trial.run), trial.n, budget=budget, key=trial.key)


def exact(trial: Trial) -> tuple[Estimate, Float64[np.ndarray, " k"]]:
    """The network's own Shapley values from all 2^n coalitions, and the table of their values."""
    table = game.table(trial.networks.game(trial.run), trial.n)
    return Estimate(exact_values(table), len(table)), table

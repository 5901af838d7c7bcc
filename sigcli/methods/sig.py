"""Shapley Integrated Gradients: Integrated Gradients from many baselines, each a sampled coalition of players."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from torch import Tensor

from .. import draws
from ..baselines.single import baseline as single_baseline
from ..engine import quadrature
from ..engine.plan import Plan, Reference
from ..errors import UsageError
from ..players import Players, parse
from ..shapley.coalitions import Coalitions, all_proper, antithetic, of_sizes, sizes_algorithm1
from ..shapley.effective import least_pool
from ..shapley.game import Game
from ..types import Subject
from .common import at_least, bounds, line_nodes, one_of, units
from .deferred import Deferred
from .effective import effective_coalitions
from .libragrad import corrigible
from .strata import GOLDEN, LARGEST, strata, suffices, uneven_strata

_TURNS = 64
"""Random numbers for the order of a replicate's pairs: more than it has, and as many whatever the length of a run."""


@corrigible
def sig(
    subject: Subject,
    *,
    players: str | Tensor = "grid:28x28",
    baseline: str | Tensor = "blur",
    samples: int = 256,
    steps: int = 1,
    sizes: Literal["uniform", "algorithm1"] = "uniform",
    form: Literal["to-input", "from-default", "both"] = "to-input",
    coalitions: Literal["auto", "sampled", "all", "effective"] = "auto",
    rule: str = "auto",
    normalise: bool = False,
    pool: int = 0,
    tolerance: float = 0.01,
    bins: int = 20,
) -> Plan | Deferred:
    """Shapley Integrated Gradients, [SIG] Algorithm 1: E over coalitions S of IG from the baseline b_S to x.

    The default players and baseline work best on photographs (docs/defaults.md); preset `paper` has the paper's.

    Args:
        subject: what is explained.
        players: the partition, as `--players` takes it; the paper's is 80x80.
        baseline: x' of the players outside S.
        samples: number of coalitions B; gradient evaluations are samples × steps (twice that for form "both").
        steps: nodes per coalition; where all are enumerated, 1 stands for samples / (2^n - 1).
        sizes: "uniform" draws |S| uniformly from 0..n-1 (the paper's proof, Fig. 2); "algorithm1" as Algorithm 1 is printed.
        form: "to-input" integrates b_S → x, the paper's; "from-default" x' → b_S ([ES] B.1, proposal 2); "both" is their
            sum, which adds up to F(x) - F(x').
        coalitions: "sampled"; "all" enumerates the 2^n - 1 coalitions with their exact weights, which suits smooth scores
            and has no standard error; "auto" spreads random nodes over all of them where samples × steps reach their number
            (docs/explain.md), and samples else; "effective" takes those that make a difference to a player
            ([ES] Algorithm 2), found from the scores of a pool of coalitions.
        rule: rule for the nodes; "auto" is stratified random, and Gauss-Legendre where "all" are taken. With one node for
            each coalition "auto" takes more of them near b_S (docs/explain.md).
        normalise: divide a player's sum by the number of draws in which it moved, not by all draws: same ratios in
            expectation, less variance, and no standard error; completeness holds before the division.
        pool: effective: forward passes spent on the pool, besides the gradient evaluations; 0 stands for samples × steps, or
            n(n + 3)/2 where that is more, which buys one coalition of each size.
        tolerance: effective: fraction of the greatest difference in the pool up to which a coalition makes none.
        bins: effective: classes of differences.

    Raises:
        UsageError: unknown players, baseline, rule, or counts below 1.
        BudgetError: effective: a pool without a coalition of every size, or fewer samples than players.
    """
    _check_options(sizes, form, coalitions, samples=samples, steps=steps, bins=bins, pool=pool)
    partition = parse(players, subject.picture)
    _check(coalitions, sizes, partition.n)
    reference = Reference.fixed(single_baseline(baseline, subject))
    job = _Job(subject, partition, reference, samples, steps, form, rule, normalise)
    if coalitions == "effective":
        return Deferred(partition, baseline, partial(job.effective, pool=pool, tolerance=tolerance, bins=bins))
    return job.plan(coalitions, sizes)


def _check_options(sizes: str, form: str, coalitions: str, *, pool: int, **counts: int) -> None:
    at_least(1, **counts)
    at_least(0, pool=pool)
    one_of(("uniform", "algorithm1"), sizes=sizes)
    one_of(("to-input", "from-default", "both"), form=form)
    one_of(("auto", "sampled", "all", "effective"), coalitions=coalitions)


@dataclass(frozen=True, eq=False)
class _Job:
    """The settings of `sig` for one subject, and the plans that follow from them.

    Coalitions are many and nodes few, one stratified α for each, since the error at a given cost is nearly all variance over
    coalitions: sizes are stratified, coalitions come in antithetic pairs, and α is spread evenly over the sizes.
    """

    subject: Subject
    partition: Players
    reference: Reference
    samples: int
    steps: int
    form: str
    rule: str
    normalise: bool

    @property
    def key(self) -> int:
        """Of the random nodes."""
        return draws.stream(self.subject.seed, self.subject.key, "sig", "nodes")

    def plan(self, coalitions: str, sizes: str) -> Plan:
        """The plan of drawn coalitions, or of all."""
        n, samples, steps = self.partition.n, self.samples, self.steps
        random = self.rule in ("auto", quadrature.STRATIFIED)
        spread = coalitions == "auto" and sizes == "uniform" and suffices(n, samples * steps if random else samples)
        if spread and random:
            drawn, alpha, unit = strata(n, samples * steps, self.key)
            even = np.full(len(alpha), 1 / len(alpha))
            return replace(self._made(drawn, even, alpha[:, None], np.ones((len(alpha), 1)), unit), paired=True)
        if spread or coalitions == "all":
            drawn, share = all_proper(n)
            each = steps if steps > 1 else max(1, samples // len(drawn))
            fixed = "gauss-legendre" if self.rule == "auto" else self.rule
            return self._made(drawn, share, *line_nodes(fixed, each, len(drawn), self.key), None)
        uneven = self.rule == "auto" and steps == 1
        drawn, unit, offsets, parts = _sampled(self.partition, self.subject, samples, sizes, uneven=uneven)
        nodes = _nodes(self.rule, steps, offsets, self.key)
        return self._made(drawn, parts / samples, *nodes, unit)

    def effective(self, game: Game, *, pool: int, tolerance: float, bins: int) -> Plan:
        """The plan of effective coalitions, from the scores of a pool of coalitions."""
        budget = pool or max(self.samples * self.steps, least_pool(self.partition.n))
        drawn, share, offsets, unit = effective_coalitions(
            game, self.partition.n, self.subject, samples=self.samples, pool=budget, tolerance=tolerance, bins=bins
        )
        return self._made(drawn, share, *_nodes(self.rule, self.steps, offsets, self.key), unit)

    def _made(
        self, drawn: Coalitions, share: np.ndarray, nodes: np.ndarray, weights: np.ndarray, unit: np.ndarray | None
    ) -> Plan:
        weighted = weights * share[:, None]
        plan = through(self.form, self.partition, self.reference, drawn, nodes=nodes, weights=weighted, unit=unit)
        return _normalised(plan) if self.normalise else plan


def _check(coalitions: str, sizes: str, n: int) -> None:
    """Raise UsageError for sizes or players that do not go with the coalitions."""
    if coalitions == "all" and (sizes != "uniform" or n > LARGEST):
        raise UsageError(
            f"coalitions=all needs sizes=uniform and at most {LARGEST} players", given=f"{sizes}, {n} players"
        )
    if coalitions == "effective" and sizes != "uniform":
        raise UsageError("the sizes of effective coalitions are those of [ES] Eq. 5", given=f"sizes={sizes}")


def _nodes(rule: str, steps: int, offsets: np.ndarray, key: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on the segments of drawn coalitions, (B, steps) each; single random ones are the offsets, (B,)."""
    if rule in ("auto", quadrature.STRATIFIED) and steps == 1:
        return offsets[:, None], np.ones((len(offsets), 1))
    return line_nodes(quadrature.STRATIFIED if rule == "auto" else rule, steps, len(offsets), key)


def _sampled(
    partition: Players, subject: Subject, samples: int, sizes: str, *, uneven: bool
) -> tuple[Coalitions, np.ndarray, np.ndarray, np.ndarray]:
    """Coalitions, their replicate, an α for each, and its weight, which is 1 unless the α are `uneven`: (B) each."""
    n = partition.n
    key = draws.stream(subject.seed, subject.key, "sig", sizes)
    ranges, unit = bounds(samples), units(samples)
    shift = draws.rows(draws.stream(key, "shift"), 0, len(ranges), 2)
    if sizes == "algorithm1":
        drawn = of_sizes(sizes_algorithm1(n, samples, draws.stream(key, "sizes")), n, draws.stream(key, "members"))
        offsets = np.concatenate(
            [(np.arange(j - i) * GOLDEN + s) % 1 for (i, j), s in zip(ranges, shift[:, 1], strict=True)]
        )
        return drawn, unit, offsets, np.ones(samples)
    turns = draws.rows(draws.stream(key, "turn"), 0, len(ranges), _TURNS)
    lengths = np.diff([0, *(last for _, last in ranges)])
    edges = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
    made = [
        _replicates(int(lengths[i]), shift[i:j], turns[i:j], n, uneven=uneven) for i, j in itertools.pairwise(edges)
    ]
    sizes_of, alphas, parts, keep = (np.concatenate(one) for one in zip(*made, strict=True))
    drawn = antithetic(sizes_of, n, draws.stream(key, "members"))
    return drawn.take(np.nonzero(keep)[0]), unit, alphas, parts


def _replicates(
    length: int, shift: np.ndarray, turn: np.ndarray, n: int, *, uneven: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Replicates of that many draws, one a row: sizes of the pairs, α, weight of α, and which of the pairs are drawn."""
    pairs = -(-length // 2)
    p = np.arange(pairs)
    # A rank-1 lattice over (size, α): sizes stratified, and every stretch of sizes meets α of all parts of [0, 1].
    k = np.minimum((n * (p + shift[:, :1]) / pairs).astype(int), n - 1)
    alpha, part = (p * GOLDEN + shift[:, 1:]) % 1, np.ones((len(shift), pairs))
    if uneven and length == 2 * pairs:  # the weights of a replicate sum to its draws, if no mirror is left out
        alpha, part = uneven_strata(shift[:, 1], pairs)
    # An odd number of draws leaves out one mirror: of a random pair, or large coalitions would be too many.
    order = np.argsort(turn[:, :pairs], axis=1)
    k, alpha, part = (np.take_along_axis(one, order, 1) for one in (k, alpha, part))
    alpha, part = (np.repeat(one, 2, axis=1)[:, :length].ravel() for one in (alpha, part))
    return k.ravel(), alpha, part, np.tile(np.arange(2 * pairs) < length, len(shift))


def through(
    form: str,
    partition: Players,
    reference: Reference,
    drawn: Coalitions,
    *,
    nodes: np.ndarray,
    weights: np.ndarray,
    unit: np.ndarray | None,
) -> Plan:
    """The plan of one form: segments S → N, ∅ → S, or both for every coalition."""
    s, n = len(drawn), partition.n
    start, end = drawn, None
    if form == "from-default":
        start, end = None, drawn
    if form == "both":
        order = np.arange(2 * s).reshape(2, s).T.ravel()
        start = Coalitions.stack([drawn, Coalitions.empty(s, n)]).take(order)
        end = Coalitions.stack([Coalitions.full(s, n), drawn]).take(order)
        nodes, weights = np.repeat(nodes, 2, axis=0), np.repeat(weights, 2, axis=0)
        unit = None if unit is None else np.repeat(unit, 2)
    steps = nodes.shape[1]
    return Plan(
        nodes.ravel(),
        weights.ravel(),
        np.repeat(np.arange(len(nodes)), steps),
        reference,
        players=partition,
        start=start,
        end=end,
        unit=None if unit is None else np.repeat(unit, steps),
    )


def _normalised(plan: Plan) -> Plan:
    moved = plan.mean_movement()
    return replace(plan, scale=np.divide(1.0, moved, out=np.zeros_like(moved), where=moved > 0))

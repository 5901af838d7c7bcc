"""Shapley Integrated Gradients: Integrated Gradients from many baselines, each a sampled coalition of players."""

from __future__ import annotations

from typing import Literal

import numpy as np
from torch import Tensor

from .. import draws, quadrature
from ..baselines.single import baseline as single_baseline
from ..coalitions import Coalitions, all_proper, antithetic, of_sizes, sizes_algorithm1
from ..errors import UsageError
from ..paths import Plan, Reference
from ..players import Players, parse
from ..types import Subject
from .common import at_least, bounds, line_nodes, one_of, units

_GOLDEN = 0.6180339887498949
_ENUMERATE_STEPS = 8
"""Enumeration is worth it once the budget gives every coalition so many nodes."""


def sig(
    subject: Subject,
    *,
    players: str | Tensor = "grid:28x28",
    baseline: str | Tensor = "blur",
    samples: int = 128,
    steps: int = 1,
    sizes: Literal["uniform", "algorithm1"] = "uniform",
    form: Literal["to-input", "from-default", "both"] = "both",
    coalitions: Literal["auto", "sampled", "all"] = "auto",
    rule: str = "auto",
    normalise: bool = False,
) -> Plan:
    """Shapley Integrated Gradients, [SIG] Algorithm 1: E over coalitions S of IG from the baseline b_S to x.

    One stratified α per coalition and many coalitions, since the error at a given cost is nearly all variance over
    coalitions: sizes are stratified, coalitions come in antithetic pairs, and α is spread evenly over the sizes.

    Players, default sample and form are those that serve best on photographs, see docs/defaults.md; the paper's own are the
    preset `paper`.

    Args:
        subject: what is explained.
        players: the partition, see `sigcli.players.FORMS`; the paper's is 80x80.
        baseline: the default sample x' of the players outside S.
        samples: number of coalitions B; gradient evaluations are samples × steps (twice that for form "both").
        steps: nodes per coalition; where all coalitions are taken, 1 stands for samples / (2^n - 1).
        sizes: "uniform" draws k = |S| uniformly from 0..n-1 (the paper's proof and Fig. 2); "algorithm1" as its
            Algorithm 1 is printed, independently.
        form: "to-input" integrates b_S → x, the paper's; "from-default" x' → b_S ([ES] B.1, proposal 2); "both" is their
            sum, which adds up to F(x) - F(x').
        coalitions: "all" enumerates the 2^n - 1 coalitions with their exact weights (sizes "uniform" only); "auto" does so
            where samples allow 8 nodes for each.
        rule: of the nodes; "auto" is stratified where coalitions are sampled and Gauss-Legendre where all are taken.
        normalise: divide a player's sum by the number of draws in which it moved, not by all draws (per-player
            normalisation: same ratios in expectation, less variance; completeness then holds before the division, and no
            standard error is claimed for the ratio).

    Raises:
        UsageError: unknown players, baseline, rule, or counts below 1.
    """
    at_least(1, samples=samples, steps=steps)
    one_of(("uniform", "algorithm1"), sizes=sizes)
    one_of(("to-input", "from-default", "both"), form=form)
    one_of(("auto", "sampled", "all"), coalitions=coalitions)
    partition = parse(players, subject.picture)
    reference = Reference.fixed(single_baseline(baseline, subject))
    count = 2**partition.n - 1
    fits = partition.n <= 16 and samples >= _ENUMERATE_STEPS * count
    if coalitions == "all" and (sizes != "uniform" or partition.n > 16):
        raise UsageError(
            "coalitions=all needs sizes=uniform and at most 16 players", given=f"{sizes}, {partition.n} players"
        )
    if coalitions == "all" or (coalitions == "auto" and fits and sizes == "uniform"):
        drawn, share = all_proper(partition.n)
        rule = "gauss-legendre" if rule == "auto" else rule
        steps = steps if steps > 1 else max(1, samples // count)
        unit, offsets = None, None
    else:
        drawn, unit, offsets = _sampled(partition, subject, samples, sizes)
        share = np.full(samples, 1 / samples)
        rule = quadrature.STRATIFIED if rule == "auto" else rule
    if rule == quadrature.STRATIFIED and offsets is not None and steps == 1:
        nodes, weights = offsets[:, None], np.ones((samples, 1))
    else:
        nodes, weights = line_nodes(rule, steps, len(drawn), draws.stream(subject.seed, subject.key, "sig", "nodes"))
    plan = through(form, partition, reference, drawn, nodes=nodes, weights=weights * share[:, None], unit=unit)
    return _normalised(plan) if normalise else plan


def _sampled(
    partition: Players, subject: Subject, samples: int, sizes: str
) -> tuple[Coalitions, np.ndarray, np.ndarray]:
    """Coalitions, their replicate, and an α offset for each: (B) each."""
    n = partition.n
    key = draws.stream(subject.seed, subject.key, "sig", sizes)
    ranges, unit = bounds(samples), units(samples)
    shift = draws.rows(draws.stream(key, "shift"), 0, len(ranges), 2)
    if sizes == "algorithm1":
        drawn = of_sizes(sizes_algorithm1(n, samples, draws.stream(key, "sizes")), n, draws.stream(key, "members"))
        offsets = np.concatenate(
            [(np.arange(j - i) * _GOLDEN + s) % 1 for (i, j), s in zip(ranges, shift[:, 1], strict=True)]
        )
        return drawn, unit, offsets
    sizes_of, alphas, keep = [], [], []
    turns = draws.rows(draws.stream(key, "turn"), 0, len(ranges), -(-samples // 2))
    for (first, last), (size_shift, alpha_shift), turn in zip(ranges, shift, turns, strict=True):
        pairs = -(-(last - first) // 2)
        p = np.arange(pairs)
        # A rank-1 lattice over (size, α): sizes stratified, and every stretch of sizes meets α of all parts of [0, 1].
        k = np.minimum((n * (p + size_shift) / pairs).astype(int), n - 1)
        alpha = (p * _GOLDEN + alpha_shift) % 1
        # An odd number of draws leaves out one mirror: of a random pair, or large coalitions would be too many.
        order = np.argsort(turn[:pairs])
        sizes_of.append(k[order])
        alphas.append(np.repeat(alpha[order], 2)[: last - first])
        keep.append(np.arange(2 * pairs) < last - first)
    drawn = antithetic(np.concatenate(sizes_of), n, draws.stream(key, "members"))
    return drawn.take(np.nonzero(np.concatenate(keep))[0]), unit, np.concatenate(alphas)


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
    scale = np.divide(1.0, moved, out=np.zeros_like(moved), where=moved > 0)
    return Plan(
        plan.alpha, plan.weight, plan.segment, plan.reference,
        players=plan.players, start=plan.start, end=plan.end, unit=plan.unit, scale=scale,
    )  # fmt: skip

"""SIG-walk: the polylines through coalitions that [SIG] Fig. 1 says a straight line cuts short."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import numpy as np
from torch import Tensor

from .. import draws
from ..baselines import is_image
from ..baselines.single import baseline as single_baseline
from ..engine import quadrature
from ..engine.plan import Plan, Reference, certainty_reference
from ..errors import UsageError
from ..players import Players, parse
from ..shapley.coalitions import Coalitions
from ..shapley.coalitions import orders as random_orders
from ..types import Subject
from .absence import in_presence
from .common import at_least, line_nodes, one_of
from .corners import all_corners, sampled_corners
from .libragrad import corrigible

_ENUMERATE_STEPS = 2
_LARGEST_WALK = 50_000_000
_LARGEST_GAME = 14


@corrigible
def sig_walk(
    subject: Subject,
    *,
    players: str | Tensor = "grid:7x7",
    baseline: str | Tensor = "blur",
    orders: int = 8,
    gradients: Literal["auto", "corners", "inside"] = "auto",
    steps: int = 1,
    segments: int | None = None,
    coalitions: Literal["auto", "sampled", "all"] = "auto",
    rule: str = "auto",
) -> Plan:
    """Walk ∅ → {π₁} → {π₁,π₂} → … → N for random orders π of the players, and average.

    Each move belongs to one player, which receives v(S ∪ π_j) - v(S) ([ES] Theorem 3), spread over its pixels by the
    gradient: an unbiased Shapley value per player with a dense map per pixel, and a total of exactly F(x) - F(x'). Orders
    come in antithetic pairs, π and its reverse. Values are linear in F per player; within a player they are shared out by
    magnitude.

    Args:
        subject: what is explained.
        players: the partition, as `--players` takes it.
        baseline: x' of absent players; "tokens" for none: their tokens are dropped, and moves go along their presence.
        orders: number of orders, rounded up to pairs; gradient evaluations are orders × players. One order without its
            reverse would add more error than it takes away.
        gradients: "corners" of the walk, where one evaluation gives a score and a gradient for the moves on both sides; or
            "inside" for nodes on each move, at orders × segments × steps; "auto" takes the corners unless steps, segments or
            rule say how to place nodes.
        steps: nodes per move, inside.
        segments: moves per order, inside; at fewer than n, several players move together, which is cheaper and no longer an
            unbiased Shapley value. By default every player moves alone.
        coalitions: "all" takes every corner (2^n), or inside every one of the n·2^(n-1) moves, with its Shapley weight,
            which is the mean over all n! orders; "auto" does so where the budget allows it.
        rule: rule for the nodes inside; "auto" is stratified (random) for sampled orders and Gauss-Legendre for all.

    Raises:
        UsageError: unknown players, baseline, rule, or counts below 1.
    """
    at_least(1, orders=orders, steps=steps, **({} if segments is None else {"segments": segments}))
    orders += orders % 2
    one_of(("auto", "sampled", "all"), coalitions=coalitions)
    one_of(("auto", "corners", "inside"), gradients=gradients)
    partition = parse(players, subject.picture)
    placed = steps > 1 or segments is not None or rule != "auto"
    groups = min(partition.n, segments or partition.n)
    _check(partition.n, groups, coalitions, contradictory=gradients == "corners" and placed)
    dropped = not is_image(baseline)
    reference = certainty_reference(subject.x) if dropped else Reference.fixed(single_baseline(baseline, subject))
    if gradients == "corners" or (gradients == "auto" and not placed):
        plan = _at_corners(partition, reference, subject, orders, coalitions)
    else:
        plan = _inside(
            partition, reference, subject, orders=orders, groups=groups, steps=steps, coalitions=coalitions, rule=rule
        )
    return in_presence(plan, baseline) if dropped else plan


def _check(n: int, groups: int, coalitions: str, *, contradictory: bool) -> None:
    """Raise UsageError for settings that do not go together, or a walk that is too long."""
    if contradictory:
        raise UsageError("steps, segments and rule place nodes inside the moves", hint="Add --set gradients=inside.")
    if groups * n > _LARGEST_WALK:
        hint = "Set segments=64 (--set segments=64), or use fewer players."
        raise UsageError(f"a walk of {groups} moves over {n} players is too long", hint=hint)
    if coalitions == "all" and (n > _LARGEST_GAME or groups < n):
        raise UsageError("coalitions=all needs at most 14 players, each moving alone", given=f"{n} players")


def _at_corners(partition: Players, reference: Reference, subject: Subject, orders: int, coalitions: str) -> Plan:
    """Gradients at the corners of the walk.

    Scores give each player its exact marginal contributions; and since the n moves that begin or end at a corner share its
    gradient (the trapezoid rule on each), every gradient serves all pixels and not only those of the player that moves. On
    SqueezeNet with 8 orders of 49 players the error of the players' values is less than half of that of gradients inside the
    moves, at the same cost.
    """
    n = partition.n
    fits = n <= _LARGEST_GAME and orders * n >= 2**n
    if coalitions == "all" or (coalitions == "auto" and fits):
        return all_corners(partition, reference)
    return sampled_corners(partition, reference, subject, orders)


def _inside(
    partition: Players, reference: Reference, subject: Subject, *,
    orders: int, groups: int, steps: int, coalitions: str, rule: str,
) -> Plan:  # fmt: skip
    """Gradients at nodes inside the moves."""
    n = partition.n
    moves = n * 2 ** (n - 1)
    fits = n <= _LARGEST_GAME and groups == n and orders * n * steps >= _ENUMERATE_STEPS * moves
    if coalitions == "all" or (coalitions == "auto" and fits):
        steps = steps if steps > 1 else max(1, orders * n // moves)
        return _all_moves(partition, reference, steps, "gauss-legendre" if rule == "auto" else rule, subject)
    rule = quadrature.STRATIFIED if rule == "auto" else rule
    return _sampled(partition, reference, subject, orders=orders, groups=groups, steps=steps, rule=rule)


def _all_moves(partition: Players, reference: Reference, steps: int, rule: str, subject: Subject) -> Plan:
    """Every move S → S ∪ {j} with weight |S|!(n-|S|-1)!/n!."""
    n = partition.n
    moves = [(s, j) for s, j in itertools.product(range(2**n), range(n)) if not s >> j & 1]
    codes, player = (np.array(column, np.int64) for column in zip(*moves, strict=True))
    start = ((codes[:, None] >> np.arange(n)) & 1).astype(bool)
    end = start.copy()
    end[np.arange(len(end)), player] = True
    weight = np.array([1 / (n * math.comb(n - 1, k)) for k in range(n)])[start.sum(1)]
    nodes, weights = line_nodes(rule, steps, len(start), draws.stream(subject.seed, subject.key, "sig-walk", "nodes"))
    return Plan(
        nodes.ravel(),
        (weights * weight[:, None]).ravel(),
        np.repeat(np.arange(len(start)), steps),
        reference,
        players=partition,
        start=Coalitions.pack(start),
        end=Coalitions.pack(end),
    )


def _sampled(
    partition: Players, reference: Reference, subject: Subject, *, orders: int, groups: int, steps: int, rule: str
) -> Plan:
    n = partition.n
    key = draws.stream(subject.seed, subject.key, "sig-walk")
    permutations = random_orders(n, orders, draws.stream(key, "orders"))
    edges = np.round(np.linspace(0, n, groups + 1)).astype(int)
    corners = [_corners(permutation, edges) for permutation in permutations]
    nodes, weights = line_nodes(rule, steps, orders * groups, draws.stream(key, "nodes"))
    if rule == quadrature.STRATIFIED:
        nodes = _spread_nodes(nodes.reshape(orders, groups, steps), permutations, draws.stream(key, "ranks"))
    order = np.repeat(np.arange(orders), groups * steps)
    return Plan(
        nodes.ravel(),
        weights.ravel() / orders,
        np.repeat(np.arange(orders * groups), steps),
        reference,
        players=partition,
        start=Coalitions.stack([c.take(np.arange(groups)) for c in corners]),
        end=Coalitions.stack([c.take(np.arange(1, groups + 1)) for c in corners]),
        unit=order // 2,
    )


def _corners(permutation: np.ndarray, edges: np.ndarray) -> Coalitions:
    """The coalitions that a walk passes, ∅ first and N last."""
    place = np.empty_like(permutation)
    place[permutation] = np.arange(len(permutation))
    return Coalitions.pack(place[None, :] < edges[:, None])


def _spread_nodes(nodes: np.ndarray, permutations: np.ndarray, key: int) -> np.ndarray:
    """Random nodes of the moves, spread evenly over the orders for each player: (orders, groups, steps) → (moves, steps).

    With few nodes per move, nearly all of the error of a walk is where on its moves the gradient was taken. So the pairs of
    orders share [0, 1] between them, in a random order for each player, and a reverse order has 1 - α where its order has α.
    Pairs are therefore not quite independent: the standard error from their spread errs on the side of caution.
    """
    orders, groups, steps = nodes.shape
    pairs = orders // 2
    players = permutations.shape[1]
    u = draws.rows(key, 0, pairs, players)
    rank = np.argsort(np.argsort(u, axis=0), axis=0)
    first = np.round(np.linspace(0, players, groups + 1)).astype(int)[:-1]
    result = np.empty_like(nodes)
    cell = np.floor(nodes * steps)
    for pair in range(pairs):
        forward = permutations[2 * pair]
        inner = nodes[2 * pair] * steps - cell[2 * pair]  # place within its stratum of the rule
        share = (rank[pair, forward[first]][:, None] + inner) / pairs
        result[2 * pair] = (cell[2 * pair] + share) / steps
        result[2 * pair + 1] = 1 - result[2 * pair][::-1, ::-1]
    return result.reshape(-1, steps)

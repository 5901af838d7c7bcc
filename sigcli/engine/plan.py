"""Plans: a path method as data. Which points are visited with which weight, in a compact form: coalition bits and an α.

Every method of this package that integrates gradients visits points of one family. Between a reference x' and the input x
each player p stands at a position in [0, 1]:

    point = x' + (x - x') · position,   position = start + α · (end - start),   start, end ∈ {0, 1}^n

and adds `weight · ∂F/∂x(point) · (x - x') · (end - start)` to the attribution. IG is one segment ∅ → N; SIG has segments
S → N; a walk has one segment per move of a polyline ∅ → … → N. Integrated Certainty Gradients move along one more channel,
the certainty of each pixel, while the image stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from ..players import Players
from ..shapley.coalitions import Coalitions
from .transfer import sent


@dataclass(frozen=True)
class Reference:
    """The baselines x' of a plan.

    Args:
        sample: (k,) int64 indices, on the host → (k, C, H, W) references on the subject's device; where `constant`, always
            the same (1, C, H, W).
        constant: whether every index gives the same reference, which lets the engine multiply by x - x' once.
    """

    sample: Callable[[Int64[Tensor, " k"]], Float[Tensor, "k c h w"]]
    constant: bool = False

    @staticmethod
    def fixed(image: Float[Tensor, "c h w"]) -> Reference:
        """One reference for all draws."""
        return Reference(lambda _: image[None], constant=True)


def certainty_reference(
    images: Float[Tensor, "c h w"] | Callable[[Int64[Tensor, " k"]], Float[Tensor, "k c h w"]],
) -> Reference:
    """Images of which nothing is certain, (k, C+1, H, W): where paths in certainty begin.

    Args:
        images: the image; or a function of the indices of paths, with an image for each.
    """
    if isinstance(images, Tensor):
        return Reference.fixed(with_certainty(images, 0.0))
    varied = images
    return Reference(lambda indices: with_certainty(varied(indices), 0.0))


def with_certainty(images: Float[Tensor, "*n c h w"], level: float) -> Float[Tensor, "*n d h w"]:
    """Images with one more channel: a certainty of `level` everywhere."""
    return torch.cat([images, torch.full_like(images[..., :1, :, :], level)], dim=-3)


@dataclass(frozen=True, eq=False)
class Marginals:
    """What each player adds, as sums of scores at the points: player i gets Σ coefficient · F(point) over its entries.

    Args:
        point: (m,) non-decreasing indices of points.
        player: (m,) players.
        coefficient: (m,) coefficients.
    """

    point: Int[np.ndarray, " m"]
    player: Int[np.ndarray, " m"]
    coefficient: Float[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class Plan:
    """k points with their weights, on s segments.

    Args:
        alpha: (k,) place of each point on its segment, 0..1.
        weight: (k,) quadrature weight times the segment's weight.
        segment: (k,) the segment of each point.
        reference: the baselines x'.
        draw: (s,) the reference index of each segment; all 0 where None.
        players: the partition, or None where all pixels move together.
        start: the players present at the start of each segment; none where None.
        end: the players present at its end; all where None.
        unit: (k,) non-decreasing index of the independent replicate a point belongs to; all 0 where None. The standard
            error comes from the spread between replicates, so a plan with one has none.
        paired: units 2b and 2b + 1 are two independent estimates of the same part b of the sum, of half its weight each, and
            parts differ; the standard error comes from the differences within the pairs. Otherwise every unit estimates
            the whole.
        spent: forward passes of the model that went into choosing the points, besides those at the points.
        libragrad: the gradients are to be LibraGrad's, see `sigcli.methods.libragrad`; whoever follows the plan sees to it.
        multiply: False for plain gradients, which are not multiplied by x - x'.
        scale: (n,) factor per player applied at the end (per-player normalisation), or None.
        tokens: the path is one in the presence of a transformer's tokens, which is told in the place of certainty; whoever
            follows the plan sees to it, see `sigcli.methods.token_masks`.
        certainty: the path is one in certainty: points are images with one more channel, (C+1, H, W), whose first C stay
            as they are in the reference while the last goes from 0 to 1. The values are that channel's.
        marginals: where given, points are corners: they stand at the start of their segment, and their gradient serves every
            move that begins or ends there (half of each, shared among the n-|S| moves that begin and the |S| that end). A
            replicate's values are then corrected, in proportion to their magnitude, so each player's sum is exactly
            its marginals'.
    """

    alpha: Float[np.ndarray, " k"]
    weight: Float[np.ndarray, " k"]
    segment: Int[np.ndarray, " k"]
    reference: Reference
    draw: Int[np.ndarray, " s"] | None = None
    players: Players | None = None
    start: Coalitions | None = None
    end: Coalitions | None = None
    unit: Int[np.ndarray, " k"] | None = None
    multiply: bool = True
    scale: Float[np.ndarray, " n"] | None = None
    marginals: Marginals | None = None
    certainty: bool = False
    paired: bool = False
    spent: int = 0
    libragrad: bool = False
    tokens: bool = False
    segments: int = field(init=False)

    def __post_init__(self) -> None:
        k = len(self.alpha)
        if not k or any(len(a) != k for a in (self.weight, self.segment)):
            raise ValueError("a plan needs at least one point, and a weight and a segment for each")
        if self.unit is not None and (len(self.unit) != k or np.any(np.diff(self.unit) < 0)):
            raise ValueError("units must be one per point and must not decrease")
        if self.paired and self.units % 2:
            raise ValueError("paired units come in twos")
        if self.players is None and not (self.start is None and self.end is None):
            raise ValueError("coalitions need players")
        if self.certainty and ((self.players is not None and not self.tokens) or not self.multiply):
            raise ValueError("a path in certainty has no players and is complete")
        if self.tokens and not self.certainty:
            raise ValueError("the presence of tokens is told in the place of certainty")
        object.__setattr__(self, "segments", int(self.segment.max()) + 1)

    def __len__(self) -> int:
        return len(self.alpha)

    @property
    def units(self) -> int:
        """Number of independent replicates."""
        return 1 if self.unit is None else int(self.unit[-1]) + 1

    def segment_weights(self) -> Float[np.ndarray, " s"]:
        """Total weight of each segment, (s,)."""
        return np.bincount(self.segment, self.weight, self.segments)

    def moves(self, rows: Int[np.ndarray, " m"] | slice) -> tuple[np.ndarray, np.ndarray]:
        """Start and movement of every player on some segments: two (m, n) float32 arrays of 0 and 1."""
        count = len(np.arange(self.segments)[rows])
        n = self.players.n if self.players else 1
        start = np.zeros((count, n), np.float32) if self.start is None else self.start.members(rows).astype(np.float32)
        end = np.ones((count, n), np.float32) if self.end is None else self.end.members(rows).astype(np.float32)
        return start, end - start

    def served(self, points: slice) -> Float[np.ndarray, "m n"]:
        """Of the moves that meet at some corners, each player's share in the gradient: (m, n), without the weights."""
        return _served(self.members(points))

    def members(self, points: slice) -> Bool[np.ndarray, "m n"]:
        """The players that are present where the segments of some points start: at corners."""
        if self.start is None:
            raise ValueError("corners need coalitions")
        return self.start.members(self.segment[points])

    def mean_movement(self) -> Float[np.ndarray, " n"]:
        """Weighted fraction of the segments on which each player moves, (n,)."""
        weights = self.segment_weights()
        total = np.zeros(self.players.n if self.players else 1)
        for i in range(0, self.segments, 1024):
            total += weights[i : i + 1024] @ self.moves(slice(i, i + 1024))[1]
        return total


def straight(
    reference: Reference,
    alpha: Float[np.ndarray, "s q"],
    weight: Float[np.ndarray, "s q"],
    *,
    unit: Int[np.ndarray, " s"] | None = None,
    multiply: bool = True,
    certainty: bool = False,
) -> Plan:
    """Straight lines from references 0..s-1 to the input: IG (s = 1), Expected Gradients, Gaussian noise.

    Args:
        reference: the reference whose index is the row.
        alpha: (s, q) nodes of each line.
        weight: (s, q) their weights.
        unit: the replicate of each line, see `Plan`.
        multiply: see `Plan`.
        certainty: see `Plan`.
    """
    lines, nodes = alpha.shape
    segment = np.repeat(np.arange(lines), nodes)
    return Plan(
        alpha.ravel(),
        weight.ravel(),
        segment,
        reference,
        draw=np.arange(lines),
        unit=None if unit is None else unit[segment],
        multiply=multiply,
        certainty=certainty,
    )


@dataclass(frozen=True, eq=False)
class Endpoints:
    """The score difference a plan's values should sum to: Σ coefficient · F(end point).

    Args:
        rows: coalition of each end point, or None where there are no players: then `full` says which end it is.
        full: (m,) whether the end point is x itself; on a path in certainty, the reference's image at a certainty of 1.
        draw: (m,) reference index.
        coefficient: (m,) its coefficient in the difference.
    """

    rows: Coalitions | None
    full: np.ndarray
    draw: np.ndarray
    coefficient: Float[np.ndarray, " m"]


def endpoints(plan: Plan, at_most: int) -> Endpoints:
    """Distinct end points of a plan's segments; those that cancel (the inner corners of a walk) are left out.

    Where more than `at_most` remain, the heavy ones are kept and of the others an evenly spaced sample stands for all, so
    that the check costs little compared with the integral.
    """
    s = plan.segments
    weights = plan.segment_weights()
    n = plan.players.n if plan.players else 1
    if plan.marginals is not None:
        both = Coalitions.stack([Coalitions.empty(1, n), Coalitions.full(1, n)])
        return Endpoints(both, np.array([False, True]), np.zeros(2, np.int64), np.array([-1.0, 1.0]))
    draw = np.zeros(s, np.int64) if plan.draw is None else plan.draw
    start = plan.start or Coalitions.empty(s, n)
    own = plan.certainty and not plan.reference.constant  # then each path ends in an image of its own
    if plan.end is None and not own:  # all paths end in the image itself, which is one point
        bits = np.concatenate([Coalitions.full(1, n).bits, start.bits])
        coefficient, draw = np.append(weights.sum(), -weights), np.append(-1, draw)
    else:
        bits = np.concatenate([(plan.end or Coalitions.full(s, n)).bits, start.bits])
        coefficient, draw = np.append(weights, -weights), np.append(draw, draw)
    full = (bits == Coalitions.full(1, n).bits).all(1)
    draw = draw if own else np.where(full, -1, draw)
    if plan.players is None and plan.draw is not None and not own and bool((np.diff(plan.draw) > 0).all()):
        first, total = np.arange(len(draw)), coefficient  # each path begins in a reference of its own
        order = first
    else:
        _, first, inverse = np.unique(_names(bits, draw), return_index=True, return_inverse=True)
        total = np.bincount(inverse, coefficient, len(first))
        order = np.argsort(first)
    keep = order[np.abs(total[order]) > 1e-12]
    # In the order of their sizes, so a sample taken at even distances is stratified by size.
    keep = keep[np.argsort(Coalitions(bits[first[keep]], n).sizes(), kind="stable")]
    chosen, share = _thin(total[keep], at_most)
    rows = first[keep][chosen]
    return Endpoints(Coalitions(bits[rows], n) if plan.players else None, full[rows], np.maximum(draw[rows], 0), share)


def _names(bits: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """One name for each coalition and reference: an integer where the coalition has room in it, else bytes."""
    m, width = bits.shape
    if width <= 8 and draw.max() <= 0:  # of one reference: the coalition says all, and the full one is x itself
        return _padded(bits, 8).view(np.uint64)[:, 0]
    if width <= 4 and draw.max() < 2**31 - 1:
        return _padded(bits, 4).view(np.uint32)[:, 0].astype(np.int64) << 32 | (draw.astype(np.int64) + 1)
    keyed = np.concatenate([bits, draw.astype(np.int64)[:, None].view(np.uint8).reshape(m, 8)], 1)
    return np.ascontiguousarray(keyed).view(np.dtype((np.void, keyed.shape[1]))).ravel()


def _padded(bits: np.ndarray, width: int) -> np.ndarray:
    padded = np.zeros((len(bits), width), np.uint8)
    padded[:, : bits.shape[1]] = bits
    return padded


def _thin(coefficient: np.ndarray, at_most: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices to keep, and a coefficient for each, so few stand for all: systematic sampling in proportion to size.

    Coefficients above the sampling interval are kept as they are. The others are met by a comb laid over their cumulated
    magnitude, in the order given.
    """
    m = len(coefficient)
    if m <= at_most:
        return np.arange(m), coefficient
    magnitude = np.abs(coefficient)
    heavy = magnitude * at_most > magnitude.sum()
    light = np.nonzero(~heavy)[0]
    room = max(1, at_most - int(heavy.sum()))
    edges = np.cumsum(magnitude[light])
    interval = edges[-1] / room
    picked = light[np.searchsorted(edges, (np.arange(room) + 0.5) * interval)]
    chosen = np.concatenate([np.nonzero(heavy)[0], picked])
    return chosen, np.concatenate([coefficient[heavy], np.sign(coefficient[picked]) * interval])


def _served(members: Bool[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
    """See `Plan.served`."""
    size = members.sum(1, keepdims=True)
    return np.where(members, 0.5 / np.maximum(size, 1), 0.5 / np.maximum(members.shape[1] - size, 1))


def spread_positions(plan: Plan, points: slice, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Positions and weighted movements of some points, ready to multiply images.

    Returns:
        position: (k, 1, H, W), or (k, 1, 1, 1) where there are no players.
        movement: weight · (end - start), of the same shape.
    """
    alpha, weight = (sent(array[points], device, dtype)[:, None] for array in (plan.alpha, plan.weight))
    if plan.players is None:
        return alpha[:, :, None, None], weight[:, :, None, None]
    if plan.marginals is not None:
        members = plan.members(points)
        position, move = sent(members, device, dtype), sent(_served(members), device, dtype)
    else:
        start, move = (sent(a, device, dtype) for a in plan.moves(plan.segment[points]))
        position = start + alpha * move
    both = torch.cat([position, weight * move])
    maps = plan.players.spread(both)[:, None]
    return maps[: len(alpha)], maps[len(alpha) :]

"""Independent replicates of a map, in a few groups: what is to be known of sums of pixels, smoothed maps and regions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..shapley.groups import group_bits, group_of, groups_of
from .plan import Plan


def deviations(sums: Float[Tensor, "g *s"], shares: Float[np.ndarray, " g"]) -> Float[Tensor, "g *s"]:
    """Deviations of groups from the whole: √(ω/(g-1)) · (v - mean), where each sum is ω v and estimates ω times the whole.

    Args:
        sums: what each group adds to the whole.
        shares: ω of each, which sum to 1.
    """
    omega = torch.from_numpy(shares).to(sums).reshape(-1, *[1] * (sums.ndim - 1))
    return (sums - omega * sums.sum(0)) / (omega * (len(sums) - 1)).sqrt()


def regrouped(sums: Float[Tensor, "g *s"], count: int, more: int) -> Float[Tensor, "h *s"]:
    """Sums of the groups of `count` replicates as those of `more`, with nothing in the groups that are still to come."""
    place = torch.arange(len(sums), device=sums.device) << group_bits(count) >> group_bits(more)
    return sums.new_zeros(groups_of(more), *sums.shape[1:]).index_add_(0, place, sums)


def places_of(plan: Plan, units: np.ndarray) -> np.ndarray:
    """The groups that replicates belong to; both of a pair to one."""
    return units // 2 >> group_bits(plan.units // 2) if plan.paired else units >> group_bits(plan.units)


def group_weights(plan: Plan) -> Float[np.ndarray, " g"]:
    """The share of the whole that each group of replicates estimates, (g,)."""
    if plan.unit is None:
        return np.ones(1)
    shares = np.bincount(plan.unit, plan.weight) / plan.weight.sum()
    return np.bincount(places_of(plan, np.arange(plan.units)), shares)


def add_to_groups(groups: Tensor, places: list[int], rows: Tensor) -> None:
    """Add rows to the groups that they belong to; places do not decrease."""
    if places == list(range(places[0], places[0] + len(places))):
        groups[places[0] : places[0] + len(places)] += rows
        return
    for place in dict.fromkeys(places):
        first = places.index(place)
        groups[place] += rows[first : first + places.count(place)].sum(0)


@dataclass(eq=False)
class Groups:
    """Draws of one mean, added up in groups.

    Args:
        count: number of draws.
        like: a tensor of a draw's shape after channels are summed, (H, W), its type and device.
    """

    count: int
    like: Tensor
    sums: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.sums = torch.zeros(groups_of(self.count), *self.like.shape, dtype=self.like.dtype, device=self.like.device)

    def add(self, first: int, terms: Float[Tensor, "k c h w"]) -> None:
        """Draws first..first+k-1, (k, C, H, W)."""
        place = [group_of(first + i, self.count) for i in range(len(terms))]
        flat = terms.sum(1).to(self.sums)
        self.sums.index_add_(0, torch.tensor(place, device=flat.device), flat)

    def deviations(self) -> Float[Tensor, "g h w"] | None:
        """See `sigcli.types.Attribution.deviations`, of the mean of the draws; None of a single one."""
        if self.count < 2:
            return None
        counts = np.bincount([group_of(i, self.count) for i in range(self.count)])
        return deviations(self.sums / self.count, counts / self.count)

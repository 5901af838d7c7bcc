"""What replaces removed pixels: a fixed picture, ROAD's noisy linear interpolation of what is around them, or nothing.

Nothing stands for tokens of a transformer, which are dropped; see `sigcli.methods.token_masks`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..baselines import BASELINES
from ..baselines.single import baseline
from ..errors import UsageError, unknown
from ..players import TOKENS
from ..types import Subject
from .removal import Fill
from .road import ROAD, Road


@dataclass(frozen=True, eq=False)
class TokenSubject(Subject):
    """A subject whose image has one more channel: 1 where its tokens are there."""

    @property
    def picture(self) -> Float[Tensor, "c h w"]:
        """The image in 0..1, without that channel."""
        return (self.x[:-1] - self.low) / (self.high - self.low)


def with_tokens(subject: Subject) -> TokenSubject:
    """A subject with all its tokens."""
    facts: dict[str, Any] = {one.name: getattr(subject, one.name) for one in fields(subject)}
    facts["x"] = torch.cat([subject.x, torch.ones_like(subject.x[:1])])
    return TokenSubject(**facts)


def _nothing(subject: Subject) -> Float[Tensor, "c h w"]:
    """The image without its tokens."""
    if not isinstance(subject, TokenSubject):
        raise UsageError("the imputation 'tokens' drops tokens of a network, and none is known here", given=TOKENS)
    return torch.cat([subject.x[:-1], torch.zeros_like(subject.x[-1:])])


@lru_cache(maxsize=8)  # all maps and metrics of an image share its blurred copy
def imputed(name: str, subject: Subject) -> Float[Tensor, "c h w"] | Fill:
    """The replacement of that name: road, or any baseline (black, mean, blur:SIGMA …, see `sig list baselines`).

    Raises:
        UsageError: no such baseline, or tokens of a subject that does not say which are there.
        AttributionError: a baseline that needs other images where there are none.
    """
    if name == TOKENS:
        return _nothing(subject)
    kind = name.partition(":")[0]
    if name != ROAD and kind not in BASELINES and not Path(name).suffix:
        raise unknown("imputation", name, [ROAD, *BASELINES])
    return Road(subject) if name == ROAD else baseline(name, subject)

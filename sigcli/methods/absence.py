"""What absent players leave behind: an image, the baseline, or nothing where a transformer's tokens are dropped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..baselines import is_image
from ..engine.passes import Passes
from ..errors import UsageError
from ..players import TOKENS, Players
from ..scores.classifier import ClassScore
from ..shapley.game import Game
from ..types import Subject
from .token_masks import TokenMasks, token_masks


@dataclass(frozen=True, eq=False)
class Presence:
    """An image whose tokens can be dropped, see `sigcli.methods.token_masks`.

    Args:
        masks: the network.
        scorer: the score of images with a channel more.
        whole: (C + 1, H, W) the image with all its tokens.
        absent: (C + 1, H, W) what stands for the pixels of dropped tokens.
    """

    masks: TokenMasks
    scorer: ClassScore
    whole: Float[Tensor, "c h w"]
    absent: Float[Tensor, "c h w"]


def presence(passes: Passes, subject: Subject, baseline: str | Tensor = TOKENS) -> Presence:
    """An image whose tokens can be dropped; the baseline is "tokens".

    Raises:
        UsageError: a baseline with an argument.
        AttributionError: a network of which no tokens can be dropped, or a score of no classifier.
    """
    if baseline != TOKENS:
        raise UsageError("baseline 'tokens' has the wrong argument", given=baseline, allowed=TOKENS)
    masks = token_masks(passes.module, subject.x[None])
    assert isinstance(passes.scorer, ClassScore)  # or it had no module
    channel = torch.ones_like(subject.x[:1])
    whole, absent = torch.cat([subject.x, channel]), torch.cat([subject.x, 0 * channel])
    return Presence(masks, replace(passes.scorer, model=masks), whole, absent)


def game_of(passes: Passes, subject: Subject, players: Players, baseline: str | Tensor) -> Game:
    """v(S) of the members of S: F of the image with the baseline elsewhere, or F without the tokens of all others.

    Raises:
        UsageError: unknown baseline, or players that divide a token.
        AttributionError: as for `presence`.
    """
    if is_image(baseline):
        return passes.game(subject, players, baseline)
    there = presence(passes, subject, baseline)
    check_undivided(players, there.masks)
    return passes.game(replace(subject, x=there.whole), players, there.absent, there.scorer)


def score_of_none(passes: Passes, subject: Subject, players: Players, baseline: str | Tensor) -> float:
    """The value v(∅) of no players; not counted."""
    aside = Passes(passes.scorer, passes.batches)
    return float(game_of(aside, subject, players, baseline)(np.zeros((1, players.n), bool))[0])


def check_undivided(players: Players, masks: TokenMasks) -> None:
    """Raise UsageError for players to whom only a part of a token belongs."""
    rows, columns = masks.tokens.size
    both = torch.stack([players.labels.flatten(), masks.players.labels.flatten()])
    if both.unique(dim=1).shape[1] > masks.players.n:
        raise UsageError(
            f"these players divide the network's {rows}x{columns} tokens, which can only be dropped whole",
            given=f"players {players.spec} with baseline tokens",
            hint="Use --players tokens, or patches of several tokens.",
        )

"""What absent players leave behind: an image, the baseline, or nothing where a transformer's tokens are dropped."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..baselines import is_image
from ..engine.passes import Passes
from ..engine.plan import Plan
from ..errors import UsageError
from ..players import TOKENS, Players
from ..scores.classifier import ClassScore
from ..scores.score import Score
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
    _check_plain(baseline)
    masks = token_masks(passes.module, subject.x[None])
    assert isinstance(passes.scorer, ClassScore)  # or it had no module
    channel = torch.ones_like(subject.x[:1])
    whole, absent = torch.cat([subject.x, channel]), torch.cat([subject.x, 0 * channel])
    return Presence(masks, replace(passes.scorer, model=masks), whole, absent)


def in_presence(plan: Plan, baseline: str | Tensor) -> Plan:
    """A plan from `certainty_reference` as one along the presence of tokens; raises UsageError as `presence` does."""
    _check_plain(baseline)
    return replace(plan, certainty=True, tokens=True)


@dataclass(frozen=True, eq=False)
class Present:
    """A network as a function of images with a channel more, which tells how far each of its tokens is there.

    Args:
        module: the network.
    """

    module: nn.Module

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """(N, C + 1, H, W) → (N, classes)."""
        return token_masks(self.module, images[:1, :-1].detach()).partly(images)


def along_presence(score: Score) -> Score:
    """The score of images with a channel more, differentiable by it: for plans along the presence of tokens.

    Raises:
        AttributionError: it is not of a classifier whose layers are at hand.
    """
    module = Passes(score).module
    assert isinstance(score, ClassScore)  # or it had no module
    return replace(score, model=Present(module))


def check_presence(score: Score, subject: Subject, plan: Plan) -> None:
    """Raise what stands against a plan along the presence of tokens.

    Raises:
        UsageError: players that divide a token, or LibraGrad's gradients, which hold attention weights constant.
        AttributionError: a network of which no tokens can be dropped.
    """
    if plan.libragrad:
        raise UsageError(
            "libragrad=true holds attention weights constant, and with the baseline tokens these are what changes",
            hint="Leave one of them out.",
        )
    masks = token_masks(Passes(score).module, subject.x[None])
    if plan.players is not None:
        check_undivided(plan.players, masks)


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


def _check_plain(baseline: str | Tensor) -> None:
    if baseline != TOKENS:
        raise UsageError("baseline 'tokens' has the wrong argument", given=baseline, allowed=TOKENS)


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

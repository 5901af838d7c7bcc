"""A transformer of which some tokens are dropped, so that what is absent leaves no image behind.

A dropped token is a key of no attention: its weight is 0 in every block, and those of the others sum to 1. Averages over
tokens are over those that are there. All else in a block is done token by token, so the scores are those of the network
without the dropped tokens. Class, register and distillation tokens always stay. An average over no tokens is 0.

Which tokens are there is told in one more channel of an image: 1 where it is there, 0 where it is not. So a network with
dropped tokens is a function of images like any other, and what replaces pixels by a baseline drops tokens where the
baseline's channel is 0.

Between 0 and 1 a token is there in part, so there are paths from absence to presence and gradients along them: of a token
with the presence m its weights are m·exp(logit) over the sum of these, an attention bias of log m, and averages over tokens
weigh it by m. At 0 and 1 this is what was said above. Where less than one token is there in all, which happens only in
networks without tokens that always stay, attention is scaled down by that sum, so it is continuous at ∅, where it is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from ..errors import MisfitError
from ..players import Players, parse
from .attention import Tokens, tokens
from .network_layers import kept
from .tracing import UNTRACED, Rule, Step, plain, replay

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
_ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-6}
_STEEP = 30.0
"""Beyond it the logit of an absent key no longer grows: else its gradient, of a key that would take over, overflows."""
Pools = Mapping[int, tuple[int, ...]]
"""Averages over tokens, by the step's id: the tokens that each is over."""


@dataclass(frozen=True, eq=False)
class TokenMasks:
    """A network that is told which of its tokens are there.

    Args:
        tokens: its attention and its tokens.
        players: the partition of the pixels into tokens.
        pools: its averages over tokens.
    """

    tokens: Tokens
    players: Players
    pools: Pools = field(default_factory=dict)

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Outputs for images with a channel more; a token is there if that is 1 for more than half of its pixels."""
        return self._run(images, self.told(self._shares(images[:, -1]) > 0.5))

    def partly(self, images: Float[Tensor, "n d h w"]) -> Float[Tensor, "n k"]:
        """The same where a token is there as far as its pixels of that channel say in the mean, with gradients by it."""
        return self._run(images, self.told(self._shares(images[:, -1])))

    def _run(self, images: Float[Tensor, "n d h w"], there: Shaped[Tensor, "n t"]) -> Float[Tensor, "n k"]:
        with torch.autocast(images.device.type, enabled=False):  # operators are recorded in the images' type
            return torch.vmap(lambda x, told: self.run(x[None], told)[0])(images[:, :-1], there)

    def _shares(self, channel: Float[Tensor, "n h w"]) -> Float[Tensor, "n p"]:
        """The mean of a channel over each token's pixels."""
        labels = self.players.labels.to(channel.device).flatten()
        sums = channel.new_zeros(len(channel), self.players.n).index_add_(1, labels, channel.flatten(1))
        sizes = torch.bincount(self.players.labels.flatten()).to(
            channel.device
        )  # on the host, where it is deterministic
        return sums / sizes.to(sums)

    def told(self, there: Shaped[Tensor, "*n p"]) -> Shaped[Tensor, "*n t"]:
        """Which of the image's tokens are there, or how far → the same of all tokens."""
        found = there.new_ones(*there.shape[:-1], self.tokens.count)
        found[..., list(self.tokens.places)] = there
        return found

    def run(
        self, images: Float[Tensor, "1 c h w"], there: Shaped[Tensor, " t"], rule: Rule = plain
    ) -> Float[Tensor, "1 k"]:
        """Outputs for one image with some of all tokens; the rule is for what neither attends nor averages tokens."""
        weights = {id(step) for step in self.tokens.weights}

        def masked(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if id(step) in weights:
                return _attending(step, args, kwargs, there)
            if id(step) in self.pools:
                return _averaged(args, kwargs, there[list(self.pools[id(step)])])
            return rule(step, args, kwargs)

        return replay(self.tokens.tape, masked, (images,))


def token_masks(module: nn.Module, images: Float[Tensor, "1 c h w"]) -> TokenMasks:
    """The network with tokens that can be dropped; found out once per network and shape.

    Args:
        module: (N, C, H, W) → (N, classes).
        images: (1, C, H, W).

    Raises:
        MisfitError: attention other than between all tokens in each of a chain of blocks, or tokens that cannot be
            dropped: their pixels reach the scores in other ways too.
    """
    found = tokens(module, images)
    name = f"token masks {tuple(images.shape)} {images.dtype} {images.device}"
    made = kept(module, name, lambda: _made(module, found, images))
    if isinstance(made, str):
        raise MisfitError(
            f"tokens cannot be dropped from this network: {made}", hint="Choose an image: sig list baselines."
        )
    return made


def token_grid(module: nn.Module, images: Float[Tensor, "1 c h w"]) -> tuple[int, int]:
    """How many tokens the image has, (rows, columns).

    Raises:
        MisfitError: attention other than between all tokens, or an image that is not a whole number of them.
    """
    found = tokens(module, images)
    if why := _uneven(found, images):
        raise MisfitError(why, hint="Choose another --image-size.")
    return found.size


def _uneven(found: Tokens, images: Tensor) -> str | None:
    """That the image is not a whole number of tokens."""
    (height, width), (rows, columns) = images.shape[-2:], found.size
    whole = height % rows == 0 and width % columns == 0
    return None if whole else f"an image of {height}x{width} pixels cannot be divided into its {rows}x{columns} tokens"


def noise_image(module: nn.Module, shape: tuple[int, ...]) -> Float[Tensor, "1 c h w"]:
    """An image of the network's type, on its device, to look into it with."""
    some = next(module.parameters(), torch.empty(0))
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)).to(some)


def _made(module: nn.Module, found: Tokens, images: Tensor) -> TokenMasks | str:
    """The network with tokens that can be dropped, or why they cannot be, as part of a sentence."""
    if why := _uneven(found, images):
        return why
    with torch.no_grad():
        made = TokenMasks(found, parse(f"grid:{found.size[0]}x{found.size[1]}", images[0]))
        made = TokenMasks(found, made.players, _pools(made, images))
        _check_whole(module, made, images)
        generator = torch.Generator().manual_seed(1)
        for share in (0.5, 0.2, 0.0):
            there = (torch.rand(made.players.n, generator=generator) < share).to(images.device)
            some, other = made.told(there), _changed(images, made.players, ~there)
            effect = (module(other) - module(images)).abs().max()  # of the same pixels where no token is dropped
            leak = (made.run(other, some) - made.run(images, some)).abs().max()
            if not bool(leak <= 1e-3 * effect + _ROUNDING.get(images.dtype, 1e-2) * module(images).abs().max()):
                return (
                    "the pixels of a token reach the scores in other ways than its attention and averages over tokens"
                )
    return made


def _check_whole(module: nn.Module, made: TokenMasks, images: Tensor) -> None:
    """Raise MisfitError unless the outputs with all tokens are the network's own, for several images at once."""
    several = torch.cat([images, images.flip(-1)])
    if not _alike(made(torch.cat([several, torch.ones_like(several[:, :1])], 1)), module(several)):
        raise MisfitError(UNTRACED)


def _alike(found: Tensor, expected: Tensor) -> bool:
    """Whether outputs agree; NaN does not."""
    return bool((found - expected).abs().max() <= _TOLERANCE.get(expected.dtype, 1e-2) * expected.abs().max())


def _changed(images: Tensor, players: Players, which: Bool[Tensor, " p"]) -> Tensor:
    """An image with noise in place of some tokens' pixels."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(2)).to(images)
    where = players.spread(which[None].to(images.dtype))[:, None] > 0
    return torch.where(where, images.mean() + 3 * (images.std() + 1e-3) * noise, images)


def _attending(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any], there: Tensor) -> Tensor:
    """A softmax over the keys that are there; the others' weights are 0, and all are where there is none."""
    shape = [1] * args[0].ndim
    shape[args[1]] = len(there)
    if there.is_floating_point():
        return _attending_partly(args[0], args[1], there.view(shape))
    absent = ~there.view(shape)
    return step.operator(args[0].masked_fill(absent, -torch.inf), *args[1:], **kwargs).masked_fill(absent, 0)


def _attending_partly(logits: Tensor, axis: int, there: Tensor) -> Tensor:
    """A softmax over keys that are there in part: m exp(logit) over its sum, and no less than one key in all."""
    with torch.no_grad():
        top = logits.masked_fill(there <= 0, -torch.inf).amax(axis, keepdim=True)
        top = top.masked_fill(top.isinf(), 0)  # no key at all
    weights = (logits - top).clamp(max=_STEEP).exp() * there
    sums = weights.sum(axis, keepdim=True)
    return weights / sums.masked_fill(sums == 0, 1) * there.sum().clamp(max=1)


def _averaged(args: tuple[Any, ...], kwargs: dict[str, Any], there: Tensor) -> Tensor:
    """The mean over the tokens that are there."""
    x, axes = args[0], _axes(args)
    weights = there.view([size if axis in axes else 1 for axis, size in enumerate(x.shape)]).to(x.dtype)
    keepdim = args[2] if len(args) > 2 else kwargs.get("keepdim", False)
    return (x * weights).sum(axes, keepdim=keepdim) / weights.sum().clamp(min=1)


def _axes(args: tuple[Any, ...]) -> list[int]:
    """The axes that a mean is over, in order."""
    return sorted(axis % args[0].ndim for axis in args[1])


def _pools(made: TokenMasks, images: Tensor) -> Pools:
    """The averages over tokens, found by other pixels of a token that is dropped from attention.

    They change the input of such an average at one place along the axes that it is over; those of an average over
    channels, as norms take it, at many or none.
    """
    found, first = made.tokens, torch.arange(made.players.n, device=images.device) == 0
    rest = made.told(~first)
    before, after = (_means(made, x, rest) for x in (images, _changed(images, made.players, first)))
    pools: dict[int, tuple[int, ...]] = {}
    for key, (value, axes) in before.items():
        difference = (value - after[key][0]).abs()
        moved = difference > 1e-3 * difference.max()
        others = [axis for axis in range(value.ndim) if axis not in axes]
        along = moved.amax(others).flatten() if others else moved.flatten()
        over = found.places if len(along) == len(found.places) else tuple(range(found.count))[-len(along) :]
        if int(along.sum()) == 1 < len(along) <= found.count:
            pools[key] = over
    return pools


def _means(made: TokenMasks, images: Tensor, there: Tensor) -> dict[int, tuple[Tensor, list[int]]]:
    """What means are taken of, by the step's id, and the axes that they are over."""
    seen: dict[int, tuple[Tensor, list[int]]] = {}

    def watch(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if step.name == "mean" and len(args) > 1 and args[1]:
            seen[id(step)] = args[0], _axes(args)
        return plain(step, args, kwargs)

    made.run(images, there, watch)
    return seen

"""The attention of a network: its weight matrices, and which of its tokens are places of the image.

They are found in the record of what the network computes (`sigcli.methods.tracing`): a softmax whose result, moved at most,
is multiplied with other values of the image. Fused attention is recorded taken apart, so a record has the weights of every
spelling (`scaled_dot_product_attention`, `nn.MultiheadAttention`, timm's and Hugging Face's own) and the network itself is
left as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from ..errors import MisfitError
from .attending import SOFTMAX
from .held import KEEPING, given
from .network_layers import kept
from .operators import factors
from .places import recorded
from .tracing import Slot, Step, Tape, plain, replay, traced

_MATRICES = {"bmm": 0, "mm": 0, "baddbmm": 1}
"""Products of matrices: where their factors begin."""
_WEIGHTED = {"addmm": 1, "mm": 0, "convolution": 0, "bmm": 0, "baddbmm": 1}
"""Of the layers with weights: where their values stand; the weights follow."""


NO_PAIRS = (
    "no softmax in the network weighs tokens against each other (it has no attention, or attention of another kind: "
    "separable as MobileViTV2's, or linear)"
)
"""True of convolutional networks and of attention without a matrix of weights alike: which of them it is cannot be seen."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """What a network with attention between all its tokens is made of.

    Args:
        tape: the record of the network.
        weights: of each block, in order, the step that gives the attention weights: (heads, L, L) in some shape; of the last
            one (heads, 1, L) where it pools the tokens.
        count: L.
        places: of the L tokens those of the image, row by row.
        size: how many of them there are, (rows, columns).
        read: the tokens whose rows of the last block count: the class token, or all that the scores read.
        note: which tokens these are, where there is not just a class token; empty otherwise.
    """

    tape: Tape
    weights: tuple[Step, ...]
    count: int
    places: tuple[int, ...]
    size: tuple[int, int]
    read: tuple[int, ...]
    note: str

    def map(self, relevance: Tensor) -> Tensor:
        """What tokens owe to L tokens, (L, L) or (1, L), as what those that count owe to the places: (1, 1, h, w)."""
        return relevance[list(self.read)].mean(0)[list(self.places)].view(1, 1, *self.size)


def tokens(module: nn.Module, images: Tensor) -> Tokens:
    """The attention of a network, found out once per network and shape.

    Args:
        module: (N, C, H, W) → (N, classes).
        images: (1, C, H, W).

    Raises:
        MisfitError: no attention, or attention of another kind than between all tokens in each of a chain of blocks.
    """
    tape = traced(module, images)
    name = f"tokens {tuple(images.shape)} {images.dtype} {images.device}"
    found = kept(module, name, lambda: _found(module, tape, images))
    if isinstance(found, str):
        raise MisfitError(
            f"attention can be followed only where every block has it between all tokens: {found}",
            hint="gradcam, sig, ig and others work without it.",
        )
    return found


def weights_of(tape: Tape) -> list[Step]:
    """The softmaxes of a network that weigh values of the image, whether they are of tokens, windows or channels."""
    readers = _readers(tape)
    return [step for step in tape.steps if step.name in SOFTMAX and _weighing(step, readers)]


def by_head(weights: Tensor) -> Tensor:
    """Weights or what belongs to them, of one image, as (heads, L, L)."""
    return weights.reshape(-1, *weights.shape[-2:])


def _found(module: nn.Module, tape: Tape, images: Tensor) -> Tokens | str:
    """The tokens, or what keeps the network from having any, as part of a sentence."""
    blocks = _blocks(tape)
    if isinstance(blocks, str):
        return blocks
    seen = _watched(tape, images)
    if flaw := _flaw(tape, blocks, seen):
        return flaw
    queries, count = seen[_result(blocks[-1].weights)].shape[-2:]
    arranged = _arranged(module, tuple(images.shape[1:]), count)
    if arranged is None:
        return f"where its {count} tokens lie in the image cannot be told"
    places, size = arranged
    read, note = _rows(_read(tape, blocks[-1], images), places)
    if queries == 1 < count:
        read, note = (0,), "the scores pool the tokens by attention: the map is that of what asks for them"
    if not read:
        return "the scores do not depend on its last block"
    return Tokens(tape, tuple(block.weights for block in blocks), count, places, size, read, note)


@dataclass(frozen=True, eq=False)
class _Block:
    """An attention.

    Args:
        weights: the step of the softmax.
        product: the step that multiplies its result with the values.
        at: where the weights stand among the arguments of the product.
        mixed: a layer with weights lies between the softmax and the product.
    """

    weights: Step
    product: Step
    at: int
    mixed: bool

    @property
    def first(self) -> bool:
        """Whether the weights are the first factor."""
        return self.at == _MATRICES[self.product.name]


def _result(step: Step) -> int:
    """The slot of a step's first result."""
    first = step.results[0]
    assert first is not None
    return first


def _readers(tape: Tape) -> Mapping[int, list[Step]]:
    found: defaultdict[int, list[Step]] = defaultdict(list)
    for step in tape.steps:
        for slot in dict.fromkeys(given(step)):
            found[slot].append(step)
    return found


def _blocks(tape: Tape) -> list[_Block] | str:
    """The softmaxes that weigh values, in order."""
    readers = _readers(tape)
    found = [block for step in tape.steps if step.name in SOFTMAX and (block := _weighing(step, readers))]
    if any(block.mixed for block in found):
        return "the weights of its heads are mixed after the softmax (talking heads)"
    return found or NO_PAIRS


def _weighing(softmax: Step, readers: Mapping[int, list[Step]]) -> _Block | None:
    """A softmax whose result is multiplied, as a matrix, with other values of the image."""
    waiting, seen = [(_result(softmax), False)], set[int]()
    while waiting:
        slot, mixed = waiting.pop()
        for step in readers.get(slot, []):
            first = _MATRICES.get(step.name)
            if first is not None and factors(step) == 2:
                at = first if step.args[first] == Slot(slot) else first + 1
                return _Block(softmax, step, at, mixed)
            weighted = step.name in _WEIGHTED or (step.name == "add" and len(given(step)) == 1)
            if (step.name in KEEPING or weighted) and _result(step) not in seen:
                seen.add(_result(step))
                waiting.append((_result(step), mixed or weighted))
    return None


def _watched(tape: Tape, images: Tensor) -> dict[int, Tensor]:
    """The values in all slots."""
    found = {0: images}

    def watch(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = plain(step, args, kwargs)
        values = zip(step.results, tree_flatten(result)[0], strict=False)
        found.update({slot: value for slot, value in values if slot is not None})
        return result

    with torch.no_grad():
        replay(tape, watch, (images,))
    return found


def _flaw(tape: Tape, blocks: Sequence[_Block], seen: Mapping[int, Tensor]) -> str | None:
    """What keeps the blocks from being a chain of attentions between the same tokens."""
    readers = _readers(tape)
    sizes = [tuple(seen[_result(block.weights)].shape[-2:]) for block in blocks]
    for block, (queries, keys) in zip(blocks, sizes, strict=True):
        rows = _projected(block, readers, seen)
        if rows is None:
            return "what becomes of its attention cannot be followed"
        if rows != queries:
            return "it attends within windows or between channels"
        if queries != keys and not (queries == 1 and block is blocks[-1]):
            return f"it attends from {queries} {'query' if queries == 1 else 'queries'} to {keys} tokens"
        if not _averages(block, seen):
            return "its softmax is not over what is attended to"
    numbers = dict.fromkeys(keys for _, keys in sizes)
    if len(numbers) > 1:
        return f"the number of its tokens changes from block to block ({', '.join(map(str, numbers))})"
    return None if _is_chain(tape, blocks) else "some of its blocks stand side by side"


def _projected(block: _Block, readers: Mapping[int, list[Step]], seen: Mapping[int, Tensor]) -> int | None:
    """How many rows the layer or the sum has that reads what an attention gives; None where none follows.

    All heads of a token are one of its rows: attention within windows, or between channels, has other numbers there.
    """
    waiting, known = [_result(block.product)], set[int]()
    while waiting:
        for step in readers.get(waiting.pop(0), []):
            at = _WEIGHTED.get(step.name)
            if at is not None and factors(step) == 1 and isinstance(step.args[at], Slot):
                x, weights = seen[step.args[at].index], step.args[at + 1]
                across = weights.shape[1] * step.args[8] if step.name == "convolution" else x.shape[-1]
                return x.numel() // across
            if step.name == "add" and len(given(step)) == 2:  # a shortcut, of tokens with their channels last
                x = seen[_result(step)]
                return x.numel() // x.shape[-1]
            if step.results[0] is not None and step.results[0] not in known:
                known.add(step.results[0])
                waiting.append(step.results[0])
    return None


def _averages(block: _Block, seen: Mapping[int, Tensor]) -> bool:
    """Whether the product averages the values: of values that are all 1 it makes 1."""
    args = [seen[value.index] if isinstance(value, Slot) else value for value in block.product.args]
    other = 2 * _MATRICES[block.product.name] + 1 - block.at
    args[other] = torch.ones_like(args[other])
    if block.product.name == "baddbmm":
        args[0] = torch.zeros_like(args[0])
    with torch.no_grad():
        ones = block.product.operator(*args, **block.product.kwargs)
    return bool(((ones - 1).abs() < 1e-2).all())


def _is_chain(tape: Tape, blocks: Sequence[_Block]) -> bool:
    """Whether the weights of each block depend on what the block before gives."""
    above: defaultdict[int, frozenset[int]] = defaultdict(frozenset)  # by slot: the blocks that it depends on
    numbers = {id(block.product): number for number, block in enumerate(blocks)}
    for step in tape.steps:
        own = frozenset([numbers[id(step)]] if id(step) in numbers else [])
        depending = own.union(*(above[slot] for slot in given(step)))
        above.update({slot: depending for slot in step.results if slot is not None})
    return all(number in above[_result(block.weights)] for number, block in enumerate(blocks[1:]))


def _arranged(module: nn.Module, shape: tuple[int, ...], count: int) -> tuple[tuple[int, ...], tuple[int, int]] | None:
    """Of that many tokens those of the image, row by row, and how many there are, (rows, columns)."""
    for result in reversed(recorded(module, shape)):
        if result.grid is not None and (places := result.grid.tokens(result.shape, count)):
            return places, result.grid.size
    return None


def _read(tape: Tape, block: _Block, images: Tensor) -> list[int]:
    """The tokens of the last block that the scores depend on: NaN, sent backward, reaches them and no others."""
    products: list[Tensor] = []

    def watch(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found = plain(step, args, kwargs)
        if step is block.product:
            products.append(found)
        return found

    with torch.enable_grad(), torch.autograd.set_detect_anomaly(False):  # NaN is meant here
        outputs = replay(tape, watch, (images.detach().clone().requires_grad_(),))
        (reached,) = torch.autograd.grad(outputs, products[0], torch.full_like(outputs, torch.nan))
    there = by_head(reached.isnan()).any(0)
    return there.any(1 if block.first else 0).nonzero().flatten().tolist()


def _rows(read: Sequence[int], places: Sequence[int]) -> tuple[tuple[int, ...], str]:
    """The tokens whose rows count: those beside the image where the scores read any, else all that they read."""
    beside = tuple(token for token in read if token not in set(places))
    if not beside:
        return tuple(read), "the scores read no class token: the map is the mean over the tokens of the image"
    if len(beside) < len(read):
        return beside, "the scores read a class token and the image's tokens: the map is the class token's alone"
    note = f"the scores read {len(beside)} tokens beside the image's: the map is the mean of theirs"
    return beside, note if len(beside) > 1 else ""

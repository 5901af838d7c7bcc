"""Where in the image the entries of a tensor lie, carried along while a network runs.

Beside each tensor goes one of the same shape that holds the coordinates of its entries, y + ix in 0..1, and NaN for what
lies nowhere, as a class token. What moves entries moves the coordinates likewise; a convolution's output has a place for
each of its entries; a linear layer gives each token the mean of what it mixes; a product of matrices gives the rows' places
or, where the rows lie nowhere in particular, the columns' (attention of either layout so gets the query's); what keeps the
shape keeps the coordinates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor

Edge = tuple[Any, int]
"""A tensor in autograd's graph: the node that gave it, and which of its outputs it is."""

_GIVES_MAPS = re.compile(
    r"_?(conv(_transpose)?2d|batch_norm|.*pool2d.*|interpolate|upsample.*|pixel_(un)?shuffle|pad)$"
)
_MOVES = re.compile(
    r"(permute|transpose|t|swap(axes|dims)|move(axis|dim)|reshape(_as)?|view(_as)?|flatten|unflatten|ravel|getitem|get|cat"
    r"|concat(enate)?|stack|chunk|split(_with_sizes)?|tensor_split|unbind|(un)?squeeze|expand(_as)?|repeat|tile|roll|flip"
    r"|narrow|select|index_(select|copy|put)|(slice|select|masked)_scatter|gather|take_along_dim|contiguous|rearrange|unfold)$"
)
_MIXES_LAST = re.compile(r"(linear|matmul|r?matmul|mm|bmm|addmm)$")
_PRODUCTS = frozenset(["matmul", "rmatmul", "mm", "bmm", "einsum", "scaled_dot_product_attention"])
_REDUCES = re.compile(r"(nan)?(sum|mean|median)$|a?(max|min)$|prod$|logsumexp$|norm$|vector_norm$|std$|var$")
_FORMS = {"map": (1, (2, 3)), "last": (3, (1, 2)), "tokens": (2, (1,)), "channels": (1, (2,)), "sequence": (2, (0,))}


@dataclass(frozen=True)
class Grid:
    """How the places of the image lie in a tensor of one image.

    Args:
        form: "map" (1, C, h, w), "last" (1, h, w, C), "tokens" (1, L, C), "channels" (1, C, L), "sequence" (L, 1, C).
        size: (h, w).
        places: of the L tokens those of the image, row by row; the others are class tokens, registers and the like.
            Empty for "map" and "last".
    """

    form: str
    size: tuple[int, int]
    places: tuple[int, ...] = ()

    @property
    def axis(self) -> int:
        """The axis of the channels."""
        return _FORMS[self.form][0]

    def channels(self, shape: tuple[int, ...]) -> int:
        """How many channels a tensor of that shape has."""
        return shape[self.axis]

    def tokens(self, shape: tuple[int, ...], count: int) -> tuple[int, ...]:
        """Of that many tokens those of the image, row by row; none where a tensor of that shape has not that many."""
        there = prod(shape[axis] for axis in _FORMS[self.form][1])
        return (self.places or tuple(range(there))) if there == count else ()

    def map(self, tensor: Tensor) -> Tensor:
        """The tensor as (1, C, h, w); tokens of no place go."""
        channels, places = _FORMS[self.form]
        if len(places) == 2:
            return tensor if self.form == "map" else tensor.permute(0, 3, 1, 2)
        lines = tensor.permute(places[0], channels, 3 - places[0] - channels)[list(self.places)]  # (h·w, C, 1)
        return lines.permute(2, 1, 0).unflatten(2, self.size)

    def without(self, tensor: Tensor, channels: Sequence[int]) -> Tensor:
        """A batch of copies of the tensor of one image, each with another channel 0 at the places of the image."""
        axis, places = _FORMS[self.form]
        batch = 3 - places[0] - axis if len(places) == 1 else 0
        copies = tensor.repeat_interleave(len(channels), batch)
        by_channel = copies.movedim((batch, axis), (0, 1))
        rows, chosen = torch.arange(len(channels)), torch.tensor(channels)
        if self.places:
            by_channel[rows[:, None], chosen[:, None], torch.tensor(self.places)] = 0
        else:
            by_channel[rows, chosen] = 0
        return copies


@cache
def forms(shape: tuple[int, ...]) -> tuple[str, ...]:
    """The ways in which a tensor of one image may hold several places."""
    if len(shape) == 4 and shape[0] == 1:
        found = ["map", "last"]
    elif len(shape) == 3 and shape[0] == 1:
        found = ["tokens", "channels"]
    else:
        found = ["sequence"] if len(shape) == 3 and shape[1] == 1 else []
    return tuple(form for form in found if any(shape[axis] > 1 for axis in _FORMS[form][1]))


def grid(coordinates: Tensor | None, shape: tuple[int, ...]) -> Grid | None:
    """The grid that coordinates make in a tensor of that shape; None where they make none."""
    if coordinates is None:
        return None
    if "map" in forms(shape) and _same(coordinates, _fresh(shape, coordinates.device)):
        return Grid("map", (shape[2], shape[3]))
    for form in forms(shape):
        channels, places = _FORMS[form]
        by_place = coordinates.movedim(channels, -1)
        alike = by_place == by_place[..., :1]
        if not bool((alike | by_place.isnan()).all()):
            continue
        found = _arranged(form, by_place[..., 0].reshape(-1), places, shape)
        if found:
            return found
    return None


def _arranged(form: str, lines: Tensor, axes: Sequence[int], shape: tuple[int, ...]) -> Grid | None:
    there = (~lines.isnan()).nonzero().flatten()
    seen = [(round(c.real, 4), round(c.imag, 4)) for c in lines[there].tolist()]
    size = len({y for y, _ in seen}), len({x for _, x in seen})
    if len(seen) < 2 or len(set(seen)) != len(seen) or size[0] * size[1] != len(seen):
        return None
    order = sorted(range(len(seen)), key=lambda i: seen[i])
    if len(axes) == 1:
        return Grid(form, size, tuple(there[order].tolist()))
    whole = len(seen) == len(lines) and order == sorted(order) and size == tuple(shape[axis] for axis in axes)
    return Grid(form, size) if whole else None


class Coordinates(dict[Edge | None, Tensor]):
    """The coordinates of the tensors of one pass, by their edges, as far as they are known."""

    def start(self, edge: Edge, image: Tensor) -> None:
        """An image (N, C, H, W)."""
        self[edge] = _fresh(image.shape, image.device)

    def written(self, view: Tensor, edge: Edge | None, base: Tensor, before: Edge | None, now: Edge | None) -> None:
        """Note the coordinates of what a view was of when something was written into it: there they are the view's.

        Args:
            view: as it is now.
            edge: of the view.
            base: what it is a view of.
            before: the edge that this had.
            now: the edge that it has.
        """
        old, new = self.get(before), self.get(edge)
        if not now or now in self or (old is None and new is None):
            return
        whole = (
            _nowhere(view).new_empty_strided(base.size(), base.stride()).copy_(_nowhere(view) if old is None else old)
        )
        if new is not None:
            start = view.storage_offset() - base.storage_offset()
            whole.as_strided(view.size(), view.stride(), start).copy_(new)
        self[now] = whole

    def seen_through(self, view: Tensor, edge: Edge | None, base: Tensor, of: Edge | None) -> None:
        """Note the coordinates of a view by those of what it is a view of, where only these are known.

        What is written through one view gives the other views, and what they are of, new edges.

        Args:
            view: any.
            edge: of the view.
            base: what it is a view of.
            of: the edge of this.
        """
        known = self.get(of)
        if edge and edge not in self and known is not None:
            whole = known.new_empty_strided(base.size(), base.stride()).copy_(known)
            start = view.storage_offset() - base.storage_offset()
            self[edge] = whole.as_strided(view.size(), view.stride(), start)

    def follow(self, call: Call, found: Sequence[Tensor], edges: Sequence[Edge | None]) -> None:
        """Note the coordinates of what a function gave: tensors and their edges."""
        if not any(edge in self for edge in call.edges.values()):
            return
        for tensor, edge, coordinates in zip(found, edges, self._of(call, found), strict=False):
            if edge and coordinates is not None and coordinates.shape == tensor.shape:
                self[edge] = coordinates

    def _of(self, call: Call, found: Sequence[Tensor]) -> Sequence[Tensor | None]:
        sources = [self[edge] for edge in call.edges.values() if edge in self]
        first = sources[0]
        if call.name == "setitem" and (value := self.get(call.edges.get(id(call.args[2])))) is not None:
            old = self.get(call.edges.get(id(call.args[0])))
            whole = (_nowhere(found[0]) if old is None else old).expand(found[0].shape).clone()
            whole[call.args[1]] = value
            return [whole]
        if _GIVES_MAPS.match(call.name):
            whole = first.ndim == 4 and _same(first, _fresh(first.shape, first.device))
            if whole or call.name != "pad":
                return [_fresh(t.shape, first.device) if whole and t.ndim == 4 else None for t in found]
        if _MOVES.match(call.name) or call.name == "pad":
            return self._moved(call)
        if call.name in _PRODUCTS and (sums := self._products(call)):
            return [_telling([c for s in sums if (c := _spread(s, t.shape)) is not None]) for t in found]
        if _MIXES_LAST.match(call.name) or call.name == "conv1d":
            axis = 1 if call.name == "conv1d" else -1
            return [_spread(first.mean(axis, keepdim=True), t.shape) for t in found]
        if _REDUCES.match(call.name) and (dims := _dims(call)) is not None:
            return [_reduced(first, dims, t.shape) for t in found]
        alike = [[c for c in sources if c.shape == t.shape] for t in found]
        return [max(some, key=_variety) if some else None for some in alike]

    def _products(self, call: Call) -> list[Tensor]:
        """Of a product of tensors: the factors' coordinates, averaged over what is summed up, in the result's axes."""
        known = [self.get(call.edges.get(id(t))) for t in call.tensors]
        if call.name == "scaled_dot_product_attention":
            return [] if known[0] is None else [known[0].mean(-1, keepdim=True)]
        if call.name == "einsum":
            return _einsum(call.args[0], known) if isinstance(call.args[0], str) else []
        rows, columns = (*reversed(known[:2]),) if call.name.startswith("rmat") else known[:2]
        sums = [] if rows is None else [rows.mean(-1, keepdim=True)]
        return [*sums, columns.mean(-2, keepdim=True)] if sums and columns is not None and columns.ndim > 1 else []

    def _moved(self, call: Call) -> Sequence[Tensor | None]:
        def swap(given: Any) -> Any:
            if isinstance(given, Tensor):
                if not given.is_floating_point():
                    return given  # indices
                known = self.get(call.edges.get(id(given)))
                return _nowhere(given).expand(given.shape) if known is None else known
            if isinstance(given, (list, tuple)) and not isinstance(given, torch.Size):
                return type(given)(swap(part) for part in given)
            return given

        kwargs = {key: swap(value) for key, value in call.kwargs.items()}
        if call.name == "pad":
            kwargs["value"] = torch.nan
        args = swap(call.args)
        try:
            if getattr(call.function, "__name__", "").endswith("_"):  # in place
                args = args[0].clone(), *args[1:]
            moved = call.function(*args, **kwargs)
        except (RuntimeError, TypeError, ValueError):  # what cannot be moved as complex numbers is not followed
            return []
        parts = moved if isinstance(moved, (list, tuple)) else [moved]
        return [part for part in parts if isinstance(part, Tensor)]


@dataclass(frozen=True, eq=False)
class Call:
    """A function at work.

    Args:
        name: of the function.
        function: itself.
        args: its arguments.
        kwargs: its arguments by keyword.
        tensors: among them.
        edges: of these, by their id, as they were before the call.
    """

    name: str
    function: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    tensors: Sequence[Tensor]
    edges: Mapping[int, Edge | None]


def _fresh(shape: Sequence[int], device: torch.device) -> Tensor:
    """Of maps (N, C, h, w): the centres of h·w equal cells."""
    y, x = ((torch.arange(n, device=device) + 0.5) / n for n in shape[2:])
    return torch.complex(*torch.meshgrid(y, x, indexing="ij")).expand(*shape)


def _nowhere(tensor: Tensor) -> Tensor:
    return torch.tensor(complex(torch.nan, torch.nan), device=tensor.device)


def _dense(coordinates: Tensor) -> Tensor:
    """Without what is repeated along an axis."""
    return coordinates[tuple(slice(0, 1) if step == 0 else slice(None) for step in coordinates.stride())]


def _same(one: Tensor, other: Tensor) -> bool:
    apart = (
        _dense(one) - _dense(other)
    ).abs()  # NaN where a channel lies nowhere, such as a constant one beside the image
    return bool(((apart < 1e-4) | apart.isnan()).all()) and not bool(apart.isnan().all())


def _spread(coordinates: Tensor, shape: Sequence[int]) -> Tensor | None:
    try:
        return coordinates.expand(*shape)
    except RuntimeError:
        return None


def _dims(call: Call) -> list[int] | None:
    """The axes that a function of one tensor reduces; None where none are named, or where it has another tensor."""
    if len(call.tensors) != 1:
        return None
    given = call.kwargs.get("dim", call.kwargs.get("axis", call.args[1] if len(call.args) > 1 else None))
    if isinstance(given, int):
        return [given]
    return [d for d in given if isinstance(d, int)] if isinstance(given, (list, tuple)) else None


def _reduced(coordinates: Tensor, dims: list[int], shape: Sequence[int]) -> Tensor | None:
    """Of what reduces entries at one place, beside such as lie nowhere: that place; None where the places differ."""
    kept = _dense(coordinates)
    there = ~kept.isnan()
    mean = torch.where(there, kept, 0).sum(dims, keepdim=True) / there.sum(dims, keepdim=True)
    if bool(((kept - mean).abs() > 1e-4).any()):
        return None
    whole = [1 if d in {axis % coordinates.ndim for axis in dims} else n for d, n in enumerate(coordinates.shape)]
    found = mean.expand(whole)
    return found if len(shape) == len(whole) else found.squeeze(tuple(dims))


def _einsum(equation: str, known: Sequence[Tensor | None]) -> list[Tensor]:
    """Of the operands whose axes are all named: their coordinates in the result's axes, averaged over those it lacks."""
    given, arrow, result = equation.replace(" ", "").partition("->")
    if not arrow or "." in equation or len(given.split(",")) != len(known):
        return []
    found = []
    for letters, coordinates in zip(given.split(","), known, strict=True):
        if coordinates is None or len(set(letters)) != len(letters):
            continue
        gone = [axis for axis, letter in enumerate(letters) if letter not in result]
        left = [letter for letter in letters if letter in result]
        kept = coordinates.mean(gone) if gone else coordinates
        kept = kept.permute([left.index(letter) for letter in result if letter in left])
        found.append(kept[tuple(slice(None) if letter in left else None for letter in result)])
    return found


def _telling(some: Sequence[Tensor]) -> Tensor | None:
    """The first that tells places apart about as well as the best."""
    seen = [_variety(coordinates) for coordinates in some]
    return next((c for c, one in zip(some, seen, strict=True) if one >= 0.1 * max(seen)), None)


def _variety(coordinates: Tensor) -> float:
    """How far the coordinates differ: of two sums' parts the one that still tells places apart is asked."""
    seen = _dense(coordinates)
    seen = seen[~seen.isnan()]
    return float((seen - seen.mean()).abs().sum() / max(1, seen.numel())) if seen.numel() else -1.0

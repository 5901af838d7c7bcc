"""DeepLIFT's rules for single operators: multipliers m with Σ m·Δinput = Δoutput, Shrikumar, Greenside, Kundaje 2017.

The image and its reference go through the network as a pair. What is linear keeps its derivative (Eq. 7), so autograd
multiplies the chain (Eq. 3). A function of single values gets the quotient Δy/Δx (the rescale rule, Eq. 9), a product and
a maximum the rules below, and what is made of these (softmax, LayerNorm, division) is taken apart into them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from .carrying import carried
from .operators import COMPOSED, ELEMENTWISE, MAXIMA, PIECES, PRODUCTS, SCALED, derivative, is_linear, single, title
from .tracing import Step, record, replay


@dataclass(frozen=True, eq=False)
class Pair:
    """A value for the image, with multipliers to come, and for the reference."""

    x: Tensor
    reference: Tensor

    @property
    def image(self) -> Tensor:
        """The image's value as a constant."""
        return self.x.detach()


def reason(step: Step) -> str | None:
    """The name of an operator that DeepLIFT has no rule for."""
    known = is_linear(step) or step.name in PRODUCTS | ELEMENTWISE | MAXIMA | COMPOSED | {"logsumexp"}
    if step.name == "linalg_vector_norm" and step.args[1:2] not in ((), (2,), (2.0,)):
        return "a norm other than the Euclidean one"
    return None if known else title(step.name)


def rescale(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The rule of a step for pairs: a `Pair` for its result, or several."""
    if is_linear(step):
        return _linear(step, args, kwargs)
    if step.name in PRODUCTS:
        return _product(step, args, kwargs)
    if step.name in MAXIMA:
        return _maximum(step, args, kwargs)
    if step.name == "logsumexp":
        return _logsumexp(args[0], *args[1:])
    if step.name in COMPOSED:
        return _follow(_MADE[step.name], args, kwargs)
    return _single(step, args, kwargs)


def _side(values: Any, take: Callable[[Pair], Tensor]) -> Any:
    return tree_map(lambda value: take(value) if isinstance(value, Pair) else value, values)


def _linear(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given, keywords = _side((args, kwargs), lambda pair: pair.x)
    found = step.operator(*given, **keywords)
    given, keywords = _side((args, kwargs), lambda pair: pair.reference)
    with torch.no_grad():
        reference = step.operator(*given, **keywords)
    if isinstance(found, Tensor):
        return Pair(found, reference)
    return [Pair(one, other) for one, other in zip(found, reference, strict=True)]


def _product(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Pair:
    """Δ(ab) = ½(b + b')Δa + ½(a + a')Δb, the Shapley value of the two factors: the derivative halfway is exact."""
    pairs = [value for value in args if isinstance(value, Pair)]
    with torch.no_grad():
        value = step.operator(*_side(args, lambda pair: pair.image), **kwargs)
        reference = step.operator(*_side(args, lambda pair: pair.reference), **kwargs)

    def back(arriving: Tensor) -> tuple[Tensor, ...]:
        halves = iter(halfway)
        with torch.enable_grad():
            product = step.operator(*(next(halves) if isinstance(value, Pair) else value for value in args), **kwargs)
        return torch.autograd.grad(product, halfway, arriving)

    halfway = [((pair.image + pair.reference) / 2).requires_grad_() for pair in pairs]
    return Pair(carried(value, back, *(pair.x for pair in pairs)), reference)


def _single(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Pair:
    pair, function = args[0], single(step, args, kwargs)
    with torch.no_grad():
        value, reference = function(pair.image), function(pair.reference)
    scale = 0.0 if step.name in PIECES else None if step.name in SCALED else 1.0
    slope = _slope(function, pair, value - reference, scale)
    return Pair(carried(value, lambda arriving: arriving * slope, pair.x), reference)


def _slope(function: Callable[[Tensor], Tensor], pair: Pair, difference: Tensor, scale: float | None) -> Tensor:
    """Δy/Δx; the derivative halfway where Δx is so small that rounding would show in the quotient.

    Args:
        function: function of single values.
        pair: its argument.
        difference: Δy.
        scale: on which it curves; 0 where it is of straight pieces, whose differences are exact, None for |x|.
    """
    between = pair.image - pair.reference
    halfway = (pair.image + pair.reference) / 2
    small = torch.finfo(between.dtype).eps ** (1 / 3)  # there both errors are about eps^(2/3)
    least = small * (halfway.abs() if scale is None else scale)
    near = ~(between.abs() > least)  # also where infinite values leave no difference
    quotient = difference / between
    return torch.where(near, derivative(function, halfway), quotient) if bool(near.any()) else quotient


def _maximum(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Pair]:
    """Δy is that of one entry: the image's largest where the maximum rises, else the reference's largest.

    If y > y' then Δx = x_a - x'_a ≥ y - y' at the image's largest entry a, for x'_a ≤ y'; likewise below. So the multiplier
    Δy/Δx lies in 0..1, and every window adds up to its Δy, wherever the two maxima stand.
    """
    pair = args[0]
    with torch.no_grad():
        value, place = step.operator(pair.image, *args[1:], **kwargs)
        reference, other = step.operator(pair.reference, *args[1:], **kwargs)
        place = torch.where(value >= reference, place, other)
        planes = _Planes(step, pair.image, args)
        moved = planes.gather(pair.image - pair.reference, place)
        share = torch.where(moved == 0, torch.ones_like(moved), (value - reference) / moved)
    return [Pair(carried(value, lambda arriving: planes.scatter(arriving * share, place), pair.x), reference)]


class _Planes:
    """Entries by their places: along one dimension for `max`, in the flattened plane for pooling."""

    def __init__(self, step: Step, x: Tensor, args: tuple[Any, ...]) -> None:
        self.shape, self.dim = x.shape, args[1] if step.name == "max" else None
        self.start = -3 if "3d" in step.name else -2

    def _flat(self, values: Tensor) -> Tensor:
        if self.dim is None:
            return values.flatten(self.start)
        return values if values.ndim == len(self.shape) else values.unsqueeze(self.dim)

    def gather(self, values: Tensor, place: Tensor) -> Tensor:
        """Of values in the shape of the argument, those at the places; in the places' shape."""
        return self._flat(values).gather(-1 if self.dim is None else self.dim, self._flat(place)).view_as(place)

    def scatter(self, values: Tensor, place: Tensor) -> Tensor:
        """Add up values at their places; in the shape of the argument."""
        empty = self._flat(values.new_zeros(self.shape))
        dim = -1 if self.dim is None else self.dim
        return empty.scatter_add(dim, self._flat(place), self._flat(values)).view(self.shape)


def _logsumexp(pair: Pair, dim: Any, keepdim: bool = False) -> Pair:
    """Log Σ exp x: the quotient of each exp times that of the log, both over the larger sum, so none overflows."""
    with torch.no_grad():
        sums = [torch.logsumexp(x, dim, keepdim=True) for x in (pair.image, pair.reference)]
        top = torch.maximum(*sums)

        def exp(x: Tensor) -> Tensor:
            return (x - top).exp()

        parts = _slope(exp, pair, exp(pair.image) - exp(pair.reference), 1.0)
        total = _slope(exp, Pair(*sums), exp(sums[0]) - exp(sums[1]), 1.0)
        share = parts / total
        value, reference = (x if keepdim else x.squeeze(dim) for x in sums)

    def back(arriving: Tensor) -> Tensor:
        return share * arriving.view_as(total)

    return Pair(carried(value, back, pair.x), reference)


def _follow(function: Callable[..., Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Pair]:
    """The rules of the steps of which a function is made."""
    pairs: list[Pair] = [value for value in args if isinstance(value, Pair)]

    def run(*given: Tensor) -> Tensor:
        values = iter(given)
        return function(*(next(values) if isinstance(value, Pair) else value for value in args), **kwargs)

    return [replay(record(run, *(pair.image for pair in pairs)), rescale, pairs)]


def _normed(x: Tensor, dims: list[int], eps: float) -> Tensor:
    centred = x - x.mean(dims, keepdim=True)
    return centred * ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt()


def _layer_norm(x: Tensor, shape: list[int], weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    normed = _normed(x, list(range(-len(shape), 0)), eps)
    normed = normed if weight is None else normed * weight
    return normed if bias is None else normed + bias


def _group_norm(x: Tensor, weight: Any, bias: Any, *sizes: Any) -> Tensor:
    n, c, places, groups, eps = sizes
    normed = _normed(x.reshape(n, groups, c // groups * places), [-1], eps).reshape(n, c, places)
    normed = normed if weight is None else normed * weight[:, None]
    return (normed if bias is None else normed + bias[:, None]).reshape(x.shape)


def _log_softmax(x: Tensor, dim: int, *_: Any) -> Tensor:
    return x - torch.logsumexp(x, [dim], keepdim=True)


def _amax(x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    dims = sorted(d % x.ndim for d in ([dim] if isinstance(dim, int) else dim or range(x.ndim)))
    rest = [d for d in range(x.ndim) if d not in dims]
    found = x.permute(*rest, *dims).flatten(len(rest)).max(-1).values
    return found.reshape([1 if d in dims else n for d, n in enumerate(x.shape)]) if keepdim else found


def _larger(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack(torch.broadcast_tensors(a, b), -1).max(-1).values


def _var(x: Tensor, dim: Any = None, *, correction: float = 1, keepdim: bool = False) -> Tensor:
    dims = list(range(x.ndim)) if dim is None else list(dim)
    centred = x - x.mean(dims, keepdim=True)
    count = centred.numel() // centred.sum(dims).numel()
    return (centred * centred).sum(dims, keepdim=keepdim) / (count - correction)


def _norm(x: Tensor, _: float = 2, dim: Any = None, keepdim: bool = False, **__: Any) -> Tensor:
    dims = list(range(x.ndim)) if dim is None else dim
    return (x * x).sum(dims, keepdim=keepdim).sqrt()


_MADE: dict[str, Callable[..., Tensor]] = {
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "_log_softmax": _log_softmax,
    "_softmax": lambda x, dim, *_: _log_softmax(x, dim).exp(),
    "_safe_softmax": lambda x, dim, *_, **__: _log_softmax(x, dim).exp(),
    "linalg_vector_norm": _norm,
    "div": lambda a, b: a * b.reciprocal(),
    "amax": _amax,
    "amin": lambda x, *rest: -_amax(-x, *rest),
    "maximum": _larger,
    "minimum": lambda a, b: -_larger(-a, -b),
    "square": lambda x: x * x,
    "var": _var,
}

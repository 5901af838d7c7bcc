"""LibraGrad, Mehri, Baghshah, Pilehvar, CVPR 2025: gradients of a network some of whose backward paths are cut.

Held constant in the backward pass are attention weights, the normalisers of LayerNorm and its like, and the gates of GELU
and SiLU; a product of two values gives half to each. Then input times gradient, with the biases' share, sums to the score,
as in a ReLU network. The scores are the network's own. Any method of gradients takes `libragrad=true`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..engine.passes import Passes
from ..errors import AttributionError, MisfitError
from ..scores.classifier import ClassScore
from ..scores.score import Score
from ..types import Subject
from .attending import ATTENDING, SOFTMAX, attended
from .attention import weights_of
from .carrying import carried
from .deferred import Deferred
from .held import Held, held
from .network_layers import check_layers, kept
from .operators import PRODUCTS, is_linear, single
from .tracing import Step, Tape, plain, replay, traced

_GATED = frozenset(["gelu", "silu", "hardswish", "mish"])
Method = TypeVar("Method", bound=Callable[..., Any])


def corrigible(method: Method) -> Method:
    """A method of gradients with an option `libragrad`, which takes LibraGrad's gradients for the network's."""

    @functools.wraps(method)
    def corrected_method(*given: Any, libragrad: bool = False, **options: Any) -> Any:
        if not libragrad:
            return method(*given, **options)
        if not isinstance(given[0], Passes):
            return _marked(method(*given, **options))
        passes, own = given[0], given[0].scorer
        passes.scorer = corrected(own)
        try:
            return method(*given, **options)
        finally:
            passes.scorer = own

    signature = inspect.signature(method)
    option = inspect.Parameter("libragrad", inspect.Parameter.KEYWORD_ONLY, default=False, annotation="bool")
    corrected_method.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]
    corrected_method.__annotations__ = {**method.__annotations__, "libragrad": bool}
    corrected_method.__doc__ = _told(inspect.getdoc(method) or "")
    return corrected_method  # type: ignore[return-value]


def _told(docstring: str) -> str:
    """The docstring with the option among its arguments, where `sig list` and the site look for it."""
    text = "    libragrad: LibraGrad's gradients, for transformers (docs/transformers.md); values have another sum."
    before, heading, after = docstring.partition("\nArgs:\n")
    if not heading:
        return f"{docstring.rstrip()}\n\nArgs:\n{text}\n"
    own, gap, rest = after.partition("\n\n")
    return f"{before}{heading}{own.rstrip()}\n{text}\n{gap and chr(10)}{rest}"


def _marked(made: Any) -> Any:
    if isinstance(made, Deferred):
        return replace(made, decide=lambda game: replace(made.decide(game), libragrad=True))
    return replace(made, libragrad=True)


def corrected(score: Score) -> Score:
    """The score with LibraGrad's gradients.

    Raises:
        MisfitError: it is not of a classifier whose layers are at hand.
    """
    if not isinstance(score, ClassScore):
        raise MisfitError(
            "LibraGrad changes what a network's layers pass back, and this score is of a detector or a pair of images"
        )
    try:
        module = Passes(score).module
        check_layers(module)
    except AttributionError as error:
        raise MisfitError(
            f"libragrad=true changes what a network's layers pass back: {error.what}",
            hint="Without libragrad the method works with this model.",
        ) from None
    return replace(score, model=Corrected(module, score.model))


def check_corrected(score: Score, subject: Subject) -> None:
    """Raise MisfitError where a score cannot have LibraGrad's gradients, as far as the network alone shows."""
    corrected(score)
    traced(Passes(score).module, subject.x[None])


@dataclass(frozen=True, eq=False)
class Corrected:
    """A network as a function of images whose gradients are LibraGrad's.

    Args:
        module: the network.
        own: the network, or what wraps it, for scores without gradients.
    """

    module: nn.Module
    own: Callable[[Tensor], Tensor]

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → (N, classes)."""
        if not (torch.is_grad_enabled() and images.requires_grad):
            return self.own(images)
        with torch.autocast(images.device.type, enabled=False):
            tape = traced(self.module, images)
            name = f"libragrad {tuple(images.shape)} {images.dtype} {images.device}"
            outputs = replay(tape, kept(self.module, name, lambda: _Rules.of(tape)), (images,))
        if not outputs.requires_grad:
            raise MisfitError("LibraGrad holds normalisers constant, and the score has the image in normalisers alone")
        return outputs


@dataclass(frozen=True, eq=False)
class _Rules:
    """What passes a step backward.

    Args:
        constant: what is held.
        weights: the steps that give attention weights, by their ids.
    """

    constant: Held
    weights: frozenset[int]

    @classmethod
    def of(cls, tape: Tape) -> _Rules:
        return cls(held(tape), frozenset(id(step) for step in weights_of(tape)))

    def __call__(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        one = self.constant.hold(step, args)
        if one is None or id(step) in self.weights:
            with torch.no_grad():
                return plain(step, args, kwargs)
        step, args = one
        if step.name in ATTENDING - SOFTMAX:
            return attended(step, args, kwargs)[0]
        if step.name in _GATED:
            return _gated(single(step, args, kwargs), args[0])
        both = sum(isinstance(value, Tensor) and value.requires_grad for value in args) == 2
        if step.name in PRODUCTS and not is_linear(step) and both:
            return attended(step, args, kwargs)[0]
        return plain(step, args, kwargs)


def _gated(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """X · gate with the gate as a constant."""
    with torch.no_grad():
        value = function(x)
        gate = torch.where(x == 0, torch.zeros_like(x), value / x)
    return carried(value, lambda arriving: arriving * gate, x)

"""Gradients with another rule at the rectifiers: guided backpropagation and deconvolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..engine.passes import Passes
from ..errors import MisfitError
from ..types import Attribution, Subject
from .cam import gradcam
from .caps import Rule, capped
from .carrying import carried
from .operators import COMPOSED, ELEMENTWISE, MAXIMA, PRODUCTS, check, is_linear, probed, single, title
from .tracing import Step, agreed, replay, traced

_GUIDED, _DECONVOLUTION = "guided backpropagation", "deconvolution"
_OTHERS = "Methods without a rule for ReLU work: gradcam, input-x-gradient, ig, sig and others."
_GATES = frozenset(
    ["sigmoid", "hardsigmoid", "tanh", "exp", "expm1", "log", "log1p", "erf", "sqrt", "rsqrt", "reciprocal", "pow"]
)
_CLAMPS = frozenset(["hardtanh", "clamp", "clamp_min", "clamp_max", "maximum", "minimum", "amax", "amin", "max"])


def guided_backprop(passes: Passes, subject: Subject) -> Attribution:
    """Guided backpropagation, Springenberg et al. 2015: at a ReLU only positive gradients of active units pass.

    Values are in score per unit of the model's input. Any layer, function or clamp that computes max(x, 0) counts as a ReLU;
    with a ceiling (ReLU6), no gradient passes above it. Gates (sigmoid, tanh, softmax) and norms keep their gradient.
    Networks with other rectifiers (LeakyReLU, GELU, SiLU, Hardswish, …) are refused: the paper has no rule for them.

    Args:
        passes: the passes of the model.
        subject: what is explained.

    Raises:
        MisfitError: a network without ReLU, with other rectifiers, or one without accessible layers.
    """
    return Attribution(*_ruled(passes, subject, _GUIDED), passes.evaluations)


def deconvolution(passes: Passes, subject: Subject) -> Attribution:
    """Deconvolution, Zeiler, Fergus 2014: at a ReLU only positive gradients pass, of inactive units as well.

    Values are in score per unit of the model's input. The same functions count as ReLUs as in `guided_backprop`.

    Args:
        passes: the passes of the model.
        subject: what is explained.

    Raises:
        MisfitError: a network without ReLU, with other rectifiers, or one without accessible layers.
    """
    return Attribution(*_ruled(passes, subject, _DECONVOLUTION), passes.evaluations)


def guided_gradcam(passes: Passes, subject: Subject, *, layer: str | None = None) -> Attribution:
    """Guided Grad-CAM, Selvaraju et al. 2017, section 3.2: guided backpropagation times Grad-CAM scaled to the image.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        layer: the layer of the Grad-CAM, named as for `gradcam`.

    Raises:
        MisfitError: a network without ReLU, without a layer that has a map, or without accessible layers.
        UsageError: no such layer.
    """
    values, score = _ruled(passes, subject, _GUIDED)
    values = values * gradcam(passes, subject, layer=layer).values.sum(0)
    return Attribution(values, score, passes.evaluations)


def _ruled(passes: Passes, subject: Subject, method: str) -> tuple[Tensor, float]:
    """A gradient under a rule at the rectifiers, (C, H, W), and the score."""
    x = subject.x[None]
    tape = traced(passes.module, x)
    check(tape, method, _reason)
    rules = _Rectified(method == _GUIDED)
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        score = passes.select(replay(tape, rules, (leaf,)), subject)[0]
        if not rules.rectifiers:
            raise MisfitError(f"{method} changes the gradient at ReLUs, and the network has none", hint=_OTHERS)
        if rules.others:
            others = ", ".join(dict.fromkeys(rules.others))
            raise MisfitError(f"{method} has a rule for ReLU only, and the network also uses {others}", hint=_OTHERS)
        (values,) = torch.autograd.grad(score, leaf)
    passes.spent(1)
    return values[0].detach(), agreed(passes, subject, score.detach())


def _reason(step: Step) -> str | None:
    known = is_linear(step) or step.name in PRODUCTS | ELEMENTWISE | MAXIMA | COMPOSED | {"logsumexp", "detach"}
    return None if known else title(step.name)


@dataclass(frozen=True, eq=False)
class _Rectified(Rule):
    """The rule of a step; notes which rectify, and which do so in another way than a ReLU."""

    guided: bool
    rectifiers: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def ruled(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        function, x = self._of_one(step, args, kwargs)
        if function is None:
            return step.operator(*args, **kwargs)
        # One value is enough to tell what a function is, unless its constants have a shape.
        constants = any(isinstance(value, Tensor) for value in args if value is not x)
        like = x.detach() if constants else x.detach().new_empty(1)
        if not _rectifies(function, like):
            if step.name not in _GATES and not (step.name in _CLAMPS and _is_clamp(function, like)):
                self.others.append(title(step.name))
            return step.operator(*args, **kwargs)
        self.rectifiers.append(step.name)
        with torch.no_grad():
            value = function(x)
            passed = x <= value  # not above a ceiling
            if self.guided:
                passed &= x > 0
        return carried(value, lambda arriving: arriving.clamp(min=0) * passed, x)

    def _of_one(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """The function of single values that a step is, and its argument; None where it is not one.

        The larger of values and a constant is one as well: `torch.maximum(x, zeros)` is a ReLU.
        """
        if step.name in ELEMENTWISE:
            return single(step, args, kwargs), args[0]
        cap = capped(step, args, kwargs, self.moving) if step.name in _CLAMPS else None
        if cap is None:
            return None, None
        function, x = cap
        outside = torch.full_like(x, torch.inf if step.name == "amin" else -torch.inf)
        if step.name not in ("maximum", "minimum") and not bool(function(outside).isfinite().all()):
            return None, None  # only some have a constant beside them, such as windows at the border
        return function, x


def _rectifies(function: Callable[[Tensor], Tensor], like: Tensor) -> bool:
    """Whether a function of single values is max(x, 0) up to a ceiling, whatever it is called."""
    return _gives_zero(function, like, (-100.0, -3.0, -1.0, -1e-3, 0.0)) and _gives_itself(function, like, (1e-3, 0.1))


def _is_clamp(function: Callable[[Tensor], Tensor], like: Tensor) -> bool:
    """Whether it leaves values on both sides of zero as they are: then it has limits, and rectifies nothing."""
    return _gives_itself(function, like, (-1e-3, 1e-3))


def _gives_zero(function: Callable[[Tensor], Tensor], like: Tensor, at: tuple[float, ...]) -> bool:
    return not any(bool(found.any()) for _, found in probed(function, like, at))


def _gives_itself(function: Callable[[Tensor], Tensor], like: Tensor, at: tuple[float, ...]) -> bool:
    return all(bool((found == x).all()) for x, found in probed(function, like, at))

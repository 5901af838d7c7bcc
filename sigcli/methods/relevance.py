"""Layer-wise relevance propagation on the recorded operators of a network.

Relevance R is kept as R/z, with z the value that it belongs to: what is linear then passes it on by its derivative (the
ε-rule), and a function of single values by f(z)/z (Ancona et al. 2018, Proposition 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..engine.passes import Passes
from ..errors import MisfitError
from ..types import Attribution, Subject
from .attending import ATTENDING, attended
from .caps import Rule, capped
from .carrying import carried
from .common import one_of
from .held import Held, held
from .operators import BIASED, ELEMENTWISE, MAXIMA, PRODUCTS, check, factors, is_linear, probed, single, title
from .tracing import Slot, Step, agreed, replay, traced
from .weighted import has_weights, positive

_EPSILON = 1e-9  # of a layer's largest sum, so the scale of a network does not matter
_GAMMA = 0.25


def lrp(
    passes: Passes, subject: Subject, *, rule: Literal["epsilon", "gamma", "alpha1-beta0"] = "epsilon"
) -> Attribution:
    """Layer-wise relevance propagation, Bach et al. 2015; rules as in Montavon et al. 2019, section 10.2.

    Values sum to the logit less the relevance that biases take up. ε is 1e-9 of a layer's largest sum. alpha1-beta0 shares
    by the positive contributions, those of (a w)⁺ and of positive biases (Bach et al., Eq. 60); what is to be shared where
    there are none is lost. gamma, γ = 0.25, gives these another γ of weight; where a unit's sum is negative, the negative
    ones instead, so no sum passes zero. For values that are not negative, as after a ReLU, it is the paper's rule.
    A maximum or minimum passes relevance to its winner; one with a constant is a function of single values, as a clamp.
    In transformers (AttnLRP, Achtibat et al. 2024, section 3.3) softmax passes it by its Taylor expansion, a product of two
    values gives half to each, and what normalises (LayerNorm, RMSNorm) or gates its own argument is held constant.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        rule: rule for convolutions and linear layers; pooling, batch norms and sums of branches keep ε.

    Raises:
        MisfitError: an operator without a rule, a network without accessible layers, or a score that is not a logit.
    """
    values, score, _ = relevance(passes, subject, rule)
    return Attribution(values, score, passes.evaluations, 1)


def relevance(passes: Passes, subject: Subject, rule: str, *, biases: bool = False) -> tuple[Tensor, float, float]:
    """Relevance of the values (C, H, W), the logit, and the relevance that biases take up.

    Args:
        passes: the passes of the model.
        subject: what is explained.
        rule: see `lrp`.
        biases: whether to find out the last number, at the cost of another forward pass; NaN otherwise.

    Raises:
        MisfitError: see `lrp`.
    """
    one_of(("epsilon", "gamma", "alpha1-beta0"), rule=rule)
    passes.needs_logit("LRP")
    x = subject.x[None]
    tape = traced(passes.module, x)
    constant = held(tape)
    check(replace(tape, steps=constant.steps), "LRP", _reason)
    rules = _Relevance(rule, constant, [] if biases else None)
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        score = passes.select(replay(tape, rules, (leaf,))[:1], subject)[0]
        if not score.requires_grad:
            raise MisfitError("LRP holds normalisers constant, and the score has the image in normalisers alone")
        (shares,) = torch.autograd.grad(score, leaf)
    passes.spent(1)
    taken = float("nan") if rules.taken is None else sum(rules.taken)
    return (shares * x)[0], agreed(passes, subject, score.detach()), taken


def _reason(step: Step) -> str | None:
    known = ELEMENTWISE | MAXIMA | PRODUCTS | ATTENDING | {"amax", "maximum", "minimum", "amin"}
    if step.name == "div" and not is_linear(step):
        return "a quotient of a constant"
    if step.name in BIASED and factors(step) == 2 and isinstance(step.args[0], Slot):
        return f"{title(step.name)} of three values of the image"
    return None if is_linear(step) or step.name in known else title(step.name)


@dataclass(frozen=True, eq=False)
class _Relevance(Rule):
    """The rule of a step; `taken` collects the relevance of biases where it is a list."""

    rule: str
    constant: Held
    taken: list[float] | None = field(default=None)

    def ruled(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        one = self.constant.hold(step, args)
        if one is None:
            with torch.no_grad():
                return step.operator(*args, **kwargs)
        step, args = one
        if step.name in ATTENDING or (step.name in PRODUCTS and not is_linear(step)):
            found, offset = attended(step, args, kwargs)
            return found if self.taken is None or offset is None else self._less(found, offset)
        if has_weights(step):
            return self._weighted(step, args, kwargs)
        if step.name in ELEMENTWISE:
            return _single(step, single(step, args, kwargs), args[0])
        if cap := capped(step, args, kwargs, self.moving):
            return _single(step, *cap)
        found = step.operator(*args, **kwargs)
        if self.taken is None or not is_linear(step):
            return found
        offset = _at_zero(step, args, kwargs)
        if isinstance(found, Tensor):
            return self._less(found, offset)
        return [self._less(*both) if both[0].requires_grad else both[0] for both in zip(found, offset, strict=True)]

    def _weighted(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """R_j = Σ_k ρ(a_j w_jk) R_k / (ε + Σ_j ρ(a_j w_jk)), with ρ as the rule says."""
        with torch.no_grad():
            z = step.operator(*tree_map(_constant, args), **kwargs)

        def run(*given: Any) -> Tensor:
            return _sums(self.rule, step, given, kwargs, z < 0)

        shared = run(*args)
        with torch.no_grad():
            sums = shared.detach()
            epsilon = _EPSILON * sums.abs().max() + torch.finfo(sums.dtype).tiny
            factor = z / torch.where(sums < 0, sums - epsilon, sums + epsilon)
        if self.taken is not None:
            with torch.no_grad():
                offset = run(
                    *(torch.zeros_like(v) if isinstance(s, Slot) else v for s, v in zip(step.args, args, strict=True))
                )
            shared = self._less(shared, offset)
        return carried(z, lambda arriving: arriving * factor, shared)

    def _less(self, value: Tensor, offset: Tensor) -> Tensor:
        """Note what of a value's relevance belongs to constants, when it passes."""

        def back(arriving: Tensor) -> Tensor:
            assert self.taken is not None
            self.taken.append(float((arriving.double() * offset).sum()))
            return arriving

        return carried(value, back, value)


def _single(step: Step, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """R/z goes on by f(z)/z."""
    z = x.detach()
    if any(bool(found.any()) for _, found in probed(function, z, (0.0,))):
        raise MisfitError(f"LRP has no rule for {title(step.name)}, which is not 0 at 0")
    with torch.no_grad():
        value = function(z)
        share = torch.where(z == 0, torch.zeros_like(z), value / z)
    return carried(value, lambda arriving: arriving * share, x)


def _constant(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _at_zero(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a linear step gives where all that depends on the image is zero."""
    zeros = {id(v): torch.zeros_like(v) for v in _tensors(args, kwargs) if v.requires_grad}
    given, keywords = tree_map(lambda v: zeros.get(id(v), v), (args, kwargs))
    with torch.no_grad():
        return step.operator(*given, **keywords)


def _tensors(*values: Any) -> list[Tensor]:
    found: list[Tensor] = []
    tree_map(lambda v: found.append(v) if isinstance(v, Tensor) else None, values)
    return found


def _sums(rule: str, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any], negative: Tensor) -> Tensor:
    """The sums in the rule's denominator, as a function of the values whose derivative is what the rule passes on.

    `negative` says which units have a negative sum.
    """
    if rule == "alpha1-beta0":
        return positive(step, args, kwargs)
    z = step.operator(*args, **kwargs)
    if rule == "epsilon":
        return z
    above = positive(step, args, kwargs)
    return z + _GAMMA * torch.where(negative, z - above, above)

"""What a network computes, operator by operator, recorded while its own code runs.

The operators are those of torch's ATen library. All spellings of a function (`nn.ReLU`, `F.relu`, `x.relu_()`, a layer
called by keyword or twice) are one operator there, and what changes a tensor in place is written without: whoever reads it
later reads the new value, as in the network. Rules for single operators then replay the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functionalize
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from ..engine.passes import Passes
from ..errors import AttributionError, MisfitError
from ..scores.classifier import ClassScore
from ..scores.evened import Evened, evened
from ..types import Subject
from .network_layers import check_layers, kept

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
_FRESH = frozenset([
    "new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided", "zeros_like", "ones_like", "full_like",
    "empty_like",
    "zero", "fill", "copy",
])  # fmt: skip
"""Operators of whose first argument only the shape counts."""
_VIEWS = (
    torch.ops.aten.view.default,
    torch.ops.aten._unsafe_view.default,
)  # a rule's result may lie otherwise in memory
_CAPPED = (functional.relu6, torch._C._nn.relu6_)  # type: ignore[attr-defined]
UNTRACED = "the network behaves differently when it is traced"


@dataclass(frozen=True)
class Slot:
    """The place of a value that depends on the input."""

    index: int


@dataclass(frozen=True)
class Step:
    """One call of an operator on values that depend on the input.

    Args:
        operator: operator of ATen, without side effects.
        name: name of the operator, the same for all its overloads.
        args: with a `Slot` for each value that depends on the input; constants as they are.
        kwargs: likewise.
        results: the slots that the results fill, None for those that are not tensors.
        last: slots that no later step reads.
    """

    operator: Callable[..., Any]
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[int | None, ...]
    last: tuple[int, ...] = ()


@dataclass(frozen=True)
class Tape:
    """A function of tensors as a list of steps; input i stands in slot i.

    Args:
        steps: in the order of the computation, those only on which the output depends.
        output: the slot of the result.
        dtype: the dtype in which it was recorded.
    """

    steps: tuple[Step, ...]
    output: int
    dtype: torch.dtype


Rule = Callable[[Step, tuple[Any, ...], dict[str, Any]], Any]
"""What to do for a step, given the values of its arguments: the operator's result, or a value that stands for it."""


def plain(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The operator itself."""
    return step.operator(*args, **kwargs)


def traced(module: nn.Module, images: Tensor) -> Tape:
    """The record of a network for images of that shape; made once per network, shape and type.

    Args:
        module: (N, C, H, W) → (N, classes).
        images: (N, C, H, W). The record holds for any images of this shape, since code that reads their values is refused.

    Raises:
        MisfitError: a program without layers, code that cannot be traced, or a record whose outputs or input
            gradients are not the network's.
    """
    check_layers(module)
    name = f"tape {tuple(images.shape)} {images.dtype} {images.device}"
    return kept(module, name, lambda: _checked(module, images))


def _checked(module: nn.Module, images: Tensor) -> Tape:
    try:
        tape = record(module, images)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # tracing runs foreign code, which fails in many ways
        raise MisfitError(f"the network cannot be traced operator by operator: {_line(error)}") from error
    found = _with_gradient(lambda leaf: replay(tape, plain, (leaf,)), images)
    expected = _with_gradient(module, images)
    tolerance = _TOLERANCE.get(images.dtype, 1e-2)
    for one, other in zip(found, expected, strict=True):
        if one.shape != other.shape or not float((one - other).abs().max()) <= tolerance * float(other.abs().max()):
            raise MisfitError(UNTRACED)
    return tape


def _with_gradient(function: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs, and the gradient of a sum of them in which every output has its own weight."""
    leaf = images.detach().clone().requires_grad_()
    with torch.enable_grad():
        with Evened():
            outputs = function(leaf)
        weights = torch.arange(1, outputs.numel() + 1, device=outputs.device).to(outputs).view_as(outputs).cos()
        total = (outputs * weights).sum()
        gradient = torch.autograd.grad(total, leaf, allow_unused=True)[0] if total.requires_grad else None
    return outputs.detach(), torch.zeros_like(leaf) if gradient is None else gradient


def record(function: Callable[..., Tensor], *inputs: Tensor) -> Tape:
    """The steps of a function of tensors, recorded on these inputs.

    Raises:
        MisfitError: the function reads single values of what depends on the inputs, or its result does not.
    """
    leaves = [x.detach().clone().requires_grad_() for x in inputs]  # with gradients, so no layer takes a shortcut
    recorder = _Recorder(leaves)
    with torch.enable_grad(), _taken_apart(), _Spelt(), recorder:
        result = functionalize(function, remove="mutations")(*leaves)
    if not isinstance(result, Tensor):
        raise MisfitError(f"the network returns a {type(result).__name__} instead of a tensor")
    output = recorder.slots.get(id(result))
    if output is None:
        raise MisfitError("the network's outputs do not depend on the image")
    return Tape(_needed(recorder.steps, output), output, inputs[0].dtype)


@contextmanager
def _taken_apart() -> Iterator[None]:
    """Attention as products and a softmax, not as one fused operator that no rule covers."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel([SDPBackend.MATH]):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class _Spelt(TorchFunctionMode):
    """What torch cannot write without change in place: `relu6_` as the clamp that it is, RMSNorm as its formula."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _CAPPED:
            x = kwargs.get("input", args[0] if args else None)
            inplace = func is not functional.relu6 or kwargs.get("inplace", args[1] if len(args) > 1 else False)
            return functional.hardtanh(x, 0.0, 6.0, inplace=inplace)
        if func in (functional.rms_norm, torch.rms_norm):
            return _rms_norm(*args, **kwargs)
        return func(*args, **kwargs)


def _rms_norm(
    input: Tensor,  # noqa: A002  torch's name, by which it may be called
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    dims = list(range(-len(normalized_shape), 0))
    least = torch.finfo(input.dtype).eps if eps is None else eps
    normed = input * (input.square().mean(dims, keepdim=True) + least).rsqrt()
    return normed if weight is None else normed * weight


def _copied(into: Tensor, values: Tensor, *_: Any, **__: Any) -> Tensor:
    """What a tensor holds once values are copied into it; the operator itself has no derivative."""
    return values.to(into.dtype).expand(into.shape)


@dataclass(frozen=True)
class _Normed:
    """A batch norm's operator, see `evened`."""

    operator: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return evened(self.operator(*args, **kwargs))


class _Recorder(TorchDispatchMode):
    """Notes the operators that run on what depends on the inputs; others are constants and need no note."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.slots = {id(x): index for index, x in enumerate(inputs)}
        self.steps: list[Step] = []
        self._alive: list[Any] = list(inputs)  # so that no other tensor gets the identity of one that is gone

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        before = args[0].clone() if func is torch.ops.aten.as_strided_.default else None
        result = func(*args, **kwargs)
        if before is not None and before.shape == result.shape and torch.equal(before, result):
            return result  # adaptive average pooling to one place orders the memory of its result anew
        depending = [x for x in tree_flatten((args, kwargs))[0] if id(x) in self.slots]
        name = func._schema.name.split("::")[-1]
        if not depending or (name in _FRESH and all(x is args[0] for x in depending)):
            return result
        if name == "_local_scalar_dense":
            raise MisfitError("its control flow depends on values of the image")
        if func._schema.is_mutable:
            raise MisfitError(f"it changes values in place by {name}")
        flat = tree_flatten(result)[0]
        self._alive.append((depending, flat))
        results: list[int | None] = [None] * len(flat)
        for i, x in enumerate(flat):
            if isinstance(x, Tensor):
                results[i] = self.slots.setdefault(id(x), len(self.slots))
        slots = tree_map(lambda x: Slot(self.slots[id(x)]) if id(x) in self.slots else x, (tuple(args), kwargs))
        operator = _copied if name == "copy" else torch.reshape if func in _VIEWS else func
        operator = _Normed(func) if "batch_norm" in name else operator
        self.steps.append(Step(operator, name, slots[0], slots[1], tuple(results)))
        return result


def _needed(steps: Sequence[Step], output: int) -> tuple[Step, ...]:
    """The steps on which the output depends, each with the slots that it is the last to read."""
    needed, found = {output}, []
    for step in reversed(steps):
        if needed.isdisjoint(step.results):
            continue
        read = {x.index for x in tree_flatten((step.args, step.kwargs))[0] if isinstance(x, Slot)}
        found.append(replace(step, last=tuple(read - needed)))
        needed |= read
    return tuple(reversed(found))


def replay(tape: Tape, rule: Rule, inputs: Sequence[Any]) -> Any:
    """Run a record with a rule in place of each operator.

    Args:
        tape: the record.
        rule: what to do for each step.
        inputs: a value for each input, as the rule takes them.

    Returns:
        what stands for the output.
    """
    values: dict[int | None, Any] = dict(enumerate(inputs))

    def value(x: Any) -> Any:
        if isinstance(x, Slot) and x.index not in values:
            raise MisfitError("the network uses the indices of maxima, for which there is no rule")
        return values[x.index] if isinstance(x, Slot) else x

    for step in tape.steps:
        args, kwargs = tree_map(value, (step.args, step.kwargs))
        # A rule gives what depends on the image continuously: of pooling the maxima, but not their places.
        values.update(zip(step.results, tree_flatten(rule(step, args, kwargs))[0], strict=False))
        for index in step.last:
            values.pop(index, None)
    return values[tape.output]


def _line(error: BaseException) -> str:
    text = error.what if isinstance(error, AttributionError) else " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def agreed(passes: Passes, subject: Subject, replayed: Tensor) -> float:
    """F(x), after a check that a replayed score is the same; in reduced precision the model's own is rounded.

    Raises:
        AttributionError: it is not.
    """
    score = passes.score(subject)
    rounded = isinstance(passes.scorer, ClassScore) and passes.scorer.precision != "fp32"
    tolerance = _TOLERANCE.get(replayed.dtype, 1e-2) * max(1.0, abs(score))
    if not rounded and not abs(float(replayed) - score) <= tolerance:
        raise AttributionError(UNTRACED)
    return score

"""A function of captum's interface as the engine's score: its inputs, baselines, targets and additional arguments."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from ..errors import ModelError, UsageError
from ..models.checks import one_line
from ..models.steadiness import check_steady
from ..options import short

Inputs = Tensor | tuple[Tensor, ...]


@dataclass(eq=False)
class Function:
    """A forward function as the engine's score; the engine's targets are rows of the original batch.

    Args:
        forward: captum's forward_func, taking the inputs and the additional arguments.
        shapes: shapes of one example of each input.
        target: (N, axes) or (1, axes) indices of the output, see `target_table`; None for a single output.
        extra: additional forward arguments.
        rows: number of examples.
    """

    forward: Callable[..., Tensor]
    shapes: list[torch.Size]
    target: Tensor | None
    extra: tuple[Any, ...]
    rows: int

    @classmethod
    def of(cls, forward: Callable[..., Tensor], parts: tuple[Tensor, ...], target: Any, extra: Any) -> Function:
        """The function for one batch of inputs, with captum's `target` and `additional_forward_args`.

        Raises:
            UsageError: targets that do not fit the examples.
        """
        more = () if extra is None else extra if isinstance(extra, tuple) else (extra,)
        table = None if target is None else target_table(target, len(parts[0]))
        return cls(forward, [p.shape[1:] for p in parts], table, more, len(parts[0]))

    def scores(self, images: Tensor, targets: Tensor) -> Tensor:
        """The score of each point without gradient, (k,)."""
        with torch.no_grad():
            return self._scores(images, targets)

    def gradients(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (k,) and gradients of the shape of `images`."""
        leaf = images.detach().requires_grad_()
        with torch.enable_grad():
            scores = self._scores(leaf, targets)
            (gradient,) = torch.autograd.grad(scores.sum(), leaf)
        return scores.detach(), gradient

    def _scores(self, images: Tensor, rows: Tensor) -> Tensor:
        outputs = self.outputs(images, rows)
        if self.target is not None:
            return _selected(outputs, self.target, rows)
        if outputs.numel() != len(images):
            raise UsageError(
                "forward_func returns several outputs, so attribute() needs a target", given=tuple(outputs.shape)
            )
        return outputs.reshape(len(images))

    def outputs(self, images: Tensor, rows: Tensor) -> Tensor:
        """All that the function returns, (k, …).

        Raises:
            UsageError: it is not one tensor with a row for each example.
        """
        flat, parts, at = images.flatten(1), [], 0
        for shape in self.shapes:
            # A copy: the function may change its inputs in place, which are views of the engine's points.
            parts.append(flat[:, at : at + math.prod(shape)].reshape(-1, *shape).clone())
            at += math.prod(shape)
        outputs = self.forward(*parts, *(self._row_wise(value, rows) for value in self.extra))
        if not isinstance(outputs, Tensor) or outputs.dim() < 1 or len(outputs) != len(images):
            given = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise UsageError(
                "forward_func must return one tensor with a row per example", given=given, allowed="(N, …)"
            )
        return outputs

    def _row_wise(self, value: Any, rows: Tensor) -> Any:
        whole = isinstance(value, Tensor) and value.dim() > 0 and len(value) == self.rows
        return value[rows.to(value.device)] if whole else value


def target_table(target: Any, rows: int) -> Tensor:
    """Captum's four forms of a target as indices (rows, axes), or (1, axes) for all: an int, a tuple, one int or one tuple
    for each example in a list, a tensor or an array.

    Raises:
        UsageError: not integers, or not as many targets as examples.
    """
    allowed = f"an int, a tuple of ints, or {rows} of either in a list or tensor"
    try:
        found = target if isinstance(target, Tensor) else torch.from_numpy(np.asarray(target))
    except (TypeError, ValueError) as error:
        raise UsageError("target must be indices of the output", given=repr(target), allowed=allowed) from error
    whole = not (found.is_floating_point() or found.is_complex() or found.dtype == torch.bool)
    one = found.dim() == 0 or (isinstance(target, tuple) and found.dim() == 1) or (found.numel() == 1 and rows == 1)
    one = one or (isinstance(target, Tensor) and found.numel() == 1)
    if not whole or not found.numel() or found.dim() > 2 or not (one or len(found) == rows):
        raise UsageError("target does not fit the examples", given=repr(target), allowed=allowed)
    return found.detach().long().reshape(1 if one else rows, -1)


def _selected(outputs: Tensor, target: Tensor, rows: Tensor) -> Tensor:
    """The output that a target names for each point, (k,); see `target_table`."""
    table = target.to(outputs.device)
    sizes = torch.tensor(outputs.shape[1:], device=outputs.device)
    if table.shape[1] != len(sizes):
        what = "one output per example and takes no target" if not len(sizes) else f"outputs with {len(sizes)} axes"
        raise UsageError(
            f"forward_func returns {what}",
            given=f"a target of {table.shape[1]} index(es), outputs {tuple(outputs.shape)}",
            hint="Leave the target out." if not len(sizes) else "",
        )  # fmt: skip
    if bool(((table >= sizes) | (table < -sizes)).any()):
        given, allowed = (
            table.tolist() if len(table) > 1 else table[0].tolist(),
            tuple(n - 1 for n in outputs.shape[1:]),
        )
        raise UsageError("target is out of range", given=given, allowed=f"0 to {', '.join(map(str, allowed))}")
    places = table[rows.to(table.device)] if len(table) > 1 else table.expand(len(outputs), -1)
    return outputs[(torch.arange(len(outputs), device=outputs.device), *places.unbind(1))]


def content_key(x: Tensor) -> int:
    """A 64-bit number from the values of one example, from which its random draws derive."""
    digest = hashlib.blake2b(x.detach().cpu().double().numpy().tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def parts_of(inputs: Inputs) -> tuple[Tensor, ...]:
    """The inputs as a tuple; raises UsageError unless all are finite floats with the same number of examples."""
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    if not parts or any(
        not isinstance(p, Tensor) or not p.is_floating_point() or p.dim() < 1 or len(p) != len(parts[0]) for p in parts
    ):
        raise UsageError("inputs must be floating-point tensors of one batch size N, (N, …)")
    if not len(parts[0]):
        raise UsageError("inputs hold no example", given=[tuple(part.shape) for part in parts])
    parts = tuple(p.clone() if p.is_inference() else p for p in parts)
    check_finite("an input", parts)
    return parts


def references(baselines: Any, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The baseline of each input, expanded to its shape: captum's tensors and numbers, alone or in a tuple; 0 for None.

    Raises:
        UsageError: not one for each input, or one that is no tensor or does not broadcast.
    """
    given = baselines if isinstance(baselines, tuple) else (baselines,) * (len(parts) if baselines is None else 1)
    if len(given) != len(parts):
        raise UsageError("each input needs one baseline", given=len(given), allowed=str(len(parts)))
    result = []
    for part, baseline in zip(parts, given, strict=True):
        try:
            value = torch.as_tensor(0.0 if baseline is None else baseline, dtype=part.dtype, device=part.device)
        except (TypeError, ValueError, RuntimeError):
            allowed = "a tensor or a number; names of baselines are for sigcli.explain"
            raise UsageError("a baseline is no tensor", given=short(baseline), allowed=allowed) from None
        value = value.clone() if value.is_inference() else value
        try:
            result.append(value.expand_as(part))
        except RuntimeError:
            raise UsageError(
                "a baseline does not broadcast to its input", given=tuple(value.shape), allowed=str(tuple(part.shape))
            ) from None
    check_finite("a baseline", result)
    return tuple(result)


def check_finite(what: str, tensors: Sequence[Tensor]) -> None:
    """Raise UsageError where a value is NaN or infinite."""
    if not all(bool(torch.isfinite(one).all()) for one in tensors):
        raise UsageError(f"{what} holds NaN or infinity", hint="Fill in what is missing first.")


def check_function(function: Function, images: Tensor, references: Tensor, known: set[Any]) -> None:
    """Raise ModelError unless the function gives an example one score, whenever and in whatever company it is asked.

    Args:
        function: what is explained.
        images: (N, C, H, W).
        references: (N, C, H, W), the baselines.
        known: networks that were tried and found steady; a loop over examples tries its network once. A plain function, and
            a network with further arguments, is tried each time: what it does may have changed unseen.
    """
    network = function.forward
    parts = list(network.modules()) if isinstance(network, torch.nn.Module) else []
    if any(part.training and _differs(part) for part in parts):
        raise ModelError("the network is in training mode", hint="Call .eval() first.")
    layers = tuple((type(one), one.training) for one in parts)
    state = (id(network), layers, images.shape[1:], images.dtype, images.device)
    if parts and not function.extra and state in known:
        return
    pair = torch.stack([images[0], references[0]])
    rows = torch.zeros(len(pair), dtype=torch.long)
    try:
        function.scores(pair, rows)  # what is wrong with the target is told first
        with torch.no_grad():
            check_steady(
                lambda points: function.outputs(points, rows[:1].expand(len(points))).reshape(len(points), -1), pair
            )
    except (ValueError, RuntimeError) as error:
        what = f"forward_func does not take one example or two: {one_line(error)}"
        raise ModelError(what, hint="Where it is in training mode, call .eval() first.") from error
    known.add(state)


def _differs(part: torch.nn.Module) -> bool:
    """Whether a layer does something else in training mode than in evaluation mode."""
    return isinstance(part, _BatchNorm) or (isinstance(part, _DropoutNd) and part.p > 0)


def as_images(parts: tuple[Tensor, ...]) -> Tensor:
    """(N, C, H, W) as it is; anything else, and several inputs side by side, as (N, 1, 1, features)."""
    if len(parts) == 1 and parts[0].dim() == 4:
        return parts[0]
    return torch.cat([p.flatten(1) if p.dim() > 1 else p[:, None] for p in parts], 1)[:, None, None, :]

"""`ShapleyIntegratedGradients` with captum's `attribute` signature, over the same plans and the same hot loop."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from ..engine import quadrature
from ..engine.integrate import Task, integrate
from ..engine.plan import Plan
from ..errors import ModelError, UsageError
from ..methods.sig import sig
from ..models.checks import one_line
from ..models.steadiness import check_steady
from ..options import short
from ..types import Attribution, Subject

_CAPTUM_RULES = {
    "gausslegendre": "gauss-legendre",
    "riemann_left": "riemann-left",
    "riemann_right": "riemann-right",
    "riemann_middle": "riemann-middle",
    "riemann_trapezoid": "trapezoid",
}
_NODES = 5
Inputs = Tensor | tuple[Tensor, ...]


@dataclass(eq=False)
class _Function:
    """A forward function as the engine's score; the engine's targets are rows of the original batch.

    Args:
        forward: captum's forward_func, taking the inputs and the additional arguments.
        shapes: shapes of one example of each input.
        target: (N, axes) or (1, axes) indices of the output, see `_table`; None for a single output.
        extra: additional forward arguments.
        rows: number of examples.
    """

    forward: Callable[..., Tensor]
    shapes: list[torch.Size]
    target: Tensor | None
    extra: tuple[Any, ...]
    rows: int

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
        if self.target is None:
            if outputs.numel() != len(images):
                raise UsageError(
                    "forward_func returns several outputs, so attribute() needs a target",
                    given=tuple(outputs.shape),
                )
            return outputs.reshape(len(images))
        return _selected(outputs, self.target, rows)

    def _row_wise(self, value: Any, rows: Tensor) -> Any:
        whole = isinstance(value, Tensor) and value.dim() > 0 and len(value) == self.rows
        return value[rows.to(value.device)] if whole else value


class ShapleyIntegratedGradients:
    """Shapley Integrated Gradients ([SIG] Algorithm 1) with the interface of captum's IntegratedGradients.

    Args:
        forward_func: inputs → outputs (N, …), a module or a function.
        multiply_by_inputs: as in captum; SIG multiplies by input - baseline, so only True is accepted.

    >>> net = torch.nn.Linear(4, 2)
    >>> x = torch.ones(3, 4)
    >>> ShapleyIntegratedGradients(net).attribute(x, target=1).shape
    torch.Size([3, 4])
    """

    def __init__(self, forward_func: Callable[..., Tensor], multiply_by_inputs: bool = True):
        if not multiply_by_inputs:
            raise UsageError(
                "ShapleyIntegratedGradients always multiplies by input - baseline", given="multiply_by_inputs=False"
            )
        self.forward_func = forward_func

    @property
    def multiplies_by_inputs(self) -> bool:
        """True, as captum's metrics ask."""
        return True

    def has_convergence_delta(self) -> bool:
        """True: `attribute` can return the convergence delta."""
        return True

    @torch.inference_mode(mode=False)
    def attribute(  # noqa: PLR0917 - captum's order
        self,
        inputs: Inputs,
        baselines: Tensor | float | tuple[Tensor | float, ...] | None = None,
        target: Any = None,
        additional_forward_args: Any = None,
        n_steps: int = 256,
        method: str = "stratified",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
        *,
        players: str | Tensor | np.ndarray | None = None,
        sizes: str = "uniform",
        form: str = "to-input",
        normalise: bool = False,
        seed: int = 0,
    ) -> Any:
        """Attribute the outputs to the inputs.

        Args:
            inputs: (N, …) floating point, or a tuple of such tensors.
            baselines: the baseline x', a tensor that broadcasts to the input, a number, or a tuple; 0 by default.
            target: output index: an int, a tuple, a tensor or list of N ints, or a list of N tuples.
            additional_forward_args: passed on after the inputs; tensors of length N are split by row.
            n_steps: gradient evaluations per example, as in captum.
            method: "stratified" (one random node per coalition, unbiased), or one of captum's rules, which share n_steps
                between coalitions and 5 nodes for each.
            internal_batch_size: points per gradient evaluation; it may be below N. By default 64.
            return_convergence_delta: also return Σ attributions - (F(x) - E_S[F(b_S)]), of shape (N,).
            players: see `sigcli.players.FORMS`; by default 28×28 patches for (N, C, H, W) of at least 56 pixels a side,
                14×14 from 28, and single positions otherwise. Several inputs are laid side by side as positions.
            sizes: "uniform" or "algorithm1", see `sigcli.methods.sig.sig`.
            form: "to-input", "from-default" or "both", see there.
            normalise: per-player normalisation, see there.
            seed: seed of the random draws.

        Returns:
            Attributions of the inputs' shape and form, and the delta if requested.

        Raises:
            UsageError: inputs, baselines, targets or options that do not fit.
            ModelError: the function is in training mode, draws random numbers or mixes the examples of a batch.
        """
        parts = inputs if isinstance(inputs, tuple) else (inputs,)
        if not parts or any(not p.is_floating_point() or p.dim() < 1 or len(p) != len(parts[0]) for p in parts):
            raise UsageError("inputs must be floating-point tensors of one batch size N, (N, …)")
        parts = tuple(p.clone() if p.is_inference() else p for p in parts)
        _finite("an input", parts)
        if internal_batch_size is not None and internal_batch_size < 1:
            raise UsageError("internal_batch_size must be at least 1", given=internal_batch_size)
        extra = additional_forward_args
        extra = () if extra is None else extra if isinstance(extra, tuple) else (extra,)
        samples, steps, rule = _budget(n_steps, method)
        options = {
            "players": _default_players(_as_images(parts)) if players is None else _labels(players),
            "samples": samples, "steps": steps, "rule": rule, "sizes": sizes, "form": form, "normalise": normalise,
            "coalitions": "auto" if rule == "auto" else "sampled",
        }  # fmt: skip
        rows = len(parts[0])
        table = None if target is None else _table(target, rows)
        function = _Function(self.forward_func, [p.shape[1:] for p in parts], table, extra, rows)
        references = _references(baselines, parts)
        _check_function(function, _as_images(parts), _as_images(references))
        found = _attributed(function, parts, references, options, seed, internal_batch_size or 64)
        return _shaped(found, inputs, delta=return_convergence_delta)


def _attributed(
    function: _Function, parts: tuple[Tensor, ...], references: tuple[Tensor, ...], options: dict[str, Any], seed: int,
    batch_size: int,
) -> list[Attribution]:  # fmt: skip
    """An attribution for each example."""
    pairs = zip(_as_images(parts), _as_images(references), strict=True)
    tasks = (_task(x, row, default, seed, options) for row, (x, default) in enumerate(pairs))
    return list(integrate(function, tasks, batch_size=batch_size, check=1))


def _shaped(found: list[Attribution], inputs: Inputs, *, delta: bool) -> Any:
    """Attributions in the inputs' shape and form; with `delta` also Σ attributions - (F(x) - E_S[F(b_S)]), (N,)."""
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    values = torch.stack([a.values for a in found]).flatten(1).to(parts[0].dtype)
    split = values.split([p[0].numel() for p in parts], dim=1)
    shaped = tuple(v.reshape(p.shape) for v, p in zip(split, parts, strict=True))
    result: Any = shaped if isinstance(inputs, tuple) else shaped[0]
    if not delta:
        return result
    gaps = [float(a.values.double().sum()) - (a.total or 0.0) for a in found]
    return result, torch.tensor(gaps, dtype=parts[0].dtype)


def _table(target: Any, rows: int) -> Tensor:
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
    """The output that a target names for each point, (k,); see `_table`."""
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


def _task(x: Tensor, row: int, default: Tensor, seed: int, options: dict[str, Any]) -> Task:
    digest = hashlib.blake2b(x.detach().cpu().double().numpy().tobytes(), digest_size=8).digest()
    level = torch.zeros((x.shape[0], 1, 1), dtype=x.dtype, device=x.device)
    subject = Subject(x.detach(), row, level, level + 1, int.from_bytes(digest, "little"), seed)
    return Task(subject, cast(Plan, sig(subject, baseline=default.detach(), **options)))  # of no effective coalitions


def _references(baselines: Any, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
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
    _finite("a baseline", result)
    return tuple(result)


def _finite(what: str, tensors: Sequence[Tensor]) -> None:
    if not all(bool(torch.isfinite(one).all()) for one in tensors):
        raise UsageError(f"{what} holds NaN or infinity", hint="Fill in what is missing first.")


def _check_function(function: _Function, images: Tensor, references: Tensor) -> None:
    """Raise ModelError unless the function gives an example one score, whenever and in whatever company it is asked."""
    network = function.forward
    parts = network.modules() if isinstance(network, torch.nn.Module) else ()
    if any(part.training and _differs(part) for part in parts):
        raise ModelError("the network is in training mode", hint="Call .eval() first.")
    if not len(images):
        return
    pair = torch.stack([images[0], references[0]])
    try:
        check_steady(lambda points: function.scores(points, torch.zeros(len(points), dtype=torch.long))[:, None], pair)
    except (ValueError, RuntimeError) as error:
        what = f"forward_func does not take one example or two: {one_line(error)}"
        raise ModelError(what, hint="Where it is in training mode, call .eval() first.") from error


def _differs(part: torch.nn.Module) -> bool:
    """Whether a layer does something else in training mode than in evaluation mode."""
    return isinstance(part, _BatchNorm) or (isinstance(part, _DropoutNd) and part.p > 0)


def _as_images(parts: tuple[Tensor, ...]) -> Tensor:
    """(N, C, H, W) as it is; anything else, and several inputs side by side, as (N, 1, 1, features)."""
    if len(parts) == 1 and parts[0].dim() == 4:
        return parts[0]
    return torch.cat([p.flatten(1) if p.dim() > 1 else p[:, None] for p in parts], 1)[:, None, None, :]


def _labels(players: Any) -> Any:
    return torch.from_numpy(players) if isinstance(players, np.ndarray) else players


def _default_players(images: Tensor) -> str:
    side = min(images.shape[-2:])
    return "grid:28x28" if side >= 56 else "grid:14x14" if side >= 28 else "pixels"


def _budget(n_steps: int, method: str) -> tuple[int, int, str]:
    """Coalitions, nodes for each, and rule, from captum's two arguments."""
    if n_steps < 1:
        raise UsageError("n_steps must be at least 1", given=n_steps)
    if method == quadrature.STRATIFIED:
        return n_steps, 1, "auto"
    rule = _CAPTUM_RULES.get(method, method)
    quadrature.rule(rule)
    nodes = max(1, min(_NODES, n_steps))
    return max(1, n_steps // nodes), nodes, rule

"""`SIG`, or `ShapleyIntegratedGradients`: the project's own method with captum's `attribute` signature."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engine import quadrature
from ..errors import UsageError, unknown
from ..options import short
from .base import PathAttribution
from .function import Inputs, as_images, parts_of

RULES = {
    "gausslegendre": "gauss-legendre",
    "riemann_left": "riemann-left",
    "riemann_right": "riemann-right",
    "riemann_middle": "riemann-middle",
    "riemann_trapezoid": "trapezoid",
}
"""Captum's names of quadrature rules → ours."""
_NODES = 5


class ShapleyIntegratedGradients(PathAttribution):
    """Shapley Integrated Gradients ([SIG] Algorithm 1) with the interface of captum's IntegratedGradients.

    Args:
        forward_func: inputs → outputs (N, …), a module or a function.
        multiply_by_inputs: as in captum; SIG multiplies by input - baseline, so only True is accepted.

    >>> net = torch.nn.Linear(4, 2)
    >>> x = torch.ones(3, 4)
    >>> ShapleyIntegratedGradients(net).attribute(x, target=1).shape
    torch.Size([3, 4])
    """

    method = "sig"

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
        **unknown_ones: Any,
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
            internal_batch_size: points per gradient evaluation; it may be below N. By default 16 to 64, by the example.
            return_convergence_delta: also return Σ attributions - (F(x) - E_S[F(b_S)]), of shape (N,).
            players: `8x8` (patches of 8×8 pixels), `grid:7x7` (so many patches), `superpixels:N`, `pixels`, a label map as
                an (H, W) tensor or array of integers (captum's `feature_mask`), or its file; by default 28×28 patches for
                (N, C, H, W) of at least 56 pixels a side, 14×14 from 28, and single positions otherwise. Several inputs are
                laid side by side as positions.
            sizes: of coalitions, "uniform" or "algorithm1", see docs/explain.md.
            form: "to-input" (paths from the coalition to x), "from-default" (from x' to the coalition) or "both" in turn.
            normalise: per-player normalisation: what a player gets is divided by how often it was on the move.
            seed: seed of the random draws.
            unknown_ones: refused, with the name that was meant.

        Returns:
            Attributions of the inputs' shape and form, and the delta if requested.

        Raises:
            UsageError: inputs, baselines, targets or options that do not fit.
            ModelError: the function is in training mode, draws random numbers or mixes the examples of a batch.
        """
        for name in unknown_ones:
            known = [one for one in inspect.signature(self.attribute).parameters if one != "unknown_ones"]
            raise unknown("argument of SIG.attribute", name, known)
        samples, steps, rule = _budget(n_steps, method)
        options = {
            "players": default_players(inputs) if players is None else labels(players),
            "samples": samples, "steps": steps, "rule": rule, "sizes": sizes, "form": form, "normalise": normalise,
            "coalitions": "auto" if rule == "auto" else "sampled",
        }  # fmt: skip
        return self._run(
            inputs, baselines, target, additional_forward_args, internal_batch_size, delta=return_convergence_delta,
            seed=seed, options=options,
        )  # fmt: skip

    @property
    def _ends_known(self) -> bool:
        """No: its paths begin at coalitions."""
        return False


def labels(players: Any) -> Any:
    """Players as the methods take them: a text as it is, a label map as a tensor; raises UsageError for anything else."""
    if isinstance(players, (str, Tensor)):
        return players
    if not isinstance(players, np.ndarray):
        allowed = "a text, or one tensor or array of integers: (H, W), and (1, values) of several inputs side by side"
        raise UsageError("players cannot be used", given=short(players), allowed=allowed)
    return torch.from_numpy(players)


def default_players(inputs: Inputs) -> str:
    """Players where none are named: 28×28 patches of pictures of 56 pixels a side or more, 14×14 from 28, else positions."""
    side = min(as_images(parts_of(inputs)).shape[-2:])
    return "grid:28x28" if side >= 56 else "grid:14x14" if side >= 28 else "pixels"


def rule_of(method: str) -> str:
    """Our name of a quadrature rule that is given by captum's name or ours; raises UsageError for any other."""
    rule = RULES.get(method, method)
    quadrature.rule(rule)
    return rule


def _budget(n_steps: int, method: str) -> tuple[int, int, str]:
    """Coalitions, nodes for each, and rule, from captum's two arguments."""
    if n_steps < 1:
        raise UsageError("n_steps must be at least 1", given=n_steps)
    if method == quadrature.STRATIFIED:
        return n_steps, 1, "auto"
    rule = rule_of(method)
    nodes = max(1, min(_NODES, n_steps))
    return max(1, n_steps // nodes), nodes, rule

"""One class for each method of the catalogue that integrates gradients, made from its line and its function's options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from ..catalog import Entry
from ..engine import quadrature
from ..errors import UsageError, unknown
from .base import PathAttribution
from .names import class_name
from .shapley import ShapleyIntegratedGradients, default_players, labels, rule_of

_NAMED = ("inputs", "baselines", "target", "additional_forward_args")
_AS_CAPTUM = {
    "input-x-gradient": ("inputs", "target", "additional_forward_args"),
    "gradient-shap": ("inputs", "baselines"),
}
"""What may be given by its place where captum's class of the same name has another order; the rest goes by name."""
_INSIDE = ("baseline", "baselines", "libragrad")
"""Options that captum's interface says otherwise, or that need the layers of a network."""
_ARGUMENTS = """Attribute the outputs to the inputs.

Args:
    inputs: (N, …) floating point, or a tuple of such tensors.
    baselines: {baselines}
    target: output index: an int, a tuple, a tensor or list of N ints, or a list of N tuples.
    additional_forward_args: passed on after the inputs; tensors of length N are split by row.
{budget}    internal_batch_size: points per gradient evaluation; it may be below N. By default 16 to 64, by the example.
    return_convergence_delta: also return Σ attributions - the score difference that they should sum to, (N,).
    seed: seed of the random draws.
{own}
Returns:
    Attributions of the inputs' shape and form, and the delta if requested.

Raises:
    UsageError: inputs, baselines, targets or options that do not fit.
    ModelError: the function is in training mode, draws random numbers or mixes the examples of a batch.
    AttributionError: the method cannot explain an example.
"""
_BASELINES = {
    "baseline": "the baseline x', a tensor that broadcasts to the input, a number, or a tuple; 0 by default.",
    "baselines": "the examples that references are drawn from, (M, …), or a tuple of such tensors.",
    "": "None: the method starts from the input itself.",
}
_BUDGET = """    n_steps: gradient evaluations per example.
"""
_RULE = """    method: quadrature rule, one of captum's names or ours.
"""


def class_of(entry: Entry) -> type[PathAttribution]:
    """The class of one method."""
    if entry.name == "sig":
        return ShapleyIntegratedGradients
    signature = _signature(entry)
    members = {
        "method": entry.name, "unmultiplied": entry.name in ("ig", "input-x-gradient"), "__module__": "sigcli.captum",
        "__doc__": f"{entry.summary}, with captum's interface.\n\nArgs:\n    forward_func: inputs → outputs (N, …), a "
        "module or a function.\n    multiply_by_inputs: see `sigcli.captum.PathAttribution`.\n",
        "attribute": _attribute(entry, signature),
    }  # fmt: skip
    return type(class_name(entry), (PathAttribution,), members)


def _budgeted(entry: Entry) -> bool:
    """Whether gradient evaluations are counted as captum counts them, in steps along one path."""
    return entry.properties.get("budget") == "steps"


def _signature(entry: Entry) -> inspect.Signature:
    """Captum's order: inputs, baselines, target, additional_forward_args, then those of its IntegratedGradients."""
    known, options = inspect.Parameter, entry.options()
    made = [known("self", known.POSITIONAL_OR_KEYWORD), known("inputs", known.POSITIONAL_OR_KEYWORD)]
    made += [known(name, known.POSITIONAL_OR_KEYWORD, default=None) for name in _NAMED[1:]]
    if _budgeted(entry):
        made.append(known("n_steps", known.POSITIONAL_OR_KEYWORD, default=options["steps"].default))
        if "rule" in options:
            rule = options["rule"].default.replace("-", "")
            made.append(known("method", known.POSITIONAL_OR_KEYWORD, default=rule))
    made.append(known("internal_batch_size", known.POSITIONAL_OR_KEYWORD, default=None))
    made.append(known("return_convergence_delta", known.POSITIONAL_OR_KEYWORD, default=False))
    own = [name for name in options if name not in _taken(entry)]
    made += [known(name, known.KEYWORD_ONLY, default=_default(name, options[name])) for name in own]
    made.append(known("seed", known.KEYWORD_ONLY, default=0))
    return inspect.Signature(_by_place(made, _AS_CAPTUM.get(entry.name)))


def _by_place(made: list[inspect.Parameter], order: tuple[str, ...] | None) -> list[inspect.Parameter]:
    """The parameters, where there is an order those in it first and all others by name."""
    if order is None:
        return made
    first = [one for name in ("self", *order) for one in made if one.name == name]
    return first + [one.replace(kind=one.KEYWORD_ONLY) for one in made if one not in first]


def _taken(entry: Entry) -> tuple[str, ...]:
    return (*_INSIDE, "steps", "rule") if _budgeted(entry) else _INSIDE


def _default(name: str, option: inspect.Parameter) -> Any:
    return None if name == "players" else option.default


def _attribute(entry: Entry, signature: inspect.Signature) -> Callable[..., Any]:
    named = class_name(entry)

    @torch.inference_mode(mode=False)
    def attribute(*arguments: Any, **options: Any) -> Any:
        for name in options:
            if name == "n_steps" and name not in signature.parameters:
                raise UsageError(f"{named}.attribute has no n_steps", hint=_instead(entry))
            if name not in signature.parameters:
                raise unknown(f"argument of {named}.attribute", name, list(signature.parameters)[1:])
        try:
            bound = signature.bind(*arguments, **options)
        except TypeError as error:
            placed = [one.name for one in signature.parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD][1:]
            by_name = ", ".join(placed) + " by their place, all else by name"
            raise UsageError(f"{named}.attribute: {error}", allowed=by_name) from error
        bound.apply_defaults()
        given = bound.arguments
        own = {name: value for name, value in given.items() if name in entry.options() and name not in _INSIDE}
        if "n_steps" in given:
            own["steps"] = _steps(given["n_steps"])
        if "method" in given:
            own["rule"] = (
                quadrature.STRATIFIED if given["method"] == quadrature.STRATIFIED else rule_of(given["method"])
            )
        if "players" in own:
            own["players"] = default_players(given["inputs"]) if own["players"] is None else labels(own["players"])
        return given["self"]._run(
            *(given[name] for name in _NAMED), given["internal_batch_size"], delta=given["return_convergence_delta"],
            seed=given["seed"], options=own,
        )  # fmt: skip

    attribute.__signature__ = signature  # type: ignore[attr-defined]
    attribute.__doc__ = _described(entry, signature)
    attribute.__qualname__, attribute.__module__ = f"{named}.attribute", "sigcli.captum"
    return attribute


def _instead(entry: Entry) -> str:
    """The option that takes the place of `n_steps`."""
    budget = entry.properties.get("budget")
    return f"Its cost is set by {budget}=…." if budget else "It takes one gradient."


def _steps(n_steps: Any) -> int:
    if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 1:
        raise UsageError("n_steps must be an integer of at least 1", given=n_steps)
    return n_steps


def _described(entry: Entry, signature: inspect.Signature) -> str:
    options = entry.options()
    kind = next((name for name in ("baseline", "baselines") if name in options), "")
    own = ", ".join(name for name in options if name not in _taken(entry))
    budget = (_BUDGET if "n_steps" in signature.parameters else "") + (
        _RULE if "method" in signature.parameters else ""
    )
    told = f"    {own}: options of the method '{entry.name}', see `sig list methods {entry.name}`.\n" if own else ""
    return _ARGUMENTS.format(baselines=_BASELINES[kind], budget=budget, own=told)

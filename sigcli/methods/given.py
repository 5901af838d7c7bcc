"""A function of a program as a method: `(model, inputs, targets) -> attributions`, as Quantus and captum users have one."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..catalog import Entry
from ..engine.passes import Passes
from ..errors import AttributionError
from ..types import Attribution, Subject

Function = Callable[[nn.Module, Tensor, Tensor], Any]
PROPERTIES = {
    "kind": "direct", "needs": "forward", "complete": False, "multiplied": True, "unit": "the function's own unit",
    "axioms": (), "cost": "its own", "arrays": False, "sampled": False,
}  # fmt: skip


@dataclass(frozen=True)
class GivenMethod(Entry):
    """A catalogue entry of a function that a program gave.

    Args:
        function: (model, (1, C, H, W) input, (1,) target) → attributions, an array or tensor (1, C, H, W), (1, 1, H, W) or
            (1, H, W), with or without the first axis.
    """

    function: Function = field(kw_only=True)

    def load(self) -> Callable[..., Any]:
        """The function as a direct method."""

        def explain(passes: Passes, subject: Subject) -> Attribution:
            targets = torch.full((1,), subject.target, device=subject.x.device)
            with _counting(passes):
                found = self.function(passes.module, subject.x[None].clone(), targets)
            return Attribution(_values(found, subject), passes.score(subject), passes.evaluations)

        return explain

    @property
    def source(self) -> str:
        """A digest of its source text; empty where Python does not have it."""
        try:
            text = inspect.getsource(self.function)
        except (OSError, TypeError):
            return ""
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def options(self) -> dict[str, inspect.Parameter]:
        """None: its options are its own."""
        return {}


def given_method(name: str, function: Function) -> GivenMethod:
    """A function under a name; its source text, where Python has it, distinguishes runs of its other versions."""
    where = f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', type(function).__name__)}"
    return GivenMethod(name, where, "a function of the program", PROPERTIES, function=function)


class _counting:  # noqa: N801 - a context
    """Counts the images that go through the network while the block runs."""

    def __init__(self, passes: Passes):
        self._passes = passes

    def __enter__(self) -> None:
        passes = self._passes
        self._handle = passes.module.register_forward_pre_hook(lambda _, inputs: passes.spent(len(inputs[0])))

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


def _values(found: Any, subject: Subject) -> Tensor:
    """(C, H, W) or (1, H, W) of whatever the function returned."""
    if isinstance(found, (np.ndarray, list)):
        found = torch.as_tensor(np.asarray(found))
    if not isinstance(found, Tensor):
        raise AttributionError("the function returned no attributions", given=f"a {type(found).__name__}")
    channels, height, width = subject.x.shape
    values = found.detach()
    for shape in ((channels, height, width), (1, height, width)):
        fits = {shape, (1, *shape)} | ({(height, width)} if shape[0] == 1 else set())
        if tuple(values.shape) in fits:
            return values.reshape(shape).to(subject.x.device, torch.float32)
    allowed = f"(1, {channels}, {height}, {width}), (1, 1, {height}, {width}) or (1, {height}, {width})"
    raise AttributionError(
        "the function's attributions do not fit the image", given=tuple(found.shape), allowed=allowed
    )

"""Which methods a loaded model allows: told before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UsageError
from ..methods import METHODS
from ..models.model import Model
from ..models.wrappers.rows import ArrayInput
from .select import Chosen


def check_suited(model: Model, methods: Sequence[Chosen]) -> None:
    """Raise UsageError for methods that need what the model cannot give, before anything is computed.

    A model without a gradient (a forest, a quantised network, code under no_grad) is explained by methods of scores alone.
    """
    for one in methods:
        needs = str(one.entry.properties["needs"])
        baseline = str(one.resolved().get("baseline", "")).startswith("max-entropy")
        lack = "gradients" if baseline and needs == "forward" else needs
        if lack not in model.lacks:
            continue
        what = f"the baseline max-entropy of {one.name}" if lack != needs else f"the method {one.name}"
        why = "needs gradients, and the network is not differentiable"
        if lack == "hooks":
            why = "looks into the layers, which this network does not allow"
        wanted = "arrays" if isinstance(model.preprocess, ArrayInput) else "needs"
        suited = [
            name for name, e in METHODS.items() if e.properties["needs"] not in model.lacks and e.properties[wanted]
        ]
        fits = [other.name for other in methods if other.entry.properties["needs"] not in model.lacks]
        hint = f"Leave it out: --method {','.join(fits)} runs." if fits and lack == needs else ""
        raise UsageError(
            f"{what} {why}: {model.lacks[lack]}", given=f"--model {model.name}",
            allowed=", ".join(suited) if lack == needs else "another --baseline", hint=hint,
        )  # fmt: skip

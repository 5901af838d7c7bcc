"""Which methods a loaded model allows, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

from ..baselines import BASELINES
from ..catalog import Entry
from ..errors import UsageError
from ..methods import METHODS
from ..methods.given import GivenMethod
from ..models.model import KINDS, Model
from ..models.wrappers.certainty import takes_none
from .samples import Pictures
from .select import Chosen


def check_suited(model: Model, methods: Sequence[Chosen], samples: Pictures) -> None:
    """Raise UsageError for methods that need what the model cannot give, before anything is computed.

    A model without a gradient (a forest, a quantised network, code under no_grad) is explained by methods of scores alone.
    """
    for one in methods:
        if one.entry.properties.get("certainty") and not model.certainty:
            raise takes_none(f"the method {one.name}", model.name)
        needs = str(one.entry.properties["needs"])
        baseline = _baseline(one)
        if model.task != "classes":
            _check_task(one, baseline, model)
        lack = "gradients" if needs == "forward" and baseline is not None else needs
        if lack not in model.lacks:
            continue
        what = f"the baseline {baseline} of {one.name}" if lack != needs else f"the method {one.name}"
        why = "needs gradients, and the network is not differentiable"
        if lack == "hooks":
            why = "needs the module layers, which this network does not expose"
        suited = [name for name, e in METHODS.items() if e.properties["needs"] not in model.lacks and samples.suits(e)]
        fits = [other.name for other in methods if other.entry.properties["needs"] not in model.lacks]
        hint = f"Leave it out: --method {','.join(fits)} runs." if fits and lack == needs else ""
        raise UsageError(
            f"{what} {why}: {model.lacks[lack]}", given=f"--model {model.name}",
            allowed=", ".join(suited) if lack == needs else "another --baseline", hint=hint,
        )  # fmt: skip


def check_compared(methods: Sequence[Chosen]) -> None:
    """Raise UsageError for functions of a program, which take a class, where the target compares two."""
    for one in methods:
        if isinstance(one.entry, GivenMethod):
            hint = "Explain the two classes beside each other: --target CLASS,CLASS."
            raise UsageError(f"{one.name} takes the index of a class, and the target compares two classes", hint=hint)


def _check_task(one: Chosen, baseline: str | None, model: Model) -> None:
    """Raise UsageError for what needs a score for each class of the whole image, and a network that has none."""
    given = f"--model {model.name}, {KINDS[model.task]}"
    if isinstance(one.entry, GivenMethod):
        what = f"{one.name} takes the index of a class of the whole image, and this network has none"
        raise UsageError(what, given=given, hint="Name methods of the catalogue: sig list methods.")
    if baseline is not None:
        what = f"the baseline {baseline} of {one.name} is learned from the probabilities of classes of an image"
        raise UsageError(what, given=given, allowed="another --baseline")
    if model.task == "regions" and one.entry.properties.get("classes"):
        what = f"the method {one.name} needs a network that ends in one score for each class"
        suited = ", ".join(name for name, entry in METHODS.items() if _of_regions(entry, model))
        raise UsageError(what, given=given, allowed=suited)


def _of_regions(method: Entry, model: Model) -> bool:
    properties = method.properties
    return not (properties.get("classes") or properties.get("certainty") or properties["needs"] in model.lacks)


def _baseline(method: Chosen) -> str | None:
    """The method's baseline, where that needs gradients of the model."""
    name = str(method.resolved().get("baseline", "")).partition(":")[0]
    return name if name in BASELINES and BASELINES[name].properties.get("needs") == "gradients" else None

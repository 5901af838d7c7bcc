"""Path methods with captum's `Attribution` interface: code that is written for captum takes them unchanged.

    from sigcli.captum import SIG
    attributions, delta = SIG(network).attribute(inputs, baselines, target=3, return_convergence_delta=True)

There is one class for each method of `sig list methods` that integrates gradients, made from its line in that table. captum
itself is not needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .names import names

if TYPE_CHECKING:
    from .base import PathAttribution as PathAttribution
    from .shapley import ShapleyIntegratedGradients as ShapleyIntegratedGradients


def __getattr__(name: str) -> Any:
    if name == "PathAttribution":
        from .base import PathAttribution

        return PathAttribution
    if name == "__all__":
        return ["PathAttribution", *names()]
    if name not in names():
        raise AttributeError(f"module 'sigcli.captum' has no attribute '{name}'")
    from ..methods import METHODS
    from .classes import class_of

    entry = METHODS[names()[name]]
    made = class_of(entry)
    globals().update({one: made for one, method in names().items() if method == entry.name})
    return made


def __dir__() -> list[str]:
    return sorted({*globals(), "PathAttribution", *names()})

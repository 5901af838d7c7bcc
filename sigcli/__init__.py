"""sig: explain image classifiers with Shapley Integrated Gradients and everything it is compared with.

`explain` does what `sig explain` does; `ShapleyIntegratedGradients` takes the place of a captum method. Both import torch
when they are first used, and not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Explanation", "ShapleyIntegratedGradients", "__version__", "explain"]

if TYPE_CHECKING:
    from .app.attribute import ShapleyIntegratedGradients
    from .app.explain import explain
    from .app.results import Explanation

_PUBLIC = {
    "explain": ".app.explain",
    "ShapleyIntegratedGradients": ".app.attribute",
    "Explanation": ".app.results",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sigcli' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name], __name__), name)

"""sig: explain image classifiers with Shapley Integrated Gradients and everything it is compared with.

`explain` does what `sig explain` does; `ShapleyIntegratedGradients` takes the place of a captum method. Both import torch
when they are first used, and not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__

__all__ = ["Explanation", "ShapleyIntegratedGradients", "__version__", "explain"]

if TYPE_CHECKING:
    from .attribution.captum import ShapleyIntegratedGradients
    from .attribution.explain import explain
    from .attribution.explanation import Explanation

_PUBLIC = {
    "explain": ".attribution.explain",
    "ShapleyIntegratedGradients": ".attribution.captum",
    "Explanation": ".attribution.explanation",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sigcli' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name], __name__), name)

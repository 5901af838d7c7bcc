"""Which methods of the catalogue have a class in `sigcli.captum`, and how it is named. No torch is imported here."""

from __future__ import annotations

from functools import cache

from ..catalog import Entry
from ..methods import METHODS

_CAPITALS = ("ig", "eg", "agn", "sig", "idgi")
_WRITTEN_OUT = {"ig": "integrated-gradients", "eg": "expected-gradients", "smoothgrad": "smooth-grad"}
"""Methods → the name that their class bears; `IG`, `EG` and `Smoothgrad` are names of the same classes.

The class of `gradient` is not called Saliency: captum's class of that name takes absolute values."""


def explains(entry: Entry) -> bool:
    """Whether a method can be had with captum's interface: it needs gradients and a baseline at most.

    What needs a certainty-aware model, a linear one, the pixel range (xrai starts from black and white) or an optimisation
    of masks (its budget is `iterations`) is left to `sigcli.explain`.
    """
    known = entry.properties
    return (
        known["needs"] == "gradients" and not known.get("certainty") and "only" not in known and not known.get("coarse")
    )


def class_name(entry: Entry) -> str:
    """Name of a method's class.

    >>> [class_name(METHODS[name]) for name in ("sig-walk", "ig", "blur-ig", "gradient-shap")]
    ['SIGWalk', 'IntegratedGradients', 'BlurIG', 'GradientShap']
    """
    return _camel(_WRITTEN_OUT.get(entry.name, entry.name))


def _camel(name: str) -> str:
    return "".join(part.upper() if part in _CAPITALS else part.capitalize() for part in name.split("-"))


@cache
def names() -> dict[str, str]:
    """Names of all classes → names of their methods; some classes have two names."""
    found = {"ShapleyIntegratedGradients": "sig"}
    for name, entry in METHODS.items():
        if explains(entry):
            found |= dict.fromkeys((class_name(entry), _camel(name)), name)
    return found

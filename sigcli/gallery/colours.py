"""What the colours of a run's maps are and say, as its page tells it: those of the maps and the words of the sheets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import UsageError
from ..methods import METHODS
from ..render.maps.palette import DEFAULT_NAME, Palette, palette

_STOPS = 16
"""Steps of a gradient on the page: browsers draw straight lines between them."""
ENDS = {
    "for": ("against", "for"), "against": ("against", "for"), "raises": ("lowers", "raises"),
    "salient": ("not salient", "salient"),
}  # fmt: skip
"""What a positive value says, see `sigcli.methods` → the words at the two ends of the colour bar, as on every sheet."""
_PAIR = ("pushes apart", "pulls together")


def palette_of(manifest: Mapping[str, Any]) -> Palette:
    """The colours of a run; red and blue where it does not tell, or tells of unknown ones."""
    try:
        return palette(str(manifest.get("cmap", DEFAULT_NAME)))
    except UsageError:  # of another version
        return palette()


def positive_of(manifest: Mapping[str, Any], method: str) -> str:
    """What a positive value of one of its methods says, see `sigcli.methods`; "for" of a method that is the user's own."""
    methods = manifest.get("spec", {}).get("methods", {})
    facts = methods.get(method) if isinstance(methods, Mapping) else None
    name = str(facts.get("method")) if isinstance(facts, Mapping) else ""
    found = str(METHODS[name].properties.get("positive", "for")) if name in METHODS else "for"
    return found if found in ENDS else "for"


def ends_of(manifest: Mapping[str, Any], method: str) -> tuple[str, str]:
    """What the two colours of its maps say, the one of negative values first."""
    positive = positive_of(manifest, method)
    paired = str(manifest.get("spec", {}).get("output", "")).startswith("minus ")  # a distance of two images
    return _PAIR if paired and positive in ("for", "against") else ENDS[positive]


def colours_of(manifest: Mapping[str, Any], *, shown: bool = True) -> dict[str, Any]:
    """The colours of a run for the page: their names, and gradients from the lower end to the upper one.

    Args:
        manifest: of the run.
        shown: there are pictures in them; otherwise the names alone, since the tables take scipy a moment.

    >>> found = colours_of({"cmap": "orange-purple,cividis"})
    >>> found["names"], len(found["signed"]), found["plain"][0]
    (['purple', 'orange'], 17, '#00224e')
    """
    known = palette_of(manifest)
    positive, negative = known.words
    found: dict[str, Any] = {"names": [negative, positive]}
    if shown:
        found["signed"] = _gradient(known.signed)
    if shown and known.plain is not None:
        found["plain"] = _gradient(known.plain)
    return found


def _gradient(table: np.ndarray) -> list[str]:
    """A table of colours in a few of them, as CSS writes them."""
    rows = np.rint(np.linspace(0, len(table) - 1, _STOPS + 1)).astype(int)
    return ["#" + bytes(table[row].astype(np.uint8)).hex() for row in rows]

"""Scenarios: generated pictures and tables whose right answer is known, to judge attributions by.

A scenario is a pure function of (seed, index): the same picture on every machine, in any order, by any process.
"""

from __future__ import annotations

from ..catalog import Catalog, Entry

SCENARIOS = Catalog(
    "scenario",
    [
        Entry(
            "shapes", "scenarios.shapes:draw", "drawn objects over textures with distractors, and the exact object mask"
        ),
        Entry(
            "expression",
            "scenarios.expression:draw",
            "drawn faces of varied identity and expression, and the exact masks of eyes, brows and mouth",
        ),
    ],
)

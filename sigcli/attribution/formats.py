"""Output formats: what a run writes for each explanation. A table of text; the functions draw and write when they are used.

A writer is a function of (folder, page) that writes files whose names begin with `page.item.name`, and returns these names.
Adding a format is one such function and one line here. Every format that suits a sample is written; one that is added later
is written for explanations made from then on, and pictures also when a run is resumed.

Properties:
    of: kinds of samples that it is for: picture, pair, array.
    drawn: it is a picture: left out with --no-pictures, and drawn anew where only the drawing changed.
    endings: what follows the method's name in the names of its files; only these belong to the run.
"""

from __future__ import annotations

from ..catalog import Catalog, Entry

_W = "attribution.writers"
_PICTURES, _ALL = ("picture", "pair"), ("picture", "pair", "array")

FORMATS = Catalog(
    "format",
    [
        Entry(
            "npy", f"{_W}:array", "the raw values as NumPy arrays; with --uncertainty, also their standard errors",
            {"of": _ALL, "drawn": False, "endings": (".npy", ".stderr.npy", ".deviations.npy")},
        ),
        Entry(
            "csv", f"{_W}:feature_table",
            "a table with a row for each feature or player of an array; with names, also coloured words",
            {"of": ("array",), "drawn": False, "endings": (".csv", ".html")},
        ),
        Entry("map", f"{_W}:heatmap", "the heatmap with a scale", {"of": _PICTURES, "drawn": True, "endings": (".png",)}),
        Entry(
            "overlay", f"{_W}:overlay", "the heatmap over the picture; with --signs apart, also each sign alone",
            {"of": _PICTURES, "drawn": True, "endings": (".overlay.png", ".positive.png", ".negative.png")},
        ),
        Entry(
            "bare", f"{_W}:bare", "with --bare: the heatmap alone, of the size of the network's input",
            {"of": _PICTURES, "drawn": True, "endings": (".bare.png",)},
        ),
        Entry(
            "uncertainty", f"{_W}:uncertainty", "with --uncertainty: the standard errors as a map",
            {"of": _PICTURES, "drawn": True, "endings": (".stderr.png",)},
        ),
        Entry(
            "view", f"{_W}:seen_array",
            "with --save-view: the map as pictures show it as an array; with --uncertainty, also its standard errors",
            {"of": _PICTURES, "drawn": True, "endings": (".view.npy", ".view.stderr.npy")},
        ),
        Entry(
            "bars", f"{_W}:bars", "a bar for each feature or player of an array",
            {"of": ("array",), "drawn": True, "endings": (".png",)},
        ),
    ],
)  # fmt: skip


def drawn() -> tuple[str, ...]:
    """What follows the name of a method in the names of pictures, which are drawn anew where only the drawing changed."""
    of_pictures = (entry.properties["endings"] for entry in FORMATS.values() if entry.properties["drawn"])
    return tuple(dict.fromkeys(end for each in of_pictures for end in each))


def endings() -> tuple[str, ...]:
    """What may follow the name of a method in a run folder."""
    return tuple(dict.fromkeys(end for entry in FORMATS.values() for end in entry.properties["endings"]))

"""Words in colours: the names of an array's players with their values, as one HTML page that loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

_FOR, _AGAINST = (192, 57, 43), (43, 108, 163)


def coloured_words(names: Sequence[str], values: np.ndarray, *, title: str, unit: str) -> str:
    """A page with every name in order on a colour for its value: red for the score, blue against it, none for 0.

    Names and texts are escaped, so that a word may hold anything; the value is shown where the pointer rests.

    Args:
        names: of the players, as words of a sentence.
        values: (n,) of the players; the largest |value| gets the full colour.
        title: over the words.
        unit: of the values.

    >>> "&lt;b&gt;" in coloured_words(["<b>"], np.array([1.0]), title="t", unit="logit")
    True
    """
    most = float(np.abs(values).max()) or 1.0
    spans = []
    for name, value in zip(names, values.tolist(), strict=True):
        red, green, blue = _FOR if value > 0 else _AGAINST
        shade = f"rgba({red}, {green}, {blue}, {0.75 * abs(value) / most:.3f})"
        spans.append(f'<span style="background: {shade}" title="{value:+.4g}">{escape(name)}</span>')
    style = "body { font: 20px/1.8 sans-serif; margin: 2em; } span { padding: .15em .25em; border-radius: .2em; }"
    told = f"Red speaks for the score, blue against it; full colour is {most:.3g} ({unit})."
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>\n<style>{style}</style>\n'
        f"<h1 style='font-size: 1em'>{escape(title)}</h1>\n<p>{' '.join(spans)}</p>\n"
        f"<p style='font-size: .7em'>{escape(told)}</p></html>\n"
    )

"""Words in colours: the names of an array's players with their values, as one HTML page that loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

_FOR, _AGAINST = (192, 57, 43), (43, 108, 163)
READING = "Red speaks for the score, blue against it"
_FULL = 0.75
"""Opacity of the full colour, on which black letters can be read."""
_STYLE = (
    "body { font: 20px/1.8 sans-serif; margin: 2em auto; padding: 0 1em; max-width: 44em; color: #111; background: #fff; "
    "print-color-adjust: exact; -webkit-print-color-adjust: exact; } h1 { font-size: 1em; } "
    "span { padding: .15em .25em; border-radius: .2em; white-space: pre-wrap; } "
    ".scale { font-size: .7em; display: flex; justify-content: space-between; padding: 0 .4em; max-width: 24em; }"
)


def coloured_words(names: Sequence[str], values: np.ndarray, *, title: str, unit: str, reading: str = READING) -> str:
    """A page with every name in order on a colour for its value: red for the score, blue against it, none for 0.

    Names and texts are escaped, so a word may hold anything; the value is shown where the pointer rests.

    Args:
        names: names of the players, as words of a sentence.
        values: (n,) of the players; the largest |value| gets the full colour, and a scale below says what it is.
        title: title over the words.
        unit: unit of the values.
        reading: what the colours say, without a full stop.

    >>> "&lt;b&gt;" in coloured_words(["<b>"], np.array([1.0]), title="t", unit="logit")
    True
    """
    most = float(np.abs(values).max()) or 1.0
    spans = []
    for name, value in zip(names, values.tolist(), strict=True):
        red, green, blue = _FOR if value > 0 else _AGAINST
        shade = f"rgba({red}, {green}, {blue}, {_FULL * abs(value) / most:.3f})"
        spans.append(f'<span style="background: {shade}" title="{value:+.4g}">{escape(name)}</span>')
    ends = [f"rgba({', '.join(map(str, colour))}, {_FULL})" for colour in (_AGAINST, _FOR)]
    scale = f"background: linear-gradient(to right, {ends[0]}, rgba(255, 255, 255, 0), {ends[1]})"
    told = f"{reading} ({unit}); the value of a word is shown where the pointer rests."
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n<p>{' '.join(spans)}</p>\n"
        f'<p class="scale" style="{scale}"><b>{-most:.3g}</b><b>0</b><b>{most:+.3g}</b></p>\n'
        f"<p style='font-size: .7em'>{escape(told)}</p></html>\n"
    )

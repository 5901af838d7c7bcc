"""The model's own answer as a block of a sheet: its likeliest classes with a bar each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from .layout import BODY, GREY, INK, SMALL, Line, blank, draw_line, fit, line_height, text_width

_BAR, _UNDER = 7, 7
_TRACK, _OTHER, _TARGET = (235, 235, 235), (150, 150, 150), (45, 45, 45)


@dataclass(frozen=True)
class Answer:
    """One class that the model finds likely.

    Args:
        name: of the class.
        told: its probability as people read it.
        share: its probability.
        explained: it is the target.
    """

    name: str
    told: str
    share: float
    explained: bool = False


def answers_block(answers: Sequence[Answer], width: int, title: str = "model's answer") -> Image.Image:
    """Names, probabilities and bars, `width` pixels wide; the explained class is dark, the others are grey."""
    head, row = line_height(SMALL) + 4, line_height(BODY) + _BAR + _UNDER
    page = blank(width, head + row * len(answers))
    pen = ImageDraw.Draw(page)
    draw_line(page, (0, 0), Line(fit(title, SMALL, width), SMALL, GREY))
    for number, answer in enumerate(answers):
        top, colour = head + row * number, INK if answer.explained else GREY
        room = width - text_width(answer.told, BODY) - 12
        draw_line(page, (0, top), Line(fit(answer.name, BODY, room), BODY, colour))
        draw_line(page, (width - text_width(answer.told, BODY), top), Line(answer.told, BODY, colour))
        bar = top + line_height(BODY)
        pen.rectangle((0, bar, width - 1, bar + _BAR - 1), fill=_TRACK)
        length = round(answer.share * (width - 1))
        if length > 0:
            pen.rectangle((0, bar, length, bar + _BAR - 1), fill=_TARGET if answer.explained else _OTHER)
    return page

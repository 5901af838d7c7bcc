"""The model's own answer as a block of a sheet: its likeliest classes with a bar each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from .layout import BODY, GREY, INK, SMALL, Line, blank, draw_block, draw_line, fit, line_height, wrap
from .letters import text_width

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
    head, line = line_height(SMALL) + 4, line_height(BODY)
    room = width - max(text_width(answer.told, BODY) for answer in answers) - 12
    names = [wrap(answer.name, BODY, room, 2) for answer in answers]
    page = blank(width, head + sum(line * len(name) + _BAR + _UNDER for name in names))
    pen, top = ImageDraw.Draw(page), head
    draw_line(page, (0, 0), Line(fit(title, SMALL, width), SMALL, GREY))
    for answer, name in zip(answers, names, strict=True):
        colour = INK if answer.explained else GREY
        draw_block(page, (0, top), [Line(part, BODY, colour) for part in name], room)
        bar = top + line * len(name)
        draw_line(page, (width - text_width(answer.told, BODY), bar - line), Line(answer.told, BODY, colour))
        pen.rectangle((0, bar, width - 1, bar + _BAR - 1), fill=_TRACK)
        length = round(answer.share * (width - 1))
        if length > 0:
            pen.rectangle((0, bar, length, bar + _BAR - 1), fill=_TARGET if answer.explained else _OTHER)
        top = bar + _BAR + _UNDER
    return page

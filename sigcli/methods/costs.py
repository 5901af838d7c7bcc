"""What a method will cost, from its line in the table: for progress, before anything runs."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Mapping
from typing import Any

from ..catalog import Entry

_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Pow: operator.pow}
_MOST_PLAYERS = 64
PAIRED = ("orders",)
"""Options whose numbers are rounded up to pairs."""


def planned(entry: Entry, options: Mapping[str, Any], size: tuple[int, int] | None = None) -> int | None:
    """Passes of the model for one explanation, as the table has them; None where they cannot be told beforehand.

    A cost that is a bound is told as it is, and so is that of fewer coalitions than there are players for.

    Args:
        entry: a method.
        options: every option that the cost names, by name.
        size: (height, width) of the images, where it is known.

    >>> from sigcli.methods import METHODS
    >>> planned(METHODS["sig"], {"samples": 8, "steps": 2}), planned(METHODS["occlusion"], {"players": "grid:2x3"})
    (16, 7)
    """
    formula = _formula(entry, options).removeprefix("≤ ").replace("×", "*").replace("^", "**")
    try:
        return _value(
            ast.parse(formula, mode="eval").body, {**options, "players": _count(options.get("players"), size)}
        )
    except (SyntaxError, TypeError, KeyError):  # no cost, or one of what is not known
        return None


def affordable(
    entry: Entry, options: Mapping[str, Any], evaluations: int, size: tuple[int, int] | None = None
) -> int | None:
    """The greatest value of the option that the cost grows with that costs no more; None where the least costs more.

    Args:
        entry: a method with a property `budget`.
        options: every option that the cost names, by name.
        evaluations: passes of the model that may be spent on one explanation.
        size: see `planned`.

    Raises:
        ValueError: what it costs depends on the image.

    >>> from sigcli.methods import METHODS
    >>> affordable(METHODS["sig"], {"steps": 2}, 999), affordable(METHODS["sig-walk"], {"players": "grid:7x7"}, 500)
    (499, 10)
    """
    option = entry.properties["budget"]
    step = 2 if option in PAIRED else 1
    least = least_of(entry) // step

    def within(count: int) -> bool:
        cost = planned(entry, {**options, option: step * count}, size)
        if cost is None:
            raise ValueError("the cost depends on the image")
        return cost <= evaluations

    if not within(least):
        return None
    low, high = least, least + 1
    while within(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if within(middle) else (low, middle)
    return step * low


def least_of(entry: Entry) -> int:
    """The least value of the option that the cost grows with."""
    least = int(entry.properties.get("least", 1))
    return least + least % 2 if entry.properties["budget"] in PAIRED else least


def _formula(entry: Entry, options: Mapping[str, Any]) -> str:
    """The cost with the options in force: some have one of their own."""
    for option, costs in entry.properties.get("costs", {}).items():
        if options.get(option) in costs:
            return str(costs[options[option]])
    return str(entry.properties.get("cost", ""))


def _value(node: ast.expr, options: Mapping[str, Any]) -> int:
    """The value of a formula of integers and options."""
    if isinstance(node, ast.BinOp):
        one, other = _value(node.left, options), _value(node.right, options)
        if isinstance(node.op, ast.Pow) and other > _MOST_PLAYERS:
            raise TypeError("no method enumerates so many coalitions")
        return _OPERATORS[type(node.op)](one, other)
    value = options[node.id] if isinstance(node, ast.Name) else node.value if isinstance(node, ast.Constant) else None
    if not isinstance(value, int):
        raise TypeError("not a number")
    return value


def _count(players: Any, size: tuple[int, int] | None) -> int | None:
    """How many players a text stands for; None where that depends on the image."""
    match = re.fullmatch(r"(grid:|tokens:)?(\d+)x(\d+)", players) if isinstance(players, str) else None
    if match is None:
        return None
    rows, columns = int(match[2]), int(match[3])
    if match[1]:
        return rows * columns
    return None if size is None or not rows or not columns else -(-size[0] // rows) * -(-size[1] // columns)

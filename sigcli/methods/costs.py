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


def planned(entry: Entry, options: Mapping[str, Any], size: tuple[int, int] | None = None) -> int | None:
    """Passes of the model for one explanation, as the table has them; None where they cannot be told beforehand.

    A cost that is a bound is told as it is, and so is that of fewer coalitions than there are players for.

    Args:
        entry: a method.
        options: every option that the cost names, by name.
        size: (height, width) of the images, where it is known.

    >>> from sigcli.methods import METHODS
    >>> planned(METHODS["sig"], {"samples": 8, "steps": 2}), planned(METHODS["occlusion"], {"players": "grid:2x3"})
    (32, 7)
    """
    formula = str(entry.properties.get("cost", "")).removeprefix("≤ ").replace("×", "*").replace("^", "**")
    try:
        return _value(
            ast.parse(formula, mode="eval").body, {**options, "players": _count(options.get("players"), size)}
        )
    except (SyntaxError, TypeError, KeyError):  # no cost, or one of what is not known
        return None


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
    match = re.fullmatch(r"(grid:)?(\d+)x(\d+)", players) if isinstance(players, str) else None
    if match is None:
        return None
    rows, columns = int(match[2]), int(match[3])
    if match[1]:
        return rows * columns
    return None if size is None or not rows or not columns else -(-size[0] // rows) * -(-size[1] // columns)

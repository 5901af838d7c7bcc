"""What the differences of `sig benchmark methods` support, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..metrics.statistics import DECIDING, FEWEST
from .methods_table import ALPHA, BETTER, LEVEL, WORSE

Row = Mapping[str, Any]
_OPPOSITE = {BETTER: WORSE, WORSE: BETTER}
_MARK = "*"


def sentences(rows: Sequence[Row], against: str) -> list[str]:
    """One sentence for each metric on which differences its intervals support, and what the intervals are.

    Args:
        rows: rows of `methods.csv`.
        against: the reference of all differences.
    """
    others = [row for row in rows if row["method"] != against]
    if not others:
        return [f"There is no other method than {against}, so there is nothing to compare."]
    decided = [row for row in others if row["verdict"]]
    if not decided:
        return [_undecided(others)]
    found = [
        _of_metric([row for row in decided if row["metric"] == metric], against)
        for metric in dict.fromkeys(row["metric"] for row in decided)
    ]
    return [*found, *_closing(decided)]


def _undecided(others: Sequence[Row]) -> str:
    most = max(row["difference_n"] or 0 for row in others)
    if most >= FEWEST:
        return "Nothing can be said about differences: none of the metrics has a direction."
    images = f"{most} image{'' if most == 1 else 's'}"
    return f"Nothing can be said about differences: an interval takes {FEWEST} images, and the methods share {images}."


def _of_metric(rows: Sequence[Row], against: str) -> str:
    """What a metric supports: the reference is better than some, worse than others, level with the rest."""
    imputations = list(dict.fromkeys(row["imputation"] for row in rows))
    by_method: dict[str, list[Row]] = {}
    for row in rows:
        by_method.setdefault(row["method"], []).append(row)
    parts = []
    for word, verdict in (("better than", WORSE), ("worse than", BETTER)):
        named = [_named(method, mine, verdict, len(imputations)) for method, mine in by_method.items()]
        if named := [name for name in named if name]:
            parts.append(f"{word} {_listed(named, list(by_method))}")
    level = [method for method, mine in by_method.items() if all(row["verdict"] == LEVEL for row in mine)]
    if level:
        parts.append(f"level with {', '.join(level)}")
    metric, under = rows[0]["metric"], ", ".join(filter(None, imputations))
    return f"{metric}{f' ({under})' if under else ''}: {against} is {'; '.join(parts)}."


def _named(method: str, rows: Sequence[Row], verdict: str, count: int) -> str:
    """A method with the imputations of a verdict, where they are not all; empty where it has none of it."""
    mine = [row for row in rows if row["verdict"] == verdict]
    if not mine:
        return ""
    told = [f"{row['imputation']}{_MARK if row['holds'] == 'yes' else ''}" for row in mine]
    if len(mine) == count and len({row["holds"] for row in mine}) == 1:
        return f"{method}{_MARK if mine[0]['holds'] == 'yes' else ''}"
    return f"{method} ({', '.join(told)})"


def _listed(named: Sequence[str], methods: Sequence[str]) -> str:
    """Names, or all of the others in a word."""
    for mark in (_MARK, ""):
        if len(methods) > 1 and list(named) == [f"{method}{mark}" for method in methods]:
            return f"all {len(methods)} others{mark}"
    return ", ".join(named)


def _closing(decided: Sequence[Row]) -> list[str]:
    """How the differences were judged, and how many of them chance would make."""
    counts = sorted({row["difference_n"] for row in decided})
    images = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    apart, number = sum(row["verdict"] != LEVEL for row in decided), len(decided)
    holding = sum(row["holds"] == "yes" for row in decided)
    chance = max(1, round(ALPHA * number))
    which = f"{_MARK} marks the {holding} that hold" if holding else "None holds"
    found = [
        f"Each difference is judged alone, by its paired 95 % interval over {images} images: {apart} of {number} leave out "
        f"zero, and about {chance} would by chance if all methods were alike. {which} when all are taken together "
        "(sign-flip test, Holm's correction, 5 %)."
    ]
    if counts[0] < DECIDING:
        found.append(f"Intervals over fewer than {DECIDING} images hold less often than 95 %: take them as hints.")
    return found

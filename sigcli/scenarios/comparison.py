"""Scenarios that compare methods: measures of every explanation, and their means by method. No printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np

from ..attribution.rehearsal import rehearse_values
from ..attribution.select import Chosen, choose_methods
from ..errors import UsageError
from ..metrics.statistics import CORRELATION, SHARE, Summary, summarise
from .options import MethodOptions
from .scenario import Row, Scenario, Verdict

M = TypeVar("M", bound=MethodOptions)
Means = Mapping[tuple[str, str], Summary]
"""(method, measure) → mean over the pictures."""


@dataclass(frozen=True)
class Measure:
    """What is measured of every explanation.

    Args:
        heading: of its column in the table that is shown.
        digits: of the percentage that is shown there; None where it is shown as a number.
        signed: it lies within -1..1, as correlations and differences of fractions do, and not within 0..1.
    """

    heading: str
    digits: int | None = None
    signed: bool = False


class Comparison(Scenario[M]):
    """A scenario that measures each explanation of each method and compares the methods' means.

    `measure` fills `scores`, and `verdict` calls `compared`. By default the first table in the folder holds the scores, the
    second one their means.
    """

    measures: ClassVar[Mapping[str, Measure]] = {}
    """Column of the scores → measure."""
    defaults: ClassVar[Mapping[str, str]] = {}
    """Settings of the scenario's own methods, which the user's override."""

    paths_only: ClassVar[bool] = False
    """Only methods that follow paths can be compared, since inputs are no pictures."""
    settings: dict[str, Any]
    chosen: list[Chosen]

    def check(self) -> None:
        """Choose the methods: a mistake in them must not wait for a training."""
        super().check()
        self.settings = settings_for(self.options.method, self.defaults, self.options.settings)
        self.chosen = self.choose()
        if not self.paths_only:
            rehearse_values(self.chosen)
        self.scores: list[dict[str, Any]] = []

    def choose(self) -> list[Chosen]:
        """The methods with their settings; raises UsageError for one that cannot be compared."""
        return (path_methods if self.paths_only else choose_methods)(self.options.method, self.settings)

    def spec(self) -> dict[str, Any]:
        """The options, and the methods with all of theirs."""
        known = {name: value for name, value in super().spec().items() if name not in ("method", "settings")}
        return {**known, "methods": {one.name: {"method": one.entry.name, **one.resolved()} for one in self.chosen}}

    @cached_property
    def means(self) -> Means:
        """Means of the measures over all that was explained, with their intervals."""
        signed = [name for name, one in self.measures.items() if one.signed]
        return means_of(self.scores, list(self.measures), self.options.seed, signed=signed)

    @property
    def methods(self) -> list[str]:
        """Names of the methods that have scores, in their order."""
        return list(dict.fromkeys(row["method"] for row in self.scores))

    def cells(self, method: str) -> dict[str, Any]:
        """Means of a method as they are shown."""
        means = {name: self.means[method, name].mean for name in self.measures}
        return {
            name: means[name] if one.digits is None else percent(means[name], digits=one.digits)
            for name, one in self.measures.items()
        }

    def compared(self, title: str, *, below: Sequence[Row] = (), **told: Any) -> Verdict:
        """A verdict with a row of means for each method.

        Args:
            title: the question.
            below: further rows.
            told: further fields of the verdict, which come before those of the means.
        """
        rows = [{"method": name, **self.cells(name)} for name in self.methods]
        known: dict[str, Any] = {
            "columns": {"method": "method", **{name: one.heading for name, one in self.measures.items()}},
            "records": self.scores, "failed": failures(self.scores),
        }  # fmt: skip
        if "tables" not in told:
            known["tables"] = {self.files[0]: self.scores, self.files[1]: mean_rows(self.means)}
        return Verdict(title, rows=[*rows, *below], folder=self.folder, **{**known, **told})


def path_methods(method: str | Sequence[str], settings: Mapping[str, Any]) -> list[Chosen]:
    """The chosen methods of a scenario whose inputs are no pictures; raises UsageError for one that follows no path."""
    chosen = choose_methods(method, settings)
    for one in chosen:
        if one.entry.properties["kind"] != "path":
            raise UsageError(
                "the scenario takes path methods only", given=one.entry.name, allowed="ig, eg, agn, sig, …"
            )
    return chosen


def settings_for(
    method: str | Sequence[str], defaults: Mapping[str, str], given: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A scenario's settings of the methods that were chosen, and over them those that were given."""
    text = method if isinstance(method, str) else ",".join(method)
    named = {one.partition("=")[0].strip() for one in text.split(",")}
    given = given or {}
    own = {key: value for key, value in defaults.items() if key.partition(".")[0] in named}
    return {**{key: value for key, value in own.items() if key.rpartition(".")[2] not in given}, **given}


def means_of(
    scores: Sequence[Mapping[str, Any]], measures: Sequence[str], seed: int, *, signed: Sequence[str] = ()
) -> dict[tuple[str, str], Summary]:
    """Mean of each measure over the pictures that have it, for each method in the order of the rows.

    Args:
        scores: a row for each picture and method.
        measures: columns of the rows, fractions within 0..1.
        seed: of the resampling.
        signed: those that are within -1..1, as correlations and differences of fractions are.
    """
    methods = dict.fromkeys(row["method"] for row in scores)
    return {
        (name, measure): summarise(
            [row[measure] for row in scores if row["method"] == name and row[measure] is not None],
            seed=seed,
            within=CORRELATION if measure in signed else SHARE,
        )
        for name in methods
        for measure in measures
    }


def mean_rows(means: Means) -> list[dict[str, Any]]:
    """Rows of a table of means with their 95 % intervals."""
    return [
        {"method": method, "measure": measure, "mean": one.mean, "ci_low": one.low, "ci_high": one.high, "n": one.n}
        for (method, measure), one in means.items()
    ]


def known(means: Means, measure: str) -> dict[str, float]:
    """Method → mean of a measure, for the methods that have one."""
    return {name: one.mean for (name, of), one in means.items() if of == measure and one.mean is not None}


def told(text: str, names: Sequence[str]) -> list[str]:
    """A sentence that ends in names, or nothing where there are none."""
    return [f"{text} {', '.join(names)}."] if names else []


def percent(fraction: float | None, *, digits: int = 0) -> str | None:
    """A fraction as it is shown."""
    return None if fraction is None else f"{round(fraction, digits + 2) + 0.0:.{digits}%}"  # never -0%


def failures(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """What could not be explained, one sentence each."""
    return [f"{row['image']} {row['method']}: {row['error']}" for row in scores if row["error"]]


def correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Pearson's, over all places of two maps; None where one of them does not vary."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])

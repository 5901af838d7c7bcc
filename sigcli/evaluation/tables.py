"""Tables of an evaluation: metric values, means with intervals, paired differences, curves, agreement between methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch

from ..attribution.explanation import Explanation
from ..attribution.session import Session
from ..errors import AttributionError
from ..metrics import METRICS
from ..metrics.case import Case
from ..metrics.similarity import spearman, top_overlap
from ..metrics.statistics import CORRELATION, SHARE, Summary, paired, summarise
from ..types import Subject
from ..views import RAW, View
from .measure import through
from .value import MetricValue

Row = dict[str, Any]
Group = tuple[str, str, str]
"""Method, metric, imputation."""


def metric_row(figure: MetricValue) -> Row:
    """A row of `metrics.csv`."""
    return {
        "image": figure.image, "method": figure.method, "target": figure.target, "metric": figure.metric,
        "imputation": figure.imputation, "value": figure.value, "status": "failed" if figure.error else "ok",
        "error": figure.error,
    }  # fmt: skip


def by_group(figures: Iterable[MetricValue]) -> dict[Group, dict[str, MetricValue]]:
    """Metric values that did not fail, by method, metric and imputation, then by image and target."""
    groups: dict[Group, dict[str, MetricValue]] = {}
    for figure in figures:
        members = groups.setdefault((figure.method, figure.metric, figure.imputation), {})
        if figure.value is not None:
            members[f"{figure.image}\n{figure.target}"] = figure
    return groups


def measures(figures: Iterable[MetricValue]) -> dict[str, str]:
    """What each metric is in the catalogue, by the name that the user gave it."""
    return {figure.metric: figure.measure for figure in figures}


def image_values(members: dict[str, MetricValue]) -> dict[str, float]:
    """Value of each image, the mean where it was explained for several targets: images are what is drawn at random."""
    found: dict[str, list[float]] = {}
    for figure in members.values():
        if figure.value is not None:
            found.setdefault(figure.image, []).append(figure.value)
    return {image: float(np.mean(values)) for image, values in found.items()}


def summary_rows(figures: Sequence[MetricValue], seed: int) -> list[tuple[Group, Summary, Row]]:
    """Mean over images with its interval, for each method, metric and imputation."""
    found, kinds = [], measures(figures)
    for group, members in by_group(figures).items():
        facts = METRICS[kinds[group[1]]].properties
        values = list(image_values(members).values())
        summary = summarise(values, seed=seed, within=facts["range"], hits=facts["interval"] == "wilson")
        found.append((group, summary, _summary_row(group, kinds[group[1]], "", summary, _failures(figures, group))))
    return found


def _failures(figures: Sequence[MetricValue], group: Group) -> int:
    return sum(bool(f.error) for f in figures if (f.method, f.metric, f.imputation) == group)


def _summary_row(group: Group, measure: str, minus: str, summary: Summary, failed: int) -> Row:
    method, metric, imputation = group
    entry = METRICS[measure]
    higher = entry.properties["higher_is_better"]
    return {
        "method": method, "minus": minus, "metric": metric, "imputation": imputation,
        "unit": entry.properties["unit"], "better": {True: "higher", False: "lower", None: ""}[higher],
        "mean": summary.mean, "ci_low": summary.low, "ci_high": summary.high, "interval": summary.interval, "n": summary.n,
        "failed": failed,
    }  # fmt: skip


def paired_rows(figures: Sequence[MetricValue], seed: int) -> list[Row]:
    """For each pair of methods the mean difference over the images that both have, with its interval."""
    kinds = measures(figures)
    return [
        _summary_row(group, kinds[group[1]], other[0], _difference(members, theirs, kinds[group[1]], seed), 0)
        for (group, members), (other, theirs) in combinations(by_group(figures).items(), 2)
        if group[1:] == other[1:]
    ]


def _difference(members: dict[str, MetricValue], theirs: dict[str, MetricValue], measure: str, seed: int) -> Summary:
    return paired(image_values(members), image_values(theirs), seed=seed, within=METRICS[measure].properties["range"])


def curve_rows(figures: Sequence[MetricValue], seed: int) -> list[Row]:
    """Mean curves over images with their intervals, for each method, metric and imputation that has one."""
    rows, kinds = [], measures(figures)
    for (method, metric, imputation), members in by_group(figures).items():
        having = [f for f in members.values() if f.at is not None and f.curve is not None]
        at, curves = _common_axis([(f.at, f.curve) for f in having if f.at is not None and f.curve is not None])
        for i, place in enumerate(at):
            heights = {str(k): replace(f, value=float(curves[k][i])) for k, f in enumerate(having)}
            within = METRICS[kinds[metric]].properties["heights"]
            summary = summarise(list(image_values(heights).values()), seed=seed, within=within)
            rows.append({
                "method": method, "metric": metric, "imputation": imputation,
                "along": METRICS[kinds[metric]].properties["along"], "at": float(place), "mean": summary.mean,
                "ci_low": summary.low, "ci_high": summary.high, "interval": summary.interval, "n": summary.n,
            })  # fmt: skip
    return rows


def _common_axis(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Places, and every curve at them; nothing where curves have a single point.

    Superpixels differ in number from image to image: curves over fractions are then read at fiftieths.
    """
    lengths = {len(at) for at, _ in curves}
    if not curves or lengths == {1}:
        return np.empty(0), []
    if len(lengths) == 1:
        return np.mean([at for at, _ in curves], axis=0), [curve for _, curve in curves]
    places = np.linspace(0, 1, 51) * min(float(at[-1]) for at, _ in curves)
    return places, [np.interp(places, at, curve) for at, curve in curves]


Alike = tuple[str, str, str, float, float]
"""An image, two methods, and how alike their maps of it are: rank correlation and overlap of the highest values."""


@dataclass(frozen=True)
class Agreement:
    """How alike the maps of two methods are, on average over images."""

    method: str
    other: str
    spearman: Summary
    top_overlap: Summary

    def row(self) -> Row:
        """Of `agreement.csv`."""
        return {
            "method": self.method, "other": self.other, "spearman": self.spearman.mean,
            "spearman_ci_low": self.spearman.low, "spearman_ci_high": self.spearman.high,
            "top_overlap": self.top_overlap.mean, "top_overlap_ci_low": self.top_overlap.low,
            "top_overlap_ci_high": self.top_overlap.high, "interval": self.spearman.interval, "n": self.spearman.n,
        }  # fmt: skip


@dataclass(eq=False)
class Comparison:
    """Compares the maps of one image and target with each other as they come; one image is kept at a time.

    Args:
        session: the session whose methods are compared.
        view_of: how a method's maps are looked at, as for the metrics.
        picture: what the model sees of an image by its name, for views with regions.
    """

    session: Session
    view_of: Callable[[str], View]
    picture: Callable[[str], np.ndarray]
    _maps: dict[str, np.ndarray] = field(default_factory=dict)
    _of: tuple[str, int | str | None] = ("", None)
    _found: list[Alike] = field(default_factory=list)

    def add(self, item: Explanation) -> None:
        """One more explanation."""
        if self.session.run is not None and len(self.session.methods) < 2:
            return  # there is no other to compare it with, and its array need not be read back
        if (item.image, item.target) != self._of:
            self._close()
            self._of = item.image, item.target
        values = item.values
        if values is None and item.status == "ok" and self.session.run is not None:
            values = np.load(self.session.run.file(f"{item.folder}/{item.name}.npy"))
        if values is not None and values.ndim in (2, 3) and np.isfinite(values).all():
            flat = values if values.ndim == 2 else values.sum(0)
            view = self.view_of(item.method)
            seen = self.picture(item.image) if view.needs_picture else None
            self._maps[item.method] = flat if view == RAW else through(view.at(flat.shape, seen), flat)

    def _close(self) -> None:
        cases = {name: _bare(values) for name, values in self._maps.items()}
        for one, other in combinations(cases, 2):
            try:
                both = spearman(cases[one], cases[other]), top_overlap(cases[one], cases[other])
            except AttributionError:  # a constant map has no ranks; n says how many images have
                continue
            self._found.append((self._of[0], one, other, *both))
        self._maps = {}

    def found(self) -> list[Alike]:
        """What was compared, in order."""
        self._close()
        return self._found

    def taken(self, image: str | None = None) -> list[Alike]:
        """What was compared of an image, whose maps are all there; it is forgotten here."""
        mine = [one for one in self.found() if one[0] == image] if self._of[0] == image else [
            one for one in self._found if one[0] == image
        ]  # fmt: skip
        self._found = [one for one in self._found if one[0] != image]
        return mine

    def give(self, alike: Iterable[Alike]) -> None:
        """What was compared elsewhere."""
        self._found.extend(alike)


def compared(explanations: Iterator[Explanation], between: Comparison) -> Iterator[Explanation]:
    """The explanations, each of which is compared with the others of its image as it comes."""
    for item in explanations:
        between.add(item)
        yield item


def agreement_rows(found: Iterable[Alike], seed: int) -> list[Agreement]:
    """Means over images, in the order of the methods."""
    groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _, one, other, *both in found:
        groups.setdefault((one, other), []).append((both[0], both[1]))
    return [
        Agreement(
            one,
            other,
            summarise([s for s, _ in pairs], seed=seed, within=CORRELATION),
            summarise([t for _, t in pairs], seed=seed, within=SHARE),
        )
        for (one, other), pairs in groups.items()
    ]


def _bare(values: np.ndarray) -> Case:
    plane = torch.from_numpy(values)
    zero = torch.zeros(1, 1, 1)
    return Case(Subject(torch.zeros(1, *plane.shape), 0, zero, zero, 0), plane)

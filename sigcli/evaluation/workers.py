"""An evaluation that several workers divide: each explains and measures images; who leads makes the tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..attribution.explanation import Explanation
from ..attribution.job import Errand, Job, far
from ..attribution.pipeline import Work
from ..attribution.session import Session
from ..attribution.stream import settled, written
from ..attribution.workers import Desk, gathered, given_up
from ..engine.modes import own_modes
from ..executors.line import Line, portable_error
from ..listener import Listener
from .cache import Kept
from .measure import Measuring
from .prepare import Prepared, prepare_part
from .tables import Alike, Comparison, compared
from .value import MetricValue
from .warming import warm_up


@dataclass
class Found:
    """What is found of one image.

    Args:
        items: its explanations, without their arrays.
        values: their metric values.
        alike: how alike the maps of each two methods are.
    """

    items: list[Explanation] = field(default_factory=list)
    values: list[MetricValue] = field(default_factory=list)
    alike: list[Alike] = field(default_factory=list)


class FarKept(Kept):
    """Metric values of an earlier measurement, which who leads has."""

    def __init__(self, line: Line):
        super().__init__(Path(), resume=False)
        self._line = line

    def known(self, blank: MetricValue) -> MetricValue | None:
        """The metric value that is known already, or None."""
        return self._line("known", blank)


def measure_part(line: Line, number: int, job: Job) -> None:
    """What a worker of `sig evaluate` and `sig benchmark images` does."""
    job.settle_in()
    quiet = {**job.quiet(number), "labels": None, "label_column": None, "image_column": None}
    with own_modes():
        options: Any = job.options.but(**quiet)
        session, measuring = prepare_part(options, FarKept(line), lambda made: job.in_folder(made, line))
        with closing(session):
            if job.warm:
                warm_up(session)
            _measure(line, session, measuring)
            line("notes", list(session.later_notes))


def _measure(line: Line, session: Session, measuring: Measuring) -> None:
    """Take images, explain and measure them, until there are no more."""
    work, found = Work(session), dict[str, Found]()
    between = Comparison(session, measuring.view_of, measuring.picture)
    errand = Errand(line, work.names, far(session))

    def noted(items: Iterator[Explanation]) -> Iterator[Explanation]:
        for item in items:
            found.setdefault(item.image, Found()).items.append(errand.portable(item.light()))
            yield item

    def whole(name: str) -> Found:
        mine = found.pop(name, Found())
        mine.alike = between.taken(name)
        return mine

    while line("more"):
        with errand.reported():
            items = noted(written(session, work, errand.evaluated, errand.places()))
            for value in measuring.values(compared(items, between)):
                errand.until(value.image, whole)
                found[value.image].values.append(_portable(value))
            errand.until(None, whole)


def _portable(value: MetricValue) -> MetricValue:
    return value if value.cause is None else replace(value, cause=portable_error(value.cause))


def measured_by_workers(prepared: Prepared, between: Comparison, listener: Listener) -> Iterator[MetricValue]:
    """Metric values in order, of explanations that workers make and measure; `between` learns how alike the maps are."""
    session = prepared.session
    assert prepared.options is not None
    listener.planned(session.planned)
    job = Job.of(session, prepared.options, warm=bool(prepared.counts))
    desk: Desk[Found] = Desk(session, partial(_given_up, prepared), {"known": prepared.kept.known})
    results = gathered(desk, measure_part, job, listener)
    with closing(settled(session, Work(session), results)) as every:
        for found in every:
            for item in found.items:
                listener.explained(item)
            between.give(found.alike)
            yield from found.values
    session.told_elsewhere.extend(desk.notes)


def _given_up(prepared: Prepared, place: int, error: Exception) -> Found:
    """An image whose worker was lost twice: what was finished of it is measured, the rest has failed."""
    items = given_up(prepared.session, place, error)
    return Found(items, list(prepared.measuring.values(iter(items))))

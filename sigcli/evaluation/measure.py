"""From explanations to metric values: one stream of perturbed images for the model, and its answers in the same order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..attribution.explanation import Explanation
from ..attribution.select import Chosen
from ..attribution.session import Session
from ..engine.failures import attempted, contained
from ..errors import AttributionError, SigError
from ..inputs.picture import Picture
from ..methods.run import attributions
from ..metrics.case import Case, Measurement
from ..metrics.faithfulness import Plan
from ..metrics.removal import Perturbation, Steps, follow
from ..metrics.sanity import ASKED, Asked
from ..models.wrappers.certainty import looked_into
from ..types import Subject
from ..views import RAW, Lens, View
from .cache import Kept, brief, digest, of_run
from .dropped import Dropping, drops, with_presence
from .masks.located import Masks
from .value import MetricValue

BATCH = 64
"""Images per forward pass."""


@dataclass(eq=False)
class _Place:
    """A place in the order of metric values; `finish` waits for the model."""

    figure: MetricValue
    finish: Callable[[Any], Measurement] | None = None


@dataclass(eq=False)
class Measuring:
    """The metric values of a session's explanations, in order.

    Args:
        session: the session whose explanations are measured.
        metrics: with their options.
        masks: where the objects are, fitted to the session's images; None where no metric needs them, or where localisation
            is measured against the region or box that is explained.
        view: how maps are looked at before they are measured, see `view_of`.
        kept: metric values of an earlier measurement.
        unsmoothed: names of the methods whose maps the view `auto` leaves as they are, see `sigcli.views.View.of`.
    """

    session: Session
    metrics: list[Chosen]
    masks: Masks | None = None
    view: View = RAW
    kept: Kept | None = None
    unsmoothed: frozenset[str] = frozenset()
    _waiting: deque[_Place] = field(default_factory=deque)
    _image: tuple[str, Subject, Picture] | None = None
    _cases: tuple[Explanation, dict[bool, Case]] | None = None
    _numbers: tuple[str, dict[Any, int]] | None = None

    def __post_init__(self) -> None:
        session = self.session
        self._paths = {name: path for (name, _), path in zip(session.names, session.paths, strict=True)}
        self._peers = session.peers

    def values(self, explanations: Iterator[Explanation]) -> Iterator[MetricValue]:
        """Measure explanations as they come; yields metric values in their order."""
        session = self.session
        removals, size = self._perturbations(explanations), session.passed(BATCH)
        if session.model.task != "classes":  # outputs for every pixel, or candidates for every place
            size = size.within(session.batches.size)
        asked: Any = session.scorer
        if any(drops(metric) for metric in self.metrics):
            asked = Dropping(session.classifier, session.model)
        for steps in follow(asked, removals, batch_size=size, head=session.model.head, filled=True, contain=True):
            yield from self._ready()
            yield _filled(self._waiting.popleft(), steps)
        yield from self._ready()

    def _ready(self) -> Iterator[MetricValue]:
        while self._waiting and self._waiting[0].finish is None:
            yield self._waiting.popleft().figure

    def _perturbations(self, explanations: Iterator[Explanation]) -> Iterator[Perturbation]:
        for item in explanations:
            for metric in self.metrics:
                options = metric.resolved()
                blank = MetricValue(
                    item.image, item.method, item.target, metric.name, str(options.get("imputation", "")),
                    measure=metric.entry.name,
                )  # fmt: skip
                if item.status != "ok":
                    self._waiting.append(
                        _Place(replace(blank, error=f"no explanation: {item.error}", cause=item.cause))
                    )
                    continue
                blank, found = self._attempt(blank, item, metric)
                if isinstance(found, Plan):
                    self._waiting.append(_Place(blank, found.finish))
                    yield found.removal
                else:
                    self._waiting.append(_Place(found))

    def _attempt(self, blank: MetricValue, item: Explanation, metric: Chosen) -> tuple[MetricValue, Plan | MetricValue]:
        try:
            known_as = metric.entry.properties
            if known_as["column"]:
                return blank, _with(blank, metric.entry.load()(getattr(item, known_as["column"]), item.method))
            again = known_as["scope"] == "method"
            blank = replace(blank, brief=self._brief(item, metric, again=again))
            known = self.kept and blank.brief and self.kept.known(blank)
            if known:
                return blank, known
            case = self._case(item, metric)
            case = with_presence(case) if drops(metric) else case
            method = self._method(item.method) if again else None
            blank = replace(blank, digest=digest(self.session, case, metric, method, self._peers))
            known = self.kept and self.kept.known(blank)
            if known:
                return blank, known
            found = metric.entry.load()(case, *self._again(case, metric, method), **metric.options)
        except Exception as error:  # noqa: BLE001  a mistake in the command was told by `rehearse`, before any image
            return blank, _failed(blank, error)
        return blank, found if isinstance(found, Plan) else _with(blank, found)

    def _brief(self, item: Explanation, metric: Chosen, *, again: bool) -> str:
        """See `sigcli.evaluation.cache.brief`; empty where the value depends on a mask of a file."""
        if self.masks is not None and metric.entry.properties["needs"] == "mask":
            return ""
        methods = self.session.methods if again else ()
        method = next((one for one in methods if one.name == item.method), None)
        return brief(self.session, item, metric, method, (self._of_run, self.view_of(item.method).spec))

    @cached_property
    def _of_run(self) -> str:
        return of_run(self.session)

    def _method(self, name: str) -> Chosen:
        """A method with its options for the image at hand, as when its map was made."""
        assert self._image is not None
        chosen = next(one for one in self.session.methods if one.name == name)
        return self.session.samples.fitted(self.session.model, self._image[2], chosen)

    def _again(self, case: Case, metric: Chosen, method: Chosen | None) -> list[Any]:
        """What a metric takes that runs the method again, as its entry in the catalogue states."""
        if method is None:
            return []
        model, scorer = self.session.model, self.session.scorer
        there = {
            "explain": self._explainer(method, case.subject), "drawn": method.drawn, "module": model.module,
            "classes": model.classes, "asked": scorer if isinstance(scorer, Asked) else ASKED,
        }  # fmt: skip
        return [there[name] for name in metric.entry.properties["takes"]]

    def _case(self, item: Explanation, metric: Chosen) -> Case:
        if self._image is None or self._image[0] != item.image:
            self._image = (item.image, *self._loaded(item.image))
        if item.target is None:
            raise AttributionError("the explanation names no target")
        _, subject, picture = self._image
        if item.content and item.content != f"{picture.key:016x}":
            raise AttributionError("the image changed since it was explained")
        target = self._target(item, subject.x)
        if subject.target != target:
            subject = replace(subject, target=target)
            self._image = (item.image, subject, picture)  # the same object for all metrics, which keep what it gives
        needs = metric.entry.properties["needs"] == "mask"
        if self._cases is None or self._cases[0] is not item:
            self._cases = item, {}
        known = self._cases[1]
        if needs not in known:  # one for all metrics of a map, since it keeps the order of the pixels
            areas = self._areas(item.image, subject) if needs else (None, None)
            known[needs] = Case(subject, torch.from_numpy(self._smoothed(item)), *areas)
        return known[needs]

    def _target(self, item: Explanation, x: Tensor) -> int:
        """The target of an explanation, as the score numbers targets: of a region or a box it is found in the image."""
        if self._numbers is None or self._numbers[0] != item.image:
            self._numbers = item.image, {}
        known = self._numbers[1]
        if item.target not in known:
            session = self.session
            known[item.target] = session.samples.number(session.scorer, x, self._paths[item.image], item.target or 0)
        return known[item.target]

    def _smoothed(self, item: Explanation) -> np.ndarray:
        values = self._array(item)
        lens = self._lens(values.shape, item.method) if values.ndim in (2, 3) and np.isfinite(values).all() else None
        return values if lens is None else through(lens, values)

    def view_of(self, method: str) -> View:
        """How the maps of a method are looked at, by its name in the session."""
        return self.view.of(unsmoothed=method in self.unsmoothed)

    def _lens(self, shape: tuple[int, ...], method: str) -> Lens | None:
        """The view of a method's maps of the image at hand; None where it changes nothing."""
        view = self.view_of(method)
        if view == RAW or self._image is None:
            return None
        pixels = self.session.model.preprocess.display(self._image[2].pixels) if view.needs_picture else None
        return view.at(shape, pixels)

    def picture(self, image: str) -> np.ndarray:
        """What the model sees of an image of the session, uint8 (H, W, 3)."""
        return self.session.model.preprocess.display(self.session.samples.read(self._paths[image]).pixels)

    def _array(self, item: Explanation) -> np.ndarray:
        if item.values is not None:
            return item.values
        if self.session.run is None:
            raise AttributionError("the explanation has no array")
        return np.load(self.session.run.file(f"{item.folder}/{item.name}.npy"))

    def _loaded(self, image: str) -> tuple[Subject, Picture]:
        session = self.session
        preprocess, device = session.model.preprocess, session.model.device
        picture = session.samples.read(self._paths[image])
        x = preprocess(picture.pixels).to(device)
        low, high = preprocess.low.to(device), preprocess.high.to(device)
        of_model = (looked_into(session.model), session.model.head, session.model.preprocess)
        return Subject(x, -1, low, high, picture.key, session.seed, self._peers, *of_model), picture

    def _areas(self, image: str, subject: Subject) -> tuple[Tensor, Tensor | None]:
        """Object and void of the image, brought through the same resizing and crop; without masks what the score is of."""
        if self.masks is None:
            size = (int(subject.x.shape[-2]), int(subject.x.shape[-1]))
            own = self.session.samples.region(subject.target, size)
            if own is None:
                raise AttributionError("the image has no mask", given=image)
            return torch.from_numpy(own), None
        return self.masks.of(image, self._paths[image], self.session.model.preprocess)

    def _explainer(self, method: Chosen, subject: Subject) -> Callable[..., Tensor]:
        session = self.session

        def explain(images: Tensor, target: int, model: nn.Module | None = None, seed: int | None = None) -> Tensor:
            scorer = session.scorer
            if model is not None:
                scorer = replace(scorer, model=model)
            changes = {} if model is None else {"model": model}
            changes |= {} if seed is None else {"seed": seed}
            near = (replace(subject, x=x, target=target, **changes) for x in images)
            found = attributions(method.entry, method.options, scorer, near, batch_size=session.batches, check=0)
            maps = torch.stack([a.values for a in found])
            lens = self._lens(tuple(maps.shape), method.name)
            return maps if lens is None else lens(maps.double()).to(maps)

        return explain


def through(lens: Lens, values: np.ndarray) -> np.ndarray:
    """Maps (…, H, W) as a view shows them, in their own type."""
    return lens(torch.from_numpy(values.astype(np.float64))).numpy().astype(values.dtype)


def _with(blank: MetricValue, found: Measurement) -> MetricValue:
    if not np.isfinite(found.value):
        return _failed(blank, AttributionError("the metric is not a finite number for this image"))
    return replace(blank, value=found.value, at=found.at, curve=found.curve)


def _failed(blank: MetricValue, error: Exception) -> MetricValue:
    cause = contained(error)
    return replace(blank, error=" ".join(str(cause).split()), cause=cause)


def _filled(place: _Place, steps: Steps) -> MetricValue:
    """A metric value from the model's outputs for the altered images."""
    assert place.finish is not None
    if steps.error is not None:
        return _failed(place.figure, steps.error)
    unscored = int((~torch.isfinite(steps.score)).sum())
    if unscored:
        forms = "one altered form" if unscored == 1 else f"{unscored} altered forms"
        return _failed(place.figure, AttributionError(f"the model's score of {forms} of this image is NaN or infinite"))
    found = attempted(partial(place.finish, steps))
    return _failed(place.figure, found) if isinstance(found, SigError) else _with(place.figure, found)

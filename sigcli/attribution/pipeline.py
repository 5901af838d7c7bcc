"""The items of a run, in order: image by image, target by target, method by method."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..engine.failures import attempted
from ..errors import AttributionError, SigError
from ..inputs.picture import doubt
from ..methods.growing import MOST, Aim
from ..methods.run import NO_BASELINE, Found, Job, Known, checked, explain_all
from ..models.wrappers.certainty import looked_into
from ..runs.order import RowOrder
from ..runs.passed_over import Standing
from ..types import Attribution, Subject
from ..views import RAW, Lens, shown_error
from .decoding import Loaded, decoded
from .explanation import Explanation, failed, from_entry
from .predictions import chance_of, predictions_of
from .resumed import Earlier
from .samples.seen import Missing
from .select import Chosen
from .session import Session
from .wanted import count_of

_DECODERS = max(1, min(4, (os.cpu_count() or 2) - 1))


@dataclass(frozen=True, eq=False)
class _Item:
    """An explanation to come, or one that is ready.

    Args:
        blank: all that is known of it before the method runs; or the finished explanation.
        last: it is the last of its image and target.
        chosen: the method, where it is still to run.
    """

    blank: Explanation
    last: bool
    chosen: Chosen | None = None


_Jobs = Iterator[Job[_Item] | Known[_Item]]


class Work:
    """The items of a session, in order: image by image, target by target, method by method."""

    def __init__(self, session: Session):
        self.session = session
        self.names = session.names
        self.peers = session.peers
        self.earlier = Earlier(session)
        methods = [chosen.name for chosen in session.methods]
        self.place = RowOrder((name for name, _ in self.names), methods, session.model.classes)

    def explanations(
        self, progress: Callable[[int], None] | None, places: Iterable[int] | None = None
    ) -> Iterator[tuple[Explanation, bool]]:
        """Yield (explanation, whether it is the last of its image and target), in order.

        Args:
            progress: called with the images of each batch.
            places: which images, see `sigcli.attribution.decoding.decoded`.
        """
        session = self.session
        every = explain_all(
            self._jobs(places), session.scorer, batch_size=session.batches, check=session.check, progress=progress,
            alone=session.alone,
        )  # fmt: skip
        for item, found in every:
            if item.chosen is None:
                yield item.blank, item.last
            else:
                yield self._finished(item.blank, item.chosen, found), item.last

    def _jobs(self, places: Iterable[int] | None) -> _Jobs:
        session = self.session
        images = decoded(
            session.paths, self.names, session.model.preprocess, _DECODERS, session.samples.read, places,
            known=self.earlier.standing,
        )  # fmt: skip
        for place, loaded in images:
            if isinstance(loaded, SigError):
                self.earlier.given_up(place)
                name, folder = self.names[place]
                yield from self._fail_all(Explanation(name, "", folder=folder), loaded)
            elif isinstance(loaded, Standing):
                yield from self._passed_over(place, loaded)
            else:
                yield from self._of_image(place, loaded)

    def _passed_over(self, place: int, found: Standing) -> _Jobs:
        """The explanations of an image that an earlier run has finished: it is not decoded."""
        assert self.session.run is not None
        name, _ = self.names[place]
        self.session.run.see(name, found.source.content, found.source.targets)
        for item in self.earlier.explanations(place, found, self._blank):
            yield Known(_Item(self._filed(item), last=item.method == self.session.methods[-1].name))

    @cached_property
    def _blank(self) -> dict[str, Explanation]:
        """By method, what is known of its explanations whatever the image."""
        return {chosen.name: self._of_method(Explanation("", ""), chosen, "") for chosen in self.session.methods}

    def _of_image(self, place: int, loaded: Loaded) -> _Jobs:
        session, samples = self.session, self.session.samples
        content = f"{loaded.picture.key:016x}"
        blank = Explanation(loaded.name, "", folder=loaded.folder, output=session.scorer.output, content=content)
        x = loaded.x.to(session.model.device)
        targets = attempted(lambda: samples.targets(session.scorer, x, loaded.path, session.target))
        if isinstance(targets, SigError):
            self.earlier.given_up(place)
            yield from self._fail_all(blank, targets)
            return
        outputs = getattr(targets, "outputs", None)  # regions and boxes are not of the whole picture
        blank = replace(blank, predictions=predictions_of(session.model, outputs))
        missing = [one for one in targets if isinstance(one, Missing)]
        numbers = [one for one in targets if not isinstance(one, Missing)]
        try:
            seen = samples.seen(session.model, loaded.picture, session.methods, loaded.path)
            methods = [samples.fitted(session.model, loaded.picture, chosen) for chosen in session.methods]
        except Exception as error:  # noqa: BLE001  a mistake in the command was told by `rehearse`, before any image
            self.earlier.given_up(place)
            yield from self._fail_all(blank, error)
            return
        ready = replace(blank, seen=seen, note=doubt(loaded.picture.pixels))
        if session.run is not None:
            told = [str(samples.told(target)) for target in numbers]
            session.run.see(loaded.name, content, told)
            self.earlier.taken(place, loaded.picture, told, ready.note)
        chances = {target: chance_of(session.model.head, outputs, target) for target in numbers}
        yield from self._of_targets(ready, x, loaded.picture.key, chances, methods)
        for one in missing:
            yield from self._fail_all(replace(blank, target=one.target, label=one.label), one.error)

    def _of_targets(
        self, blank: Explanation, x: Tensor, key: int, chances: dict[int, float | None], methods: list[Chosen]
    ) -> _Jobs:
        session = self.session
        low, high = (level.to(x.device) for level in (session.model.preprocess.low, session.model.preprocess.high))
        of_model = (looked_into(session.model), session.model.head, session.model.preprocess)
        for target, chance in chances.items():
            subject = Subject(x, target, low, high, key, session.seed, self.peers, *of_model)
            told, label = session.samples.told(target), session.samples.label(session.model, target)
            region, seen = session.samples.told_region(target), session.samples.of_target(blank.seen, target)
            named = replace(blank, target=told, label=label, region=region, seen=seen, chance=chance)
            for number, chosen in enumerate(methods, 1):
                last = number == len(methods)
                item = self._of_method(named, chosen, told)
                earlier = self._done_before(item)
                if earlier is not None:
                    yield Known(_Item(earlier, last))
                else:
                    yield Job(chosen.entry, chosen.options, subject, _Item(item, last, chosen), self._aim(item, chosen))

    def _aim(self, item: Explanation, chosen: Chosen) -> Aim | None:
        """When the map is exact enough: by the standard error of the map as pictures show it, if they do."""
        budget = self.session.budget
        if budget.tolerance is None:
            return None

        def error(values: Tensor, deviations: Tensor) -> float:
            return shown_error(self._lens(item, values), values, deviations)[1]

        return Aim(budget.tolerance, budget.most_of(chosen), error)

    def _lens(self, item: Explanation, values: Tensor) -> Lens:
        """How pictures show maps (H, W) of an item; maps of arrays are as they are."""
        view = self.session.drawing.of(item) if item.seen.picture is not None else RAW
        return view.at(values.shape, item.seen.picture)

    def _of_method(self, item: Explanation, chosen: Chosen, target: int | str) -> Explanation:
        return self._filed(
            replace(
                item,
                method=chosen.name,
                target=target,
                multiplied=bool(chosen.entry.properties["multiplied"]),
                own_unit=str(chosen.entry.properties.get("unit", "")),
                view=self.session.drawing.view.of(unsmoothed=chosen.entry.unsmoothed).spec,
                positive=str(chosen.entry.properties.get("positive", "for")),
            )
        )

    def _filed(self, item: Explanation) -> Explanation:
        """With the name of its files."""
        run, several = self.session.run, count_of(self.session.target) > 1
        name = f"{item.method}.class{item.target}" if several else item.method
        return replace(item, name=name, file=None if run is None else run.path / item.folder / f"{name}.npy")

    def _done_before(self, item: Explanation) -> Explanation | None:
        """The explanation, where an earlier run made it of this very image and its arrays stand."""
        run = self.session.run
        earlier = None if run is None else run.finished(item.image, item.method, str(item.target), item.content)
        if earlier is None:
            return None
        found = from_entry(item, *earlier)
        return found if earlier[0].facts.get("view") == item.view else self._seen_anew(found)

    def _seen_anew(self, item: Explanation) -> Explanation:
        """With the standard error of the map as it is shown now, where what tells it was kept."""
        if item.file is None or item.seen.picture is None:
            return item
        apart = item.file.with_name(f"{item.name}.deviations.npy")
        if not apart.is_file():
            return item
        values, deviations = (torch.from_numpy(np.load(file, allow_pickle=False)) for file in (item.file, apart))
        lens = self.session.drawing.of(item).at(deviations.shape, item.seen.picture)
        return replace(item, shown_standard_error=shown_error(lens, values.sum(0), deviations)[1])

    def _fail_all(self, blank: Explanation, error: Exception) -> _Jobs:
        methods = self.session.methods
        for number, chosen in enumerate(methods, 1):
            item = replace(blank, method=chosen.name, output=self.session.scorer.output)
            yield Known(_Item(failed(item, error), number == len(methods)))

    def _finished(self, item: Explanation, chosen: Chosen, found: Found) -> Explanation:
        try:
            if not isinstance(found, Attribution):
                return failed(item, found or AttributionError("the method returned nothing"))
            result = checked(chosen.entry, found)
        except AttributionError as error:
            return failed(item, error)
        gap, unchecked = result.completeness_gap, ""
        if gap is not None and not math.isfinite(gap):
            gap, unchecked = None, f"completeness is not checked: {NO_BASELINE}"
        keep, error = self.session.uncertainty, self._shown_error(item, result)
        shape = item.seen.shape or result.values.shape
        return replace(
            item,
            score=result.score,
            seconds=result.seconds,
            gradient_evaluations=result.gradient_evaluations,
            forward_evaluations=result.forward_evaluations,
            completeness_gap=gap,
            relative_gap=None if gap is None else result.relative_gap,
            error=unchecked,
            standard_error=result.standard_error,
            relative_standard_error=result.relative_standard_error,
            sum_standard_error=result.sum_standard_error,
            shown_standard_error=error,
            stopped=result.stopped,
            deviations=_array(result.deviations) if keep and error is not None else None,
            values=_array(result.values.reshape(shape)),
            stderr=_array(result.stderr.reshape(shape)) if keep and result.stderr is not None else None,
            players=_array(result.players) if item.seen.players is None else item.seen.players,
            player_values=_array(result.player_values),
            note="; ".join(filter(None, (item.note, self._itself(item, chosen), *self._of_result(result, error)))),
        )

    def _of_result(self, result: Attribution, error: float | None) -> tuple[str, str]:
        """What is told of a map."""
        return result.note or _of_zero(result.values), self._ended(result, error)

    @cached_property
    def _references(self) -> frozenset[str]:
        """The content of the references, as `Explanation.content` tells it."""
        return frozenset(f"{key:016x}" for key in list(self.peers.keys()))

    def _itself(self, item: Explanation, chosen: Chosen) -> str:
        """What is told of an image that is among the references which a method draws."""
        options = chosen.resolved()
        draws = chosen.uses_peers and options.get("baseline") != "mean"
        if not draws or self.session.samples.references is None:
            return ""
        there = item.content in self._references
        return "the image is one of the references, and is left out of its own" if there else ""

    def _shown_error(self, item: Explanation, result: Attribution) -> float | None:
        """Standard error of the map as pictures show it, relative to that map; None where it is not known."""
        if result.deviations is None or item.seen.picture is None:
            return None
        flat = result.values.sum(0).to(result.deviations)
        return shown_error(self._lens(item, flat), flat, result.deviations)[1]

    def _ended(self, result: Attribution, error: float | None) -> str:
        """What is told of a run that did not become exact enough."""
        if not result.stopped.startswith(MOST):
            return ""
        reached = result.relative_standard_error if error is None else error
        aim, spent = self.session.budget.tolerance, f"after {result.evaluations:,} evaluations"
        return f"--max-evaluations ended it {spent} with a standard error of {reached:.2g}, not {aim:g}"


def _of_zero(values: Tensor) -> str:
    return "" if bool(values.any()) else "the map is 0 everywhere"


def _array(values: Tensor | None) -> Any:
    return None if values is None else np.asarray(values.cpu().numpy())

"""One explanation: its values, its facts, and their description in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..engine.failures import contained
from ..runs.ledger import Entry
from ..runs.table import COLUMNS, FACTS, texts_of
from .predictions import Prediction, percent
from .samples.arrays import ArraySeen
from .samples.pairs import PairSeen
from .samples.seen import UNSEEN, Seen


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """One image explained by one method for one target.

    Args:
        image: its name in the run.
        method: what the user calls it: its name in the catalogue, or an alias.
        target: class index, "a-b" where class a is compared with class b, or None where the image could not be read; of a
            detector the box's place among all that it finds, by score, from 0.
        label: label of the target, empty where the model has none.
        region: the region or box that the score is of, in a few words; empty where it is of the whole image.
        score: F(x).
        output: kind of score: logit, prob or logprob; minus distance or minus cosine-distance for pairs.
        seconds: wall time; explanations in the same batches divide it.
        gradient_evaluations: forward and backward passes of one image through the model.
        forward_evaluations: passes forward alone, as methods need that look at scores.
        completeness_gap: |Σ values − score difference| in the score's unit, None where the method does not promise this.
        relative_gap: the gap divided by the score difference.
        standard_error: sampling error of the whole map as a vector, in the score's unit, None where nothing was sampled.
        relative_standard_error: the standard error divided by the map's norm.
        sum_standard_error: sampling error of the sum of the map, in the score's unit; 0 where all draws have the same sum.
        shown_standard_error: sampling error of the map as pictures show it, relative to that map's norm; None where unknown.
        view: how pictures show the map, see docs/explain.md.
        stopped: with a tolerance, why the run ended and with which option: "tolerance: samples=512"; else empty.
        predictions: the model's likeliest answers, best first; empty where its outputs have no probabilities.
        chance: probability of the target, or None.
        status: "ok" or "failed".
        error: what failed, or if status is "ok" what could not be checked; else empty.
        content: hash of the explained image's pixels.
        values: (C, H, W) float32 attribution, or of the array's shape; None if it failed or an earlier run made it.
        stderr: standard error of `values`, or None.
        deviations: (j, H, W) of replicates, of which the error of any sum of pixels follows, see docs/explain.md.
        players: (H, W) player of each position, or None.
        player_values: (n,) sum over each player, or None.
        seen: what the model saw of the sample.
        folder: folder of its files, relative to the run folder.
        name: name of its files: the method, and the class where several are explained.
        multiplied: the values are in the score's unit, not per unit of input.
        own_unit: the values' unit, if it is neither.
        positive: what a positive value says, see docs/methods.md.
        resumed: an earlier run made it; its row was read back.
        note: what the user should know about the map; shown on the screen only.
        cause: the exception behind `error`, with its traceback; None if nothing failed or an earlier run made it.
        file: its array on disk, or None if nothing is written.
        look: decodes the image of an explanation that an earlier run made, whose `seen` has words only; else None.
    """

    image: str
    method: str
    target: int | str | None = None
    label: str = ""
    region: str = ""
    score: float | None = None
    output: str = "logit"
    seconds: float | None = None
    gradient_evaluations: int | None = None
    forward_evaluations: int | None = None
    completeness_gap: float | None = None
    relative_gap: float | None = None
    standard_error: float | None = None
    relative_standard_error: float | None = None
    sum_standard_error: float | None = None
    shown_standard_error: float | None = None
    view: str = ""
    stopped: str = ""
    predictions: tuple[Prediction, ...] = ()
    chance: float | None = None
    status: str = "ok"
    error: str = ""
    content: str = ""
    values: np.ndarray | None = None
    stderr: np.ndarray | None = None
    deviations: np.ndarray | None = None
    players: np.ndarray | None = None
    player_values: np.ndarray | None = None
    seen: Seen = UNSEEN
    folder: str = ""
    name: str = ""
    multiplied: bool = True
    own_unit: str = ""
    positive: str = "for"
    resumed: bool = False
    note: str = ""
    cause: Exception | None = None
    file: Path | None = None
    look: Callable[[], Seen] | None = None

    @property
    def looked(self) -> Seen:
        """What the model saw of the sample; an image that a resumed run has passed over is decoded for it."""
        return self.seen if self.look is None else self.look()

    @property
    def picture(self) -> np.ndarray | None:
        """(H, W, 3) uint8, what the model saw; None of arrays, and where the explanation failed."""
        return self.looked.picture

    @property
    def partner(self) -> np.ndarray | None:
        """(H, W, 3) uint8, what the model saw of the second image of a pair, or None."""
        seen = self.looked
        return seen.partner if isinstance(seen, PairSeen) else None

    @property
    def sample(self) -> np.ndarray | None:
        """The array that was explained; None for pictures."""
        seen = self.looked
        return seen.sample if isinstance(seen, ArraySeen) else None

    @property
    def names(self) -> tuple[str, ...] | None:
        """Of the players of an array, or None."""
        seen = self.looked
        return seen.names if isinstance(seen, ArraySeen) else None

    @property
    def predicted(self) -> str:
        """The class that the model finds likeliest; empty where its outputs have no probabilities."""
        return self.predictions[0].name if self.predictions else ""

    @property
    def probability(self) -> float | None:
        """The probability of the class that the model finds likeliest, or None."""
        return self.predictions[0].probability if self.predictions else None

    def kept(self) -> dict[str, Any]:
        """What the record of a run's files keeps of it, in full precision."""
        facts = {name: getattr(self, name) for name in FACTS}
        return facts | {"predictions": [list(one) for one in self.predictions], "chance": self.chance}

    def row(self) -> dict[str, str]:
        """Its row of `results.csv`."""
        return texts_of({name: getattr(self, name) for name in COLUMNS})

    def record(self) -> dict[str, Any]:
        """Its facts as `--json` prints them."""
        facts = {name: getattr(self, name) for name in (*COLUMNS, "note") if name != "content"}
        return facts if self.file is None or self.status != "ok" else {**facts, "array": str(self.file)}

    def facts(self) -> tuple[str, ...]:
        """Short lines for a picture: target and score; gap and standard error; cost."""
        checks = [
            _percentage(name, value)
            for name, value in (("gap", self.relative_gap), ("standard error", self.error_told))
            if value is not None
        ]
        counts = (self.gradient_evaluations, "gradient evaluation"), (self.forward_evaluations, "forward pass")
        cost = " + ".join(_counted(count, what) for count, what in counts if count)
        return tuple(
            line for line in (f"{self.answer} · {self.output} {self.score:.3g}", " · ".join(checks), cost) if line
        )

    @property
    def answer(self) -> str:
        """The target in words, with its probability where that is known and is not the score itself."""
        told = "" if self.chance is None or self.output == "prob" else f" {percent(self.chance)}"
        return self.what() + told

    @property
    def told(self) -> str:
        """The target with its probability; where that is not what the model would say, also what it would."""
        first = self.predictions[0] if self.predictions else None
        answer = self.what() if self.chance is None else f"{self.what()} {percent(self.chance)}"
        if first is None or self.chance is None or self.chance >= first.probability:
            return answer
        return f"{answer} (predicted {first.name} {percent(first.probability)})"

    @property
    def evaluations(self) -> int:
        """Passes of one image through the model, with or without a backward pass."""
        return (self.gradient_evaluations or 0) + (self.forward_evaluations or 0)

    @property
    def error_told(self) -> float | None:
        """Relative standard error of the map as pictures show it; of the values where it is not shown in pictures."""
        known = self.shown_standard_error
        return self.relative_standard_error if known is None else known

    def what(self) -> str:
        """The target in words."""
        return self.seen.what(self.label, self.target)

    @property
    def unit(self) -> str:
        """Unit of the values per pixel."""
        if self.own_unit:
            return self.own_unit
        return f"{self.output} per {self.seen.per}" if self.multiplied else f"{self.output} per unit of input"

    @property
    def ends(self) -> tuple[str, str]:
        """What blue and red say of its map."""
        own = {"raises": ("lowers", "raises"), "salient": ("not salient", "salient")}
        return own.get(self.positive, self.seen.ends)

    @property
    def turned(self) -> bool:
        """Whether positive values are drawn in blue, since they speak against the score."""
        return self.positive == "against"

    def light(self) -> Explanation:
        """A copy without its arrays, which take memory."""
        return replace(
            self,
            values=None,
            stderr=None,
            deviations=None,
            players=None,
            player_values=None,
            seen=_lightened(self.seen),
            look=None,
        )

    def plot(self, path: str | Path | None = None) -> Image.Image:
        """Draw the overlay of a picture, or the bars of an array; also write it to `path` if given.

        Raises:
            UsageError: the explanation failed, or has no values in memory.
        """
        from .sheets import plot_one

        return plot_one(self, path)

    def _repr_html_(self) -> str:
        """The map beside the picture, as notebooks show it."""
        from .html import html_of

        return html_of(self)

    def __repr__(self) -> str:
        if self.status != "ok":
            return f"<Explanation of {self.image} by {self.method}: failed: {self.error}>"
        shape = "" if self.values is None else f", values {self.values.shape}"
        score = "" if self.score is None else f", {self.output} {self.score:.3g}"
        return f"<Explanation of {self.image} by {self.method}: {self.what()}{score}{shape}>"


class Explanations(list[Explanation]):
    """Explanations in the order of images, targets and methods: a list that can be plotted.

    `notes` states what was assumed about the model; `folder` is where files were written, or None.
    """

    notes: tuple[str, ...] = ()
    folder: Path | None = None

    def plot(self, path: str | Path | None = None, *, scale: str = "own") -> Image.Image:
        """Draw all methods of the first image and target side by side; also write the sheet to `path` if given.

        Args:
            path: of the picture, or None.
            scale: "own" for a colour scale per map, or "common" for one scale of all maps of a unit.

        Raises:
            UsageError: nothing succeeded, nothing has its values in memory, or no such scale.
        """
        from .sheets import plot_sheet

        return plot_sheet(self, path, scale)

    def of(self, image: str | None = None, method: str | None = None) -> Explanations:
        """Those of one image, of one method, or both."""
        return Explanations(one for one in self if image in (None, one.image) and method in (None, one.method))

    def _repr_html_(self) -> str:
        """The first maps, each beside its picture, as notebooks show them."""
        from .html import html_of_all

        return html_of_all(self, self.notes)

    def __repr__(self) -> str:
        images, methods = (len({getattr(one, what) for one in self}) for what in ("image", "method"))
        failed = sum(one.status != "ok" for one in self)
        told = f", {failed} failed" if failed else ""
        told += "".join(f"\n  note: {note}" for note in self.notes)
        return f"<{len(self)} explanations: {images} image(s), {methods} method(s){told}>"


def _counted(count: int, what: str) -> str:
    """A number of things in words.

    >>> _counted(1, "forward pass"), _counted(2000, "forward pass")
    ('1 forward pass', '2,000 forward passes')
    """
    return f"{count:,} {what}{'' if count == 1 else 'es' if what.endswith('s') else 's'}"


def _percentage(name: str, fraction: float) -> str:
    return f"{name} {100 * fraction:.2g} %" if fraction >= 0.001 else f"{name} < 0.1 %"


_NOW = ("region", "predicted", "probability", "predictions")
"""Facts that are known without the method: they are what they are now, also where an earlier run made the map."""


def _lightened(seen: Seen) -> Seen:
    """What was seen, for its words alone."""
    return type(seen)()


def from_entry(item: Explanation, entry: Entry, seconds: str) -> Explanation:
    """An explanation that an earlier run finished: what it is now, with the values of then; its arrays stay on disk."""
    found: dict[str, Any] = {name: entry.facts.get(name) for name in FACTS if name not in _NOW}
    if not item.predictions:
        found["predictions"] = tuple(Prediction(*one) for one in entry.facts.get("predictions") or ())
        found["chance"] = entry.facts.get("chance")
    found |= {name: str(found[name] or "") for name in ("error", "stopped")}  # what was left unchecked; of older runs
    if found["view"] != item.view:  # it was shown in another way then
        found |= {"view": item.view, "shown_standard_error": None}
    return replace(item, **found, seconds=float(seconds), resumed=True)


def failed(item: Explanation, error: Exception, what: str = "") -> Explanation:
    """An explanation that failed, with the error in one line."""
    cause = contained(error)
    return replace(item, status="failed", error=what + " ".join(str(cause).split()), seen=UNSEEN, cause=cause)

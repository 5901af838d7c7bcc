"""Scenarios that explain pictures: pictures as files, maps as they come, the sheet that shows them. No printing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from PIL import Image

from ..attribution.explain import stream
from ..attribution.explanation import Explanation
from ..attribution.options import ExplainOptions
from ..attribution.samples import Pictures
from ..attribution.select import Chosen
from ..attribution.session import Session, prepare
from ..evaluation.evaluate import Evaluation, carry_out
from ..evaluation.options import EvaluateOptions
from ..evaluation.prepare import prepare_evaluation
from ..listener import Listener
from ..models.device import choose_device
from ..models.model import Model
from ..runs.folder import take, write_aside
from ..views import View
from .comparison import Comparison
from .folders import own_folder, unclaimed
from .options import PictureOptions, RunOptions

P = TypeVar("P", bound=PictureOptions)
R = TypeVar("R", bound=RunOptions)
Explained = tuple[Explanation, "np.ndarray | None"]
"""An explanation and its map (H, W), summed over channels; None where it failed."""
_TAKEN = ("method", "seed", "device", "batch_size", "output", "resume", "overwrite")
SCALES = "each map has its own scale, clipped at the 99.5th percentile of |value|."


class PictureComparison(Comparison[P]):
    """A scenario that explains pictures; where they are more than one run, each run is a folder below its own."""

    maps: dict[str, list[np.ndarray]]
    """Method → its maps (H, W), zeros where it failed."""

    def check(self) -> None:
        """Choose methods and device."""
        super().check()
        self.device, self.maps = choose_device(self.options.device), {}

    def keep(self, method: str, values: np.ndarray | None, shape: tuple[int, ...]) -> None:
        """Add a map of a method."""
        self.maps.setdefault(method, []).append(np.zeros(shape) if values is None else values)

    def given(self) -> dict[str, Any]:
        """The options that every run of explanations takes over."""
        found = {name: getattr(self.options, name) for name in _TAKEN if hasattr(self.options, name)}
        return {**found, "settings": self.settings, "pictures": False, "gallery": False}

    def explained(self, images: Sequence[Path], **run: Any) -> Iterator[Explained]:
        """Explain pictures as `sig explain` does; options of the run come before the scenario's."""
        yield from self.maps_of(prepare(ExplainOptions(**{"images": images, **self.given(), **run})))

    def maps_of(self, session: Session) -> Iterator[Explained]:
        """Explanations of a run as they come, each with its map."""
        for number, item in enumerate(stream(session)):
            self.listener.stage("explaining", number + 1, session.items)
            yield item, map_of(session, item)


class _OneRun(PictureComparison[R]):
    """A scenario whose explanations are one run in its folder, which `--resume` goes on with."""

    session: Session

    @property
    def output(self) -> str:
        """What is explained: the score."""
        return self.session.scorer.output

    def given(self) -> dict[str, Any]:
        """The options that the run takes over, and its folder."""
        return {**super().given(), "out": self.folder}

    def opened(self) -> Path:
        """The folder, which the run claims later: after the network is trained."""
        o = self.options
        return own_folder(f"sig-{self.name}", self.files, self.networks, out=o.out, overwrite=o.overwrite)

    def train(self) -> None:
        """Train the scenario's networks, or take them from the cache."""

    @abstractmethod
    def run_options(self) -> dict[str, Any]:
        """Write the pictures; options of the run beside `given`, its `images` among them."""


class RunComparison(_OneRun[R]):
    """A scenario that scores the maps of one run itself."""

    def measure(self) -> None:
        """Train, open the run, and score its explanations."""
        with unclaimed(self.folder, self.networks):
            self.train()
            self.session = prepare(
                ExplainOptions(**{**self.given(), **self.run_options()}), facts={"scenario": self.spec()}
            )
        take(self.folder, self.files, made=self.networks)
        self.score(self.maps_of(self.session))

    @abstractmethod
    def score(self, explained: Iterator[Explained]) -> None:
        """Fill the scores."""


class EvaluatedComparison(_OneRun[R]):
    """A scenario whose explanations are measured as `sig evaluate` does."""

    metrics: ClassVar[Sequence[str]]
    view: View
    """How the maps were looked at when they were measured."""

    def suited(self, samples: Pictures, model: Model, methods: list[Chosen]) -> list[Chosen]:
        """Which of the methods the loaded model allows; raises UsageError for a model that the scenario cannot use."""
        del samples, model
        return methods

    def measure(self) -> None:
        """Train, open the run, explain and measure."""
        with unclaimed(self.folder, self.networks):
            self.train()
            run: dict[str, Any] = {"metric": ",".join(self.metrics), **self.given(), **self.run_options()}
            prepared = prepare_evaluation(EvaluateOptions(**run), also={"scenario": self.spec()}, suited=self.suited)
        take(self.folder, self.files, made=self.networks)
        self.session, self.view = prepared.session, prepared.measuring.view
        kept = _Kept(self.listener, prepared.items)
        self.judge(carry_out(prepared, kept), kept.items)

    @abstractmethod
    def judge(self, found: Evaluation, items: Sequence[Explanation]) -> None:
        """Read what was measured."""


class _Kept(Listener):
    """Keeps the explanations of a run, and tells how many there are."""

    def __init__(self, listener: Listener, total: int):
        self._listener, self._total = listener, total
        self.items: list[Explanation] = []

    def explained(self, item: Explanation) -> None:
        self.items.append(item)
        self._listener.stage("explaining", len(self.items), self._total)


def map_of(session: Session, item: Explanation) -> np.ndarray | None:
    """The map (H, W) of an explanation, summed over channels; None where it failed."""
    values = item.values
    if item.status == "ok" and values is None and session.run is not None:  # done by an earlier run
        values = np.load(session.run.path / item.folder / f"{item.name}.npy")
    return None if values is None else values.astype(np.float64).sum(0)


def written(names: Sequence[str], images: Sequence[np.ndarray] | np.ndarray, folder: Path) -> list[Path]:
    """Pictures uint8 (H, W) or (H, W, 3) as PNG files, those that do not stand there already."""
    paths = [folder / name for name in names]
    for path, image in zip(paths, images, strict=True):
        if not _stands(path, image):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_aside(path, partial(Image.fromarray(image).save, format="PNG"))
    return paths


def _stands(path: Path, image: np.ndarray) -> bool:
    if not path.exists():
        return False
    with Image.open(path) as there:
        return np.array_equal(np.asarray(there), image)


def sheet(
    path: Path,
    pictures: Sequence[np.ndarray | None],
    maps: Mapping[str, Sequence[np.ndarray | None]],
    **texts: Any,
) -> None:
    """Write pictures across the top, and below them the maps of each method; see `render.maps.grid.grid_image`."""
    from .. import render
    from ..render.maps.grid import grid_image

    render.save_png(grid_image(pictures, maps, **texts), path)

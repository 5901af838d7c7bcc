"""`sig train`: parse, call `train`, show progress and what came out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..training.options import TrainOptions
from .command import Screen, command
from .progress import StageListener

if TYPE_CHECKING:
    from ..training.loop import Point
    from ..training.train import Training


@command(TrainOptions, config="train")
def train(options: TrainOptions, screen: Screen) -> int:
    """Train a classifier on a folder of images; with --certainty, one that icg can explain.

    Examples:
      sig train flowers/ --arch resnet18 --certainty       then: sig explain photo.jpg --model sig-train/network.safetensors

      sig train digits/ --arch small-cnn --grey --image-size 28 --no-flip --certainty

      sig train digits/ --arch small-cnn --grey --image-size 28 --no-flip --preset icg      as [ICG] trains its networks
    """
    from ..training.train import train as carry_out

    with _Curves(screen) as listener:
        found = carry_out(options, listener)
    screen.results.add({"file": str(found.file), "classes": found.classes, **found.figures})
    _report(found, screen)
    return len(found.unread)


class _Curves(StageListener):
    """Shows the stages, and each point of the curves as it is measured."""

    def __init__(self, screen: Screen):
        super().__init__()
        self._screen, self._begun = screen, time.perf_counter()

    def stage(self, stage: str, done: int, total: int, point: Any = None) -> None:
        super().stage(stage, done, total)
        if point is not None:
            self._screen.say(_told(point, total, time.perf_counter() - self._begun))

    def note(self, text: str) -> None:
        self._screen.say(f"note: {text}")


def _told(point: Point, steps: int, seconds: float) -> str:
    damaged = "" if point.damaged is None else f", damaged {point.damaged:.1%}"
    accuracy = f"held-out accuracy {point.accuracy:.1%}{damaged}"
    return f"batch {point.step}/{steps}: loss {point.loss:.3f}, {accuracy}, {seconds:.0f} s"


def _report(found: Training, screen: Screen) -> None:
    from ..training.report import checks_told

    figures = found.figures
    screen.say(f"{len(found.classes)} classes, held-out accuracy {figures['accuracy']:.1%}")
    if "neutrality" in figures:
        screen.say(f"damaged {figures['damaged']:.1%}. {checks_told(figures)}")
    for sentence in found.unread:
        screen.say(f"left out: {sentence}", "red")
    screen.say(f"network and curves in {found.folder}/; explain images with --model {found.file}")

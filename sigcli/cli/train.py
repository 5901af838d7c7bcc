"""`sig train`: parse, call `sigcli.training.train`, show progress and what came out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..engine.allocator import keep_freed_memory
from . import options as o
from .answers import answers
from .console import FAILED, console, guarded

if TYPE_CHECKING:
    from ..training.loop import Point
    from ..training.train import Training

_TRAIN = "Training"
Folder = Annotated[
    str, typer.Argument(metavar="FOLDER", help="A subfolder of images for each class, or train/ and val/.")
]
Arch = Annotated[
    str,
    typer.Option(
        "--arch",
        rich_help_panel=_TRAIN,
        help="A torchvision classifier, small-cnn, small-cnn-any, small-cnn-ring or pixel-cnn.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", rich_help_panel=_TRAIN, show_default=False,
        help="icg: the recipe of [ICG] A.5. Xavier weights, Adam at 0.001, every image damaged in one of the four ways.",
    ),
]  # fmt: skip
Certainty = Annotated[
    bool | None,
    typer.Option(
        "--certainty/--no-certainty", rich_help_panel=_TRAIN, show_default="with --preset icg",
        help="Train with damaged images and a certainty per pixel, so that icg can explain the network.",
    ),
]  # fmt: skip
Size = Annotated[int, typer.Option("--size", rich_help_panel=_TRAIN, help="Side of the pictures in pixels.")]
Epochs = Annotated[float, typer.Option("--epochs", rich_help_panel=_TRAIN, help="How often each image is seen.")]
Rate = Annotated[
    float | None,
    typer.Option("--rate", rich_help_panel=_TRAIN, help="The highest learning rate.", show_default="0.002; icg: 0.001"),
]
Flip = Annotated[bool, typer.Option("--flip/--no-flip", rich_help_panel=_TRAIN, help="Mirror images at random.")]
Grey = Annotated[bool, typer.Option("--grey", rich_help_panel=_TRAIN, help="Take images in grey, for small-cnn.")]


def train(
    folder: Folder,
    arch: Arch = "resnet18",
    preset: Preset = None,
    certainty: Certainty = None,
    size: Size = 128,
    epochs: Epochs = 20,
    rate: Rate = None,
    flip: Flip = True,
    grey: Grey = False,
    batch_size: o.BatchSize = "auto",
    seed: o.Seed = 0,
    device: o.Device = "auto",
    out: o.Out = None,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    pictures: o.Pictures = True,
    as_json: o.Json = False,
    debug: o.Debug = False,
) -> None:
    """Train a classifier on a folder of images; with --certainty, one that icg can explain.

    Examples:
      sig train flowers/ --arch resnet18 --certainty       then: sig explain photo.jpg --model sig-train/network.safetensors

      sig train digits/ --arch small-cnn --grey --size 28 --no-flip --certainty

      sig train digits/ --arch small-cnn --grey --size 28 --no-flip --preset icg      as [ICG] trains its networks
    """
    with guarded(debug), answers(as_json) as results:
        from ..training.train import train_folder
        from .progress import Stages

        keep_freed_memory()
        screen = console()
        begun = time.perf_counter()
        with Stages() as stages:

            def show(stage: str, done: int, total: int, point: Point | None) -> None:
                stages.show(stage, done, total)
                if point is not None:
                    screen.print(_told(point, total, time.perf_counter() - begun), markup=False)

            found = train_folder(
                folder, arch=arch, preset=preset, certainty=certainty, size=size, epochs=epochs, rate=rate, flip=flip,
                grey=grey, batch_size=o.whole_or_auto("batch-size", batch_size), seed=seed, device=device, out=out,
                resume=resume, overwrite=overwrite, pictures=pictures, progress=show,
            )  # fmt: skip
        results.add({"file": str(found.file), "classes": found.classes, **found.figures})
        _report(found, screen)
    if found.unread:
        raise typer.Exit(FAILED)


def _told(point: Point, steps: int, seconds: float) -> str:
    damaged = "" if point.damaged is None else f", damaged {point.damaged:.1%}"
    accuracy = f"held-out accuracy {point.accuracy:.1%}{damaged}"
    return f"batch {point.step}/{steps}: loss {point.loss:.3f}, {accuracy}, {seconds:.0f} s"


def _report(found: Training, screen: Console) -> None:
    from ..training.report import checks_told

    figures = found.figures
    screen.print(f"{len(found.classes)} classes, held-out accuracy {figures['accuracy']:.1%}", markup=False)
    if "neutrality" in figures:
        screen.print(f"damaged {figures['damaged']:.1%}. {checks_told(figures)}", markup=False)
    for sentence in found.unread:
        screen.print(f"left out: {sentence}", markup=False, style="red")
    screen.print(f"network and curves in {found.folder}/; explain images with --model {found.file}", markup=False)

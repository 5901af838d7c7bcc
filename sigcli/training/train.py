"""The use case behind `sig train`: a folder of images in, a classifier that `--model` takes out. No printing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..attribution.select import choose_device
from ..errors import UsageError
from ..models.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from ..models.sources import trained
from ..models.sources.trained import Trained
from ..runs.folder import claim_folder, free_folder, output_folder, save_table
from ..runs.provenance import versions
from .folders import Decoded, batches, decode, find_classes, padded
from .loop import Held, Point, net_of, preset_recipe, train
from .report import NETWORK, certainty_figures

DEFAULT_OUT = "sig-train"
CHECKPOINT = "checkpoint.safetensors"
_LEAST = 8
"""Images in a batch that hold every kind of damage."""
FILES = (NETWORK, CHECKPOINT, "training.csv", "training.png")


@dataclass(frozen=True, eq=False)
class Training:
    """What a training ends with.

    Args:
        file: the network, for `--model`.
        classes: their names.
        figures: accuracy on held-out images; with certainty also damaged accuracy, information absence and neutrality.
        points: of the curves.
        unread: images that were left out, one sentence each.
        folder: of all files.
    """

    file: Path
    classes: tuple[str, ...]
    figures: dict[str, float]
    points: list[Point]
    unread: list[str]
    folder: Path


def train_folder(  # noqa: PLR0913 - the whole command, as keywords
    folder: str | Path,
    *,
    arch: str = "resnet18",
    preset: str | None = None,
    certainty: bool | None = None,
    size: int = 128,
    epochs: float = 20,
    batch_size: int | None = None,
    rate: float | None = None,
    flip: bool = True,
    grey: bool = False,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    pictures: bool = True,
    progress: Callable[[str, int, int, Point | None], None] | None = None,
) -> Training:
    """Train a classifier from nothing, with or without a certainty per pixel ([ICG] section 4).

    Args:
        folder: with a subfolder of images for each class, or with train/ and val/ that have them; otherwise one image in
            five is held out.
        arch: a torchvision classifier, small-cnn, small-cnn-any, small-cnn-ring or pixel-cnn.
        preset: "icg" trains as [ICG] A.5 does, see `sigcli.training.loop.PRESETS`; it trains with certainty where
            `certainty` is not given.
        certainty: train with damaged images and their certainty, so that `icg` can explain it; by default with a preset.
        size: side of the pictures in pixels.
        epochs: how often each image is seen.
        batch_size: images in a batch; 64 if not given.
        rate: the highest learning rate; 0.002 if not given, and 0.001 with the preset.
        flip: mirror images at random.
        grey: take them in grey.
        seed: of all draws.
        device: auto, cpu, cuda; on a GPU with automatic mixed precision.
        out: the folder; by default sig-train, or the next free sig-train-N.
        resume: go on from the last checkpoint.
        overwrite: replace another run in `out`.
        pictures: draw the curves.
        progress: called with the stage, what is done of it, its length, and a point of the curves where one was measured.

    Raises:
        UsageError: an option that cannot be used, or a folder without classes.
        OutputError: the folder cannot be written, holds another run, or its checkpoint is of another training.
    """
    _check(size, epochs, batch_size, rate)
    recipe = preset_recipe(preset, rate=rate, seed=seed)
    certainty = preset is not None if certainty is None else certainty
    place = choose_device(device)
    data = find_classes(folder, seed=seed)
    channels = 1 if grey else 3
    mean, std = ((0.5,), (0.25,)) if grey else (IMAGENET_MEAN, IMAGENET_STD)
    made = Trained(arch, data.classes, certainty, Preprocess(size, size, mean, std))
    module = _built(made, size, seed)
    spec: dict[str, Any] = {
        "command": "train", "folder": str(folder), "arch": arch, "certainty": certainty, "size": size, "epochs": epochs,
        "batch_size": batch_size, "rate": recipe.rate, "flip": flip, "grey": grey, "seed": seed,
    }  # fmt: skip
    if preset is not None:
        spec["preset"] = preset
    manifest = {"spec": spec, "device": place, "versions": versions(), "images": []}
    path = output_folder(out) if out is not None else free_folder(DEFAULT_OUT, manifest, resume=resume)
    claim_folder(path, manifest, FILES, resume=resume, overwrite=overwrite)

    def show(stage: str) -> Callable[..., None]:
        def shown(done: int, total: int, point: Point | None = None) -> None:
            if progress is not None:
                progress(stage, done, total, point)

        return shown

    seen = decode(data.train, padded(size), channels, show("reading"))
    _readable(seen, data.classes)
    held = decode(data.held, size, channels, show("reading held-out images"))
    recipe = replace(recipe, steps=_steps(seen, epochs, batch_size or 64), damage=certainty)
    net = net_of(module, mean, std, certainty=certainty, device=place)
    tests = Held(held.pixels.float() / 255, held.labels)
    points = train(
        net, batches(seen, size, batch_size or 64, flip=flip, seed=seed), tests, recipe, checkpoint=path / CHECKPOINT,
        resume=resume, progress=show("training"),
    )  # fmt: skip
    shares = torch.bincount(seen.labels, minlength=len(data.classes)) / len(seen.labels)
    figures = {"accuracy": points[-1].accuracy, **certainty_figures(net, _mixed(tests), shares, points[-1].damaged)}
    trained.save(path / NETWORK, net.module, Trained(arch, data.classes, certainty, made.preprocess, figures))
    save_table(path / FILES[2], [vars(point) for point in points])
    (path / CHECKPOINT).unlink(missing_ok=True)
    if pictures:
        from .curves import draw_curves

        kind = "with certainty" if certainty else "without certainty"
        draw_curves({"": points}, path / FILES[3], title=f"{arch} on {Path(folder).name}, {kind}")
    return Training(path / NETWORK, data.classes, figures, points, [*seen.unread, *held.unread], path)


def _built(made: Trained, size: int, seed: int) -> nn.Module:
    """The network, tried on one picture before any image is read; UsageError where the size does not suit it."""
    try:
        module = trained.build(made, seed=seed)
        with torch.no_grad():
            module.eval()(torch.zeros(1, made.preprocess.channels, size, size))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        what = f"{made.arch} cannot take pictures of {size} pixels: {' '.join(str(error).split())}"
        raise UsageError(
            what, given=f"--image-size {size}", hint="Try --image-size 224, for which most networks are made."
        ) from error
    return module.train()


def _readable(seen: Decoded, classes: Sequence[str]) -> None:
    """Raise UsageError for a class without an image that can be read, or too few images for a batch."""
    counts = torch.bincount(seen.labels, minlength=len(classes)).tolist()
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        raise UsageError("a class has no image to train on that can be read", given=", ".join(empty))
    if len(seen.labels) < _LEAST:
        raise UsageError(
            "there are too few images to train on",
            given=len(seen.labels),
            allowed=f"{_LEAST} or more, beside those held out",
        )


def _mixed(held: Held) -> Held:
    """The held-out pictures in an order that does not follow their classes, of which the checks take the first."""
    order = torch.randperm(len(held.labels), generator=torch.Generator().manual_seed(0))
    return Held(held.images[order], held.labels[order])


def _steps(data: Decoded, epochs: float, size: int) -> int:
    return max(1, round(epochs * (len(data.pixels) // min(size, len(data.pixels)))))


def _check(size: int, epochs: float, batch_size: int | None, rate: float | None) -> None:
    if not 8 <= size <= 1024:
        raise UsageError("size is out of range", given=size, allowed="8 to 1024 pixels")
    if not 0 < epochs <= 10_000:
        raise UsageError("epochs must be above 0", given=epochs, allowed="up to 10000")
    if batch_size is not None and batch_size < 4:
        raise UsageError("a training batch must have at least 4 images, one for each kind of damage", given=batch_size)
    if rate is not None and not 0 < rate < 1:
        raise UsageError("rate must be above 0 and below 1", given=rate)

"""The use case behind `sig train`: a folder of images in, a classifier that `--model` takes out. No printing."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..door import door
from ..engine.modes import own_modes
from ..errors import ModelError, UsageError
from ..inputs.left_out import LeftOut
from ..listener import Listener
from ..models.device import choose_device
from ..models.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from ..models.sources import trained
from ..models.sources.trained import Trained
from ..render.shown import through_file
from ..runs.claims import abandon, refuse_inside, remove_empty
from ..runs.folder import FolderLock, claim_folder, folder_for, save_table
from ..runs.provenance import versions
from . import loop
from .folders import Decoded, batches, decode, find_classes, padded
from .loop import Held, Net, Point, Recipe, preset_recipe
from .options import TrainOptions
from .report import NETWORK, certainty_figures

if TYPE_CHECKING:
    from PIL import Image

DEFAULT_OUT = "sig-train"
CHECKPOINT = "checkpoint.safetensors"
_LEAST = 8
"""Images in a batch that hold every kind of damage."""
TABLE, PICTURE = "training.csv", "training.png"
FILES = (NETWORK, CHECKPOINT, TABLE, PICTURE)


@dataclass(frozen=True, eq=False)
class Training:
    """Results of a training.

    Args:
        file: the network, for `--model`.
        classes: their names.
        figures: accuracy on held-out images; with certainty also damaged accuracy, information absence and neutrality.
        points: points of the curves.
        unread: images that were left out, with the reason in one sentence each.
        folder: folder of all files.
        title: title of the curves.
    """

    file: Path
    classes: tuple[str, ...]
    figures: dict[str, float]
    points: list[Point]
    unread: list[str]
    folder: Path
    title: str

    def __repr__(self) -> str:
        accuracy = f"held-out accuracy {self.figures['accuracy']:.1%}"
        return f"Training({len(self.classes)} classes, {accuracy}, file={str(self.file)!r})"

    def plot(self, path: str | Path | None = None) -> Image.Image:
        """Draw loss and accuracy against the number of batches, as training.png has them; also written to `path`."""
        from .curves import draw_curves

        return through_file(path, lambda file: draw_curves({"": self.points}, file, title=self.title))


@door(TrainOptions)
@own_modes()
def train(options: TrainOptions, listener: Listener) -> Training:
    """Train a classifier from scratch, certainty-aware or not ([ICG] section 4).

    Call it with a folder of class subfolders and options as arguments, or with `TrainOptions` and a listener.

    Raises:
        UsageError: an option that cannot be used, or a folder without classes.
        OutputError: the folder cannot be written, holds another run, or its checkpoint is of another training.
    """
    _check(options)
    size, seed = options.image_size, options.seed
    recipe = preset_recipe(options.preset, rate=options.learning_rate, seed=seed)
    certainty = options.preset is not None if options.certainty is None else options.certainty
    place = choose_device(options.device)
    refuse_inside(options.out, [options.folder])
    left_out = LeftOut()
    data = find_classes(options.folder, seed=seed, left_out=left_out)
    for note in left_out.notes:
        listener.note(note)
    channels = 1 if options.grey else 3
    mean, std = ((0.5,), (0.25,)) if options.grey else (IMAGENET_MEAN, IMAGENET_STD)
    made = Trained(options.arch, data.classes, certainty, Preprocess(size, size, mean, std))
    module = _built(made, size, seed)
    manifest = _manifest(options, recipe, certainty, place)
    path = folder_for(options.out, DEFAULT_OUT, manifest, resume=options.resume)
    with _claimed(path, manifest, options):
        found = _finished(path, options, certainty) if options.resume else None
        if found is not None:
            listener.note(f"the training in {path} is finished: nothing is left to do (train anew without --resume)")
            return found
        try:
            seen = decode(data.train, padded(size), channels, partial(listener.stage, "reading"))
            _readable(seen, data.classes)
        except UsageError:
            abandon(path)
            raise
        held = decode(data.held, size, channels, partial(listener.stage, "reading held-out images"))
        recipe = replace(recipe, steps=_steps(seen, options.epochs, options.batch_size or 64), damage=certainty)
        net = loop.net_of(module, mean, std, certainty=certainty, device=place)
        return _trained(path, net, made, recipe, (seen, held), options=options, listener=listener)


def _trained(
    path: Path, net: Net, made: Trained, recipe: Recipe, data: tuple[Decoded, Decoded], *, options: TrainOptions,
    listener: Listener,
) -> Training:  # fmt: skip
    """Train the network and write all files; the checkpoint goes last, and with it what `--resume` goes on from."""
    seen, held = data
    size, seed, batch_size = options.image_size, options.seed, options.batch_size or 64
    tests = Held(held.pixels.float() / 255, held.labels)
    points = loop.train(
        net, batches(seen, size, batch_size, flip=options.flip, seed=seed), tests, recipe, checkpoint=path / CHECKPOINT,
        resume=options.resume, progress=partial(listener.stage, "training"),
    )  # fmt: skip
    shares = torch.bincount(seen.labels, minlength=len(made.classes)) / len(seen.labels)
    figures = {"accuracy": points[-1].accuracy, **certainty_figures(net, _mixed(tests), shares, points[-1].damaged)}
    trained.save(path / NETWORK, net.module, replace(made, figures=figures))
    save_table(path / TABLE, [vars(point) for point in points])
    unread = [*seen.unread, *held.unread]
    found = Training(path / NETWORK, made.classes, figures, points, unread, path, _title(options, made.certainty))
    if options.pictures:
        found.plot(path / PICTURE)
    (path / CHECKPOINT).unlink(missing_ok=True)
    return found


def _title(options: TrainOptions, certainty: bool) -> str:
    return f"{options.arch} on {Path(options.folder).name}, {'with' if certainty else 'without'} certainty"


def _finished(path: Path, options: TrainOptions, certainty: bool) -> Training | None:
    """The training that a folder holds, where it is finished: its network and curves stand, and no checkpoint is left."""
    if (path / CHECKPOINT).exists() or not ((path / NETWORK).is_file() and (path / TABLE).is_file()):
        return None
    try:
        made = trained.read_header(path / NETWORK)
        with (path / TABLE).open(newline="", encoding="utf-8") as stream:
            points = [
                Point(int(row["step"]), float(row["loss"]), float(row["accuracy"]), float(row["damaged"] or "nan"))
                for row in csv.DictReader(stream)
            ]
    except (ModelError, ValueError, KeyError):
        return None  # damaged, so it is trained again
    if made is None or not points:
        return None
    points = [point if certainty else replace(point, damaged=None) for point in points]
    title = _title(options, certainty)
    found = Training(path / NETWORK, made.classes, dict(made.figures), points, [], path, title)
    if options.pictures and not (path / PICTURE).exists():
        found.plot(path / PICTURE)
    return found


@contextmanager
def _claimed(path: Path, manifest: dict[str, Any], options: TrainOptions) -> Iterator[None]:
    """Make the run folder this training's, and keep other processes out of it meanwhile."""
    there = path.is_dir()
    with FolderLock(path):
        try:
            claim_folder(path, manifest, FILES, resume=options.resume, overwrite=options.overwrite)
        except BaseException:
            if not there:
                remove_empty(path)
            raise
        yield


def _manifest(options: TrainOptions, recipe: Recipe, certainty: bool, place: str) -> dict[str, Any]:
    """The manifest of the run folder."""
    spec: dict[str, Any] = {
        "command": "train", "folder": str(options.folder), "arch": options.arch, "certainty": certainty,
        "size": options.image_size, "epochs": options.epochs, "batch_size": options.batch_size, "rate": recipe.rate,
        "flip": options.flip, "grey": options.grey, "seed": options.seed,
    }  # fmt: skip
    if options.preset is not None:
        spec["preset"] = options.preset
    return {"spec": spec, "device": place, "versions": versions(), "images": []}


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
        raise UsageError("a class has no readable training image", given=", ".join(empty))
    if len(seen.labels) < _LEAST:
        raise UsageError(
            "there are too few images to train on",
            given=len(seen.labels),
            allowed=f"{_LEAST} or more, not counting those held out",
        )


def _mixed(held: Held) -> Held:
    """The held-out pictures in an order that does not follow their classes, of which the checks take the first."""
    order = torch.randperm(len(held.labels), generator=torch.Generator().manual_seed(0))
    return Held(held.images[order], held.labels[order])


def _steps(data: Decoded, epochs: float, size: int) -> int:
    return max(1, round(epochs * (len(data.pixels) // min(size, len(data.pixels)))))


def _check(options: TrainOptions) -> None:
    if not 8 <= options.image_size <= 1024:
        raise UsageError("the image size is out of range", given=options.image_size, allowed="8 to 1024 pixels")
    if not 0 < options.epochs <= 10_000:
        raise UsageError("epochs must be above 0", given=options.epochs, allowed="up to 10000")
    if options.batch_size is not None and options.batch_size < 4:
        what = "a training batch must have at least 4 images, one for each kind of damage"
        raise UsageError(what, given=options.batch_size)
    if options.learning_rate is not None and not 0 < options.learning_rate < 1:
        raise UsageError("the learning rate must be above 0 and below 1", given=options.learning_rate)

"""The classifier of `imagenette`: trained as `sig train --certainty` does, once for each folder of photographs."""

from __future__ import annotations

import hashlib
import inspect
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ... import draws
from ...errors import ImageError, UsageError
from ...inputs.images import read_image
from ...listener import SILENT, Listener
from ...models.loading import load_model
from ...models.networks import certainty as networks
from ...models.sources import trained
from ...runs.folder import write_aside
from ...training import damage, folders
from ...training import loop as training
from ...training import train as command
from ...training.folders import Folders
from ...training.options import TrainOptions
from ...training.report import NETWORK, checks_told
from ...training.train import train
from ..network import cache_folder

LEARNT = 0.25
"""A network that gained less than this fraction of the way from chance to always right has learnt too little to explain."""
_REFERENCES = 64


@dataclass(frozen=True, eq=False)
class TrainedOnPhotographs:
    """The network and what was measured of it.

    Args:
        file: that `--model` takes.
        kept: the folder of its training, in the cache.
        classes: their names.
        figures: accuracy and the checks.
        cached: whether an earlier run trained it.
    """

    file: Path
    kept: Path
    classes: tuple[str, ...]
    figures: Mapping[str, float]
    cached: bool

    def told(self) -> str:
        """The network in a sentence."""
        f = self.figures
        how = "taken from the cache" if self.cached else "trained for this"
        accuracy = f"is right in {f['accuracy']:.1%} of the held-out images, damaged ones {f['damaged']:.1%}"
        return f"The network ({how}, {len(self.classes)} classes) {accuracy}. {checks_told(f)}"

    def doubts(self) -> list[str]:
        """A warning where it has learnt so little that its maps mean nothing."""
        chance = 1 / len(self.classes)
        if self.figures["accuracy"] >= chance + LEARNT * (1 - chance):
            return []
        told = (
            f"It is hardly better than chance ({chance:.0%}), so its maps say little: train it longer, with --epochs."
        )
        return [told]


def trained_network(
    folder: Path, data: Path, found: Folders, *, arch: str, size: int, epochs: float, seed: int, device: str,
    listener: Listener = SILENT,
) -> TrainedOnPhotographs:  # fmt: skip
    """Train with certainty as `sig train` does, or go on with it, or take it from the cache; copies lie in `folder`."""
    code = "".join(inspect.getsource(module) for module in (command, folders, networks, training, damage))
    listing = [(str(path), path.stat().st_size, label) for path, label in (*found.train, *found.held)]
    known = repr((str(data.resolve()), listing, arch, size, epochs, seed, code))
    kept = cache_folder() / f"imagenette-{hashlib.blake2b(known.encode(), digest_size=8).hexdigest()}"
    cached = (kept / NETWORK).exists()
    if not cached:
        options = TrainOptions(
            folder=data.resolve(), arch=arch, certainty=True, image_size=size, epochs=epochs, seed=seed, device=device,
            out=kept, resume=kept.exists(),
        )  # fmt: skip
        train(options, listener)
    folder.mkdir(parents=True, exist_ok=True)
    copy(kept, folder, NETWORK)
    header = trained.read_header(kept / NETWORK)
    if header is None:
        raise RuntimeError(f"{kept / NETWORK} has no header")
    return TrainedOnPhotographs(folder / NETWORK, kept, header.classes, header.figures, cached)


def copy(kept: Path, folder: Path, name: str) -> None:
    """Copy a file of the training, which stands in the cache, into the scenario's folder."""
    write_aside(folder / name, lambda aside: shutil.copyfile(kept / name, aside))


def named_right(file: Path, found: Folders, images: int, *, seed: int, device: str) -> list[Path]:
    """Held-out images whose class the network names, in a random order that the seed fixes; at most `images`.

    Raises:
        UsageError: it names none of them.
    """
    model = load_model(str(file), device=device)
    chosen: list[Path] = []
    for path, label in sorted(found.held, key=lambda item: draws.stream(seed, "chosen", item[0].name)):
        try:
            x = model.preprocess(read_image(path).pixels)
        except ImageError:
            continue  # training and held-out images that cannot be read are left out alike
        with torch.no_grad():
            if int(model.module(x[None].to(model.device)).argmax()) == label:
                chosen.append(path)
        if len(chosen) == images:
            break
    if not chosen:
        raise UsageError("the network names no held-out image right", hint="Train it longer, with --epochs.")
    return chosen


def references(found: Folders, seed: int) -> list[Path]:
    """Training images for means, references and Expected Gradients."""
    order = sorted((path for path, _ in found.train), key=lambda path: draws.stream(seed, "reference", path.name))
    return order[:_REFERENCES]

"""A folder of images with a subfolder for each class, as training data: found, split, decoded once, cut into batches."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import draws
from ..errors import ImageError, UsageError
from ..inputs.images import find_images, is_image_name, read_image
from ..inputs.left_out import HIDDEN, RUN, LeftOut, is_run
from ..models.preprocess import Preprocess

_TRAIN, _HELD = ("train", "training"), ("val", "valid", "validation", "dev", "test", "testing")
_SPLIT = re.compile("train|test|val|dev|split|fold", re.IGNORECASE)
HELD_SHARE = 5
"""Where there is no folder of held-out images, one in five of each class is held out."""
_ROOM = 4 << 30
_AROUND = 8  # training images are decoded an eighth larger than they are used, to be cropped at random


@dataclass(frozen=True, eq=False)
class Folders:
    """Images by class.

    Args:
        classes: names of the subfolders, sorted.
        train: images to train on, and the class of each.
        held: images to measure on, and the class of each.
    """

    classes: tuple[str, ...]
    train: list[tuple[Path, int]]
    held: list[tuple[Path, int]]


def find_classes(folder: str | Path, *, seed: int = 0, left_out: LeftOut | None = None) -> Folders:
    """Find a data set: `FOLDER/CLASS/…`, or `FOLDER/train/CLASS/…` and `FOLDER/val/CLASS/…`.

    Args:
        folder: folder of the data set.
        seed: seed of the split where there is no folder of held-out images.
        left_out: learns what was passed over.

    Raises:
        UsageError: no such folder, fewer than two classes, a class with fewer than two images, or folders that differ in
            their classes.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(
            "no such folder", given=folder, hint="Name a folder with a subfolder of images for each class."
        )
    left = LeftOut() if left_out is None else left_out
    train, held = (_part(root, names) for names in (_TRAIN, _HELD))
    if train is not None and held is not None:
        for entry in sorted(root.iterdir()):
            if entry not in (train, held):
                left.add(HIDDEN if entry.name.startswith(".") else f"beside {train.name}/ and {held.name}/", entry)
        one, other = _by_class(train, left), _by_class(held, left)
        if list(one) != list(other):
            odd = sorted(set(one) ^ set(other))
            raise UsageError(f"{train.name}/ and {held.name}/ have different classes", given=", ".join(odd[:3]))
        return Folders(tuple(one), _listed(one), _listed(other))
    found = _by_class(root, left)
    _check_parts(root, list(found))
    one, other = {}, {}
    for name, paths in found.items():
        order = sorted(paths, key=lambda path: draws.stream(seed, "held", name, path.name))
        count = max(1, len(order) // HELD_SHARE)
        other[name], one[name] = sorted(order[:count]), sorted(order[count:])
    return Folders(tuple(found), _listed(one), _listed(other))


def _part(root: Path, names: tuple[str, ...]) -> Path | None:
    """The folder of one part of the data, in upper or lower case; the first of these names that is there."""
    there = {entry.name.casefold(): entry for entry in sorted(root.iterdir(), reverse=True) if entry.is_dir()}
    return next((there[name] for name in names if name in there), None)


def _check_parts(root: Path, classes: list[str]) -> None:
    """Raise UsageError where folders such as seg_train and seg_test hold the same subfolders and no images: these are the
    classes, and not they.
    """
    if not any(_SPLIT.search(name) for name in classes):
        return
    inside = [[entry for entry in (root / name).iterdir() if not entry.name.startswith(".")] for name in classes]
    folders = [{entry.name for entry in entries if entry.is_dir()} for entries in inside]
    images = any(is_image_name(entry) and entry.is_file() for entries in inside for entry in entries)
    if len(folders[0]) > 1 and all(one == folders[0] for one in folders) and not images:
        raise UsageError(
            f"the subfolders of {root} are parts of the data rather than classes: each holds the folders "
            f"{', '.join(sorted(folders[0])[:3])}{', …' if len(folders[0]) > 3 else ''}",
            given=", ".join(classes[:4]), allowed="FOLDER/CLASS/…, or FOLDER/train/CLASS/… and FOLDER/val/CLASS/…",
        )  # fmt: skip


def _by_class(folder: Path, left: LeftOut) -> dict[str, list[Path]]:
    names = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            left.add(HIDDEN, entry)
        elif not entry.is_dir():
            left.add("beside the folders of the classes", entry)
        elif is_run(entry):
            left.add(RUN, entry)
        else:
            names.append(entry.name)
    if len(names) < 2:
        what = "training needs at least two classes, each a subfolder of images"
        raise UsageError(what, given=f"{folder}: {len(names)} of them")
    found = {name: find_images([folder / name], left) for name in names}
    few = [name for name, paths in found.items() if len(paths) < 2]
    if few:
        raise UsageError("a class needs at least two images", given=few[0])
    return found


def _listed(by: dict[str, list[Path]]) -> list[tuple[Path, int]]:
    return [(path, label) for label, paths in enumerate(by.values()) for path in paths]


@dataclass(frozen=True, eq=False)
class Decoded:
    """Images in memory.

    Args:
        pixels: uint8 (N, C, H, W).
        labels: (N,) classes.
        unread: images that could not be read, one sentence each; they are left out.
    """

    pixels: Tensor
    labels: Tensor
    unread: list[str]


def decode(
    items: list[tuple[Path, int]], side: int, channels: int, progress: Callable[[int, int], None] | None = None
) -> Decoded:
    """Decode images to squares of `side` pixels: the shorter side is scaled to it, and the centre taken.

    Raises:
        UsageError: they do not fit the memory set aside for them, or none can be read.
    """
    if len(items) * channels * side * side > _ROOM:
        most = int((_ROOM / len(items) / channels) ** 0.5)
        what, hint = "at this size, the images do not fit into 4 GiB of memory", f"Try --image-size {most * 8 // 9}."
        raise UsageError(what, given=f"{side} pixels", hint=hint)
    shape = Preprocess(side, side, (0.0,) * channels, (1.0,) * channels)

    def load(item: tuple[Path, int]) -> Tensor | str:
        try:
            return shape(read_image(item[0]).pixels).mul(255).round().to(torch.uint8)
        except ImageError as error:
            return " ".join(str(error).split())

    kept, labels, unread = [], [], []
    with ThreadPoolExecutor(2, "decode") as pool:
        for number, (found, item) in enumerate(zip(pool.map(load, items), items, strict=True)):
            if isinstance(found, str):
                unread.append(found)
            else:
                kept.append(found)
                labels.append(item[1])
            if progress is not None:
                progress(number + 1, len(items))
    if not kept:
        raise UsageError("none of the images can be read", given=unread[0])
    return Decoded(torch.stack(kept), torch.tensor(labels), unread)


def padded(side: int) -> int:
    """Size at which training images are decoded, to be cropped to `side` at random places."""
    return side + side // _AROUND


def batches(data: Decoded, side: int, size: int, *, flip: bool, seed: int) -> Callable[[int], tuple[Tensor, Tensor]]:
    """Batches of training pictures: step → (size, C, side, side) in 0..1 and classes; a random order in each epoch.

    Args:
        data: images of `padded(side)` pixels or more.
        side: side of the pictures.
        size: pictures in a batch; of the whole set where that is smaller.
        flip: mirror every other picture at random.
        seed: seed of order, crops and mirrors; a batch depends on it and its step alone.
    """
    count = len(data.pixels)
    size = min(size, count)
    each = count // size  # batches in an epoch
    room = data.pixels.shape[-1] - side

    def batch(step: int) -> tuple[Tensor, Tensor]:
        order = np.argsort(draws.rows(draws.stream(seed, "epoch", step // each), 0, 1, count)[0])
        rows = torch.from_numpy(order[step % each * size :][:size].copy())
        u = draws.rows(draws.stream(seed, "crop", step), 0, size, 3)
        top, left = ((u[:, i] * (room + 1)).astype(int) for i in (0, 1))
        pictures = [
            data.pixels[row, :, y : y + side, x : x + side] for row, y, x in zip(rows.tolist(), top, left, strict=True)
        ]
        images = torch.stack(pictures).float().div_(255)
        if flip:
            mirrored = torch.from_numpy(u[:, 2] < 0.5)
            images[mirrored] = images[mirrored].flip(-1)
        return images, data.labels[rows]

    return batch

"""Handwritten digits in one shape, 28×28: MNIST's files where a folder has them, else scikit-learn's digits, which are
8×8 and come with the package, so that nothing is downloaded.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ... import draws
from ...errors import UsageError

SIDE = 28
CLASSES = tuple("0123456789")
_DRAWN, _EDGE = 20, 4
"""As in MNIST, a digit fills 20×20 pixels, with an edge of 4 around it."""
_PARTS = {"train": "train", "test": "t10k"}
_PLACES = (".", "MNIST/raw", "raw")  # the folder itself, and torchvision's layout
_OUT_OF, _HELD, _MOST = 10, 500, 2000
_BYTES = b"\0\0\x08"


@dataclass(frozen=True, eq=False)
class Digits:
    """Pictures and their classes.

    Args:
        images: uint8 (N, 28, 28), 0 for the ground.
        labels: int64 (N,), 0 to 9.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: np.ndarray) -> Digits:
        """Some of them, in that order."""
        return Digits(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True, eq=False)
class Split:
    """Digits to train on and others to measure on.

    Args:
        train: seen in training.
        held: never seen, in random order.
        told: where they come from, in a sentence.
    """

    train: Digits
    held: Digits
    told: str

    def digest(self) -> str:
        """Eight hexadecimal digits of what is trained on and measured."""
        found = hashlib.blake2b(digest_size=4)
        for part in (self.train, self.held):
            found.update(part.images.tobytes() + part.labels.tobytes())
        return found.hexdigest()


def load(data: str | Path | None = None) -> Split:
    """Digits from a folder, or scikit-learn's.

    Args:
        data: a folder that has MNIST's idx files, plain or .gz, itself or as torchvision lays them out (MNIST/raw); with
            its training set, its test set, or both. Where only one is there, one digit in ten of it is held out. Of a
            larger test set, 2,000 digits are measured.

    Raises:
        UsageError: no such folder or files, or files that are no digits.

    >>> split = load()
    >>> len(split.train), len(split.held), split.train.images.shape[1:]
    (1297, 500, (28, 28))
    """
    if data is None:
        return _bundled()
    folder = Path(data)
    if not folder.is_dir():
        raise UsageError("no such folder of digits", given=data, hint="Leave --data out for scikit-learn's digits.")
    found = {part: digits for part, stem in _PARTS.items() if (digits := _part(folder, stem)) is not None}
    if not found:
        raise UsageError(
            "the folder has no MNIST files", given=data,
            allowed="train-images-idx3-ubyte and train-labels-idx1-ubyte, or t10k-..., plain or .gz, or in MNIST/raw/",
            hint="Leave --data out for scikit-learn's digits.",
        )  # fmt: skip
    if len(found) == 2:
        held = _shuffled(found["test"])
        held = held.rows(np.arange(min(_MOST, len(held))))
        return Split(
            found["train"], held, f"MNIST: {len(found['train']):,} digits to train on, {len(held):,} held out."
        )
    part, digits = next(iter(found.items()))
    split = _cut(digits, max(1, len(digits) // _OUT_OF))
    counts = f"{len(split[0]):,} digits to train on, {len(split[1]):,} held out"
    told = f"MNIST's {part} set alone is there, so it is split: {counts}."
    return Split(*split, told)


def read_idx(path: Path) -> np.ndarray:
    """An array of bytes from a file in MNIST's idx format, plain or .gz.

    Raises:
        UsageError: the file cannot be read, or is another one.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"the idx file cannot be read: {error}", given=path) from error
    if content[:3] != _BYTES or len(content) < 4 + 4 * content[3]:
        raise UsageError("the file is no idx file of bytes", given=path)
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    begin = 4 + 4 * len(shape)
    if len(content) != begin + math.prod(shape):
        raise UsageError("the idx file has another length than it says", given=path, allowed=f"{shape}")
    return np.frombuffer(content, np.uint8, offset=begin).reshape(shape)


def as_mnist(small: np.ndarray) -> np.ndarray:
    """Pictures (N, 8, 8) in 0..16, as scikit-learn has them, enlarged and framed as MNIST's: uint8 (N, 28, 28)."""
    found = np.zeros((len(small), SIDE, SIDE), np.uint8)
    inside = slice(_EDGE, _EDGE + _DRAWN)
    for row, picture in zip(found, np.rint(small * 255 / 16).astype(np.uint8), strict=True):
        large = Image.fromarray(picture).resize((_DRAWN, _DRAWN), Image.Resampling.BICUBIC)
        row[inside, inside] = np.asarray(large)
    return found


def _bundled() -> Split:
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    split = _cut(Digits(as_mnist(found.images), found.target.astype(np.int64)), _HELD)
    told = f"scikit-learn's digits, 8×8 enlarged to 28×28: {len(split[0]):,} to train on, {len(split[1]):,} held out."
    return Split(*split, told)


def _shuffled(digits: Digits) -> Digits:
    return digits.rows(np.argsort(draws.rows(draws.stream(0, "digits"), 0, 1, len(digits))[0]))


def _cut(digits: Digits, count: int) -> tuple[Digits, Digits]:
    """The digits to train on, and `count` held-out ones: a random choice that is always the same."""
    mixed = _shuffled(digits)
    return mixed.rows(np.arange(count, len(mixed))), mixed.rows(np.arange(count))


def _part(folder: Path, stem: str) -> Digits | None:
    """Images and labels of one of MNIST's parts, or None where neither file is there."""
    images, labels = (_file(folder, f"{stem}-{kind}") for kind in ("images", "labels"))
    if images is None and labels is None:
        return None
    if images is None or labels is None:
        missing = f"{stem}-{'images' if images is None else 'labels'}"
        raise UsageError("images and labels must be there both", given=folder, allowed=f"also {missing}")
    digits = Digits(read_idx(images), read_idx(labels).astype(np.int64))
    if digits.images.shape != (len(digits.labels), SIDE, SIDE):
        raise UsageError(
            "the files are no digits of 28×28 with a label each", given=f"{digits.images.shape}, {digits.labels.shape}"
        )
    if len(digits) < 2 * _OUT_OF or digits.labels.max() > 9:
        raise UsageError(f"{2 * _OUT_OF} digits or more with labels 0 to 9 are needed", given=labels)
    return digits


def _file(folder: Path, stem: str) -> Path | None:
    """The file of a part: MNIST's name with either separator, plain before .gz."""
    form = "idx3-ubyte" if stem.endswith("images") else "idx1-ubyte"
    names = [f"{stem}{dot}{form}{end}" for end in ("", ".gz") for dot in ("-", ".")]
    return next((path for place in _PLACES for name in names if (path := folder / place / name).is_file()), None)

"""Pictures of a page: what the model saw, and each map alone and over it, as JPEGs whose names cannot harm.

They are small, for the list; where the model saw more than these can show, there are large ones as well, for the large view.
A name is a digest of what the picture is of, so no name of an image stands in a URL or on disk. The pictures can be made
again from the arrays at any time; they are no part of what `--resume` relies on.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..files import filled
from ..names import GALLERY, is_thumbnail
from ..render import symmetric_limit
from ..render.maps.paint import as_rgb, overlay, paint, shown_size
from ..runs.lines import Entry

SIDE = 224
"""Pixels of the longer side: what most networks see, so most maps are shown pixel by pixel."""
_LEAST = 160
MOST = 512
"""Of large pictures: about what the large view of the page has room for."""
_QUALITY = 84
_TURNED = str.maketrans("0123456789abcdef", "fedcba9876543210")


@dataclass(frozen=True)
class Names:
    """Names of the pictures of one explanation, without folder and suffix.

    Args:
        photo: what the model saw, the same for all methods of an image.
        map: the map alone.
        overlay: the map over what the model saw.
    """

    photo: str
    map: str
    overlay: str

    @property
    def large(self) -> Names:
        """Of the large ones: the small ones' with every digit turned round, which costs no digest."""
        return Names(*(name.translate(_TURNED) for name in (self.photo, self.map, self.overlay)))

    @classmethod
    def of(cls, folder: str, name: str, content: str) -> Names:
        """Of an explanation.

        Args:
            folder: of the image, in the run folder.
            name: of the explanation's files in it.
            content: hash of the image's pixels.
        """
        return cls(_digest("photo", folder, content), _digest("map", folder, name), _digest("overlay", folder, name))


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def file_of(run: Path, name: str) -> Path:
    """Where a picture stands."""
    return run / GALLERY / f"{name}.jpg"


def has_small(run: Path, names: Names) -> bool:
    """Whether the pictures of an explanation are there."""
    return all(filled(file_of(run, name)) for name in (names.photo, names.map, names.overlay))


def small_of(entry: Entry) -> list[str]:
    """The pictures of an explanation that a run has recorded, by their names in its folder."""
    names = Names.of(entry.folder, entry.name, entry.content)
    return [f"{GALLERY}/{name}.jpg" for name in (names.photo, names.map, names.overlay)]


def there(run: Path, *, whole: bool = True) -> set[str]:
    """Names of the pictures that a run folder has.

    Args:
        run: the folder.
        whole: leave out those that a crash has emptied, which takes a look at each.
    """
    try:
        with os.scandir(run / GALLERY) as entries:
            names = (one for one in entries if is_thumbnail(one.name))
            return {one.name[:-4] for one in names if not whole or (one.is_file() and one.stat().st_size)}
    except OSError:
        return set()


def is_large(shape: Sequence[int]) -> bool:
    """Whether a picture (H, W) has more pixels than a small one shows."""
    return max(shape) > SIDE


def draw(
    run: Path,
    names: Names,
    values: np.ndarray,
    picture: np.ndarray | None,
    *,
    limit: float | None = None,
    turned: bool = False,
    table: np.ndarray | None = None,
) -> list[str]:
    """Write the pictures of one explanation, of the photograph once; returns the names of those that are there now.

    Args:
        run: the run folder.
        names: see `Names`.
        values: the map (H, W) as pictures show it.
        picture: what the model saw, uint8 (H, W, 3); None where it is not known, and the map is shown alone.
        limit: where the colours end; by default as in all pictures of maps, see `sigcli.render.symmetric_limit`.
        turned: positive values are blue.
        table: colours, see `sigcli.render.maps.palette`; None for red and blue.
    """
    limit = symmetric_limit(values) if limit is None else limit
    shown, written = -values if turned else values, list[str]()
    for each, most in ((names, SIDE), (names.large, MOST))[: 1 + is_large(values.shape)]:
        size = _size(values.shape, most)
        save(paint(shown, limit, size, table=table), file_of(run, each.map))
        written.append(each.map)
        if picture is None:
            continue
        save(overlay(picture, shown, limit, size, table=table), file_of(run, each.overlay))
        if not filled(file_of(run, each.photo)):
            save(photograph(picture, most), file_of(run, each.photo))
        written += [each.overlay, each.photo]
    return written


def photograph(picture: np.ndarray, most: int = SIDE) -> Image.Image:
    """What the model saw at the size of the page's pictures."""
    return as_rgb(picture).resize(_size(picture.shape[:2], most), Image.Resampling.BICUBIC)


def _size(shape: tuple[int, ...], most: int) -> tuple[int, int]:
    least = _LEAST if most == SIDE else 1  # a large one has no more pixels than there were
    return shown_size((shape[0], shape[1]), least=least, most=most)


def save(image: Image.Image, path: Path) -> None:
    """Write a JPEG aside and rename it.

    It is not flushed to the disk as results are: a picture that a crash has emptied counts as absent and is made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{os.getpid()}.{threading.get_ident()}.sig.part")
    try:
        image.save(aside, "JPEG", quality=_QUALITY, optimize=True)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def prune(run: Path, needed: Iterable[str]) -> None:
    """Remove the pictures of a run folder that its page does not show, and what a killed process left."""
    wanted = set(needed)
    for name in there(run) - wanted:
        file_of(run, name).unlink(missing_ok=True)
    for aside in (run / GALLERY).glob(".*.sig.part"):
        aside.unlink(missing_ok=True)

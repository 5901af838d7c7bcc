"""From what a user typed to pixels: finding image files and decoding them, with a message for whatever goes wrong."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar, overload

from PIL import Image

from ..errors import ImageError, UsageError
from ..errors import reason as why
from ..places.remote import Remote
from ..places.urls import url_of
from .conversion import rgb, settle_key
from .far import find_remote, memory_of
from .given import Given, Source
from .left_out import (
    APART,
    CIRCLE,
    HEIC_SUFFIXES,
    HIDDEN,
    JP2_SUFFIXES,
    MAPS,
    MASKS,
    RUN,
    LeftOut,
    further_suffixes,
    is_run,
    maps_of,
)
from .picture import Picture, content_key
from .refused import MAX_PIXELS, Fetched, check_file, check_opened, is_heic, nearest_name, refusal

IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".tif", ".tiff", ".webp",
)  # fmt: skip
_LARGE = 25_000_000  # pixels
_LARGE_FILE = 8 << 20
"""Bytes of a remote picture that may have as many pixels: its header is not fetched on its own."""

T = TypeVar("T")


@overload
def find_images(paths: Sequence[Path], left_out: LeftOut | None = None) -> list[Path]: ...
@overload
def find_images(paths: Sequence[str | Source], left_out: LeftOut | None = None) -> list[Source]: ...
def find_images(paths: Sequence[str | Source], left_out: LeftOut | None = None) -> Sequence[Source]:
    """List the image files that files, folders and glob patterns stand for.

    A file is taken whatever its suffix. A folder is searched recursively, in sorted order, for `IMAGE_SUFFIXES`, and for
    JPEG 2000 and HEIC where the installation reads them. Left out are: hidden files and folders; folders in which `sig` has
    written a run, whose maps are not photographs, and of a folder that was named itself what a run has written there; and
    a folder called `masks` whose files have the names of the pictures beside it or in `images` beside it. A pattern's
    matches are treated like a folder's content.

    Args:
        paths: files, folders and patterns (`*`, `?`, `[...]`, `**`), their URLs, and pictures in memory, in any mixture.
        left_out: learns what was passed over, and says which folders are to be.

    Returns:
        Paths as typed, in the order given, each file once.

    Raises:
        UsageError: nothing given, no such file, a pattern without a match, or a folder without images.
    """
    if not paths:
        raise UsageError("no images given", hint="Name a file, a folder or a pattern such as 'photos/*.jpg'.")
    found: dict[str, Source] = {}
    left = LeftOut() if left_out is None else left_out
    for path in paths:
        for item in [path] if isinstance(path, (Given, Remote)) else _expand(path, left):
            known = found.setdefault(os.path.abspath(item), item)
            if isinstance(known, Remote) and isinstance(item, Remote) and known.url != item.url:
                hint = "Explain them apart, or save them under names of their own."
                raise UsageError("two URLs differ only behind the question mark", given=item, hint=hint)
    return list(found.values())


def read_image(path: str | Source, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode one image file into upright 8-bit RGB; a picture in memory is returned as it is.

    The content decides the format, not the suffix. EXIF orientation is applied, transparency is laid on white, greys of 12
    and 16 bits are scaled to 8 bits (not clipped), colour profiles are ignored as torchvision ignores them, and of an
    animation the first frame is taken. The picture's `facts` say what of this was assumed.

    Args:
        path: the file.
        max_pixels: larger images are refused before they are decoded.

    Returns:
        The picture: uint8 pixels (H, W, 3) and their content key.

    Raises:
        ImageError: the file is absent, unreadable, empty, not an image, truncated, too large, transparent everywhere, or has
            32-bit or signed pixels.
    """
    if isinstance(path, Given):
        return path.picture
    file = path if isinstance(path, Remote) else Path(path)
    pixels, facts = decode(file, lambda image: rgb(image, image.format, file), max_pixels=max_pixels)
    return Picture(Path(file), pixels, content_key(pixels), facts)


def decode(path: Path | Remote, take: Callable[[Image.Image], T], *, max_pixels: int = MAX_PIXELS) -> T:
    """What is taken from an image file of whatever kind once it is decoded.

    Args:
        path: the file.
        take: given the image of Pillow, whose pixels are loaded.
        max_pixels: larger images are refused before they are decoded.

    Raises:
        ImageError: the file is absent, unreadable, empty, not an image, truncated or too large.
    """
    file = checked_file(path)
    try:
        if is_heic(file) and find_spec("pillow_heif"):
            import_module("pillow_heif").register_heif_opener()
        with Image.open(file.content if isinstance(file, Fetched) else file) as image:
            check_opened(image, file, max_pixels)
            settle_key(image, path)
            image.load()
            check_opened(image, file, max_pixels)  # an icon holds an image of a size of its own
            return take(image)
    except ImageError:
        raise
    except Exception as error:
        raise refusal(error, file, max_pixels) from error


def checked_file(path: Path | Remote) -> Path | Fetched:
    """A file that may be opened as an image: a remote one in memory.

    Raises:
        ImageError: it is absent, unreadable, empty, too large, or no ordinary file.
    """
    if isinstance(path, Remote):
        return Fetched(path, memory_of(path))
    check_file(path)
    return path


def is_large(path: str | Source) -> bool:
    """Whether a picture takes hundreds of megabytes once decoded, by its header: it is not decoded ahead of its turn."""
    if isinstance(path, Remote):
        return path.size is None or path.size > _LARGE_FILE
    if isinstance(path, Given):
        return False
    try:
        check_file(Path(path))  # Pillow reads WebP, AVIF and HEIF whole to open them
        with Image.open(path) as image:
            return image.width * image.height > _LARGE
    except Exception:  # noqa: BLE001  decoding it tells what is wrong
        return False


def _expand(path: str | Path, left: LeftOut) -> Sequence[Path | Remote]:
    if (url := url_of(path)) is not None:
        return find_remote(url, left, is_image_name, ", ".join(IMAGE_SUFFIXES))
    text, path = str(path), Path(path)
    if path.is_dir():
        return _in_folder(path, left)
    if os.path.lexists(path):
        return [path]
    if glob.has_magic(text):
        return _in_pattern(text, left)
    near = nearest_name(path)
    hint = f"Did you mean '{near}'?" if near else "Name a file, a folder or a pattern such as 'photos/*.jpg'."
    raise UsageError("no such file or folder", given=text, hint=hint)


def is_image_name(path: Path) -> bool:
    """Whether a file is an image by its suffix, of a kind that can be read here."""
    suffix = path.suffix.lower()
    return suffix in IMAGE_SUFFIXES or (suffix in (*JP2_SUFFIXES, *HEIC_SUFFIXES) and suffix in further_suffixes())


def _in_folder(folder: Path, left: LeftOut) -> list[Path]:
    maps = maps_of(folder) if is_run(folder) else set[Path]()
    found = []
    for path in _walk(folder, set(), left):
        if path in maps:
            left.add(MAPS, path)
        else:
            found.append(path)
    if not found:
        hint = f"To measure a run: sig evaluate '{folder}'." if maps else " ".join(left.notes)
        raise UsageError("the folder has no images", given=folder, allowed=", ".join(IMAGE_SUFFIXES), hint=hint)
    return found


def _in_pattern(pattern: str, left: LeftOut) -> list[Path]:
    found: list[Path] = []
    for match in map(Path, sorted(glob.glob(pattern, recursive=True))):
        if match.is_dir():
            found += [] if "**" in pattern else _walk(match, set(), left)
        elif is_image_name(match):
            found.append(match)
        else:
            left.file(match)
    if not found:
        hint = " ".join(left.notes)
        raise UsageError("no image matches the pattern", given=pattern, allowed=", ".join(IMAGE_SUFFIXES), hint=hint)
    return found


def _walk(folder: Path, seen: set[tuple[int, int]], left: LeftOut) -> Iterator[Path]:
    """Images below a folder, its own files before those of its subfolders; links are followed, but never in circles."""
    waiting = [folder]
    while waiting:  # folders may be nested deeper than functions
        folder = waiting.pop()
        here, entries = _listed(folder)
        if here in seen:
            left.add(CIRCLE, folder)
            continue
        seen.add(here)
        folders: list[Path] = []
        for entry in entries:
            if entry.name.startswith("."):
                left.add(HIDDEN, entry)
            elif entry.is_dir():
                folders.append(entry)
            elif is_image_name(entry):
                yield entry
            else:
                left.file(entry)
        searched: list[Path] = []
        for entry in folders:
            reason = _reason(entry, left.apart)
            if reason:
                left.add(reason, entry)
            else:
                searched.append(entry)
        waiting += reversed(searched)


def _listed(folder: Path) -> tuple[tuple[int, int], list[Path]]:
    """What tells a folder from others, whatever links lead to it, and what is in it."""
    try:
        facts = folder.stat()
        return (facts.st_dev, facts.st_ino), sorted(folder.iterdir())
    except PermissionError:
        raise UsageError(
            "no permission to list the folder", given=folder, hint=f"Try: chmod u+rx '{folder}'."
        ) from None
    except OSError as error:
        raise UsageError(f"the folder cannot be listed: {why(error)}", given=folder) from None


def _reason(folder: Path, apart: Sequence[Path]) -> str:
    """Why a folder is not searched; empty where it is."""
    if any(one.is_dir() and one.samefile(folder) for one in apart):
        return APART
    if is_run(folder):
        return RUN
    return MASKS if folder.name.casefold() == "masks" and _of_neighbours(folder) else ""


def _of_neighbours(folder: Path) -> bool:
    """Whether all images of a folder have the names of images beside it, or of those in `images` beside it."""

    def stems(place: Path) -> set[str]:
        try:
            return {one.stem for one in place.iterdir() if is_image_name(one) and not one.is_dir()}
        except OSError:
            return set()

    own = stems(folder)
    return bool(own) and (own <= stems(folder.parent) or own <= stems(folder.parent / "images"))

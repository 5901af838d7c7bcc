"""From what a user typed to pixels: finding image files and decoding them, with a message for whatever goes wrong."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar, overload

from PIL import Image, UnidentifiedImageError

from ..errors import ImageError, UsageError
from .given import Given, Source
from .picture import Picture, content_key, rgb

IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".tif", ".tiff", ".webp",
)  # fmt: skip
MAX_PIXELS = 100_000_000

T = TypeVar("T")
_RUN_FILES = ("manifest.json", "results.csv")


@overload
def find_images(paths: Sequence[str | Path]) -> list[Path]: ...
@overload
def find_images(paths: Sequence[str | Path | Given]) -> list[Source]: ...
def find_images(paths: Sequence[str | Path | Given]) -> Sequence[Source]:
    """List the image files that files, folders and glob patterns stand for.

    A file is taken whatever its suffix. A folder is searched recursively, in sorted order, for `IMAGE_SUFFIXES`; hidden
    files and folders are passed over, and so are folders that an earlier run of `sig` left (`manifest.json` beside
    `results.csv`), whose maps are not photographs. A pattern's matches are treated like a folder's content.

    Args:
        paths: files, folders and patterns (`*`, `?`, `[...]`, `**`), and pictures in memory, in any mixture.

    Returns:
        Paths as typed, in the order given, each file once.

    Raises:
        UsageError: nothing given, no such file, a pattern without a match, or a folder without images.
    """
    if not paths:
        raise UsageError("no images given", hint="Name a file, a folder or a pattern such as 'photos/*.jpg'.")
    found: dict[str, Source] = {}
    for path in paths:
        for item in [path] if isinstance(path, Given) else _expand(path):
            found.setdefault(os.path.abspath(item), item)
    return list(found.values())


def read_image(path: str | Source, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode one image file into upright 8-bit RGB; a picture in memory is returned as it is.

    The content decides the format, not the suffix. EXIF orientation is applied, transparency is laid on white, 16-bit
    greys are scaled to 8 bits (not clipped), colour profiles are ignored as torchvision ignores them, and of an
    animation the first frame is taken.

    Args:
        path: the file.
        max_pixels: larger images are refused before they are decoded.

    Returns:
        The picture: uint8 pixels (H, W, 3) and their content key.

    Raises:
        ImageError: the file is absent, unreadable, empty, not an image, truncated, too large, or has 32-bit pixels.
    """
    if isinstance(path, Given):
        return path.picture
    path = Path(path)
    pixels = decode(path, lambda image: rgb(image, image.format, path), max_pixels=max_pixels)
    return Picture(path, pixels, content_key(pixels))


def decode(path: Path, take: Callable[[Image.Image], T], *, max_pixels: int = MAX_PIXELS) -> T:
    """What is taken from an image file of whatever kind once it is decoded.

    Args:
        path: the file.
        take: given the image of Pillow, whose pixels are loaded.
        max_pixels: larger images are refused before they are decoded.

    Raises:
        ImageError: the file is absent, unreadable, empty, not an image, truncated or too large.
    """
    _check_file(path)
    try:
        with Image.open(path) as image:
            _check_size(path, image.size, max_pixels)
            image.load()
            return take(image)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(
            "not an image in a known format", given=path, hint="Convert it to PNG or JPEG, or leave it out."
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(path, max_pixels) from None
    except PermissionError:
        raise ImageError("no permission to read the image", given=path, hint=f"Try: chmod u+r '{path}'.") from None
    except Exception as error:  # decoders raise all sorts of exceptions on broken bytes
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise ImageError(
            f"the image is damaged: {reason}", given=path, hint="Fetch or save the file again, or leave it out."
        ) from error


def nearest_name(path: str | Path) -> str | None:
    """The file in the same folder whose name is nearest to that of an absent one, as a path, if any is near."""
    path = Path(path)
    try:
        names = [entry.name for entry in os.scandir(path.parent)]
    except OSError:
        return None
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return str(path.parent / close[0]) if close else None


def _expand(path: str | Path) -> list[Path]:
    text, path = str(path), Path(path)
    if path.is_dir():
        return _in_folder(path)
    if os.path.lexists(path):
        return [path]
    if glob.has_magic(text):
        return _in_pattern(text)
    near = nearest_name(path)
    hint = f"Did you mean '{near}'?" if near else "Name a file, a folder or a pattern such as 'photos/*.jpg'."
    raise UsageError("no such file or folder", given=text, hint=hint)


def _in_folder(folder: Path) -> list[Path]:
    found = list(_walk(folder, set()))
    if not found:
        raise UsageError("the folder has no images", given=folder, allowed=", ".join(IMAGE_SUFFIXES))
    return found


def _in_pattern(pattern: str) -> list[Path]:
    found: list[Path] = []
    for match in map(Path, sorted(glob.glob(pattern, recursive=True))):
        if match.is_dir():
            found += [] if "**" in pattern else _walk(match, set())
        elif match.suffix.lower() in IMAGE_SUFFIXES:
            found.append(match)
    if not found:
        raise UsageError("no image matches the pattern", given=pattern, allowed=", ".join(IMAGE_SUFFIXES))
    return found


def _walk(folder: Path, seen: set[str]) -> Iterator[Path]:
    """Images below a folder, its own files before those of its subfolders; links are followed, but never in circles.

    Subfolders called `masks` hold answers and not questions; they and the folders of earlier runs are left out.
    """
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except PermissionError:
        raise UsageError(
            "no permission to list the folder", given=folder, hint=f"Try: chmod u+rx '{folder}'."
        ) from None
    yield from (e for e in entries if e.suffix.lower() in IMAGE_SUFFIXES and not e.is_dir())
    for entry in entries:
        if (
            entry.is_dir()
            and entry.name.casefold() != "masks"
            and not all((entry / name).is_file() for name in _RUN_FILES)
        ):
            yield from _walk(entry, seen)


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ImageError("a folder where an image was expected", given=path, hint="Name the images in it.")
    if not path.exists():
        near = nearest_name(path)
        raise ImageError("no such image", given=path, hint=f"Did you mean '{near}'?" if near else "Check the path.")
    if not path.is_file():
        raise ImageError("not an ordinary file", given=path, hint="Save the image to a file first.")
    if path.stat().st_size == 0:
        raise ImageError("the image file is empty (0 bytes)", given=path, hint="Fetch or save the file again.")


def _check_size(path: Path, size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise _too_large(path, max_pixels, f"{size[0]}×{size[1]}")


def _too_large(path: Path, max_pixels: int, size: str = "") -> ImageError:
    what = "the image has too many pixels" + (f" ({size})" if size else "")
    return ImageError(what, given=path, allowed=f"up to {max_pixels / 1e6:g} million", hint="Scale it down first.")

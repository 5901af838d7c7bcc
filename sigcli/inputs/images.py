"""From what a user typed to pixels: finding image files and decoding them, with a message for whatever goes wrong."""

from __future__ import annotations

import difflib
import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import ImageError, UsageError

IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".tif", ".tiff", ".webp",
)  # fmt: skip
MAX_PIXELS = 100_000_000

_RUN_FILES = ("manifest.json", "results.csv")
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded image.

    Args:
        path: where it came from.
        pixels: uint8 array (H, W, 3), RGB, upright.
        key: 64-bit number that depends on shape and pixels only, so that random draws follow the content and not the
            file's name or format.
    """

    path: Path
    pixels: np.ndarray
    key: int


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """List the image files that files, folders and glob patterns stand for.

    A file is taken whatever its suffix. A folder is searched recursively, in sorted order, for `IMAGE_SUFFIXES`; hidden
    files and folders are passed over, and so are folders that an earlier run of `sig` left (`manifest.json` beside
    `results.csv`), whose maps are not photographs. A pattern's matches are treated like a folder's content.

    Args:
        paths: files, folders and patterns (`*`, `?`, `[...]`, `**`), in any mixture.

    Returns:
        Paths as typed, in the order given, each file once.

    Raises:
        UsageError: nothing given, no such file, a pattern without a match, or a folder without images.
    """
    if not paths:
        raise UsageError("no images given", hint="Name a file, a folder or a pattern such as 'photos/*.jpg'.")
    found: dict[str, Path] = {}
    for path in paths:
        for item in _expand(path):
            found.setdefault(os.path.abspath(item), item)
    return list(found.values())


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode one image file into upright 8-bit RGB.

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
    path = Path(path)
    _check_file(path)
    try:
        with Image.open(path) as image:
            _check_size(path, image.size, max_pixels)
            image.load()
            upright = _upright(image)
            pixels = np.array(_to_rgb(path, upright, image.format))
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
    return Picture(path, pixels, content_key(pixels))


def content_key(pixels: np.ndarray) -> int:
    """A 64-bit number from the shape and bytes of a uint8 array.

    >>> import numpy as np
    >>> content_key(np.zeros((2, 3, 3), np.uint8)) == content_key(np.zeros((3, 2, 3), np.uint8))
    False
    """
    digest = hashlib.blake2b(np.asarray(pixels.shape, "<i8").tobytes(), digest_size=8)
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return int.from_bytes(digest.digest(), "little")


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


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; a damaged EXIF block is no reason to refuse sound pixels."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  the EXIF parser raises all sorts of exceptions on broken bytes
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _to_rgb(path: Path, image: Image.Image, container: str | None) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and container in ("PNG", "PPM")):
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ImageError(
            f"the image has 32-bit pixels (mode {image.mode}), whose range is not defined", given=path,
            hint="Save it with 8 or 16 bits per channel.",
        )  # fmt: skip
    if not image.has_transparency_data:
        return image.convert("RGB")
    front = image.convert("RGBA")
    white = Image.new("RGBA", front.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, front).convert("RGB")

"""Why a file is not read as an image: its kind, its size, or what Pillow says of it."""

from __future__ import annotations

import difflib
import errno
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from ..errors import ImageError
from ..places.remote import Remote

MAX_PIXELS = 100_000_000
_MOST_BYTES, MOST_WHOLE = 1 << 30, 256 << 20
"""Sizes of files that are read: 100 million pixels of 16 bits and four channels, and of formats that are read whole."""
_READ_WHOLE = (b"RIFF", b"ftyp")
_UNREADABLE = frozenset(("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"))
"""Formats that Pillow knows and leaves to other programs to read; it would start Ghostscript for EPS."""
_OF_SYSTEM = frozenset(
    getattr(errno, name)
    for name in (
        "EIO", "ENOENT", "ESTALE", "ETIMEDOUT", "ENXIO", "ENODEV", "EREMOTEIO", "ENOTCONN", "ECONNRESET", "EHOSTDOWN",
        "EMFILE", "ENFILE", "EAGAIN", "EBUSY",
    )
    if hasattr(errno, name)
)  # fmt: skip
"""What a disk or a network refuses; other errors of the system, as a seek before a file's start, are of bad files."""
_SWELLS = ("Decompressed data too large", "Too much memory used in text chunks")
_WITH_HEIF = "Install pillow-heif (or '.[heif]'), and sig reads it."


@dataclass(frozen=True)
class Fetched:
    """A remote file whose content is in memory; as a text it is its URL."""

    file: Remote
    content: io.BytesIO

    def __str__(self) -> str:
        return str(self.file)


def nearest_name(path: str | Path) -> str | None:
    """The file in the same folder whose name is nearest to that of an absent one, as a path, if any is near."""
    path = Path(path)
    try:
        names = [entry.name for entry in os.scandir(path.parent)]
    except OSError:
        return None
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return str(path.parent / close[0]) if close else None


def check_file(path: Path) -> None:
    """Raise ImageError for what is no ordinary file, is empty, or too large to be a picture that is read."""
    if path.is_dir():
        raise ImageError("a folder where an image was expected", given=path, hint="Name the images in it.")
    if path.is_symlink() and not path.exists():
        if _circular(path):
            raise ImageError("a link that leads back to itself", given=path, hint="Mend the link.")
        raise ImageError(
            "a link to a file that is not there", given=f"{path} to {path.readlink()}", hint="Mend the link."
        )
    if not path.exists():
        near = nearest_name(path)
        raise ImageError("no such image", given=path, hint=f"Did you mean '{near}'?" if near else "Check the path.")
    if not path.is_file():
        raise ImageError("not an ordinary file", given=path, hint="Save the image to a file first.")
    check_size(path, path.stat().st_size, lambda: _head(path))


def check_size(path: Path | Remote, size: int, head: Callable[[], bytes]) -> None:
    """Raise ImageError for a file that is empty, or too large to be a picture that is read.

    Args:
        path: the file.
        size: bytes.
        head: tells its first bytes.
    """
    if size == 0:
        raise ImageError("the image file is empty (0 bytes)", given=path, hint="Fetch or save the file again.")
    most = largest(head()) if size > MOST_WHOLE else _MOST_BYTES
    if size > most:
        told, allowed = f"the file has {size / 1e9:.1f} GB", f"up to {most / 1e9:.2g} GB"
        raise ImageError(told, given=path, allowed=allowed, hint="Scale the image down first.")


def largest(head: bytes) -> int:
    """Bytes of the largest file that is read which begins with these."""
    return MOST_WHOLE if any(mark in head for mark in _READ_WHOLE) else _MOST_BYTES


def _circular(link: Path) -> bool:
    """Whether a link leads to itself, over others or not."""
    try:
        link.stat()
    except (OSError, RuntimeError) as error:
        return getattr(error, "errno", errno.ELOOP) == errno.ELOOP
    return False


def _head(path: Path | Fetched) -> bytes:
    """The first bytes of a file; none of one that cannot be read."""
    if isinstance(path, Fetched):
        return path.content.getbuffer()[:12].tobytes()
    try:
        with path.open("rb") as stream:
            return stream.read(12)
    except OSError:
        return b""


def is_heic(path: Path | Fetched) -> bool:
    """Whether a file is of the HEIF family, which Pillow alone does not read, by its first bytes."""
    head = _head(path)
    return head[4:8] == b"ftyp" and head[8:12] in (
        b"heic",
        b"heix",
        b"heim",
        b"heis",
        b"hevc",
        b"hevx",
        b"mif1",
        b"msf1",
    )


def check_opened(image: Image.Image, path: Path | Fetched, max_pixels: int) -> None:
    """Raise ImageError for an image of a format that is not read, or of too many pixels."""
    if image.format in _UNREADABLE:
        raise _unknown(path)
    wide, high = image.size
    if wide * high > max_pixels:
        raise _too_large(path, max_pixels, f"{wide}×{high}")


def refusal(error: Exception, path: Path | Fetched, max_pixels: int) -> ImageError:
    """What is said of a file that Pillow cannot open or decode: decoders raise all sorts of exceptions on broken bytes."""
    if isinstance(error, UnidentifiedImageError):
        if is_heic(path):
            return ImageError("the image is HEIC", given=path, hint=f"{_WITH_HEIF} Or convert it.")
        return _unknown(path)
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        count = re.search(r"\((\d+) pixels\)", str(error))
        return _too_large(path, max_pixels, f"{int(count[1]) / 1e6:,.0f} million" if count else "")
    if isinstance(error, PermissionError):
        return ImageError("no permission to read the image", given=path, hint=f"Try: chmod u+r '{path}'.")
    if isinstance(error, MemoryError):
        return ImageError("there is too little memory to decode the image", given=path, hint="Scale it down.")
    if isinstance(error, OSError) and error.errno is not None and error.errno in _OF_SYSTEM:
        hint = "The disk or the network refused it, and --resume tries it again."
        return ImageError(f"the image cannot be read: {os.strerror(error.errno)}", given=path, hint=hint)
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if reason.startswith(_SWELLS):
        what = "a note or colour profile in the image swells when it is unpacked"
        return ImageError(what, given=path, hint="Save the image without its metadata.")
    return ImageError(
        f"the image is damaged: {reason}", given=path, hint="Fetch or save the file again, or leave it out."
    )


def _unknown(path: Path | Fetched) -> ImageError:
    hint = "Convert it to PNG or JPEG, or leave it out."
    return ImageError("not an image in a known format", given=path, hint=hint)


def _too_large(path: Path | Fetched, max_pixels: int, size: str = "") -> ImageError:
    what = "the image has too many pixels" + (f" ({size})" if size else "")
    return ImageError(what, given=path, allowed=f"up to {max_pixels / 1e6:g} million", hint="Scale it down first.")

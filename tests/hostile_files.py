"""A folder as nobody wishes it: good pictures of every odd kind, and files that are none, with what is to be said of each.

Used by `tests/inputs/test_hostile.py` and `benchmarks/hostile.py`.
"""

from __future__ import annotations

import io
import os
import pickle
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, features

SIDE = 96
Maker = Callable[[Path], object]


def picture(seed: int, side: int = SIDE) -> Image.Image:
    """A smooth coloured picture, another for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def saved(seed: int, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture(seed).save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(wide: int, high: int, pixels: bytes, *more: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG put together by hand: `more` are chunks before the pixels."""
    header = struct.pack(">IIBBBBB", wide, high, depth, colour, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *more,
            chunk(b"IDAT", zlib.compress(pixels)),
            chunk(b"IEND", b""),
        )
    )


def _small(*more: bytes) -> bytes:
    return png(8, 8, (b"\0" + bytes(range(24))) * 8, *more)


def _text(count: int, size: int) -> bytes:
    """Compressed notes that swell to `count` × `size` bytes."""
    body = b"note\0\0" + zlib.compress(bytes(size), 9)
    return _small(*[chunk(b"zTXt", body)] * count)


def _tiff_bomb() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "TIFF", compression="tiff_deflate")
    made = bytearray(buffer.getvalue())
    at = struct.unpack_from("<I", made, 4)[0]
    for entry in range(struct.unpack_from("<H", made, at)[0]):
        place = at + 2 + 12 * entry
        if struct.unpack_from("<H", made, place)[0] in (256, 257, 278):  # width, length, rows of a strip
            struct.pack_into("<HHII", made, place, struct.unpack_from("<H", made, place)[0], 4, 1, 100_000)
    return bytes(made)


def _strips_beyond() -> bytes:
    """A TIFF whose pixels are said to lie behind its end."""
    made = bytearray(saved(1, "TIFF"))
    at = struct.unpack_from("<I", made, 4)[0]
    for entry in range(struct.unpack_from("<H", made, at)[0]):
        place = at + 2 + 12 * entry
        if struct.unpack_from("<H", made, place)[0] == 273:
            struct.pack_into("<HHII", made, place, 273, 4, 1, 4_000_000_000)
    return bytes(made)


def _canvas_webp() -> bytes:
    """An animation of small frames on a canvas of 16,384 × 16,384."""
    made = bytearray(_animation("WEBP", 2))
    at = made.index(b"VP8X") + 8
    made[at + 4 : at + 10] = (16_383).to_bytes(3, "little") * 2
    return bytes(made)


def _animation(form: str, frames: int) -> bytes:
    buffer = io.BytesIO()
    several = [picture(seed, 32) for seed in range(min(frames, 8))]
    more = [several[number % len(several)] for number in range(1, frames)]
    several[0].save(buffer, form, save_all=True, append_images=more)
    return buffer.getvalue()


def _canvas_gif() -> bytes:
    made = bytearray(saved(1, "GIF"))
    made[6:10] = struct.pack("<HH", 65_535, 65_535)
    return bytes(made)


def _icon_bomb() -> bytes:
    """An icon of 16 × 16 pixels by its own word, in which lies a PNG of 60,000 × 60,000."""
    inner = png(60_000, 60_000, bytes(100))
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner


def _archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photo.jpg", saved(1, "JPEG"))
    return buffer.getvalue()


def _array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((8, 8, 3), np.uint8))
    return buffer.getvalue()


def _image(made: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    made.save(buffer, form, **options)
    return buffer.getvalue()


def _png_head() -> bytes:
    """A header, and the beginning of a note of 2 GB."""
    return png(8, 8, b"")[:33] + b"\x7f\xff\xff\xffzTXt"


def _sparse(path: Path, head: bytes, size: int) -> None:
    """A file that claims gigabytes and takes a block of the disk."""
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(size)


def _socket(path: Path) -> None:
    here = os.getcwd()  # the path of a socket has 107 characters at most
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _locked(path: Path) -> None:
    path.write_bytes(saved(1, "PNG"))
    path.chmod(0)


class Payload:
    """Writes a file where it is unpickled."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch UNPICKLED",)


def contents() -> dict[str, tuple[bytes, str]]:
    """Name → bytes of a file that is no good picture, and what is to be said of it."""
    big, damaged, unknown = "too many pixels", "the image is damaged", "not an image in a known format"
    cut = {
        form: (whole := saved(3, form))[: len(whole) // 2] for form in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")
        if form != "AVIF" or features.check("avif")
    }  # fmt: skip
    named = {"JPEG": "jpg", "TIFF": "tif"}
    key = chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))
    text = b"Dear reader, this is a letter and no photograph.\n" * 40
    return {
        "bomb-header.png": (png(60_000, 60_000, bytes(100)), rf"{big} \(3,600 million\)"),
        "bomb-whole.png": (png(20_000, 20_000, bytes(2_501 * 20_000), depth=1, colour=0), rf"{big} \(400 million\)"),
        "bomb-note.png": (_text(1, 64 << 20), "swells"),
        "bomb-notes.png": (_text(80, 1 << 20), "swells"),
        "bomb-profile.png": (_small(chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(64 << 20), 9))), "swells"),
        "bomb.tif": (_tiff_bomb(), big),
        "bomb.gif": (_canvas_gif(), rf"{big} \(4,295 million\)"),
        "bomb.webp": (_canvas_webp(), rf"{big} \(268 million\)"),
        "bomb.bmp": (
            b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 90_000, 90_000, 1, 24, 0, 0, 0, 0, 0, 0),
            big,
        ),
        "bomb.ppm": (b"P6 99999 99999 255\n" + bytes(99), rf"{big} \(10,000 million\)"),
        "bomb-in-icon.png": (_icon_bomb(), big),
        "strips.tif": (_strips_beyond(), damaged),
        **{f"cut.{named.get(form, form.lower())}": (made, f"{damaged}|{unknown}") for form, made in cut.items()},
        "letter.jpg": (text, unknown),
        "page.png": (b"<!DOCTYPE html><html><script>alert(1)</script></html>" + text, unknown),
        "drawing.jpg": (b"<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>", unknown),
        "document.jpg": (b"%PDF-1.7\n" + text, unknown),
        "postscript.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n9 9 moveto\n", unknown),
        "movie.jpg": (b"\x00\x00\x01\xb3\x14\x00\xf0\x13" + bytes(400), unknown),
        "archive.png": (_archive(), unknown),
        "weights.png": (pickle.dumps(Payload()), unknown),
        "array.png": (_array(), unknown),
        "program.png": (b"\x7fELF\x02\x01\x01" + bytes(500), unknown),
        "random.jpg": (np.random.default_rng(0).bytes(4000), unknown),
        "zeros.png": (bytes(1 << 20), unknown),
        "empty.jpg": (b"", "empty"),
        "phone.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(80), "HEIC|damaged"),
        "clear.png": (_image(Image.new("RGBA", (8, 8)), "PNG"), "transparent everywhere"),
        "float.tif": (_image(Image.new("F", (8, 8)), "TIFF"), "32-bit pixels"),
        "key.png": (png(4, 4, (b"\0" + bytes(24)) * 4, key, depth=16), "one 16-bit colour of the image is transparent"),
    }


def special() -> dict[str, tuple[Maker, str]]:
    """Name → what makes a thing with an image's name that is no ordinary file, and what is to be said of it."""
    found: dict[str, tuple[Maker, str]] = {
        "pipe.png": (os.mkfifo, "not an ordinary file"),
        "socket.png": (_socket, "not an ordinary file"),
        "device.png": (lambda path: path.symlink_to("/dev/zero"), "not an ordinary file"),
        "gone.png": (lambda path: path.symlink_to("nowhere.png"), "a link to a file that is not there"),
        "loop-a.png": (lambda path: path.symlink_to("loop-b.png"), "a link that leads back to itself"),
        "loop-b.png": (lambda path: path.symlink_to("loop-a.png"), "a link that leads back to itself"),
        "huge.webp": (lambda path: _sparse(path, saved(1, "WEBP"), 6 << 30), "the file has 6.4 GB"),
        "huge.png": (
            lambda path: _sparse(path, _png_head(), 6 << 30),
            "the file has 6.4 GB",
        ),
    }
    if os.geteuid() != 0:
        found["locked.png"] = (_locked, "no permission to read the image")
    return found


def oddly_named() -> list[bytes]:
    """Names of good pictures that a shell, a spreadsheet, a browser, a terminal or a decoder of text might act on."""
    return [
        b"=1+1.png", b"+cmd|' /C calc'!A0.png", b"@sum.png", b"-rf.png", b"--debug.png", b"a\"b'c.png", b"two\nlines.png",
        b"tab\there.png", b"back\\slash.png", b"<script>alert(1)<script>.png", b"&lt;b&gt;.png", b"caf\xe9.png",
        "café.png".encode(), "猫.png".encode(), "\u202egnp.exe.png".encode(), b"\x1b[31mred.png", b"[bold]rich[/].png",
        b"%s%n{0}.png", b"CON.png", b"a b .png", b"x" * 251 + b".png", b"$(touch RUN).png", b"`id`.png", b"a;b.png",
        b"*.png", b"?.png", b"~.png", b"results.csv.png", b"UPPER.PNG", "e\u0301.png".encode(), "é.png".encode(),
    ]  # fmt: skip


def odd() -> dict[str, bytes]:
    """Good pictures of unusual kinds."""
    turned = Image.Exif()
    turned[0x0112] = 6
    grey = np.asarray(picture(1).convert("L")).astype(np.uint16) * 257
    palette = picture(2).quantize(16)
    several = [picture(number, 32) for number in range(3)]
    found = {
        "deep.png": _image(Image.fromarray(grey), "PNG"),
        "deep.tif": _image(Image.fromarray(grey), "TIFF"),
        "cmyk.jpg": _image(picture(3).convert("CMYK"), "JPEG"),
        "cmyk.tif": _image(picture(3).convert("CMYK"), "TIFF"),
        "ycc.jpg": _image(picture(4).convert("YCbCr"), "JPEG"),
        "lab.tif": _image(picture(4).convert("LAB"), "TIFF"),
        "palette-alpha.png": _image(palette, "PNG", transparency=bytes(range(0, 256, 16))),
        "grey-alpha.png": _image(picture(5).convert("LA"), "PNG"),
        "colour-alpha.webp": _image(picture(5).convert("RGBA"), "WEBP", lossless=True),
        "bilevel.png": _image(picture(6).convert("1"), "PNG"),
        "fax.tif": _image(picture(6).convert("1"), "TIFF", compression="group4"),
        "turned.jpg": saved(7, "JPEG", exif=turned),
        "turned.png": saved(7, "PNG", exif=turned),
        "progressive.jpg": saved(8, "JPEG", progressive=True),
        "interlaced.gif": saved(9, "GIF"),
        "lzw.tif": saved(10, "TIFF", compression="tiff_lzw"),
        "pages.tif": _image(several[0], "TIFF", save_all=True, append_images=several[1:]),
        "moving.gif": _animation("GIF", 50),
        "moving.webp": _animation("WEBP", 300),
        "moving.png": _animation("PNG", 20),
        "lossless.webp": saved(11, "WEBP", lossless=True),
        "png-called.jpg": saved(12, "PNG"),
        "jpg-called.png": saved(12, "JPEG"),
        "tail.jpg": saved(13, "JPEG") + b"<?php system($_GET[0]); ?>" * 50,
        "broken-exif.jpg": saved(14, "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff"),
        "portable.ppm": saved(15, "PPM"),
        "bitmap.bmp": saved(16, "BMP"),
        "stem.png": saved(17, "PNG"),
        "stem.jpg": saved(18, "JPEG"),
        "stem.gif": saved(19, "GIF"),
        "folder.jpg/inside.png": saved(20, "PNG"),
        "one-pixel.png": _image(Image.new("RGB", (1, 1), (9, 200, 30)), "PNG"),
    }
    if features.check("avif"):
        found["modern.avif"] = saved(21, "AVIF")
    return found


def panorama(path: Path, wide: int = 50_000, high: int = 1_900) -> None:
    """A picture of almost as many pixels as are read: a small file, since its rows are equal."""
    row = b"\0" + bytes(np.linspace(0, 255, 3 * wide).astype(np.uint8))
    squeezed = zlib.compressobj(1)
    body = b"".join(squeezed.compress(row) for _ in range(high)) + squeezed.flush()
    header = struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def make(folder: Path, good: int, panoramas: int = 1) -> tuple[list[str], dict[str, str]]:
    """Fill a folder; at least `good` good pictures.

    Returns:
        Names of the good pictures, and name → pattern of the reason of those that cannot be explained.
    """
    (folder / "folder.jpg").mkdir(parents=True)
    names = []
    for name, content in odd().items():
        (folder / name).write_bytes(content)
        names.append(name)
    for number, raw in enumerate(oddly_named()):
        name = os.fsdecode(raw)
        with suppress(OSError):  # a file system that takes no such name
            (folder / name).write_bytes(saved(100 + number, "PNG"))
            names.append(name)
    for number in range(panoramas):
        panorama(folder / f"panorama-{number}.png")
        names.append(f"panorama-{number}.png")
    for number in range(max(0, good - len(names))):
        (folder / f"photo-{number:03d}.jpg").write_bytes(saved(1000 + number, "JPEG"))
        names.append(f"photo-{number:03d}.jpg")
    reasons = {}
    for name, (content, reason) in contents().items():
        (folder / name).write_bytes(content)
        reasons[name] = reason
    for name, (maker, reason) in special().items():
        maker(folder / name)
        reasons[name] = reason
    (folder / "notes.txt").write_text("left out")
    (folder / "up").symlink_to(folder)
    return names, reasons

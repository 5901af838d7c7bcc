"""Pixels of files that Pillow leaves to the reader to understand, by what their formats' specifications say."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL import __version__ as pillow

import sigcli
from sigcli.errors import ImageError, UsageError
from sigcli.inputs import conversion
from sigcli.inputs.given import listed
from sigcli.inputs.images import read_image

OLD = int(pillow.partition(".")[0]) < 13


def tiff(path, data, width, *, bits, photometric, samples=1, signed=False, extra=None):
    """An uncompressed little-endian TIFF of one row, tag by tag (TIFF 6.0, section 2)."""
    tags = {256: [width], 257: [1], 258: [bits] * samples, 259: [1], 262: [photometric], 273: [0], 277: [samples],
            278: [1], 279: [len(data)], 339: [2 if signed else 1] * samples}  # fmt: skip
    tags |= {} if extra is None else {338: extra}
    start, aside, entries = 10 + 12 * len(tags) + 4, b"", []
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}H", *values)
        where = struct.pack("<I", start + len(aside)) if len(packed) > 4 else packed.ljust(4, b"\0")
        aside += packed if len(packed) > 4 else b""
        entries.append([tag, len(values), where])
    strip = struct.pack("<I", start + len(aside))
    lines = [
        struct.pack("<HHI", tag, 4 if tag == 273 else 3, n) + (strip if tag == 273 else at) for tag, n, at in entries
    ]
    path.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(lines) + bytes(4) + aside + data)
    return path


def png(path, rows, width, *, depth, colour=0, key=None):
    """A PNG chunk by chunk (PNG, third edition), with its transparent colour."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0))]
    parts += [] if key is None else [chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))]
    parts += [chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def packed(values, bits):
    """Numbers of a few bits each, the first in the highest bits."""
    text = "".join(f"{value:0{bits}b}" for value in values)
    return int(text.ljust(-len(text) % 8 + len(text), "0"), 2).to_bytes(-(-len(text) // 8), "big")


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([(8, 1), (8, 0), (12, 1), (16, 1), (16, 0)]),
    st.lists(st.integers(0, 2**16 - 1), min_size=4, max_size=4),
)
def test_greys_of_any_depth_are_shares_of_white(tmp_path_factory, form, values):
    # right: value / (2^bits - 1), or 1 minus that where 0 is white (TIFF 6.0, PhotometricInterpretation)
    (bits, photometric), path = form, tmp_path_factory.mktemp("t") / "a.tif"
    values = [value >> (16 - bits) for value in values]
    data = packed(values, bits) if bits != 16 else struct.pack("<4H", *values)
    got = read_image(tiff(path, data, 4, bits=bits, photometric=photometric)).pixels[0, :, 0]
    shares = np.array(values) / (2**bits - 1)
    right = 255 * (shares if photometric else 1 - shares)
    assert np.abs(got - right).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("bits", [8, 16])
def test_signed_pixels_are_refused(tmp_path, bits):
    path = tiff(tmp_path / "s.tif", bytes(bits // 2), 4, bits=bits, photometric=1, signed=True)
    with pytest.raises(ImageError, match="signed pixels, whose range is not defined"):
        read_image(path)


@pytest.mark.parametrize(("bits", "values", "key", "right"), [
    (2, [0, 1, 2, 3], 1, [0, 255, 170, 255]),
    (4, [0, 1, 2, 15], 1, [0, 255, 34, 255]),
    (8, [0, 1, 2, 255], 1, [0, 255, 2, 255]),
    (16, [0, 1000, 1001, 65535], 1000, [0, 255, 4, 255]),
])  # fmt: skip
def test_the_transparent_grey_of_a_png_is_on_the_scale_of_its_pixels(tmp_path, bits, values, key, right):
    path = png(tmp_path / "k.png", [packed(values, bits)], 4, depth=bits, key=[key])
    found = read_image(path)
    assert found.pixels[0, :, 0].tolist() == right
    assert conversion.TRANSPARENT in found.facts
    (given_image,) = listed(Image.open(path))
    assert np.array_equal(given_image.picture.pixels, found.pixels)


def test_a_transparent_colour_of_16_bits_cannot_be_told_and_is_refused(tmp_path):
    path = png(tmp_path / "c.png", [struct.pack(">6H", 0, 0, 0, 1, 1, 1)], 2, depth=16, colour=2, key=[1, 1, 1])
    with pytest.raises(ImageError, match="16-bit colour of the image is transparent"):
        read_image(path)
    with Image.open(path) as image, pytest.raises(UsageError, match="16-bit colour of the image is transparent"):
        listed(image)


def test_a_picture_that_is_transparent_everywhere_is_refused_and_a_bitmap_is_opaque(tmp_path):
    clear = Image.new("RGBA", (3, 2), (30, 20, 10, 0))
    clear.save(tmp_path / "c.png")
    with pytest.raises(ImageError, match="transparent everywhere"):
        read_image(tmp_path / "c.png")
    clear.save(tmp_path / "c.tga")
    found = read_image(tmp_path / "c.tga")
    assert (found.pixels == (30, 20, 10)).all()
    assert found.facts == (conversion.OPAQUE,)


def test_premultiplied_colours_are_laid_on_white(tmp_path):
    # right: colour + (1 - alpha) * white, as the colour holds the alpha already (TIFF 6.0, ExtraSamples 1)
    path = tiff(tmp_path / "p.tif", bytes([100, 0, 0, 128] * 2), 2, bits=8, photometric=2, samples=4, extra=[1])
    assert read_image(path).pixels[0, 0].tolist() == [227, 127, 127]


@pytest.mark.parametrize(("samples", "photometric", "extra", "told"), [
    (3, 2, None, False), (4, 2, [0], True), (5, 2, [0, 0], True), (4, 2, [2], False), (1, 1, None, False),
    pytest.param(2, 1, [0], True, marks=pytest.mark.skipif(OLD, reason="Pillow reads such files from 13 on")),
    (2, 1, [2], False), (4, 5, None, False),
])  # fmt: skip
def test_channels_of_a_tiff_that_are_left_out_are_told(tmp_path, samples, photometric, extra, told):
    # ExtraSamples 0 is a channel of no stated meaning, 2 is alpha (TIFF 6.0); photometric 5 is CMYK
    data = bytes([10, 20, 30, 255, 50][:samples] if extra != [2] else [*[10, 20, 30, 255][: samples - 1], 255]) * 2
    path = tiff(tmp_path / "x.tif", data, 2, bits=8, photometric=photometric, samples=samples, extra=extra)
    found = read_image(path)
    assert (conversion.EXTRA in found.facts) is told
    if photometric == 2:
        assert found.pixels[0, 0].tolist() == [10, 20, 30]


def test_what_was_assumed_of_a_picture_is_among_its_facts(tmp_path):
    plain = Image.new("RGB", (4, 4), "red")
    plain.save(tmp_path / "plain.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    other = bytes(profile).replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be")).replace(b"sRGB", b"wide")
    plain.save(tmp_path / "profile.jpg", icc_profile=other)
    plain.save(tmp_path / "pages.tif", save_all=True, append_images=[plain])
    plain.save(tmp_path / "still.gif")
    plain.save(tmp_path / "moving.gif", save_all=True, append_images=[Image.new("RGB", (4, 4), "blue")])
    Image.fromarray(np.array([[0, 4095]], np.uint16)).save(tmp_path / "dark.png")
    Image.fromarray(np.array([[0, 4096]], np.uint16)).save(tmp_path / "bright.png")
    facts = {path.name: read_image(path).facts for path in tmp_path.iterdir()}
    assert facts == {
        "plain.png": (), "still.gif": (), "bright.png": (), "profile.jpg": (conversion.PROFILE,),
        "pages.tif": (conversion.FRAMES,), "moving.gif": (conversion.FRAMES,), "dark.png": (conversion.DARK,),
    }  # fmt: skip


def test_a_run_tells_what_it_assumed_in_one_note(tmp_path):
    for name in ("a", "b"):
        Image.new("RGBA", (32, 32), (200, 0, 0, 128)).save(tmp_path / f"{name}.png")
    Image.new("RGB", (32, 32), "red").save(tmp_path / "c.png")
    found = sigcli.explain(tmp_path, method="gradient", write=False)
    assert [note for note in found.notes if note.startswith("Pictures")] == [
        f"Pictures: 2 {conversion.TRANSPARENT} (a.png, b.png)."
    ]

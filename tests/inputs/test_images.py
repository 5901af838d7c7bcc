"""Finding and decoding images: every odd file is either read correctly or refused with one clear message."""

import contextlib
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sigcli.errors import ImageError, SigError, UsageError
from sigcli.inputs.images import content_key, find_images, read_image

from repository import ROOT

RED, BLUE = (200, 30, 10), (10, 40, 220)


@pytest.fixture
def halves():
    """Left half red, right half blue: 4 high, 8 wide."""
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4], pixels[:, 4:] = RED, BLUE
    return pixels


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


# --- finding -------------------------------------------------------------------------------------------------------


@pytest.fixture
def album(tmp_path, halves, monkeypatch):
    for name in ("b.png", "a.JPG", "deep/c.webp", ".hidden.png", ".cache/d.png", "run/e.png"):
        save(tmp_path / "album" / name, halves)
    for name in ("album/notes.txt", "album/run/manifest.json", "album/run/results.csv"):
        (tmp_path / name).write_text("x")
    monkeypatch.chdir(tmp_path)
    return Path("album")


def test_folder_is_searched_in_order_without_hidden_files_or_earlier_runs(album):
    assert find_images([album]) == [album / "a.JPG", album / "b.png", album / "deep/c.webp"]


def test_a_run_folder_named_itself_is_searched(album):
    assert find_images(["album/run"]) == [album / "run/e.png"]


def test_files_patterns_and_folders_mix_and_each_file_comes_once(album):
    found = find_images(["album/b.png", "./album/b.png", "album/*.[jJ]*", album])
    assert found == [album / "b.png", album / "a.JPG", album / "deep/c.webp"]


def test_a_pattern_matches_images_only_and_can_be_recursive(album):
    assert find_images(["album/*"]) == [album / "a.JPG", album / "b.png", album / "deep/c.webp", album / "run/e.png"]
    assert album / "deep/c.webp" in find_images(["album/**"])


def test_a_file_whose_name_looks_like_a_pattern(album, halves):
    save(album / "x[1].png", halves)
    assert find_images(["album/x[1].png"]) == [album / "x[1].png"]


def test_links_in_a_circle_end(album):
    (album / "deep" / "up").symlink_to(album.resolve())
    assert len(find_images([album])) >= 3


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "no images given"),
        (["album/bb.png"], r"no such file or folder \(given: album/bb.png\)(.|\n)*Did you mean 'album/b.png'"),
        (["album/*.tiff"], "no image matches the pattern"),
        (["nowhere/x.png"], "no such file"),
    ],
)
def test_what_cannot_be_found_is_a_usage_error(album, paths, message):
    with pytest.raises(UsageError, match=message):
        find_images(paths)


def test_a_folder_without_images_names_the_suffixes(album, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no images \(given: empty\)(.|\n)*\.jpg.*\.png"):
        find_images(["empty"])


# --- decoding ------------------------------------------------------------------------------------------------------


def test_png_is_exact_and_the_key_follows_the_content(tmp_path, halves):
    first = read_image(save(tmp_path / "a.png", halves))
    second = read_image(save(tmp_path / "b.tif", halves))
    assert np.array_equal(first.pixels, halves)
    assert first.pixels.dtype == np.uint8
    assert first.key == second.key == content_key(halves)
    assert 0 <= first.key < 2**64
    assert read_image(save(tmp_path / "c.png", halves[:, ::-1])).key != first.key


@pytest.mark.parametrize("container", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(tmp_path, halves, container, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"o.{container}", halves, exif=exif)
    height, width = (8, 4) if orientation >= 5 else (4, 8)
    pixels = read_image(path).pixels.astype(int)
    assert pixels.shape == (height, width, 3)
    # Where the red half is shown, by the meaning of the eight values in the EXIF standard.
    red = {1: np.s_[:, 0], 2: np.s_[:, -1], 3: np.s_[:, -1], 4: np.s_[:, 0], 5: np.s_[0], 6: np.s_[0], 7: np.s_[-1]}
    side = pixels[red.get(orientation, np.s_[-1])]
    assert np.abs(side - RED).max() < 40


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's own word
def test_broken_exif_does_not_lose_the_picture(tmp_path, halves):
    path = save(tmp_path / "o.jpg", halves, exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff")
    assert read_image(path).pixels.shape == halves.shape


def modes():
    ramp = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    grey = Image.fromarray(ramp)
    colour = Image.merge("RGB", [grey, grey.rotate(90), grey.rotate(180)])
    rgb = np.asarray(colour)
    return {
        "L": (grey, np.dstack([ramp] * 3)),
        "RGB": (colour, rgb),
        "P": (colour.quantize(256), np.asarray(colour.quantize(256).convert("RGB"))),
        "1": (grey.convert("1"), np.asarray(grey.convert("1").convert("RGB"))),
        "RGBA": (colour.convert("RGBA"), rgb),
        "LA": (grey.convert("LA"), np.dstack([ramp] * 3)),
        "I;16": (Image.fromarray(ramp.astype(np.uint16) * 257), np.dstack([ramp] * 3)),
    }


@pytest.mark.parametrize("mode", modes())
def test_every_mode_becomes_rgb(tmp_path, mode):
    image, expected = modes()[mode]
    image.save(tmp_path / "m.png")
    assert np.array_equal(read_image(tmp_path / "m.png").pixels, expected)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    wide = np.array([[0, 256, 32768, 65535]], np.uint16)
    for name in ("w.png", "w.tif", "w.pgm"):
        Image.fromarray(wide).save(tmp_path / name)
        assert read_image(tmp_path / name).pixels[0, :, 0].tolist() == [0, 1, 128, 255]


def test_cmyk_and_ycbcr(tmp_path, halves):
    for mode in ("CMYK", "YCbCr"):
        Image.fromarray(halves).convert(mode).save(tmp_path / "c.jpg", quality=100, subsampling=0)
        assert np.abs(read_image(tmp_path / "c.jpg").pixels.astype(int) - halves).max() < 30


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(tmp_path, mode):
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    if mode == "P":
        image = Image.new("P", (2, 1))
        image.putpalette([0, 0, 0, 9, 9, 9])
        image.putpixel((1, 0), 1)
    image.convert(mode).save(tmp_path / "t.png", **({"transparency": 1} if mode == "P" else {}))
    assert read_image(tmp_path / "t.png").pixels.tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif").pixels[0, 0].tolist() == list(RED)


def test_png_named_jpg_is_read_by_its_content(tmp_path, halves):
    path = save(tmp_path / "a.png", halves).rename(tmp_path / "a.jpg")
    assert np.array_equal(read_image(path).pixels, halves)


# --- refusing ------------------------------------------------------------------------------------------------------


def bomb() -> bytes:
    """A valid PNG header of 60,000 × 60,000 pixels and hardly any data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", r"empty \(0 bytes\)"),
        ("text.jpg", b"hello, I am no image\n" * 50, "not an image in a known format"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image in a known format"),
        ("bomb.png", bomb(), "too many pixels"),
        ("short.png", bomb()[:20], "not an image|damaged"),
    ],
)
def test_bad_content_is_one_clear_error(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as error:
        read_image(path)
    assert name in str(error.value)
    assert len(str(error.value).splitlines()) <= 2


@pytest.mark.parametrize("container", ["jpg", "png", "gif", "webp", "tif", "bmp"])
def test_truncated_files_are_refused(tmp_path, container):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"t.{container}", noise)
    whole = path.read_bytes()
    for share in (0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ImageError, match=r"damaged|not an image"):
            read_image(path)


def test_random_damage_never_escapes_as_another_exception(tmp_path):
    draws = np.random.default_rng(0)
    noise = draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for container in ("jpg", "png", "gif", "webp", "tif"):
        path = save(tmp_path / f"t.{container}", noise)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(40):
            broken = whole.copy()
            broken[draws.integers(0, min(200, len(whole)), 6)] = draws.integers(0, 256, 6)
            path.write_bytes(broken.tobytes())
            with contextlib.suppress(SigError):
                assert read_image(path).pixels.dtype == np.uint8


def test_the_size_limit(tmp_path, halves):
    path = save(tmp_path / "a.png", halves)
    assert read_image(path, max_pixels=32).pixels.shape == (4, 8, 3)
    with pytest.raises(ImageError, match=r"too many pixels \(8×4\)"):
        read_image(path, max_pixels=31)


def test_folder_absent_and_special_files(tmp_path, halves):
    save(tmp_path / "cat.png", halves)
    os.mkfifo(tmp_path / "pipe.png")
    for name, message in (
        ("", "a folder"),
        ("cta.png", "no such image(.|\n)*cat.png"),
        ("pipe.png", "not an ordinary"),
    ):
        with pytest.raises(ImageError, match=message):
            read_image(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path, halves):
    path = save(tmp_path / "a.png", halves)
    path.chmod(0)
    with pytest.raises(ImageError, match="no permission"):
        read_image(path)


def test_no_permission_as_the_system_reports_it(tmp_path, halves, monkeypatch):
    def forbid(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", forbid)
    with pytest.raises(ImageError, match=r"no permission(.|\n)*chmod u\+r"):
        read_image(save(tmp_path / "a.png", halves))


def test_pixels_without_a_defined_range_are_refused(tmp_path):
    for dtype in (np.float32, np.int32):
        Image.fromarray(np.ones((2, 2), dtype)).save(tmp_path / "f.tif")
        with pytest.raises(ImageError, match="32-bit pixels"):
            read_image(tmp_path / "f.tif")


def test_importing_images_and_the_table_of_models_imports_no_torch():
    code = "import sys, sigcli.inputs.images, sigcli.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_masks_beside_pictures_are_not_pictures_unless_named(tmp_path):
    for folder in (tmp_path, tmp_path / "masks"):
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / "a.png")
    assert find_images([tmp_path]) == [tmp_path / "a.png"]
    assert find_images([tmp_path / "masks"]) == [tmp_path / "masks" / "a.png"]


def test_a_link_to_nothing_is_named_as_one(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="a link to a file that is not there") as error:
        read_image(tmp_path / "a.png")
    assert "gone.png" in str(error.value)
    assert "Did you mean" not in str(error.value)

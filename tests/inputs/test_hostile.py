"""A folder with every kind of hostile file: good pictures are explained, and each other one is named with its reason."""

import csv
import io
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from sigcli.cli.main import app
from sigcli.errors import ImageError, UsageError
from sigcli.files import load_array, safe_cell
from sigcli.inputs.conversion import rgb
from sigcli.inputs.images import find_images, is_large, read_image
from sigcli.names import escaped

from hostile_files import chunk, make, odd, panorama, picture, png, saved, special
from repository import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder, names of its good pictures, and name → pattern of the reason of the others."""
    root = tmp_path_factory.mktemp("hostile") / "in"
    root.mkdir()
    return root, *make(root, good=0, panoramas=0)


def named(name: str) -> str:
    return safe_cell(escaped(name))


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_good_pictures_are_explained_and_each_other_file_is_named_with_its_reason(folder, tmp_path):
    root, good, reasons = folder
    given = [
        "explain",
        str(root),
        "--method",
        "gradient",
        "--no-pictures",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "out"),
    ]
    ended = CliRunner().invoke(app, given)
    assert ended.exit_code == 1, ended.stderr
    found = {row["image"]: row for row in rows(tmp_path / "out")}
    assert set(found) == {named(name) for name in [*good, *reasons]}
    assert {name for name in good if found[named(name)]["status"] != "ok"} == set()
    wrong = {
        name: found[named(name)]["error"] for name, reason in reasons.items()
        if found[named(name)]["status"] != "failed" or not re.search(reason, found[named(name)]["error"])
    }  # fmt: skip
    assert wrong == {}
    assert "unexpected" not in ended.stderr
    assert f"{len(good)} done, {len(reasons)} failed" in ended.stderr
    assert not any((Path.cwd() / name).exists() for name in ("UNPICKLED", "RUN"))


def test_there_are_kinds_enough(folder):
    _, good, reasons = folder
    assert len(reasons) >= 40
    assert len(set(odd())) >= 25
    assert len(good) >= 60


def test_a_hostile_folder_resumes_to_what_it_was(tmp_path):
    """Few of the files: what failed fails again, and nothing that is done is done anew."""
    root = tmp_path / "in"
    root.mkdir()
    for number in range(2):
        (root / f"=a{number}\n.png").write_bytes(saved(number, "PNG"))
    (root / "cut.png").write_bytes(saved(3, "PNG")[:300])
    os.mkfifo(root / "pipe.png")
    given = [
        "explain",
        str(root),
        "--method",
        "gradient",
        "--no-pictures",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "out"),
    ]
    assert CliRunner().invoke(app, given).exit_code == 1
    before = rows(tmp_path / "out")
    again = CliRunner().invoke(app, [*given, "--resume"])
    assert again.exit_code == 1, again.stderr
    assert rows(tmp_path / "out") == before
    assert [row["status"] for row in before].count("ok") == 2


def test_evaluation_with_hostile_labels_masks_and_references(tmp_path):
    """Every option that names files meets them: the run goes on with the pictures that are good."""
    root, masks = tmp_path / "in", tmp_path / "masks"
    for place in (root, masks):
        place.mkdir()
    for number in range(3):
        (root / f"{number}.png").write_bytes(saved(number, "PNG"))
        white = np.zeros((96, 96), np.uint8)
        white[20:50, 20:50] = 255
        Image.fromarray(white).save(masks / f"{number}.png")
    (root / "cut.png").write_bytes(saved(3, "PNG")[:300])
    for place in (root, masks):
        os.mkfifo(place / "pipe.png")
    (masks / "2.png").write_bytes(b"<html>")
    (root / "labels.csv").write_bytes(b"image,label\n0.png,heart\n1.png,star\n\xff\xfe.png,star\n")
    given = [
        "evaluate", str(root), "--method", "ig", "--set", "steps=2", "--set", "baseline=mean", "--metric", "pointing-game",
        "--device", "cpu", "--no-pictures", "--out", str(tmp_path / "out"), "--masks", str(masks),
        "--labels", str(root / "labels.csv"), "--references", str(root),
    ]  # fmt: skip
    ended = CliRunner().invoke(app, given)
    assert ended.exit_code == 1, ended.stderr
    assert "unexpected" not in ended.stderr
    assert {row["image"] for row in rows(tmp_path / "out") if row["status"] != "ok"} == {"cut.png", "pipe.png"}
    assert re.search(r"masks cannot be used: 2\.png: not an image", ended.stderr)


# --- memory and time ------------------------------------------------------------------------------------------------


def peak_of(code: str) -> int:
    """Bytes by which the most memory of a process of its own exceeds that after its imports."""
    start = "import resource, numpy; from sigcli.inputs.images import read_image\n"
    most = "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss"
    text = f"{start}from PIL import Image; Image.init()\nbefore = {most}\n{code}\nprint({most} - before)"
    told = subprocess.run([sys.executable, "-W", "ignore", "-c", text], cwd=ROOT, capture_output=True, check=True)
    return int(told.stdout) * 1024


def test_a_large_picture_is_held_once_decoded_and_once_as_pixels(tmp_path):
    """At most 8 bytes a pixel and some bands beside them: 4 of Pillow, 3 of RGB."""
    wide, high = 6_000, 2_000
    panorama(tmp_path / "RGB.png", wide, high)
    palette = Image.new("P", (wide, high))
    palette.putpalette([9, 9, 9, 200, 0, 0])
    alpha = Image.new("RGBA", (wide, high), (9, 9, 9, 128))
    for name, made in {"P": palette, "RGBA": alpha, "grey": Image.new("I;16", (wide, high))}.items():
        made.save(tmp_path / f"{name}.png", compress_level=1)
    paths = sorted(map(str, tmp_path.iterdir()))
    peak = peak_of(f"for path in {paths!r}:\n    read_image(path)")
    assert peak < 8 * wide * high + (96 << 20), f"{peak / wide / high:.1f} bytes a pixel"


def test_notes_that_swell_cost_little(tmp_path):
    (tmp_path / "a.png").write_bytes(png(8, 8, b"", chunk(b"zTXt", b"n\0\0" + zlib.compress(bytes(64 << 20), 9))))
    path = str(tmp_path / "a.png")
    code = f"try:\n    read_image({path!r})\nexcept Exception as error:\n    assert 'swells' in str(error)"
    assert peak_of(code) < 32 << 20


def test_bands_give_what_the_whole_picture_gives(monkeypatch):
    """A property: rows converted a few at a time are those of the picture converted at once, in every mode."""
    for name, content in odd().items():
        image = Image.open(io.BytesIO(content))
        image.load()
        whole = rgb(image, image.format)
        with monkeypatch.context() as context:
            context.setattr("sigcli.inputs.conversion._BAND", 7 * image.width)
            parts = rgb(image, image.format)
        assert np.array_equal(whole[0], parts[0]), name
        assert whole[1] == parts[1]


def test_conversion_is_that_of_pillow():
    """An oracle: transparency laid on white by Pillow at once, and what has none simply as RGB."""
    for name, content in odd().items():
        image = Image.open(io.BytesIO(content))
        image.load()
        if image.mode.startswith("I") or "turned" in name:
            continue
        front = image.convert("RGBA")
        white = Image.alpha_composite(Image.new("RGBA", front.size, "white"), front).convert("RGB")
        expected = white if image.has_transparency_data else image.convert("RGB")
        assert np.array_equal(rgb(image, image.format)[0], np.asarray(expected)), name


def test_only_large_pictures_wait_for_their_turn(tmp_path):
    panorama(tmp_path / "wide.png", 50_000, 600)
    (tmp_path / "small.png").write_bytes(saved(1, "PNG"))
    (tmp_path / "none.png").write_bytes(b"none")
    os.mkfifo(tmp_path / "pipe.png")
    found = {path.name: is_large(path) for path in tmp_path.iterdir()}
    assert found == {"wide.png": True, "small.png": False, "none.png": False, "pipe.png": False}


# --- folders ---------------------------------------------------------------------------------------------------------


def test_folders_nested_deeper_than_functions_can_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = os.open(".", os.O_RDONLY)
    for _ in range(1_100):
        os.mkdir("a", dir_fd=here)
        deeper = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    picture(1).save(tmp_path / "top.png")
    os.close(os.open("low.png", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    try:
        assert [path.name for path in find_images(["."])] == ["top.png", "low.png"]
    finally:  # pytest's own removal of old folders recurses
        os.unlink("low.png", dir_fd=here)
        for _ in range(1_100):
            above = os.open("..", os.O_RDONLY, dir_fd=here)
            os.close(here)
            os.rmdir("a", dir_fd=above)
            here = above
        os.close(here)


def test_a_run_folder_whose_ledger_is_a_pipe_does_not_hang(tmp_path):
    for name in ("files.jsonl", "results.csv"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "manifest.json").write_text('{"spec": {}, "versions": {}}')
    picture(1).save(tmp_path / "a.png")
    assert find_images([tmp_path]) == [tmp_path / "a.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_listed(tmp_path):
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(UsageError, match="no permission to list the folder"):
        find_images([tmp_path])


# --- arrays ----------------------------------------------------------------------------------------------------------


def header(text: str) -> bytes:
    body = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,)}") + bytes(64), "mmap|file size|length"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (-4,)}") + bytes(64), "."),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}") + bytes(64), "[Oo]bject|pickle|Python"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,"), "header"),
        (header("(" * 100), "header|parse|nested"),
        (b"PK\x03\x04" + bytes(40), "."),
        (b"", "."),
    ],
)  # fmt: skip
def test_arrays_that_are_none(tmp_path, content, reason):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises((ValueError, OSError), match=reason):
        load_array(tmp_path / "a.npy")


def test_an_archive_called_npy_and_a_pipe_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(3), y=np.ones(3))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="archive of arrays"):
        load_array(tmp_path / "a.npy")
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(OSError, match="not an ordinary file"):
        load_array(tmp_path / "pipe.npy")


def test_arrays_are_read_as_numpy_reads_them(tmp_path):
    for values in (
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.ones((3, 4), ">f4")),
        np.zeros((0, 3)),
        np.array(5),
    ):
        np.save(tmp_path / "a.npy", values)
        found = load_array(tmp_path / "a.npy")
        assert np.array_equal(found, values)
        assert (found.dtype, found.shape) == (values.dtype, values.shape)
        assert found.flags.writeable


def test_a_file_of_gigabytes_that_take_no_disk_is_refused_at_once(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(header("{'descr': '<f4', 'fortran_order': False, 'shape': (1073741824,)}"))
    with path.open("r+b") as stream:
        stream.truncate(5 << 30)
    with pytest.raises(ValueError, match=r"holds 4\.3 GB"):
        load_array(path)


def test_icons_are_measured_again_once_they_are_open(tmp_path):
    inner = Image.new("RGB", (300, 200))
    buffer = io.BytesIO()
    inner.save(buffer, "PNG")
    body = buffer.getvalue()
    icon = (
        b"\0\0\1\0\1\0"
        + bytes((16, 16, 0, 0, 1, 0, 32, 0))
        + len(body).to_bytes(4, "little")
        + (22).to_bytes(4, "little")
    )
    (tmp_path / "a.png").write_bytes(icon + body)
    with pytest.raises(ImageError, match=r"too many pixels \(300×200\)"):
        read_image(tmp_path / "a.png", max_pixels=40_000)


def test_the_page_shows_what_is_said(folder, tmp_path):
    """The two lines of docs/hostile-files.md, from files of these kinds."""
    text = (ROOT / "docs" / "hostile-files.md").read_text(encoding="utf-8")
    shown = re.findall(r"^failed: (\S+) sig: (.*)$", text, re.M)
    kinds = {"bomb.png": "bomb-header.png", "page.jpg": "page.png"}
    assert [name for name, _ in shown] == list(kinds)
    for name, sentence in shown:
        (tmp_path / name).write_bytes((folder[0] / kinds[name]).read_bytes())
        with pytest.raises(ImageError) as error:
            read_image(tmp_path / name)
        assert " ".join(str(error.value).split()) == sentence.replace("photos/", f"{tmp_path}/")


def test_no_file_above_its_limit_is_opened_to_see_how_large_its_picture_is(tmp_path, monkeypatch):
    """Pillow takes twice the size of a WebP file to open it: 13 GB of a sparse one."""
    opened = []
    monkeypatch.setattr("PIL.Image.open", lambda path, *_: opened.append(path))
    for name, (make_file, _) in special().items():
        if name.startswith("huge"):
            make_file(tmp_path / name)
            assert not is_large(tmp_path / name)
    assert not opened
    assert sorted(path.name for path in tmp_path.iterdir()) == ["huge.png", "huge.webp"]

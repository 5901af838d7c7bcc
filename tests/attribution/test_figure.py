"""`--figure`, `--cmap` and `--bare`: their files, and what is refused."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

import sigcli
from sigcli.attribution import figure as figure_module
from sigcli.attribution.figure import MOST_ROWS, WIDTHS, width_of
from sigcli.errors import OutputError, UsageError
from sigcli.render.maps.colours import diverging, sequential
from sigcli.render.maps.paint import as_rgb, few_colours, paint
from sigcli.render.plots.paper import paper_figure
from sigcli.render.plots.paper_page import PaperColumn, PaperRow
from sigcli.runs.manifest import read_manifest

KNOWN = {
    "image_size": 8,
    "mean": (0.0,),
    "std": (1.0,),
    "device": "cpu",
    "method": "gradient,ig",
    "settings": {"steps": 2},
}


@pytest.fixture
def images(tmp_path):
    for name in ("a", "b"):
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return [tmp_path / "a.png", tmp_path / "b.png"]


def net():
    import torch

    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


def test_a_pdf_has_text_with_its_font_and_the_width_that_was_asked_for(images, tmp_path):
    path = tmp_path / "figure.pdf"
    sigcli.explain(images, model=net(), **KNOWN, out=tmp_path / "out", figure=path, figure_width="nature")
    content = path.read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    width = float(re.search(rb"/MediaBox \[ 0 0 ([0-9.]+)", content)[1])
    assert width / 72 * 25.4 == pytest.approx(89, abs=0.01)
    # A picture and two maps for each image, and a scale for each method: theirs have different words.
    assert content.count(b"/Subtype /Image") == 2 * 3 + 2
    sizes = {tuple(map(int, one)) for one in re.findall(rb"/Width (\d+) /Height (\d+)", content)}
    assert min(min(one) for one in sizes if one[1] > 8) / (89 / 25.4 / 3) > 250  # dots per inch
    again = tmp_path / "again.pdf"
    found = sigcli.explain(
        images, model=net(), **KNOWN, out=tmp_path / "out", resume=True, figure=again, figure_width=89
    )
    assert all(one.resumed for one in found)
    assert again.read_bytes() == content


def test_an_svg_has_text_and_the_letters_inside(images, tmp_path):
    path = tmp_path / "figure.svg"
    options = {**KNOWN, "method": "gradient", "settings": None}
    sigcli.explain(images[:1], model=net(), **options, write=False, figure=path, cmap="teal-brown", scale="common")
    text = path.read_text()
    assert "@font-face" in text
    assert re.search(r"<text[^>]*>gradient</text>", text)
    assert "teal is where a larger value of the input raises the score" in words_of(path)


def test_pictures_in_an_svg_are_as_small_as_they_can_be(tmp_path):
    """Maps have a byte a pixel and lose nothing, photographs are JPEG; both at about 400 dots an inch."""
    from skimage.data import astronaut

    photo = np.asarray(Image.fromarray(astronaut()).resize((96, 96)))
    values = np.random.default_rng(0).normal(size=(96, 96)).astype(np.float32)
    rows = [PaperRow(f"row {number}", photo, [values], [2.5]) for number in range(3)]
    known = {"width": 82.6 / 25.4, "footnote": "A footnote."}
    for kind in ("svg", "png", "pdf"):
        paper_figure(tmp_path / f"f.{kind}", [PaperColumn("ig")], rows, **known)
    text = (tmp_path / "f.svg").read_text()
    found = re.findall(r'data:image/(\w+);base64,([^"]+)"', text)
    assert [kind for kind, _ in found] == ["jpeg", "png"] * 3 + ["png"]
    opened = [Image.open(io.BytesIO(base64.b64decode(data))) for _, data in found]
    assert {one.mode for one, (kind, _) in zip(opened, found, strict=True) if kind == "png"} == {"P"}
    cell = (82.6 / 25.4) / 2
    assert min(min(one.size) for one in opened[:-1]) / cell > 360
    painted = paint(values, 2.5, opened[1].size, table=few_colours(diverging()))
    assert np.array_equal(np.asarray(opened[1].convert("RGB")), np.asarray(painted))
    whole = as_rgb(photo).resize(opened[0].size, Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(opened[0]).astype(int) - np.asarray(whole)).mean() < 2
    assert len(text) < 0.35 * 3 * 2 * opened[0].width * opened[0].height * 3 * 4 / 3  # of the pixels in 24 bits
    assert (tmp_path / "f.pdf").read_bytes().count(b"/Indexed") == 3 + 1


def test_few_colours_are_near_all_of_them():
    for table in (diverging(), sequential()):
        assert np.abs(few_colours(table).astype(int) - table).max() <= 4
        assert len(np.unique(few_colours(table), axis=0)) <= 251


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"figure": "f.docx"}, "known kind"),
        ({"figure": "f"}, "known kind"),
        ({"figure_width": "nature"}, "width of a figure"),
        ({"figure": "f.pdf", "figure_width": "natur"}, "unknown figure width"),
        ({"figure": "f.pdf", "figure_width": "3"}, "cannot be so wide"),
        ({"figure": "f.pdf", "figure_width": "-90"}, "unknown figure width"),
        ({"cmap": "jet"}, "colour map"),
        ({"cmap": "viridis,magma"}, "two sequential"),
        ({"cmap": "viridis,red-blue"}, "comes first"),
        ({"bare": True, "pictures": False}, "--bare writes pictures"),
        ({"figure": "f.pdf", "target": "index:0,index:1,index:2,index:3,index:4", "images": 5}, "room for 24 rows"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_computed(images, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    options = dict(options)
    count = options.pop("images", 1)
    named = [images[0]]
    for number in range(1, count):
        Image.open(images[1]).save(tmp_path / f"{number}.png")
        named.append(tmp_path / f"{number}.png")
    with pytest.raises(UsageError, match=message):
        sigcli.explain(named, model=net(), **KNOWN, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("f.*"))


def test_a_folder_that_is_not_there_is_told(images, tmp_path):
    with pytest.raises(OutputError, match="folder of the figure"):
        sigcli.explain(images, model=net(), **KNOWN, out=tmp_path / "out", figure=tmp_path / "no" / "f.pdf")
    np.save(tmp_path / "x.npy", np.ones((3, 2), np.float32))
    with pytest.raises(UsageError, match="arrays are drawn as bars"):
        sigcli.explain(tmp_path / "x.npy", model=nn.Linear(6, 2), method="gradient", figure=tmp_path / "f.pdf")


def words_of(path):
    return " ".join(re.findall(r"<text[^>]*>([^<]*)<", path.read_text()))


def test_the_footnote_says_how_the_scales_of_this_figure_are_made(images, tmp_path):
    """Where all maps have negative values it says nothing of maps that have none, and the other way round."""

    def told(method, **options):
        path = tmp_path / "figure.svg"
        known = {**KNOWN, "method": method, "settings": None, "device": "cpu"}
        sigcli.explain(images[:1], model=net(), **known, write=False, figure=path, figure_width=183, **options)
        return words_of(path)

    both = told("gradient,gradcam", cmap="PuOr,magma")
    assert "own scale, symmetric about 0, or from 0 up where there are no negative values; where it ends is" in both
    assert "in the unit under the method's name" in both
    assert "0 to " in both
    assert "logit per unit of input" in both
    signed = told("gradient,input-x-gradient", cmap="PuOr,magma")
    assert "own scale, symmetric about 0; where it ends" in signed
    assert "negative values" not in signed
    alone = told("gradcam", cmap="PuOr,magma")
    assert "The scale is from 0 up; where it ends is printed below (Grad-CAM, no unit)." in alone
    assert alone.count("brighter") == both.count("brighter") == 1
    assert "range speaks" in both  # orange, as the map says, but not in a figure without that colour
    assert "range" not in alone
    common = told("ig,input-x-gradient", scale="common")
    assert (
        "share one scale, the median of their own, symmetric about 0; where it ends is printed below (logit per"
        in common
    )


def test_a_figure_that_cannot_be_written_is_refused_before_anything_is_computed(images, tmp_path, monkeypatch):
    """Root may write in any folder but where the disk says no, as /proc does: a file is made to find out, and removed."""
    known = {**KNOWN, "model": net(), "out": tmp_path / "out"}
    if Path("/proc/self").exists():
        with pytest.raises(OutputError, match="cannot be written"):
            sigcli.explain(images, **known, figure="/proc/figure.pdf")
    monkeypatch.setattr(
        figure_module, "NamedTemporaryFile", lambda **_: (_ for _ in ()).throw(OSError(30, "Read-only"))
    )
    with pytest.raises(OutputError, match="cannot be written"):
        sigcli.explain(images, **known, figure=tmp_path / "figure.pdf")
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    sigcli.explain(images, **known, figure=tmp_path / "figure.pdf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "figure.pdf", "out"]


def test_more_columns_than_can_be_read_are_refused_before_anything_is_computed(images, tmp_path):
    known = {**KNOWN, "model": net(), "out": tmp_path / "out", "method": "gradient,input-x-gradient,ig,gradcam"}
    with pytest.raises(UsageError, match="no room for 4 methods") as error:
        sigcli.explain(images, **known, figure=tmp_path / "f.pdf", figure_width=30)
    assert "2 methods, or --figure-width 40 or more" in str(error.value)
    assert not list((tmp_path / "out").glob("*/*"))


def test_widths():
    assert all(30 <= width <= 200 for width in WIDTHS.values())
    assert width_of("3.5in") == pytest.approx(88.9)
    assert width_of(120) == width_of("12 cm") == 120
    assert MOST_ROWS == 24


def test_bare_maps_have_the_size_of_the_input_and_colours_are_recorded(images, tmp_path):
    out = tmp_path / "out"
    sigcli.explain(images[:1], model=net(), **KNOWN, out=out)
    arrays = (out / "a/ig.npy").read_bytes()
    before = (out / "a/ig.png").read_bytes()
    found = sigcli.explain(images[:1], model=net(), **KNOWN, out=out, resume=True, bare=True, cmap="PuOr")
    assert all(one.resumed for one in found)
    with Image.open(out / "a/ig.bare.png") as bare:
        assert bare.size == (8, 8)
        pixels = np.asarray(bare.convert("RGB")).astype(int)
    values = np.load(out / "a/ig.npy").sum(0)
    assert (
        pixels[values > 0.5 * values.max()] @ (1, 0, -1) > 0
    ).all() or values.max() <= 0  # orange: more red than blue
    assert (out / "a/ig.png").read_bytes() != before
    assert (out / "a/ig.npy").read_bytes() == arrays
    assert read_manifest(out)["cmap"] == "PuOr"
    sigcli.explain(images[:1], model=net(), **KNOWN, out=out, resume=True)
    assert not (out / "a/ig.bare.png").exists()
    assert (out / "a/ig.png").read_bytes() == before

"""The large view: pictures as large as what the network saw, and an address for each image."""

import numpy as np
import pytest
from PIL import Image

from sigcli.gallery.data import data_script
from sigcli.gallery.publishing import publish
from sigcli.gallery.report import report
from sigcli.gallery.thumbnails import MOST, SIDE, Names, draw, file_of

from browsing import wait
from made_runs import HOSTILE, data_in, data_of, make_run, photographs

WIDTHS = "[...document.querySelectorAll('{} img')].map(one => one.naturalWidth)"
LOADED = (
    "(all => all[0] && [...all].every(one => one.complete && one.naturalWidth))(document.querySelectorAll('{} img'))"
)


@pytest.mark.parametrize(
    ("shape", "large"), [((SIDE, SIDE), None), ((448, 300), (300, 448)), ((2000, 1000), (256, MOST))]
)
def test_there_are_large_pictures_where_the_network_saw_more_than_small_ones_show(tmp_path, shape, large):
    draw_numbers = np.random.default_rng(0)
    names = Names.of("a", "ig", "0")
    picture = draw_numbers.integers(0, 255, (*shape, 3), np.uint8)
    written = draw(tmp_path, names, draw_numbers.normal(size=shape), picture)
    assert sorted(written) == sorted(one.stem for one in (tmp_path / "gallery").iterdir())
    for each, size in ((names, None), (names.large, large)):
        for name in (each.photo, each.map, each.overlay):
            if size is None and each is not names:
                continue
            if each is names.large and large is None:
                assert not file_of(tmp_path, name).exists()
                continue
            with Image.open(file_of(tmp_path, name)) as image:
                assert max(image.size) == SIDE if each is names else image.size == large


@pytest.fixture
def wide(tmp_path):
    """A run whose network saw 300 pixels a side."""
    maps = lambda *_: np.random.default_rng(0).normal(size=(3, 300, 300))  # noqa: E731
    make_run(tmp_path / "out", photographs(tmp_path / "in", ["a.png", "b.png"]), ("ig",), maps=maps)
    publish(tmp_path / "out")
    return tmp_path / "out"


def test_large_pictures_are_loaded_by_the_large_view_alone(visit, wide):
    page = visit(wide / "index.html")
    wait(page, LOADED.format(".row"))
    assert set(page.evaluate(WIDTHS.format(".row"))) == {160, SIDE}  # the photograph has 16 pixels here
    cells = [card["cells"][0] for card in data_of(wide / "gallery" / "data.js")["cards"]]
    assert not any(cell["lover"] in url for cell in cells for url in visit.asked)
    page.locator(".row").first.click()
    wait(page, LOADED.format(".large"))
    assert page.evaluate(WIDTHS.format(".large")) == [300]
    page.keyboard.press(" ")
    wait(page, LOADED.format(".large"))
    assert page.evaluate(WIDTHS.format(".large")) == [300]  # the map alone


def test_lost_large_pictures_are_made_again(wide):
    cell = data_of(wide / "gallery" / "data.js")["cards"][0]["cells"][0]
    file_of(wide, cell["lmap"]).unlink()
    publish(wide)
    assert data_of(wide / "gallery" / "data.js")["cards"][0]["cells"][0] == cell
    assert file_of(wide, cell["lmap"]).is_file()


@pytest.mark.parametrize("few", [True, False])
def test_a_single_file_has_large_pictures_where_they_are_few(visit, wide, tmp_path, monkeypatch, few):
    if not few:
        monkeypatch.setattr("sigcli.gallery.report._EXTRA", 1000)
    told = report(wide, out=tmp_path / "one.html", single_file=True).notes
    assert bool(told) is not few
    assert few or "left out of the single file" in told[0]
    inside = data_in((tmp_path / "one.html").read_text())["inside"]
    assert len(inside) == (12 if few else 6)
    page = visit(tmp_path / "one.html")
    page.locator(".row").first.click()
    wait(page, LOADED.format(".large"))
    assert page.evaluate(WIDTHS.format(".large")) == [300 if few else SIDE]


SOON = "const usual = window.setTimeout; window.setTimeout = (act, after) => usual(act, after / 20);"
SHOWN = "document.querySelector('dialog.detail').open && document.querySelector('#detail-name').textContent"


def test_each_image_has_an_address_whatever_its_name(visit, tmp_path):
    odd = ["&target=2.png", "main", "%zz.png", "ü/é ☃.png", "x%C3%A9.png", "xé.png"]
    make_run(tmp_path / "out", photographs(tmp_path / "in", [*HOSTILE, *odd]), ("ig",))
    publish(tmp_path / "out")
    page = visit(tmp_path / "out" / "index.html", before=SOON)
    page.locator(".row").first.click()
    found = {}
    while True:
        name = page.locator("#detail-name").inner_text()
        wait(page, f"decodeURIComponent(location.hash.slice(1)) === {name!r}")
        found[name] = page.evaluate("location.hash")
        if page.get_by_label("Next image").is_disabled():
            break
        page.keyboard.press("ArrowRight")
    assert len(found) == len(HOSTILE) + len(odd)
    page.keyboard.press("Escape")
    wait(page, "location.hash === ''")
    page.locator("#search").fill("nothing fits")
    for name, address in found.items():  # typed, or a link within the page
        page.evaluate("to => { location.hash = to; }", address)
        wait(page, f"({SHOWN}) === {name!r}")
    assert page.locator("#count").inner_text() == f"{len(found)} images"  # no filter hides what a link names
    page = visit(tmp_path / "out" / "index.html", after=found["ü/é ☃.png"])
    assert page.evaluate(SHOWN) == "ü/é ☃.png"


def test_addresses_of_targets_of_no_image_and_of_the_page_itself(visit, tmp_path):
    make_run(tmp_path / "out", photographs(tmp_path / "in", ["100%.png", "b.png"]), ("ig",))
    publish(tmp_path / "out")
    script = tmp_path / "out" / "gallery" / "data.js"
    data = data_of(script)
    first, second = data["cards"]
    data["cards"] = [first, second, {**second, "rank": 1}]
    script.write_text("".join(data_script(data)), encoding="utf-8")
    page = visit(tmp_path / "out" / "index.html", after="#b.png&target=2")
    assert page.locator("dialog.detail .count").inner_text() == "3 of 3"
    assert page.evaluate("location.hash") == "#b.png&target=2"
    page.evaluate("location.hash = '#100%.png'")  # written by hand, not encoded
    wait(page, f"({SHOWN}) === '100%.png'")
    page.evaluate("location.hash = '#<b>no'")
    wait(page, "!document.querySelector('#lost').hidden")
    assert page.locator("#lost").inner_text() == "This page has no image “<b>no”."
    assert not page.evaluate(SHOWN)
    wait(page, f"!({SHOWN}) && location.hash === ''")
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("[location.hash, document.activeElement.id]") == ["", "main"]

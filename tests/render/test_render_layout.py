"""Text on pictures: it fits its width, exists in the font, and numbers on scales read as their values."""

from __future__ import annotations

import numpy as np
import pytest

from sigcli.render import map_image
from sigcli.render.maps import layout, legend, letters

LONG = "cathode-ray tube, CRT, television set " * 6 + "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen" * 4


@pytest.mark.parametrize("width", [30, 90, 300])
@pytest.mark.parametrize("text", ["", "a", LONG, "Ω" * 80, "σ = 3.4 px " * 9])
def test_text_is_cut_to_its_width(text, width):
    assert letters.text_width(layout.fit(text, 18, width), 18) <= width
    lines = layout.wrap(text, 18, width, 3)
    assert len(lines) <= 3
    assert all(letters.text_width(line, 18) <= width for line in lines)


def test_no_line_breaks_between_a_number_and_its_unit():
    text = "gap 7.3 % · standard error 5.1 % · at scales σ = 3.4 px " * 3
    for width in range(60, 400, 7):
        lines = layout.wrap(text, 16, width, 99)
        assert not any(line.startswith(("%", "px", "=")) for line in lines)
    assert (
        layout.wrap("standard\u00a0error of", 16, letters.text_width("standard error", 16) + 2)[0] == "standard error"
    )


@pytest.mark.parametrize("width", range(120, 420, 13))
def test_lines_break_between_whole_items_and_no_dot_hangs(width):
    items = [
        "koala.jpg",
        "gap 7.4 %",
        "standard error 8.6 %",
        "1 gradient evaluation",
        "smoothed at scales σ = 4.5, 9 px",
    ]
    lines = layout.wrap(" · ".join(items), 16, width, 99)
    assert not any(line.startswith("·") or line.endswith("·") for line in lines)
    for item in items:
        if letters.text_width(item, 16) <= width:
            assert sum(item in line.split(" · ") for line in lines) == 1, (item, lines)
    assert not any(
        line.endswith((" 1", "error", "=")) for line in lines if letters.text_width("evaluation 1", 16) < width
    )
    assert "".join("".join(lines).split()) == "".join("".join(items).split()) or "·" in "".join(lines)


def test_what_is_longer_than_a_line_loses_no_letter():
    name = "a_rather_long/name-of.a.file_withoutanyplacetobreakitself.jpg"
    for width in (40, 90, 150):
        assert "".join(layout.wrap(name, 16, width, 99)) == name


def test_characters_without_a_glyph_are_told_by_number_and_differ():
    fish, other = (letters.printable(f"{one} fish")[0] for one in "\U0001f41f\U0001f420")
    assert fish != other
    assert "?" not in fish + other
    assert fish == "[U+1F41F] fish"


def test_hebrew_in_a_name_leaves_what_follows_in_its_place():
    """Under a base direction read off the first letter, '.jpg, net 12 %' would stand left of the name."""
    for name in ("\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "\u0633\u0644\u0627\u0645"):
        for rest in (".jpg, net 12 %", " 12 % net"):
            pages = []
            for text in (name + rest, rest):
                page = layout.blank(letters.text_width(text, 20), 30)
                layout.draw_line(page, (0, 0), layout.Line(text, 20))
                pages.append(np.asarray(page))
            wide = letters.text_width("2 % net" if rest[0] == " " else "jpg, net 12 %", 20) - 2
            apart = (pages[0][:, -wide:] < 128) != (pages[1][:, -wide:] < 128)
            assert apart.mean() < 0.02, (name, rest)  # but for parts of pixels


def test_text_that_fits_is_left_alone_and_wrapping_loses_no_word():
    assert layout.fit("gap 0.3 %", 18, 200) == "gap 0.3 %"
    text = "channels summed and smoothed and clipped at the percentile"
    assert " ".join(layout.wrap(text, 16, 200, 9)) == text


@pytest.mark.parametrize(
    "text", ["σ ≤ 3 × 10−5", "Größe à l’été, naïve", "金魚", "золотая рыбка", "a\nb\tc\x00\x07", "🐟 fish"]
)
def test_every_text_is_drawn_with_glyphs_that_exist(text):
    drawn, path = letters.printable(text)
    assert drawn
    assert drawn.isprintable()
    assert path or all(character in letters.glyphs() for character in drawn)
    assert letters.text_width(text, 18) > 0


@pytest.mark.parametrize(
    "limit",
    [5e-324, 3e-310, 1e-30, 1.24e-5, 9.98e-5, 9.98e-4, 0.0011, 0.02, 0.5, 1.0, 9.99, 15, 320, 99_999, 1e12, 1e300],
)
def test_ticks_read_as_their_values(limit):
    for share in (-1, -0.5, 0, 0.5, 1):
        assert float(legend.number(share * limit, limit)) == pytest.approx(share * limit, abs=0.06 * limit)
    assert len(legend.number(-limit, limit)) <= 9
    assert "10.0e" not in legend.number(limit, limit)


@pytest.mark.parametrize("width", [120, 260, 450, 1000])
@pytest.mark.parametrize("limit", [None, 0.0, 1.24e-5, 0.0182, 320.0])
@pytest.mark.parametrize("signed", [True, False])
def test_colour_bar_numbers_stand_apart(width, limit, signed):
    bar = legend.colour_bar(limit, "logit per pixel", width, signed=signed, notes="scale of sig, ig")
    assert bar.width == width
    ticks = legend._ticks(limit, width, signed)
    assert sum(tick.width for tick in ticks) < width


def test_evidence_against_is_blue_and_its_scale_falls():
    values = np.zeros((64, 64))
    values[:32] = 1.0
    plain, turned = (np.asarray(map_image(values, turned=turned)).astype(int) for turned in (False, True))
    assert plain[60, 60, 0] > plain[60, 60, 2]
    assert turned[60, 60, 2] > turned[60, 60, 0]
    assert [tick.text for tick in legend._ticks(2.0, 400, True, True)] == ["2.0", "1.0", "0", "-1.0", "-2.0"]
    assert [tick.text for tick in legend._ticks(None, 400, True, True)] == ["+limit", "0", "-limit"]

"""Figures for papers: nothing is cut, each scale is told, and each colour bar stands under what it is for."""

from __future__ import annotations

import base64
import io
import logging
import re

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg

from sigcli.render import palette
from sigcli.render.plots import paper
from sigcli.render.plots.fitted import LEAST, broken, fitted
from sigcli.render.plots.paper import paper_figure
from sigcli.render.plots.paper_page import PaperColumn, PaperRow
from sigcli.render.plots.scales import Bars, Kind

PHOTO = np.full((32, 32, 3), 128, np.uint8)
SIGNED, PLAIN = np.linspace(-1, 1, 1024).reshape(32, 32), np.linspace(0, 1, 1024).reshape(32, 32)
NAMES = (
    "sig",
    "integrated-gradients",
    "deconvolution",
    "guided-backprop",
    "an_alias_of_forty_letters_and_no_more",
    "ig",
)
LABELS = ("koala", "Norwegian elkhound", "cathode-ray tube", "hammerhead")


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws a figure and returns it as it was saved."""
    found = []
    monkeypatch.setattr(paper, "FigureCanvasAgg", lambda figure: found.append(figure) or FigureCanvasAgg(figure))
    monkeypatch.setattr(paper, "DPI", 100)

    def draw(columns, rows, *, width=139.7, **options):
        options = {"footnote": "A footnote of some words that is long enough for two lines of text. " * 2, **options}
        paper_figure(tmp_path / "figure.png", columns, rows, width=width / 25.4, **options)
        return found[-1]

    return draw


def rows_of(count, kinds, labels=LABELS[:2], limits=None):
    maps = [PLAIN if kind == "plain" else SIGNED for kind in kinds][:count]
    return [
        PaperRow(label, PHOTO, maps, limits or [0.0021 * 3**i for i in range(count)], share="> 99.9 %")
        for label in labels
    ]


def texts_of(figure):
    return [one.get_text() for one in figure.texts]


def boxes_of(figure):
    with rc_context(paper._STYLE):
        figure.set_dpi(300)
        renderer = FigureCanvasAgg(figure).get_renderer()
        return [(one.get_text(), one.get_window_extent(renderer)) for one in figure.texts if one.get_text()]


@pytest.mark.parametrize("count", [1, 3, 6])
@pytest.mark.parametrize("width", [57, 82.6, 139.7, 183])
def test_no_text_is_cut_or_covered_or_too_small(drawn, count, width):
    columns = [
        PaperColumn(name, "logit per unit of input" if place % 2 else "logit per pixel", ("lowers", "raises"))
        for place, name in enumerate(NAMES[:count])
    ]
    figure = drawn(columns, rows_of(count, ["signed", "plain"] * 3, LABELS), width=width, palette=palette("PuOr,magma"))
    told = "".join(texts_of(figure)).replace(" ", "")
    assert "…" not in told
    for word in (*NAMES[:count], *LABELS, "> 99.9 %", "±0.0021", *["logit per pixel"] * (count > 1)):
        assert word.replace(" ", "") in told, word
    assert min(one.get_size() for one in figure.texts) >= LEAST
    found = boxes_of(figure)
    whole = figure.bbox
    for place, (text, box) in enumerate(found):
        assert box.x0 > whole.x0 - 1, text
        assert box.x1 < whole.x1 + 1, text
        assert box.y0 > whole.y0 - 1, text
        assert box.y1 < whole.y1 + 1, text
        for other, its in found[:place]:
            wide, high = min(box.x1, its.x1) - max(box.x0, its.x0), min(box.y1, its.y1) - max(box.y0, its.y0)
            assert min(wide, high) < 0.35 * min(box.height, its.height, box.width, its.width), (text, other)
    assert all(not (box.overlaps(axes.bbox) and min(axes.bbox.size) > 20) for axes in figure.axes for _, box in found)


def bars_of(figure):
    """Left and right edge of each colour bar in shares of the width, and the colour of its right end."""
    found = [axes for axes in figure.axes if axes.images and axes.images[0].get_array().shape[0] == 8]
    return {tuple(axes.images[0].get_array()[0, -1, :3].tolist()): axes.get_position().intervalx for axes in found}


@pytest.mark.parametrize("order", ["signed plain", "plain signed", "signed plain plain", "plain signed signed"])
def test_each_bar_stands_under_columns_of_its_own_kind_and_names_them(drawn, order):
    colours, order = palette("PuOr,magma"), order.split()
    columns = [PaperColumn(f"{kind}{place}", "u") for place, kind in enumerate(order)]
    figure = drawn(columns, rows_of(len(order), order), palette=colours)
    bars = bars_of(figure)
    cells = [axes.get_position().intervalx for axes in figure.axes if axes.images][1 : 1 + len(order)]
    for kind, table in (("signed", colours.signed), ("plain", colours.plain)):
        left, right = bars[tuple(table[-1].tolist())]
        own = [cell for cell, one in zip(cells, order, strict=True) if one == kind]
        assert left >= own[0][0] - 0.01
        assert right <= own[-1][1] + 0.01
        assert ", ".join(f"{one}{place}" for place, one in enumerate(order) if one == kind) in texts_of(figure)


def test_words_at_the_ends_are_those_of_the_columns_above(drawn):
    columns = [PaperColumn("sig", "u"), PaperColumn("gradient", "v", ("lowers", "raises"))]
    found = dict(boxes_of(drawn(columns, rows_of(2, ["signed"] * 2))))
    assert found["against"].x0 < found["for"].x1 < found["lowers"].x0 < found["raises"].x0
    assert found["lowers"].x0 > found["sig"].x1


def test_a_column_of_both_kinds_names_its_rows_and_bars_without_room_stand_under_one_another():
    signed, plain = Kind(("against", "for"), signed=True), Kind(("against", "for"), signed=False)
    kinds = {(0, 0): signed, (1, 0): plain, (2, 0): plain, (0, 1): plain, (1, 1): plain, (2, 1): plain}
    bars = Bars.of(kinds, ["sig", "gradcam"], [(1, 2), (2.1, 3.1)], (0, 3.1), 5.5).bars
    assert [" ".join(bar.notes) for bar in bars] == ["sig (row 1)", "gradcam, sig (rows 2, 3)"]
    narrow = Bars.of(kinds, ["sig", "gradcam"], [(0.3, 0.5), (0.6, 0.8)], (0, 1.2), 5.5)
    assert [bar.line for bar in narrow.bars] == [0, 1]
    one = Bars.of({(0, 0): signed}, ["sig"], [(1, 2)], (0, 3), 5.5).bars
    assert one[0].notes == ()


def test_each_panel_tells_where_its_scale_ends(drawn):
    columns = [
        PaperColumn("sig", "logit per pixel"),
        PaperColumn("cam", "no unit"),
        PaperColumn("ig", "logit per pixel"),
    ]
    rows = [
        PaperRow("a", PHOTO, [SIGNED, PLAIN, 0 * SIGNED], [0.0021, 0.73, 0.0]),
        PaperRow("b", PHOTO, [SIGNED, None, SIGNED], [9.98e-4, 0, 5.0]),
    ]
    told = texts_of(drawn(columns, rows, palette=palette("PuOr,magma")))
    assert [one for one in told if one.startswith(("±", "0", "a")) and one not in ("0", "against", "a")] == [
        "±0.0021", "0 to 0.73", "all zero", "±0.00100", "±5.0",
    ]  # fmt: skip
    assert told.count("logit per pixel") == 2
    same = texts_of(drawn([PaperColumn("sig", "logit"), PaperColumn("ig", "logit")], rows_of(2, ["signed"] * 2)))
    assert "logit" not in same  # the footnote says it


def test_a_common_scale_is_told_once_for_the_maps_that_share_it(drawn):
    columns = [
        PaperColumn("sig", "logit"),
        PaperColumn("ig", "logit"),
        PaperColumn("cam", "none"),
        PaperColumn("eg", "logit"),
    ]
    rows = rows_of(4, ["signed"] * 4, limits=[0.5, 0.5, 2.0, 0.5])
    figure = drawn(columns, rows, common=True)
    assert [one for one in texts_of(figure) if one.startswith("±")] == ["±0.50", "±2.0", "±0.50"] * 2
    assert len(figure.artists) == 2 * 2  # a line on each side of the number that two maps share
    assert [one for one in texts_of(drawn(columns, rows)) if one.startswith("±")] == [
        "±0.50",
        "±0.50",
        "±2.0",
        "±0.50",
    ] * 2


def test_maps_that_speak_against_are_signed_and_turned(drawn):
    colours = palette("PuOr,magma")
    figure = drawn([PaperColumn("a", turned=True)], rows_of(1, ["plain"], ("x",), [1.0]), palette=colours)
    shown = np.asarray(figure.axes[1].images[0].get_array())
    assert np.abs(shown[-1, -1].astype(int) - colours.signed[0]).max() < 12
    assert "±1.00" in texts_of(figure)


def test_an_svg_has_every_letter_and_making_it_says_nothing(tmp_path, caplog):
    path = tmp_path / "f.svg"
    with caplog.at_level(logging.DEBUG, "fontTools.subset"):
        caplog.handler.setLevel(logging.WARNING)
        paper_figure(path, [PaperColumn("ig")], rows_of(1, ["signed"]), width=3.5, footnote="a & b")
    assert not caplog.records
    text = path.read_text()
    font = TTFont(io.BytesIO(base64.b64decode(re.search(r"font/woff;base64,([^)]+)\)", text)[1])))  # type: ignore[index]
    assert {ord(letter) for letter in "> 99.9 %±igkoala&"} <= set(font.getBestCmap())


def test_text_is_broken_then_made_smaller_and_never_cut():
    assert broken("guided-backprop", 7, 0.6) == ["guided-", "backprop"]
    assert broken("deconvolution", 7, 0.3) is None
    assert "".join(broken("deconvolution", 7, 0.3, anywhere=True) or []) == "deconvolution"
    full = fitted(["deconvolution"], 7, [1.0])
    less = fitted(["deconvolution", "a b"], 7, [0.6, 0.05])
    assert full is not None
    assert full.size == 7
    assert less is not None
    assert LEAST <= less.size < 7
    assert list(map(list, less.lines)) == [["deconvolution"], ["a", "b"]]
    assert fitted(["deconvolution"], 7, [0.3]) is None

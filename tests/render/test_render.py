"""Pictures: what the colours mean, what the numbers on them say, and that no text leaves its place."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from sigcli.errors import UsageError
from sigcli.render.maps import colours, layout, legend, targets
from sigcli.render.maps import paint as maps
from sigcli.render.maps import palette as palettes
from sigcli.render.maps import sheet as sheets
from sigcli.render.maps.answers import Answer, answers_block
from sigcli.render.maps.sheet import PER_ROW, Panel, by_sign, compare_image
from sigcli.render.maps.single import map_image, overlay_image, save_png, uncertainty_image

LONG = "cathode-ray tube, CRT, television set " * 6 + "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen" * 4


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def picture(shape=(64, 64)):
    return np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)


def pixels(image):
    return np.asarray(image).astype(int)


def edge_is_white(image, width=layout.MARGIN // 2):
    values = np.asarray(image)
    strips = values[:width], values[-width:], values[:, :width], values[:, -width:]
    return all((strip == 255).all() for strip in strips)


# Colours


@pytest.mark.parametrize("table", [colours.diverging(), colours.sequential()], ids=["diverging", "sequential"])
def test_table_steps_look_even(table):
    lab = colours.oklab_from_srgb(table[::16])
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.max() / steps.min() < 1.3
    assert not table.flags.writeable


def test_diverging_is_white_in_the_middle_and_symmetric_in_lightness():
    table = colours.diverging()
    lightness = colours.oklab_from_srgb(table)[:, 0]
    assert len(table) == 2 * colours.HALF + 1
    assert (table[colours.HALF] == 255).all()
    np.testing.assert_allclose(lightness, lightness[::-1], atol=0.012)


@pytest.mark.parametrize(
    "arm", [colours.diverging()[colours.HALF :], colours.diverging()[colours.HALF :: -1], colours.sequential()]
)
def test_lightness_falls_with_magnitude(arm):
    lightness = colours.oklab_from_srgb(arm)[:, 0]
    assert (np.diff(lightness) <= 1e-3).all()  # bytes round
    assert (np.diff(lightness[::8]) < 0).all()
    assert lightness[0] == pytest.approx(1)
    assert lightness[-1] < 0.4


OURS = ("red-blue", "orange-purple", "teal-brown")


@pytest.mark.parametrize("name", [*palettes.DIVERGING, *palettes.SEQUENTIAL])
def test_the_lightness_of_every_palette_is_monotone_and_of_ours_even(name):
    """CIELAB's L* along each arm; a fit by a line shows how even it is."""
    found = palettes.palette(name)
    arms = [found.signed[256:], found.signed[256::-1]] if found.plain is None else [found.plain]
    for arm in arms:
        lightness = lstar(arm)
        assert np.diff(lightness).max() < 0.4 or np.diff(lightness).min() > -0.4  # bytes round
        x = np.linspace(0, 1, len(arm))
        uneven = np.abs(lightness - np.polyval(np.polyfit(x, lightness, 1), x)).max()
        assert uneven < (2 if name in OURS else 10)


@pytest.mark.parametrize("name", palettes.DIVERGING)
def test_arms_of_every_palette_differ_to_a_reader_without_green_cones(name):
    table = palettes.palette(name).signed
    lab = colours.oklab_from_srgb(255 * deuteranope(table))
    for share in (64, 128, 256):
        assert np.linalg.norm(lab[256 + share] - lab[256 - share]) > 0.07


def test_a_sequential_palette_is_for_maps_without_negative_values_only():
    found = palettes.palette("PuOr,viridis")
    assert found.table(np.array([[0.0, 1.0]])) is found.plain
    for values, turned in (([[-1.0, 1.0]], False), ([[0.0, 0.0]], False), ([[0.0, 1.0]], True)):
        assert found.table(np.array(values), turned=turned) is found.signed
    painted = pixels(maps.paint(np.array([[0.0, 1.0]]), 1.0, (2, 1), table=found.plain))[0]
    assert painted.tolist() == [[68, 1, 84], [253, 231, 37]]
    assert found.worded("Red speaks for it, blue against it.") == "Orange speaks for it, purple against it."


@pytest.mark.parametrize("spec", ["jet", "", "PuOr,BrBG", "viridis,magma", "red blue", "viridis,", "RDBU"])
def test_palettes_that_there_are_not_are_refused(spec):
    with pytest.raises(UsageError):
        palettes.palette(spec)


def lstar(table):
    """CIELAB's L* of sRGB bytes, from their relative luminance."""
    luminance = linear(table) @ (0.2126, 0.7152, 0.0722)
    return np.where(luminance > 216 / 24389, 116 * np.cbrt(luminance) - 16, 24389 / 27 * luminance)


def linear(table):
    unit = np.asarray(table) / 255
    return np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)


def deuteranope(table):
    """sRGB in 0..1 as a reader without green cones sees it (Machado, Oliveira and Fernandes 2009, severity 1)."""
    seen = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]])
    found = np.clip(linear(table) @ seen.T, 0, 1)
    return np.where(found <= 0.0031308, 12.92 * found, 1.055 * found ** (1 / 2.4) - 0.055)


def test_red_is_for_and_blue_is_against():
    painted = pixels(maps.paint(np.array([[1.0, 0.3, 0.0, -0.3, -1.0]]), 1.0, (5, 1)))[0]
    for strong, weak, high, low in ((0, 1, 0, 2), (4, 3, 2, 0)):
        assert painted[weak][high] > painted[weak][low]
        assert painted[strong][high] > painted[strong][low]
        assert painted[strong].sum() < painted[weak].sum()
    assert painted[2].tolist() == [255, 255, 255]


def test_arms_differ_to_colour_blind_readers():
    # Protanopes and deuteranopes see no red-green axis; the blue-yellow axis of OKLab must still tell the signs apart.
    lab = colours.oklab_from_srgb(colours.diverging())
    half = colours.HALF // 2
    assert lab[colours.HALF + half, 2] - lab[colours.HALF - half, 2] > 0.1


# Maps


def test_reduce_channels_keeps_the_sum(rng):
    values = rng.normal(size=(3, 17, 9)).astype(np.float32)
    reduced = maps.reduce_channels(values)
    assert reduced.shape == (17, 9)
    assert reduced.sum() == pytest.approx(values.sum(dtype=np.float64), rel=1e-12)
    with pytest.raises(ValueError, match=r"\(C, H, W\)"):
        maps.reduce_channels(values[0])


@pytest.mark.parametrize("sigma", [0, 0.4, 3.4])
def test_smoothing_keeps_the_sum(rng, sigma):
    values = rng.normal(size=(40, 60)) + 1
    assert maps.smooth(values, sigma).sum() == pytest.approx(values.sum(), rel=1e-9)


def test_smoothing_of_zero_changes_nothing_and_of_less_is_refused(rng):
    values = rng.normal(size=(9, 9))
    assert (maps.smooth(values, 0) == values).all()
    with pytest.raises(ValueError, match="0 or more"):
        maps.smooth(values, -1)


def test_symmetric_limit_is_shared_and_ignores_sign(rng):
    small, large = rng.normal(size=(50, 50)), 10 * rng.normal(size=(30, 80))
    together = maps.symmetric_limit([small, large])
    assert together == maps.symmetric_limit([-large, small])
    assert maps.symmetric_limit(small) < together < maps.symmetric_limit(large)
    expected = np.percentile(np.abs(np.concatenate([small.ravel(), large.ravel()])), 99.5)
    assert together == pytest.approx(expected)


def test_symmetric_limit_of_sparse_zero_and_no_maps():
    sparse = np.zeros((100, 100))
    sparse[3, 3] = -7
    assert maps.symmetric_limit(sparse) == 7
    assert maps.symmetric_limit(np.zeros((4, 4))) == 0
    assert maps.symmetric_limit([]) == 0
    with pytest.raises(ValueError, match="at most 100"):
        maps.symmetric_limit(sparse, 101)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_cannot_be_drawn_are_refused(bad):
    broken = np.zeros((8, 8))
    broken[2, 2] = bad
    for draw in (map_image, uncertainty_image, lambda m: overlay_image(picture((8, 8)), m), maps.symmetric_limit):
        with pytest.raises(ValueError, match="1 of 64 pixels"):
            draw(broken)
    with pytest.raises(ValueError, match=r"panel 'ig': .*NaN"):
        compare_image(picture((8, 8)), [Panel("ig", np.zeros((8, 8)), player_map=broken)])
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        map_image(np.zeros((3, 8, 8)))


def test_other_inputs_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match="at least one panel"):
        compare_image(picture(), [])
    with pytest.raises(ValueError, match="uint8"):
        overlay_image(np.zeros((8, 8, 3)), np.zeros((8, 8)))
    with pytest.raises(ValueError, match="negative"):
        uncertainty_image(-np.ones((8, 8)))


def test_values_beyond_the_limit_are_clipped_not_wrapped():
    painted = pixels(maps.paint(np.array([[50.0, 1.0, -1.0, -50.0]]), 1.0, (4, 1)))[0]
    assert (painted[0] == painted[1]).all()
    assert (painted[2] == painted[3]).all()


@pytest.mark.parametrize("size", [1e-60, 1e60])
def test_extreme_magnitudes_look_like_ordinary_ones(rng, size):
    values = rng.normal(size=(16, 16))
    assert (pixels(maps.paint(values * size, 2 * size, (64, 64))) == pixels(maps.paint(values, 2, (64, 64)))).all()
    assert map_image(values * size, unit="logit").width > 0


def test_overlay_shows_the_picture_where_the_map_is_zero_and_colour_where_it_is_not():
    values = np.zeros((64, 64))
    values[:, :16], values[:, -16:] = 1, -1
    shown = pixels(maps.overlay(picture(), values, 1.0, (64, 64)))
    left, middle, right = shown[:, :12], shown[:, 24:40], shown[:, -12:]
    assert (left[..., 0] - left[..., 2]).min() > 60
    assert (right[..., 2] - right[..., 0]).min() > 60
    photo = picture()[:, 24:40].astype(float)
    assert np.ptp(middle, axis=-1).mean() < 0.7 * np.ptp(photo, axis=-1).mean()  # paler than the photograph
    assert np.corrcoef(middle.ravel(), photo.ravel())[0, 1] > 0.8  # and still the photograph


def test_a_map_above_zero_everywhere_lays_no_veil_over_the_picture():
    faint, strong = (pixels(maps.overlay(picture(), np.full((64, 64), share), 1.0, (64, 64))) for share in (0.3, 0.9))
    bare = pixels(maps.overlay(picture(), np.zeros((64, 64)), 1.0, (64, 64)))
    assert np.abs(faint - bare).mean() < 0.2 * np.abs(strong - bare).mean()


def test_player_maps_keep_hard_edges():
    painted = pixels(maps.paint(np.kron(np.array([[1.0, -1.0]]), np.ones((8, 4))), 1.0, (32, 32), blocky=True))
    assert len(np.unique(painted.reshape(-1, 3), axis=0)) == 2


@pytest.mark.parametrize("shape", [(28, 28), (224, 224), (1024, 1024), (100, 300), (300, 40), (1, 1), (2000, 30)])
def test_maps_are_shown_in_proportion_and_at_a_readable_size(shape):
    width, height = maps.shown_size(shape)
    assert max(width, height) >= 448
    assert max(width, height) <= 1024
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.05)


# Figures


@pytest.mark.parametrize("shape", [(28, 28), (1024, 1024), (40, 120), (120, 30), (1, 1)])
@pytest.mark.parametrize("kind", ["map", "overlay", "uncertainty"])
def test_no_text_leaves_the_page(rng, shape, kind):
    values = rng.normal(size=shape)
    words = {"title": f"{LONG}\n{LONG}", "caption": LONG, "unit": LONG}
    if kind == "map":
        image = map_image(values, **words)
    elif kind == "overlay":
        image = overlay_image(picture(shape), values, **words)
    else:
        image = uncertainty_image(np.abs(values), **words)
    assert image.mode == "RGB"
    assert edge_is_white(image)


def test_zero_map_is_white_and_says_so():
    zero = map_image(np.zeros((28, 28)), unit="logit")
    assert (pixels(zero)[60:400, 40:-40] == 255).all()
    said, expected = legend.colour_bar(0, "logit", 400), legend.colour_bar(1.0, "logit (all zero)", 400)
    words = (0, 0, 400, layout.line_height(layout.BODY))
    assert said.crop(words).tobytes() == expected.crop(words).tobytes()


@pytest.mark.parametrize("limit", [-1.0, np.nan, np.inf])
def test_impossible_limits_are_refused(limit):
    for draw in (map_image, uncertainty_image, lambda m, **k: overlay_image(picture((8, 8)), m, **k)):
        with pytest.raises(ValueError, match="the limit of a scale"):
            draw(np.ones((8, 8)), limit=limit)


def test_limit_defaults_to_the_percentile_and_can_be_shared(rng):
    values = rng.normal(size=(64, 64))
    assert map_image(values).tobytes() == map_image(values, limit=maps.symmetric_limit(values)).tobytes()
    assert map_image(values).tobytes() != map_image(values, limit=50.0).tobytes()
    assert map_image(values, scale=8).width > map_image(values).width


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 1), (32, 32, 3), (96, 96, 3)])
def test_grey_pictures_and_other_sizes_are_taken(shape):
    image = overlay_image(np.full(shape, 90, dtype=np.uint8), np.zeros((32, 32)))
    assert image.width == 448 + 2 * layout.MARGIN


def test_drawing_changes_none_of_its_inputs_and_repeats_itself(rng):
    values, shot = rng.normal(size=(32, 32)), picture((32, 32))
    before = values.copy(), shot.copy()
    panel = Panel("sig", values, values)
    first, second = (compare_image(shot, [panel], heading="a").tobytes() for _ in range(2))
    assert first == second
    assert (values == before[0]).all()
    assert (shot == before[1]).all()


def test_threads_draw_what_one_thread_draws(rng):
    values = [rng.normal(size=(48, 48)) for _ in range(12)]

    def draw(index):
        return map_image(
            values[index], title=f"ig: class {index}", unit="logit", caption=maps.describe("smoothed, σ = 2 px")
        ).tobytes()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(draw, range(12))) == [draw(index) for index in range(12)]


# Sheets


ANSWERS = [Answer("star", "75 %", 0.75, explained=True), Answer("cross", "20 %", 0.2), Answer("house", "5.0 %", 0.05)]


def panels(count, shape=(32, 32), **options):
    rng = np.random.default_rng(2)
    return [
        Panel(
            f"method {i}",
            rng.normal(size=shape),
            np.sign(rng.normal(size=shape)) if i % 2 else None,
            ("gap 0.3 %",),
            **options,
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [2, 4, PER_ROW, PER_ROW + 1, 2 * PER_ROW + 1])
def test_sheets_stay_readably_wide_and_grow_downward(count):
    sheet = compare_image(
        picture((32, 32)), panels(count), heading="goldfish.jpg", caption=maps.describe("not smoothed")
    )
    assert 600 <= sheet.width <= 2000
    assert edge_is_white(sheet)
    assert sheet.height > (1 if count <= PER_ROW else 2) * 700


@pytest.mark.parametrize("players", [False, True])
def test_a_single_method_has_its_pictures_beside_each_other(players):
    values = np.ones((32, 32))
    sheet = compare_image(picture((32, 32)), [Panel("ig", values, values if players else None)], answers=ANSWERS)
    assert sheet.width > 1.7 * sheet.height
    columns = (pixels(sheet)[layout.MARGIN : -layout.MARGIN] < 255).any((0, 2))
    gutters = "".join("i" if ink else "w" for ink in columns).strip("w").split("i")
    assert sum(len(run) >= 12 for run in gutters) == 2 + players  # input, overlay, map, and players' sums


@pytest.mark.parametrize("shape", [(28, 28), (20, 200), (200, 20)])
def test_no_text_leaves_a_sheet_nor_meets_a_neighbour(shape):
    long = [Panel(LONG, np.ones(shape), None, (LONG, LONG), str(i), LONG) for i in range(PER_ROW + 2)]
    words = {"heading": LONG, "caption": LONG, "picture_lines": (LONG,)}
    sheet = compare_image(picture(shape), long, **words)
    assert edge_is_white(sheet)
    values = np.asarray(compare_image(picture(shape), long[:4]))
    gutters = (values[layout.MARGIN : -layout.MARGIN] == 255).all(axis=(0, 2))[layout.MARGIN : -layout.MARGIN]
    runs = "".join("w" if white else "i" for white in gutters).split("i")
    assert sum(len(run) >= 12 for run in runs) >= 4  # a white gutter between each two of five columns


def limits_of(monkeypatch, drawn, **options):
    """Limit, unit, notes and words of each colour bar in a sheet, method by method."""
    found = []

    def bar(limit, unit, width, *, notes="", **words):
        found.append((limit, unit, notes, words["turned"]))
        return legend.colour_bar(limit, unit, width, notes=notes, **words)

    monkeypatch.setattr(sheets, "colour_bar", bar)
    compare_image(picture((32, 32)), drawn, **options)
    return found


def test_every_map_has_a_colour_bar_that_ends_where_its_colours_do(monkeypatch):
    one = np.ones((32, 32))
    drawn = [
        Panel("sig", one, one, unit="logit", player_unit="sum", player_group="784"),
        Panel("walk", 2 * one, 3 * one, unit="logit", player_unit="sum", player_group="49", player_note="of sig"),
        Panel("gradient", 5 * one, group="input", unit="per input", turned=True),
    ]
    assert limits_of(monkeypatch, drawn) == [
        (1.0, "logit", "", False), (1.0, "sum", "", False), (2.0, "logit", "", False), (3.0, "sum", "of sig", False),
        (5.0, "per input", "", True),
    ]  # fmt: skip
    common = [limit for limit, *_ in limits_of(monkeypatch, drawn, common=True)]
    assert common == [1.0, 1.0, 1.0, 3.0, 5.0]  # the lower median of a unit; players' sums by their partition


def test_on_its_own_scale_a_map_looks_the_same_whatever_its_size_and_its_neighbours(rng):
    values, parts = rng.normal(size=(32, 32)), np.repeat(np.arange(-2.0, 2.0), 256).reshape(32, 32)
    shown = []
    for factor in (2.0**-20, 1.0, 2.0**12):  # of powers of two, so the shares of the limit are the same to the last bit
        beside = Panel("b", factor * values, factor * parts)
        sheet = pixels(compare_image(picture((32, 32)), [Panel("a", values, parts), beside]))
        columns = [sheet[480:860, layout.MARGIN + x : layout.MARGIN + x + 400] for x in (418, 836)]  # in the maps' row
        np.testing.assert_array_equal(*columns)
        shown.append(columns[0])
    assert all((one == shown[0]).all() for one in shown)
    assert np.ptp(shown[0], axis=(0, 1)).min() > 150  # the maps are there, and from white to full colour


def test_one_noisy_map_does_not_turn_the_others_pale(monkeypatch):
    weak, strong = np.full((32, 32), 0.1), np.full((32, 32), 10.0)
    drawn = [Panel("a", weak), Panel("b", weak), Panel("noisy", strong)]
    assert {limit for limit, *_ in limits_of(monkeypatch, drawn, common=True)} == {0.1}


def test_the_caption_stands_below_the_picture_where_there_is_room():
    long = "channels summed and smoothed and clipped at some percentile of its values " * 3
    players = [Panel(name, np.ones((32, 32)), np.ones((32, 32))) for name in "ab"]
    without, with_caption = (compare_image(picture((32, 32)), players, answers=ANSWERS, caption=c) for c in ("", long))
    assert with_caption.size == without.size
    flat = [Panel(name, np.ones((32, 320))) for name in "ab"]
    without, with_caption = (compare_image(picture((32, 320)), flat, answers=ANSWERS, caption=c) for c in ("", long))
    assert with_caption.height > without.height


def test_answers_have_bars_in_proportion_and_the_target_stands_out():
    block = np.asarray(answers_block(ANSWERS, 400)).astype(int)
    dark, grey = ((block == tone).all(2).sum(1) for tone in (45, 150))
    assert dark.max() == pytest.approx(0.75 * 400, abs=2)
    assert grey.max() == pytest.approx(0.2 * 400, abs=2)
    assert answers_block([Answer(LONG, "12 %", 0.12)], 150).width == 150


def test_sheet_without_players_has_two_rows_and_with_them_three():
    values = np.ones((32, 32))
    two = compare_image(picture((32, 32)), [Panel("ig", values), Panel("idgi", values)])
    three = compare_image(picture((32, 32)), [Panel("sig", values, values), Panel("ig", values, values)])
    assert three.width == two.width
    assert three.height - two.height > 390


@pytest.mark.parametrize("count", [1, 3, 12])
def test_targets_stand_under_each_other_and_their_difference_has_its_own_scale(monkeypatch, count):
    bars = []
    real = targets.colour_bar
    monkeypatch.setattr(
        targets, "colour_bar", lambda limit, *a, **k: bars.append((limit, k["ends"])) or real(limit, *a, **k)
    )
    one, other = np.full((24, 32), 2.0), np.full((24, 32), 1.5)
    rows = [
        targets.TargetRow("cat", ("83 %",), [one] * count),
        targets.TargetRow("dog", ("17 %",), [*[other] * (count - 1), None]),
        targets.TargetRow("difference", (), [one - other] * count, ends=("for dog", "for cat")),
    ]
    methods = [targets.TargetMethod(f"m{i}", "logit") for i in range(count)]
    sheet = targets.targets_image(picture((24, 32)), methods, rows, heading=LONG, caption=LONG, answers=ANSWERS)
    assert bars == [(2.0, ("against", "for"))] * count + [(0.5, ("for dog", "for cat"))] * count
    assert edge_is_white(sheet)
    assert sheet.width < 3000


@pytest.mark.parametrize(("count", "several"), [(1, 2), (1, 6), (2, 2), (2, 6), (6, 3)])
def test_a_sheet_of_targets_leaves_little_of_its_room_empty(rng, count, several):
    """Of squares of 40 pixels few are white: of the layout before this one, with two columns on the left, 24 to 49 %."""
    one = rng.normal(size=(32, 32))
    rows = [targets.TargetRow(f"class {i}", ("12 %", "logit 3"), [one] * count) for i in range(several)]
    rows += [targets.TargetRow("difference", (), [one] * count, ends=("for a", "for b"))] if several == 2 else []
    methods = [targets.TargetMethod(f"m{i}", "logit") for i in range(count)]
    caption = "channels summed · clipped at the 99.5th percentile of |value|\nRed speaks for the target. " * 2
    sheet = targets.targets_image(
        rng.integers(0, 200, (32, 32, 3), np.uint8), methods, rows, heading="a", caption=caption, answers=ANSWERS
    )
    ink = (pixels(sheet)[60:] < 255).any(2)
    high, wide = (side // 40 * 40 for side in ink.shape)
    filled = ink[:high, :wide].reshape(high // 40, 40, -1, 40).any((1, 3))
    assert 1 - filled.mean() < 0.23


def test_a_target_whose_method_failed_is_told(rng):
    one = rng.normal(size=(32, 32))
    rows = [targets.TargetRow("cat", (), [one]), targets.TargetRow("dog", (), [None])]
    both = [rows[0], targets.TargetRow("dog", (), [one])]
    known = [targets.TargetMethod("ig", "logit")]
    failed, done = (pixels(targets.targets_image(picture((32, 32)), known, those)) for those in (rows, both))
    assert failed.shape == done.shape
    ink = (failed[200:300, -380:-60] < 255).any(2)
    assert not ink.any()  # no map
    assert (failed[:, -424:-24] < 255).any()


def test_names_of_columns_and_answers_are_broken_not_cut():
    values = np.ones((32, 32))
    name = "guided-backpropagation-of-a-long-name"
    drawn = []
    real = sheets.draw_block

    def block(page, at, lines, width):
        drawn.extend(lines)
        real(page, at, lines, width)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheets, "draw_block", block)
        long = Panel(name, values, lines=("gap 7.4 % · standard error 8.6 %",))
        compare_image(picture((32, 32)), [long, *panels(6)])
    told = [line.text for line in drawn]
    assert name in "".join(told)
    assert "gap 7.4 % · standard error 8.6 %" in told or {"gap 7.4 %", "standard error 8.6 %"} <= set(told)
    known = [Answer("Norwegian elkhound with a name", "< 0.1 %", 0.0)]
    assert answers_block(known, 200).height > answers_block([Answer("a", "< 0.1 %", 0.0)], 200).height


# Files


def test_signs_apart_are_a_row_each(rng):
    """[SIG] Fig. 5: red where the map is positive in one row, blue where it is negative in the next, nothing else."""
    values = np.zeros((40, 40))
    values[5:15, 5:15], values[25:35, 25:35] = 1.0, -1.0
    grey = np.full((40, 40, 3), 128, np.uint8)
    together = compare_image(grey, [Panel("a", values), Panel("b", values)])
    apart = np.asarray(compare_image(grey, [Panel("a", values), Panel("b", values)], apart=True)).astype(int)
    assert apart.shape[0] > together.height + 200
    red = (apart[..., 0] - apart[..., 2] > 60).any(1).nonzero()[0]
    blue = (apart[..., 2] - apart[..., 0] > 60).any(1).nonzero()[0]
    assert red.min() < blue.min()
    positive, negative = by_sign(values)
    assert positive.min() == 0
    assert negative.max() == 0
    np.testing.assert_array_equal(positive + negative, values)


def test_save_png_writes_whole_files_and_cleans_up(tmp_path, rng):
    image = map_image(rng.normal(size=(28, 28)))
    target = tmp_path / "sig.png"
    target.write_bytes(b"old")
    save_png(image, target)
    with Image.open(target) as read:
        assert (np.asarray(read) == np.asarray(image)).all()
    assert [path.name for path in tmp_path.iterdir()] == ["sig.png"]

    class Unwritable(Image.Image):
        def save(self, fp, *args, **kwargs):
            fp.write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_png(Unwritable(), target)
    assert [path.name for path in tmp_path.iterdir()] == ["sig.png"]
    with pytest.raises(OSError, match="missing"):
        save_png(image, tmp_path / "missing" / "sig.png")


def test_rendering_imports_neither_torch_nor_matplotlib():
    code = "import sys, sigcli.render; sys.exit(bool({'torch', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

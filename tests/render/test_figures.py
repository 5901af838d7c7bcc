"""What the figures of `sig evaluate` and `sig benchmark images` show: read off the axes that are drawn."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from sigcli.metrics.classifier import reliability
from sigcli.render.maps.colours import oklab_from_srgb
from sigcli.render.plots import benchmark, evaluation, table
from sigcli.render.plots import panels as plots
from sigcli.render.plots import reliability as reliability_module
from sigcli.render.plots.looks import looks, spread

MANY = [f"method-{i}" for i in range(24)]
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)
"""Machado, Oliveira and Fernandes 2009, on linear RGB."""


@pytest.fixture
def seen(monkeypatch):
    """The axes of the last figure drawn, laid out as they were saved."""
    found = []

    @contextmanager
    def watched(*arguments, **options):
        with plots.panels(*arguments, **options) as axes:
            found[:] = axes
            yield axes

    for module in (benchmark, evaluation, table, reliability_module):
        monkeypatch.setattr(module, "panels", watched)
    return found


def curve(method, metric="deletion", points=6, height=0.5, **more):
    row = {"method": method, "metric": metric, "imputation": "blur", "along": "share of the pixels removed", "n": 4}
    return [
        row | {"at": x, "mean": height * x, "ci_low": height * x - 0.1, "ci_high": height * x + 0.1} | more
        for x in np.linspace(0, 1, points)
    ]


def figure(method, mean=0.5, metric="deletion", n=12, **more):
    return {
        "method": method, "minus": "", "metric": metric, "imputation": "blur", "unit": "probability", "better": "lower",
        "mean": mean, "ci_low": mean - 0.1, "ci_high": mean + 0.1, "n": n, "failed": 0,
    } | more  # fmt: skip


def timed(methods, seconds, count=3, **more):
    return [
        figure(name) | {"count": count, "seconds": count * s, "seconds_per_image": s, "gradient_evaluations": 3} | more
        for name, s in zip(methods, seconds, strict=True)
    ]


def texts(axes):
    return [text.get_text() for axis in axes for text in axis.texts]


def boxes(axis):
    """Places in pixels of the texts of an axis, without their leader lines."""
    page = FigureCanvasAgg(plots.canvas([axis]))
    page.draw()
    renderer = page.get_renderer()
    return [(text.get_text(), Text.get_window_extent(text, renderer)) for text in axis.texts]


def lines(axis):
    return [line for line in axis.lines if not line.get_label().startswith("_")]


def simulated(colour, kind):
    linear = np.array(to_rgb(colour)) ** 2.2
    return oklab_from_srgb(255 * np.clip(kind @ linear, 0, 1) ** (1 / 2.2))


def test_24_methods_have_24_looks():
    styles = list(looks(MANY).values())
    assert len({(s.colour, s.marker, str(s.dashes)) for s in styles}) == 24
    assert len({(s.colour, str(s.dashes)) for s in styles}) == 24  # lines without markers
    assert len({(s.colour, s.marker) for s in styles}) == 24  # points without lines
    assert looks(["b", "a", "b"])["a"] == styles[1]


@pytest.mark.parametrize("kind", [np.eye(3), DEUTERANOPIA, PROTANOPIA], ids=["normal", "deuteranopia", "protanopia"])
def test_colours_differ_to_colour_blind_readers(kind):
    colours = list(dict.fromkeys(look.colour for look in looks(MANY).values()))
    assert len(colours) == 8
    for one, other in combinations(colours, 2):
        assert np.linalg.norm(simulated(one, kind) - simulated(other, kind)) > 0.07, (one, other)


def test_curves_of_24_methods_are_told_apart_and_named_outside_the_panels(tmp_path, seen):
    rows = [row for i, name in enumerate(MANY) for row in curve(name, height=0.3 + 0.02 * i)]
    evaluation.draw_curves(rows, [figure(name) for name in MANY], tmp_path / "curves.png")
    (axis,) = seen
    assert len({(line.get_color(), str(line._dash_pattern), line.get_marker()) for line in lines(axis)}) == 24  # pyright: ignore
    assert not axis.collections  # 24 bands would be mud
    assert axis.get_legend() is None
    (legend,) = plots.canvas(seen).legends
    assert [text.get_text() for text in legend.get_texts()] == MANY
    assert "curves.csv" in legend.get_title().get_text()
    assert "Mean over 4 images" in legend.get_title().get_text()
    page = FigureCanvasAgg(plots.canvas(seen))
    page.draw()
    renderer = page.get_renderer()
    assert not legend.get_window_extent(renderer).overlaps(axis.get_tightbbox(renderer))


@pytest.mark.parametrize(("count", "bands"), [(1, 1), (5, 5), (6, 0)])
def test_bands_for_few_methods_only(tmp_path, seen, count, bands):
    rows = [row for i in range(count) for row in curve(MANY[i], height=0.3 + 0.1 * i)]
    evaluation.draw_curves(rows, [], tmp_path / "curves.png")
    assert len(seen[0].collections) == bands
    (legend,) = plots.canvas(seen).legends
    assert ("band:" in legend.get_title().get_text()) == bool(bands)


def test_curves_have_unit_and_direction_and_a_curve_of_one_point_has_no_panel(tmp_path, seen):
    rows = (
        curve("ig") + curve("ig", "faithfulness-correlation", points=1) + curve("ig", "irof", along=evaluation._FLIPPED)
    )
    told = [figure("ig"), figure("ig", metric="irof", better="higher", unit="share")]
    evaluation.draw_curves(rows, told, tmp_path / "curves.png")
    assert [axis.get_title() for axis in seen] == ["deletion, blur", "irof, blur"]
    assert [axis.get_ylabel() for axis in seen] == ["probability (↓ lower is better)", "share (↓ lower is better)"]
    assert all(axis.get_xlabel() and lines(axis) for axis in seen)
    only = curve("ig", "faithfulness-correlation", points=1)
    evaluation.draw_evaluation(told, [], only, [], tmp_path / ".")
    assert (tmp_path / "table.png").exists()
    (tmp_path / "curves.png").unlink()
    evaluation.draw_evaluation(told, [], only, [], tmp_path)
    assert not (tmp_path / "curves.png").exists()


@pytest.mark.parametrize(("count", "grid"), [(2, (1, 2)), (3, (1, 3)), (4, (2, 2)), (6, (2, 3))])
def test_panels_of_curves_leave_no_place_empty(tmp_path, seen, count, grid):
    evaluation.draw_curves([row for i in range(count) for row in curve("ig", f"m{i}")], [], tmp_path / "curves.png")
    assert len(seen) == count
    assert seen[0].get_subplotspec().get_gridspec().get_geometry() == grid


def test_curves_that_coincide_are_named(tmp_path, seen):
    evaluation.draw_curves(curve("a") + curve("b", height=0.9) + curve("c"), [], tmp_path / "curves.png")
    assert "one line: a = c" in seen[0].get_xlabel()
    widths = [line.get_linewidth() for line in lines(seen[0])]
    assert all(first > later for first, later in pairwise(widths))


def test_the_table_has_room_for_long_names_and_says_n_and_what_bold_is(tmp_path, seen):
    long = "a_rather_long_alias_of_forty_characters_"
    rows = [figure(long), figure("ig"), figure("ig", metric="parameter-randomisation-of-all-layers", n=3)]
    rows.append(figure(long, metric="sparseness", n=0, mean=0.0) | {"mean": None, "ci_low": None, "ci_high": None})
    table.draw_table(rows, [], tmp_path / "table.png")
    found = boxes(seen[0])
    for (one, box), (other, beside) in combinations(found, 2):
        assert not box.overlaps(beside), (one, other)
    told = " ".join(" ".join(texts(seen)).split())
    assert "n = 12" in told
    assert "n = 3" in told
    assert "Bold: better than every other method" in told
    assert "at least 10 images" in told
    width, height = plots.canvas(seen).canvas.get_width_height()
    assert all(box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height for _, box in found)


@pytest.mark.parametrize(("n", "bold"), [(9, False), (10, True)])
def test_bold_needs_ten_images(tmp_path, seen, n, bold):
    rows = [figure("a", 0.1, n=n), figure("b", 0.5, n=20)]
    pair = figure("a", -0.4, n=n, minus="b")
    assert table.supported_best(rows, [pair]) == ({("a", "deletion", "blur")} if bold else set())
    table.draw_table(rows, [pair], tmp_path / "table.png")
    (weight,) = [text.get_weight() for text in seen[0].texts if text.get_text() == "0.100"]
    assert weight == ("bold" if bold else "normal")


def test_pairs_never_compared_have_a_dash_and_no_figure(tmp_path, seen):
    pair = {"method": "a", "other": "c", "spearman": -0.001, "top_overlap": 0.06, "n": 1}
    evaluation.draw_agreement(
        [pair, pair | {"other": "b", "spearman": 0.4, "n": 3}], ["a", "b", "c"], tmp_path / "a.png"
    )
    ranks, overlaps = ({text.get_position(): text.get_text() for text in axis.texts} for axis in seen)
    assert ranks == {
        (1, 0): "0.40\nn 3", (0, 1): "0.40\nn 3", (2, 0): "0.00\nn 1", (0, 2): "0.00\nn 1", (2, 1): "-", (1, 2): "-"
    }  # fmt: skip
    assert overlaps[2, 1] == "-"
    shown = seen[0].images[0].get_array()
    assert np.ma.getmaskarray(shown).tolist() == [[True, False, False], [False, True, True], [False, True, True]]
    assert "-: never compared" in seen[0].get_title()
    evaluation.draw_agreement([pair | {"n": 4}], ["a", "c"], tmp_path / "a.png")
    assert "4 images" in seen[0].get_title()
    assert "never" not in seen[0].get_title()


@pytest.mark.parametrize("counts", [1, 2, 3, 7, 900])
def test_images_are_counted_in_whole_numbers(tmp_path, seen, counts):
    found = reliability(np.linspace(0.93, 0.95, counts), np.arange(counts) % 2 == 0)
    reliability_module.draw_reliability(found, tmp_path / "reliability.png")
    ticks = seen[1].get_yticks()
    assert len(ticks) >= 2
    assert np.allclose(ticks, np.round(ticks))


def test_gaps_have_the_colour_of_the_legend(tmp_path, seen):
    confidence = np.array([0.9] * 4 + [0.5] * 4)
    right = np.array([True, False, False, False, True, True, True, True])  # too sure, then not sure enough
    reliability_module.draw_reliability(reliability(confidence, right), tmp_path / "reliability.png")
    handles, labels = seen[0].get_legend_handles_labels()
    assert {"accuracy", "gap: overconfident", "gap: underconfident"} < set(labels)
    for handle in handles:
        patches = getattr(handle, "patches", [])
        assert all(patch.get_facecolor()[3] == 1 for patch in patches)  # nothing shines through


def test_names_stay_beside_their_lines_in_time(tmp_path, seen):
    seconds = [2.24, 2.19, 2.18, 2.12, 2.11, 2.08, 2.04, 2.03, 1.97, 1.89, 0.3, 0.1]
    rows = timed(MANY[:12], seconds) + timed(MANY[:12], seconds, count=2)
    benchmark.draw_time(rows, tmp_path / "time.png")
    axis = seen[1]
    found = boxes(axis)
    for (one, box), (other, beside) in combinations(found, 2):
        assert not box.overlaps(beside), (one, other)
    for name, s in (("method-10  0.3 s", 0.3), ("method-11  0.1 s", 0.1)):  # nothing is near these two
        box = dict(found)[name]
        assert (box.y0 + box.y1) / 2 == pytest.approx(axis.transData.transform((3, s))[1], abs=4)
    styles = {(line.get_color(), line.get_marker()) for line in lines(axis)}
    assert len(styles) == 12
    assert found[0][1].x0 > axis.get_window_extent().x1


def test_many_names_in_quality_beside_cost_go_to_a_legend(tmp_path, seen):
    benchmark.draw_quality_cost(timed(MANY[:12], np.linspace(2, 2.2, 12)), tmp_path / "cost.png")
    assert texts(seen) == []
    (legend,) = plots.canvas(seen).legends
    assert [text.get_text() for text in legend.get_texts()] == MANY[:12]
    rows = timed(MANY[:3], [0.1, 1.0, 10.0])
    benchmark.draw_quality_cost(rows, tmp_path / "cost.png")
    assert sorted(texts(seen)) == MANY[:3]
    assert not plots.canvas(seen).legends


def test_methods_look_the_same_in_counts_with_more_than_ten(tmp_path, seen):
    benchmark.draw_counts(timed(MANY, np.ones(24), count=2) + timed(MANY, np.ones(24)), tmp_path / "counts.png")
    assert len({(line.get_color(), line.get_marker()) for line in lines(seen[0])}) == 24


def test_spread_is_the_nearest_arrangement():
    """Against the oracle: least squares under the gaps, by many random feasible arrangements."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        wanted = np.sort(rng.uniform(0, 1, 5))
        found = np.array(spread(list(wanted), 0.12))
        assert np.all(np.diff(found) >= 0.12 - 1e-8)
        assert found[0] >= 0
        assert found[-1] <= 1
        best = np.sum((found - wanted) ** 2)
        for _ in range(200):
            other = np.sort(rng.uniform(0, 1 - 4 * 0.12, 5)) + 0.12 * np.arange(5)
            assert np.sum((other - wanted) ** 2) >= best - 1e-9
    assert spread([0.1, 0.9], 0.1) == [0.1, 0.9]

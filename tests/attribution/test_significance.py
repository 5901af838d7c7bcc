"""Pictures that fade what cannot be told from 0."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

import sigcli
from sigcli import render
from sigcli.attribution.drawing import Drawing, Page
from sigcli.attribution.explanation import Explanation
from sigcli.attribution.samples.seen import Seen
from sigcli.attribution.sheets import sheet
from sigcli.attribution.significance import FADED, quantile, significant
from sigcli.engine.replicates import deviations
from sigcli.errors import UsageError
from sigcli.inputs.samples import sample_images
from sigcli.methods.common import units
from sigcli.render.maps import sheet as sheets
from sigcli.render.maps.paint import paint
from sigcli.shapley.groups import group_of
from sigcli.views import RAW, parse

RNG = np.random.default_rng(3)


def apart(groups, shape=(6, 6)):
    maps = torch.from_numpy(RNG.normal(0, 1, (groups, *shape)))
    return (maps - maps.mean(0)) / np.sqrt(groups * (groups - 1))


def test_the_interval_is_students_by_the_number_of_groups():
    assert quantile(apart(8)) == pytest.approx(2.365, abs=1e-3)  # 7 degrees of freedom
    assert quantile(apart(16)) == pytest.approx(2.131, abs=1e-3)
    halves = torch.from_numpy(RNG.normal(0, 1, (8, 6, 6)))  # differences of pairs, which do not sum to 0
    assert quantile(halves) == pytest.approx(2.306, abs=1e-3)


@pytest.mark.parametrize(("samples", "groups"), [(26, 2), (100, 6), (250, 15), (33 * 16, 9)])
def test_groups_of_unequal_size_leave_one_degree_of_freedom_as_well(samples, groups):
    """26 draws are two replicates, of 12 and 14: their one difference has the t of one degree of freedom, 12.7."""
    unit = units(samples)
    place = np.array([group_of(int(i), int(unit.max()) + 1) for i in unit])
    values = torch.from_numpy(RNG.normal(0, 1, (samples, 5, 5)))
    sums = torch.zeros(groups, 5, 5, dtype=torch.float64).index_add_(0, torch.from_numpy(place), values / samples)
    found = deviations(sums, np.bincount(place) / samples)
    assert quantile(found) == pytest.approx(stats.t.ppf(0.975, groups - 1))


def test_of_noise_a_twentieth_is_significant():
    found = []
    for _ in range(200):
        maps = torch.from_numpy(RNG.normal(0, 1, (8, 10, 10)))
        mean = maps.mean(0)
        found.append(significant(RAW.at((10, 10)), mean, (maps - mean) / np.sqrt(8 * 7))[0].double().mean())
    assert float(torch.stack(found).mean()) == pytest.approx(0.05, abs=0.006)


def item():
    values = np.zeros((3, 8, 8), np.float32)
    values[:, :4] = 1.0
    values[:, 4:] = 0.1
    deviations = apart(8, (8, 8)).numpy()
    seen = Seen(picture=np.full((8, 8, 3), 128, np.uint8))
    return Explanation("a.png", "sig", 0, score=1.0, values=values, deviations=deviations, seen=seen, name="sig")


def test_pictures_fade_what_is_not_significant():
    of = item()
    plain, faded = Page(of, Drawing(RAW)), Page(of, Drawing(RAW, significant=True))
    flat = of.values.sum(0)
    sure = significant(RAW.at((8, 8)), torch.from_numpy(flat), torch.from_numpy(of.deviations).float())[0].numpy()
    assert 0.1 < sure.mean() < 0.9
    np.testing.assert_allclose(plain.shown, flat)
    np.testing.assert_allclose(faded.shown, np.where(sure, flat, FADED * flat))
    assert "2.36 standard errors from 0, 95 %" in faded.dress["caption"]
    assert "standard errors" not in plain.dress["caption"]
    # Its scale is that of the whole map, so what is significant keeps its colour.
    assert faded.dress["limit"] == pytest.approx(3.0)


@pytest.mark.parametrize("scale", ["own", "common"])
def test_in_a_sheet_fading_makes_colours_paler_and_changes_no_scale(monkeypatch, scale):
    """Also where nothing is significant: on a scale of the faded map it would look as strong as ever."""
    of = replace(item(), deviations=np.full((8, 8, 8), 50.0, np.float32))
    limits = []
    monkeypatch.setattr(
        sheets, "paint", lambda values, limit, size, **k: limits.append(limit) or paint(values, limit, size)
    )
    plain, faded = (
        np.asarray(sheet([of, of], Drawing(RAW, significant=significant, scale=scale), "a")).astype(int)
        for significant in (False, True)
    )
    assert limits == pytest.approx([3.0] * 4)
    rows = slice(560, 900)  # of the maps
    assert (255 - faded[rows, 440:]).sum() < 0.6 * (255 - plain[rows, 440:]).sum()


def test_sums_of_players_fade_by_their_own_standard_errors():
    """Errors of a player's pixels may cancel, so its sum can be sure where no pixel is; the other way round as well."""
    players = np.repeat(np.arange(2), 32).reshape(8, 8)
    flat = np.ones((8, 8))
    noise = np.where(np.indices((8, 8)).sum(0) % 2, 9.0, -9.0)  # of the first player: cancels over its 32 pixels
    noise[4:] = 0.5  # of the second: adds up
    apart = np.stack([noise, -noise, noise, -noise]) / 2
    of = replace(item(), values=np.stack([flat / 3] * 3).astype(np.float32), players=players, deviations=apart)
    totals = np.array([32.0, 32.0])
    # t of 3 degrees of freedom is 3.18; the standard error of the second sum is 32 × 0.5.
    np.testing.assert_allclose(Drawing(RAW, significant=True).faded_players(of, totals), [32, FADED * 32])
    np.testing.assert_allclose(Drawing(RAW).faded_players(of, totals), totals)


def test_a_sheet_names_what_is_faded(monkeypatch):
    told = []

    def compare_image(picture, panels, *, caption, **_):
        told.append((caption, panels))
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(render, "compare_image", compare_image)
    players = np.repeat(np.arange(2), 32).reshape(8, 8)
    sure, plain = replace(item(), players=players), replace(item(), method="ig", deviations=None)
    sheet([sure, plain], Drawing(RAW, significant=True), "a")
    caption, panels = told[0]
    assert "faded where not significant, 95 % (sig)" in caption
    assert panels[0].player_limit == pytest.approx(96.0)  # as if it were not faded


def test_a_run_fades_and_says_of_what_it_cannot(tmp_path):
    Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    common = {"method": "sig,ig", "settings": {"samples": 32, "players": "grid:4x4"}, "device": "cpu"}
    found = sigcli.explain(tmp_path / "a.png", **common, out=tmp_path / "out", significant=True)
    assert "--significant does not apply to ig: nothing is random there" in found.notes
    assert (tmp_path / "out" / "a" / "sig.deviations.npy").is_file()
    faded = (tmp_path / "out" / "a" / "sig.png").read_bytes()
    same = (tmp_path / "out" / "a" / "ig.png").read_bytes()
    sigcli.explain(tmp_path / "a.png", **common, out=tmp_path / "out", uncertainty=True, resume=True)
    assert (tmp_path / "out" / "a" / "sig.png").read_bytes() != faded  # drawn anew, from the arrays
    assert (tmp_path / "out" / "a" / "ig.png").read_bytes() == same


def test_what_pictures_show_is_written_as_arrays_on_request(tmp_path):
    """The view is linear, so its array follows from the raw one, and its errors from the deviations seen through it."""
    Image.fromarray(RNG.integers(0, 256, (70, 70, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    common = {"method": "sig", "settings": {"samples": 32, "players": "grid:4x4"}, "device": "cpu", "view": "smooth:2",
              "uncertainty": True}  # fmt: skip
    sigcli.explain(tmp_path / "a.png", **common, out=tmp_path / "out")
    base = tmp_path / "out" / "a"
    assert not (base / "sig.view.npy").exists()
    sigcli.explain(tmp_path / "a.png", **common, out=tmp_path / "out", save_view=True, resume=True)
    raw, apart, shown, error = (np.load(base / f"sig{end}.npy") for end in ("", ".deviations", ".view", ".view.stderr"))
    blurred = parse("smooth:2").at(raw.shape)
    assert np.allclose(shown, blurred(torch.from_numpy(raw.astype(np.float64).sum(0))[None])[0], atol=1e-6)
    assert np.allclose(error**2, blurred(torch.from_numpy(apart).double()).square().sum(0), atol=1e-8)
    again = sigcli.evaluate(attributions=tmp_path / "out", images=tmp_path / "a.png", metric="entropy", device="cpu",
                            out=tmp_path / "measured")  # fmt: skip
    assert {value.method for value in again.values} == {"sig"}


def test_arrays_of_what_pictures_show_need_pictures(tmp_path):
    Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="--save-view"):
        sigcli.explain(tmp_path / "a.png", out=tmp_path / "out", save_view=True, pictures=False, device="cpu")
    assert not (tmp_path / "out").exists()


def test_fading_needs_pictures(tmp_path):
    Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="--significant fades pictures"):
        sigcli.explain(tmp_path / "a.png", out=tmp_path / "out", significant=True, pictures=False, device="cpu")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "option", [{"significant": True}, {"save_view": True}, {"signs": "apart"}, {"scale": "common"}]
)
def test_options_of_maps_are_refused_for_arrays(tmp_path, option):
    """They did nothing before, in silence."""
    np.save(tmp_path / "row.npy", RNG.normal(0, 1, 6).astype(np.float32))
    net = torch.nn.Linear(6, 2)
    with pytest.raises(UsageError, match="is for maps of images; arrays are drawn as bars"):
        sigcli.explain(tmp_path / "row.npy", model=net, out=tmp_path / "out", device="cpu", **option)
    assert not (tmp_path / "out").exists()


def test_the_error_of_the_sum_is_that_of_the_replicates_sums():
    methods = ["sig", "sig-walk", "smoothgrad", "ig"]
    settings = {"sig.samples": 64, "sig-walk.orders": 8, "ig.steps": 2}
    more = {"settings": settings, "uncertainty": True, "write": False, "device": "cpu"}
    found = sigcli.explain(sample_images() / "star.png", model="shapes", method=methods, **more)
    sig, walk, smooth, ig = found
    for one in (sig, smooth):
        sums = one.deviations.reshape(len(one.deviations), -1).sum(1, dtype=np.float64)
        assert one.sum_standard_error == pytest.approx(np.sqrt(np.square(sums).sum()), rel=1e-5)
        assert one.sum_standard_error > 1e-3 * abs(one.score)
    assert (walk.sum_standard_error, ig.sum_standard_error) == (0, None)  # each order sums to F(x) - F(x')

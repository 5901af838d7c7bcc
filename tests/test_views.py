"""Views of a map, and the standard error of what they show."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from sigcli.errors import UsageError
from sigcli.views import LEAST, OCTAVES, SHARE, chosen, parse, shown_error

from toys import attribute, relu_net, subject

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
SPECS = ("raw", "smooth:2", "multi", "multi:1,3", "regions", "smooth:1+regions", "raw+multi")


@pytest.mark.parametrize("spec", SPECS)
def test_a_view_is_linear_and_keeps_the_sum(spec):
    one, other = torch.randn(2, 3, 40, 48, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    lens = parse(spec).at(one.shape, PICTURE)
    torch.testing.assert_close(lens(2 * one - other), 2 * lens(one) - lens(other))
    torch.testing.assert_close(lens(one).sum((-2, -1)), one.sum((-2, -1)))
    flat = torch.ones(1, 40, 48, dtype=torch.float64)
    torch.testing.assert_close(lens(flat), flat)


@given(sigma=st.floats(0.3, 30), height=st.integers(3, 30), width=st.integers(3, 30))
def test_a_blur_is_scipys(sigma, height, width):
    plane = np.random.default_rng(3).normal(size=(height, width))
    ours = parse(f"smooth:{sigma}").at((height, width))(torch.from_numpy(plane)[None])[0].numpy()
    np.testing.assert_allclose(ours, ndimage.gaussian_filter(plane, sigma, mode="reflect", truncate=3.0), atol=1e-12)


def test_scales_are_octaves_of_the_default():
    plane = torch.randn(1, 100, 120, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    single = [parse(f"smooth:{factor * SHARE * 100}").at((100, 120))(plane) for factor in OCTAVES]
    expected = sum(factor * one for factor, one in zip(OCTAVES, single, strict=True)) / sum(OCTAVES)
    torch.testing.assert_close(parse("multi").at((100, 120))(plane), expected)
    torch.testing.assert_close(parse("smooth").at((100, 120))(plane), single[0])


@pytest.mark.parametrize("spec", ["smooth", "multi", "raw+multi"])
def test_small_maps_stay_as_they_are(spec):
    small = torch.randn(1, LEAST - 1, LEAST + 9, generator=torch.Generator().manual_seed(2))
    assert torch.equal(parse(spec).at(small.shape)(small), small)
    assert parse(spec).describe(tuple(small.shape)) == "not smoothed"


def test_every_scale_of_noise_counts_alike():
    """Of white noise each scale adds as much to what `multi` shows: a Gaussian's norm falls as 1/σ, its share grows as σ."""
    plane = torch.randn(40, 240, 240, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    added = [
        (sigma * parse(f"smooth:{sigma}").at((240, 240))(plane)).square().mean().sqrt() for sigma in (3, 6, 12, 24)
    ]
    for one in added[1:]:
        assert float(one / added[0]) == pytest.approx(1, abs=0.15)


def test_regions_are_means_over_parts_of_the_picture():
    """Two flat halves: each pixel gets the mean of its half, whatever the segmentation's scale."""
    halves = np.zeros((60, 60, 3), np.uint8)
    halves[:, 30:] = 255
    plane = torch.randn(1, 60, 60, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    shown = parse("regions").at((60, 60), halves)(plane)[0]
    for part in (slice(0, 26), slice(34, 60)):  # the segmentation blurs the edge
        assert shown[:, part].std() < 1e-9
    torch.testing.assert_close(shown[0, 0], plane[0, :, :30].mean(), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    "spec", ["", "blurry", "smooth:", "smooth:x", "smooth:1,2", "smooth:-1", "multi:1,-2", "raw:1", "raw+", "regions:3"]
)
def test_views_that_do_not_exist(spec):
    with pytest.raises(UsageError, match="no such view"):
        parse(spec)


def test_what_excludes_each_other():
    with pytest.raises(UsageError, match="exclude"):
        chosen("multi", 3.0, "raw")
    with pytest.raises(UsageError, match="needs a picture"):
        parse("regions").at((8, 8))
    assert chosen(None, None, "raw").spec == "raw"
    assert chosen(None, 0.0, "smooth").describe((224, 224)) == "not smoothed"


SAMPLED = {
    "sig": {"samples": 12, "players": "2x2"},
    "sig-walk": {"orders": 8, "players": "2x2"},
    "eg": {"samples": 12, "baselines": "uniform"},
    "agn": {"samples": 12},
    "smoothgrad": {"samples": 12},
    "gradient-shap": {"samples": 12, "baselines": "uniform"},
    "deepshap": {"samples": 12, "baselines": "uniform"},
    "rise": {"samples": 40, "cells": 3},
    "qii": {"samples": 12, "players": "2x2", "baselines": "uniform"},
}
ROWS = torch.zeros(6, 6).index_fill_(0, torch.arange(2), 1.0)
ANY = torch.rand(6, 6, generator=torch.Generator().manual_seed(8))
FUNCTIONALS = torch.stack([torch.ones(6, 6), ROWS, ANY]).double()


@pytest.mark.parametrize("method", SAMPLED)
def test_deviations_tell_the_variance_of_sums_of_pixels(method):
    """Over seeds, the mean of Σ L(D)² is the variance of L(map): the sum, two rows, and a random weighting."""
    x = torch.rand(2, 6, 6, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    net = relu_net()
    values, estimated = [], []
    for seed in range(120):
        found = attribute(net, method, subject(x, seed=seed), **SAMPLED[method])
        assert found.deviations is not None
        assert found.deviations.shape[1:] == x.shape[1:]
        values.append((FUNCTIONALS * found.values.sum(0)).sum((1, 2)))
        estimated.append(torch.einsum("lhw,jhw->lj", FUNCTIONALS, found.deviations.double()).square().sum(1))
    true, told = torch.stack(values).var(0), torch.stack(estimated).mean(0)
    seen = true > 1e-20 * torch.stack(values).mean(0).square()
    ratio = (told / true)[seen]
    assert ((ratio > 0.6) & (ratio < 1.6)).all(), ratio


def test_deviations_of_single_pixels_are_the_standard_error():
    """Where every replicate is a group of its own and there is one channel, the two are one formula."""
    x = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    found = attribute(relu_net(channels=1), "eg", subject(x), samples=12, baselines="uniform")
    torch.testing.assert_close(found.deviations.square().sum(0).sqrt(), found.stderr[0])
    error, whole = shown_error(parse("raw").at((6, 6)), found.values.sum(0), found.deviations)
    torch.testing.assert_close(error, found.stderr[0])
    assert whole == pytest.approx(found.relative_standard_error)


def test_one_replicate_tells_nothing():
    x = torch.rand(2, 6, 6, dtype=torch.float64)
    assert attribute(relu_net(), "ig", subject(x), steps=4).deviations is None


def test_auto_shows_coarse_maps_as_they_are():
    from sigcli.methods import METHODS

    coarse = {name for name in METHODS if METHODS[name].properties.get("coarse")}
    assert {"gradcam", "layercam", "cam", "fullgrad", "rise", "lime", "bshap", "xrai"} <= coarse
    assert not coarse & {"sig", "sig-walk", "ig", "eg", "gradient", "guided-backprop", "lrp", "input-x-gradient"}
    plane = torch.randn(1, 80, 80, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    assert torch.equal(parse("auto").of(unsmoothed=True).at((80, 80))(plane), plane)
    torch.testing.assert_close(
        parse("auto").of(unsmoothed=False).at((80, 80))(plane), parse("multi").at((80, 80))(plane)
    )

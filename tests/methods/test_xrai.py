"""XRAI beside the paper's algorithm with sets of pixels, and on a picture whose answer is known."""

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn

from sigcli.errors import UsageError
from sigcli.methods.xrai import ranked
from sigcli.views import segmentations

from toys import attribute, relu_net, subject


def by_sets(attribution, regions, fewest):
    """The algorithm as it is printed: of the regions that are left the densest, among pixels that no other has taken."""
    left, taken, values = dict(enumerate(regions)), set(), np.zeros(len(attribution))
    while left := {number: region for number, region in left.items() if len(region - taken) >= fewest}:
        best = max(left, key=lambda number: np.mean([attribution[p] for p in left[number] - taken]))
        new = left.pop(best) - taken
        values[list(new)] = np.mean([attribution[p] for p in new])
        taken |= new
    rest = [p for p in range(len(attribution)) if p not in taken]
    values[rest] = attribution[rest].mean() if rest else 0
    return values


@pytest.mark.parametrize("fewest", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_regions_are_ranked_as_printed(seed, fewest):
    generator = np.random.default_rng(seed)
    attribution, inside = generator.normal(size=60), generator.random((60, 25)) < generator.random(25) * 0.4
    found = ranked(attribution, sparse.csr_matrix(inside.astype(float)), fewest)
    assert np.allclose(found, by_sets(attribution, [set(np.flatnonzero(row)) for row in inside.T], fewest))
    assert found.sum() == pytest.approx(attribution.sum())
    assert 1 < len(np.unique(found.round(12))) < 60


def test_one_region_is_the_mean_and_single_pixels_change_nothing():
    attribution = np.random.default_rng(0).normal(size=12)
    assert np.allclose(ranked(attribution, sparse.csr_matrix(np.ones((12, 1))), 1), attribution.mean())
    assert np.allclose(ranked(attribution, sparse.csr_matrix(np.eye(12)), 1), attribution)


class Linear(nn.Module):
    """Scores: the mean of the red channel less half of the blue one, and its negative."""

    def forward(self, x):
        score = x[:, 0].mean((1, 2)) - 0.5 * x[:, 2].mean((1, 2))
        return torch.stack([score, -score], 1)


def quarters(side=48):
    """A picture of four plain quarters."""
    x = torch.zeros(3, side, side, dtype=torch.float64)
    half = side // 2
    for number, colour in enumerate([(0.9, 0.1, 0.1), (0.1, 0.8, 0.2), (0.1, 0.2, 0.9), (0.7, 0.7, 0.1)]):
        rows, columns = divmod(number, 2)
        x[:, rows * half : (rows + 1) * half, columns * half : (columns + 1) * half] = torch.tensor(colour)[
            :, None, None
        ]
    return x


@pytest.fixture
def four(monkeypatch):
    """The quarters as segments."""
    labels = np.arange(48)[:, None] // 24 * 2 + np.arange(48) // 24
    monkeypatch.setattr("sigcli.methods.xrai.segmentations", lambda *_: (labels,))


def densities(x):
    """IG of a linear score is (x - x')·w: from black and white in the mean (x - ½)·w, the same all over a quarter."""
    return ((x[0] - 0.5) - 0.5 * (x[2] - 0.5)) / x[0].numel()


@pytest.mark.usefixtures("four")
def test_plain_quarters_have_the_mean_of_their_attribution():
    x = quarters()
    found = attribute(Linear(), "xrai", subject(x, target=0), steps=2, grow=0)
    assert torch.allclose(found.values.sum(0), densities(x))
    assert found.completeness_gap < 1e-12
    assert found.evaluations == 4


@pytest.mark.usefixtures("four")
def test_grown_regions_take_pixels_of_their_neighbours():
    """The red quarter is the densest: it reaches three pixels over its edges, and nothing reaches into it."""
    x, grow = quarters(), 3
    found = attribute(Linear(), "xrai", subject(x, target=0), steps=1, grow=grow).values.sum(0)
    red = found[0, 0]
    assert float(red) < float(densities(x)[0, 0])
    assert bool((found[:24, :24] == red).all())
    assert bool((found[24 : 24 + grow, :24] == red).all())
    assert not bool((found[24 + grow :, :24] == red).any())
    assert float(found.sum()) == pytest.approx(float(densities(x).sum()))


def test_segments_are_those_of_the_view_of_regions():
    x = quarters()
    found = attribute(Linear(), "xrai", subject(x, target=0), steps=1, grow=0).values.sum(0)
    picture = (x * 255).round().byte().permute(1, 2, 0).numpy()
    segments = [labels.ravel() == n for labels in segmentations(picture, (48, 48)) for n in range(labels.max() + 1)]
    places = [set(np.flatnonzero(segment).tolist()) for segment in segments]
    expected = by_sets(densities(x).flatten().numpy(), places, round(50 * 48**2 / 224**2))
    assert np.allclose(found.flatten().numpy(), expected)
    assert not np.allclose(expected, densities(x).flatten().numpy())  # segments at edges hold two colours


def test_it_is_integrated_gradients_where_regions_are_pixels(monkeypatch):
    """So the mean of IG from black and from white, with IG's own nodes."""
    who, net = subject(), relu_net()
    pixels = np.arange(36).reshape(6, 6)
    monkeypatch.setattr("sigcli.methods.xrai.segmentations", lambda *_: (pixels,))
    found = attribute(net, "xrai", who, steps=9, grow=0)
    both = [attribute(net, "ig", who, steps=9, baseline=baseline) for baseline in ("black", "white")]
    expected = (both[0].values + both[1].values).sum(0) / 2
    assert torch.allclose(found.values.sum(0), expected, rtol=1e-6, atol=1e-9)
    assert found.total == pytest.approx((both[0].total + both[1].total) / 2)


def test_channels_of_any_number_are_segmented():
    for channels in (1, 2, 5):
        x = quarters()[:1].repeat(channels, 1, 1)
        net = (
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3)).double().requires_grad_(False)
        )
        found = attribute(net, "xrai", subject(x), steps=1)
        assert found.values.shape == x.shape
        assert found.completeness_gap < 1e-12


@pytest.mark.parametrize("options", [{"steps": 0}, {"grow": -1}])
def test_counts_are_checked(options):
    with pytest.raises(UsageError, match="must be at least"):
        attribute(relu_net(), "xrai", subject(), **options)

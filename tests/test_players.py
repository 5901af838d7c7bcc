import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sigcli.errors import UsageError
from sigcli.players import parse


def picture(height=12, width=15, channels=3):
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(0))


@given(st.integers(1, 9), st.integers(1, 9), st.booleans())
@settings(max_examples=60, deadline=None)
def test_patches_are_a_partition(rows, columns, grid):
    spec = f"{'grid:' if grid else ''}{rows}x{columns}"
    image = picture()
    expected = rows * columns if grid else -(-12 // rows) * -(-15 // columns)
    if expected < 2:
        with pytest.raises(UsageError, match="at least two"):
            parse(spec, image)
        return
    players = parse(spec, image)
    assert players.n == expected
    assert torch.equal(players.labels.unique(), torch.arange(players.n))


def test_the_last_row_and_column_are_smaller():
    sizes = parse("80x80", torch.zeros(3, 224, 224)).labels.flatten().bincount()
    assert sizes.tolist() == [6400, 6400, 5120, 6400, 6400, 5120, 5120, 5120, 4096]


@pytest.mark.parametrize("channels", [1, 3])
def test_superpixels_follow_the_picture(channels):
    image = torch.zeros(channels, 20, 20)
    image[:, :, 10:] = 1
    players = parse("superpixels:4", image)
    left, right = players.labels[:, :9].unique(), players.labels[:, 11:].unique()
    assert 2 <= players.n <= 8
    assert not set(left.tolist()) & set(right.tolist())


def test_pixels_and_label_maps(tmp_path):
    assert parse("pixels", picture()).n == 180
    labels = np.full((12, 15), 7)
    labels[:6] = 3
    np.save(tmp_path / "map.npy", labels)
    players = parse(str(tmp_path / "map.npy"), picture())
    assert players.n == 2
    assert torch.equal(players.labels, torch.from_numpy((labels == 7).astype(np.int64)))


@pytest.mark.parametrize(
    "spec", ["80", "0x3", "grid:13x2", "superpixels:1", "superpixels:x", "nonsense", "gone.npy", "20x20"]
)
def test_faults_are_told(spec):
    with pytest.raises(UsageError):
        parse(spec, picture())


@pytest.mark.parametrize("values", [np.zeros((3, 3), int), np.zeros((12, 15)), np.array([{}], dtype=object)])
def test_label_maps_that_do_not_fit(values, tmp_path):
    np.save(tmp_path / "map.npy", values)
    with pytest.raises(UsageError, match="label map"):
        parse(str(tmp_path / "map.npy"), picture())


def test_spread_and_totals_are_adjoint():
    players = parse("grid:3x2", picture())
    values = torch.rand(1, 6, dtype=torch.float64)
    attribution = torch.rand(2, 12, 15, dtype=torch.float64)
    one = (players.spread(values)[0] * attribution.sum(0)).sum()
    assert float(one) == pytest.approx(float((values[0] * players.totals(attribution)).sum()))


@pytest.mark.parametrize(
    "labels",
    [
        parse("80x90", torch.zeros(1, 224, 200)).labels,
        parse("grid:7x5", torch.zeros(1, 30, 31)).labels,
        parse("pixels", torch.zeros(1, 4, 6)).labels,
        parse("1x8", torch.zeros(1, 8, 8)).labels,
        torch.tensor([[0, 1, 1, 2], [3, 4, 4, 5]]),
        torch.tensor([[3, 4], [0, 1], [5, 2]]),  # no grid
        torch.tensor([[2, 3], [0, 1], [2, 3]]),  # rows of a grid in another order
        torch.tensor([[1, 0], [3, 2]]),  # columns in another order
        torch.tensor([[0, 1, 0]]),  # a player in two places
        torch.tensor([[1, 1], [0, 0]]),
        torch.tensor([[0, 0], [1, 0]]),
    ],
    ids=str,
)
def test_every_position_has_its_players_value_whatever_the_shape_of_the_players(labels: torch.Tensor) -> None:
    players = parse(labels, torch.zeros(1, *labels.shape))
    values = torch.randn(3, players.n)
    assert torch.equal(players.spread(values), values[:, labels])
    assert players.spread(values[:0]).shape == (0, *labels.shape)

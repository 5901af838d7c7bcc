import numpy as np
import pytest
import torch

from sigcli import draws


def words(counter, key):
    c = tuple(torch.tensor([v]) for v in counter)
    return [int(w) for w in draws.philox(key, c)]


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # known-answer vectors published with Random123
        ((0, 0, 0, 0), 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ((0xFFFFFFFF,) * 4, 0xFFFFFFFFFFFFFFFF, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0A4093822,
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_published_words(counter, key, expected):
    assert words(counter, key) == expected


@pytest.mark.parametrize("function", [draws.uniform, draws.uniform32, draws.normal32])
def test_a_draw_does_not_depend_on_the_others(function):
    together = function(5, torch.arange(20), 7)
    alone = torch.cat([function(5, torch.tensor([i]), 7) for i in range(20)])
    assert torch.equal(together, alone)
    assert not torch.equal(function(6, torch.arange(20), 7), together)


def test_uniform_numbers_are_uniform_and_open():
    for u in (draws.uniform(1, torch.arange(300), 301), draws.uniform32(1, torch.arange(300), 301)):
        assert u.min() > 0
        assert u.max() < 1
        counts = np.histogram(u.numpy(), bins=20, range=(0, 1))[0]
        expected = u.numel() / 20
        assert ((counts - expected) ** 2 / expected).sum() < 50  # chi-square, 19 degrees of freedom, p < 1e-4


def test_normal_numbers_are_normal():
    z = draws.normal32(1, torch.arange(200), 501).double()
    assert torch.isfinite(z).all()
    assert abs(float(z.mean())) < 0.015
    assert abs(float(z.std()) - 1) < 0.01
    assert abs(float((z**4).mean()) - 3) < 0.1


def test_integers_cover_their_range_evenly():
    found = draws.integers(3, torch.arange(7000), 7)
    assert torch.bincount(found, minlength=7).min() > 850

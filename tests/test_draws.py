import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sigcli import draws

MASK = 2**64 - 1


def slow_philox(counter, key):
    """Philox4x64-10 as the paper prints it, in Python's integers."""
    for _ in range(10):
        p0, p1 = 0xD2E7470EE14C6C93 * counter[0], 0xCA5A826395121157 * counter[2]
        counter = [(p1 >> 64) ^ counter[1] ^ key[0], p1 & MASK, (p0 >> 64) ^ counter[3] ^ key[1], p0 & MASK]
        key = [(key[0] + 0x9E3779B97F4A7C15) & MASK, (key[1] + 0xBB67AE8584CAA73B) & MASK]
    return counter


def test_the_slow_philox_gives_a_published_answer():
    """Known-answer vector of Random123 for a counter and a key of zeros."""
    expected = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert slow_philox([0] * 4, [0, 0]) == expected


@pytest.mark.parametrize(("key", "draw"), [(0, 0), (7, 3), (2**63 + 5, 10**9)])
def test_words_are_philox_at_the_counters_of_the_draw(key, draw):
    # numpy counts up before it reads: the first block is that of counter 1.
    expected = [w for block in (1, 2) for w in slow_philox([block, draw, 0, 0], [key, 0])]
    assert draws.words(key, draw, 8).tolist() == expected


@pytest.mark.parametrize("function", [draws.uniform, draws.uniform16, draws.normal16])
def test_a_draw_does_not_depend_on_the_others(function):
    together = function(5, torch.arange(20), 7)
    alone = torch.cat([function(5, torch.tensor([i]), 7) for i in range(20)])
    assert torch.equal(together, alone)
    assert not torch.equal(function(6, torch.arange(20), 7), together)


def test_uniform_numbers_are_uniform_and_open():
    for u in (draws.uniform(1, torch.arange(300), 301), draws.uniform16(1, torch.arange(300), 301)):
        assert u.min() > 0
        assert u.max() < 1
        counts = np.histogram(u.numpy(), bins=20, range=(0, 1))[0]
        expected = u.numel() / 20
        assert ((counts - expected) ** 2 / expected).sum() < 50  # chi-square, 19 degrees of freedom, p < 1e-4


def test_normal_numbers_are_normal():
    z = draws.normal16(1, torch.arange(200), 501).double()
    assert torch.isfinite(z).all()
    assert abs(float(z.mean())) < 0.015
    assert abs(float(z.std()) - 1) < 0.01
    assert abs(float((z**4).mean()) - 3) < 0.1


def test_integers_cover_their_range_evenly():
    found = draws.integers(3, torch.arange(7000), 7)
    assert torch.bincount(found, minlength=7).min() > 850


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 2**62), min_size=1, max_size=3), st.integers(1, 70))
def test_a_device_makes_the_same_numbers(key, chosen, size):
    """Integer operations of torch in place of numpy's generator: what noise on CUDA is made of."""
    draw = torch.tensor(chosen)
    assert torch.equal(draws.uniform16_there(key, draw, size), draws.uniform16(key, draw, size))

"""Damage for certainty-aware training: the equations hold, draws repeat, nothing given is changed."""

import pytest
import torch

from sigcli.engine.memory import MemoryShortage
from sigcli.metrics import certainty as checks
from sigcli.training import damage as d


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_mean_formula_is_the_papers():
    rate = torch.tensor([0.01, 0.2, 0.4, 0.6, 0.99], dtype=torch.float64)
    paper = rate / (2 * rate - 1) + 1 / (2 * torch.atanh(1 - 2 * rate))
    torch.testing.assert_close(d.continuous_bernoulli_mean(rate), paper, rtol=0, atol=1e-12)
    reference = torch.distributions.ContinuousBernoulli(probs=rate).mean
    torch.testing.assert_close(d.continuous_bernoulli_mean(rate), reference, rtol=0, atol=1e-9)


def test_slope_inverts_the_mean():
    mean = torch.cat((torch.linspace(0.08, 0.92, 85), torch.tensor([0.5, 0.5 + 1e-5, 0.5 - 1e-3]))).double()
    rate = torch.sigmoid(d.continuous_bernoulli_slope(mean))
    torch.testing.assert_close(d.continuous_bernoulli_mean(rate), mean, rtol=0, atol=1e-8)


@pytest.mark.parametrize("mean", [0.0, 0.001, 0.02, 0.3, 0.5, 0.7, 0.98, 0.9999, 1.0])
@pytest.mark.parametrize("kind", ["bernoulli", "continuous"])
def test_certainty_has_the_mean_asked_for(kind, mean):
    drawn = d.certainty_map(kind, torch.tensor([mean]), (300, 300), seeded())
    assert drawn.shape == (1, 1, 300, 300)
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert abs(drawn.mean().item() - mean) < 0.005
    if kind == "bernoulli":
        assert set(drawn.unique().tolist()) <= {0.0, 1.0}


def test_continuous_draws_follow_the_distribution():
    drawn = d.continuous_bernoulli(torch.tensor([0.2]), (200_000,), seeded())[0].double().sort().values
    rate = torch.sigmoid(d.continuous_bernoulli_slope(torch.tensor(0.2)))
    expected = torch.distributions.ContinuousBernoulli(probs=rate).cdf(drawn)
    assert (expected - torch.linspace(0, 1, len(drawn), dtype=torch.float64)).abs().max() < 0.005


def test_certain_pixels_stay_and_lost_ones_go():
    images, data = torch.rand(4, 3, 16, 16, generator=seeded(1)), torch.full((4, 3, 16, 16), 2.0)
    certainty = (torch.rand(4, 1, 16, 16, generator=seeded(2)) < 0.5).float()
    out = d.damaged(images, certainty, data, seeded())
    torch.testing.assert_close(out, torch.where(certainty == 1, images, data), rtol=0, atol=0)


def test_pixels_are_kept_as_often_as_their_certainty():
    out = d.damaged(
        torch.ones(1, 1, 400, 400), torch.full((1, 1, 400, 400), 0.3), torch.zeros(1, 1, 400, 400), seeded()
    )
    assert abs(out.mean().item() - 0.3) < 0.005


def test_adversary_is_never_the_picture_itself():
    images = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 3, 2, 2)
    for seed in range(20):
        other = d.damage_data("adversarial", images, seeded(seed))
        assert (other != images).all()
        assert sorted(other[:, 0, 0, 0].tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [1, 3, 8])
def test_training_damage_is_repeatable_and_changes_nothing_given(count):
    images = torch.rand(count, 3, 12, 12, generator=seeded(3))
    before = images.clone()
    first, second = d.training_damage(images, seeded()), d.training_damage(images, seeded())
    assert torch.equal(images, before)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    out, certainty = first
    assert out.shape == images.shape
    assert certainty.shape == (count, 1, 12, 12)
    sure = (certainty == 1).expand_as(out)
    assert torch.equal(out[sure], images[sure])


def test_training_damage_uses_the_four_combinations_in_equal_shares():
    _, certainty = d.training_damage(torch.rand(400, 3, 24, 24, generator=seeded(4)), seeded())
    binary = ((certainty == 0) | (certainty == 1)).flatten(1).all(dim=1)
    assert binary[0::4].all()
    assert binary[2::4].all()
    assert not binary[1::4].any()
    assert not binary[3::4].any()
    extent = certainty.mean(dim=(1, 2, 3)).sort().values
    assert (extent - torch.linspace(0, 1, 400)).abs().max() < 0.1  # uniform on 0..1


def test_checks_tell_a_good_model_from_a_bad_one():
    x = torch.rand(40, 3, 4, 4, generator=seeded(5))
    shares = torch.tensor([0.5, 0.5])

    def good(x, c):
        return torch.stack(((c * x).sum(dim=(1, 2, 3)), torch.zeros(len(x))), dim=1)

    def bad(x, c):
        return good(20 * (x - 0.5), torch.ones_like(c))

    assert checks.information_absence(good, x) == 0
    assert checks.neutrality(good, x, shares) == 0
    assert checks.information_absence(bad, x) > 0.2
    assert checks.neutrality(bad, x, shares) > 0.3


@pytest.mark.parametrize("most", [1, 3, 64, 10**6])
def test_checks_halve_their_batches_where_memory_runs_out(most):
    """On more images than fit a pass; the right value from the definition, image by image."""
    x, asked = torch.rand(70, 3, 4, 4, generator=seeded(5)), []

    def tight(x, c):
        asked.append(len(x))
        if len(x) > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return torch.stack((x.sum((1, 2, 3)) / 8, torch.zeros(len(x))), 1) + c.sum()

    each = torch.tensor([[float(torch.sigmoid(one.sum() / 8)), float(torch.sigmoid(-one.sum() / 8))] for one in x])
    absence = float((each - each.mean(0)).abs().sum(1).mean() / 2)
    assert checks.information_absence(tight, x) == pytest.approx(absence, abs=1e-6)
    shares = torch.tensor([0.5, 0.5])
    assert checks.neutrality(tight, x, shares) == pytest.approx(float((each - shares).abs().max()), abs=1e-6)
    assert max(asked) <= 64


def test_checks_for_which_not_even_one_image_fits_say_so():
    def full(x, c):
        raise torch.OutOfMemoryError("no memory")

    with pytest.raises(MemoryShortage, match="too little memory for one image"):
        checks.unknowing(full, torch.rand(5, 3, 4, 4))

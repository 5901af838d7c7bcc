"""Effective coalitions of images and arrays ([ES] Algorithms 1 and 2) against slow loops and closed forms."""

import math

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sigcli import draws
from sigcli.cli.main import app
from sigcli.errors import AttributionError, BudgetError, UsageError
from sigcli.shapley.effective import effective_shapley, sample_pool

from toys import attribute, smooth_net, subject

POOL = 6 * 9 // 2  # one coalition of each size, with its successors
FREE = {"players": "2x3", "baseline": "black"}


def patches(x):
    """Means of the six 2×3 patches, (n, 6)."""
    return torch.nn.functional.avg_pool2d(x.mean(1, keepdim=True), (2, 3)).flatten(1)


def product(x):
    """Patches 1 and 4 together; nothing reads the others."""
    m = patches(x)
    return torch.stack([m[:, 0], m[:, 1] * m[:, 4]], 1)


def linear(x):
    return (patches(x) @ torch.tensor([1.0, -2.0, 3.0, 0.5, 0.0, 1.5], dtype=x.dtype))[:, None].expand(-1, 2)


def slow_effective(game, n, pool, tolerance, bins):
    """[ES] Algorithm 1 as T grows: for each player Σ over classes (j, k) of C_jk/T · the class's mean difference."""
    least = tolerance * max(abs(v) for row in pool.marginal for v in row if not math.isnan(v))
    values = []
    for i in range(n):
        effective = [
            (float(game(m | (np.arange(n) == i)) - game(m)), int(m.sum()))
            for m in pool.members
            if not m[i] and abs(game(m | (np.arange(n) == i)) - game(m)) > least
        ]
        if not effective:
            values.append(0.0)
            continue
        low, high = min(v for v, _ in effective), max(v for v, _ in effective)
        width = (high - low) / bins or 1.0
        classes, m_j = {}, {}
        for value, size in effective:
            j = max(0, min(bins - 1, math.ceil((value - low) / width) - 1))
            classes.setdefault((j, size), []).append(value)
            m_j[j] = m_j.get(j, 0) + 1
        share = {(j, k): m_j[j] * math.factorial(k) * math.factorial(n - k - 1) / math.factorial(n) for j, k in classes}
        values.append(sum(share[c] * np.mean(v) for c, v in classes.items()) / sum(share.values()))
    return np.array(values)


@pytest.mark.parametrize(("tolerance", "bins"), [(0.01, 20), (0.2, 3)])
def test_effective_shapley_is_algorithm_1(tolerance, bins):
    net, who = smooth_net(), subject()
    options = {**FREE, "budget": 120, "tolerance": tolerance, "bins": bins, "draws": 20_000}
    found = attribute(net, "effective-shapley", who, **options)

    def game(members):
        there = torch.from_numpy(np.atleast_2d(members)).reshape(-1, 3, 2).double()
        there = there.repeat_interleave(2, 1).repeat_interleave(3, 2)[:, None]
        return net(who.x * there)[:, who.target].numpy()

    pool = sample_pool(game, 6, budget=120, key=draws.stream(who.seed, who.key, "effective-shapley"))
    expected = slow_effective(lambda m: game(m)[0], 6, pool, tolerance, bins)
    np.testing.assert_allclose(found.player_values.numpy(), expected, rtol=0, atol=2e-3 * np.abs(expected).max())
    assert found.evaluations == pool.evaluations <= 120


def test_effective_shapley_on_linear_and_unanimity_games():
    """Where every difference is the same the mean is exact; carriers of a unanimity game differ from the rest, not apart."""
    who = subject()
    found = attribute(linear, "effective-shapley", who, **FREE, budget=200)
    w = np.array([1.0, -2.0, 3.0, 0.5, 0.0, 1.5])
    np.testing.assert_allclose(found.player_values.numpy(), w * patches(who.x[None])[0].numpy(), atol=1e-12)
    found = attribute(product, "effective-shapley", who, **FREE, budget=200)
    both = float(product(who.x[None])[0, 1])
    np.testing.assert_allclose(found.player_values.numpy(), [0, both, 0, 0, both, 0], atol=1e-12)
    assert found.total is None
    assert found.completeness_gap is None


def test_the_error_of_effective_shapley_is_the_spread_between_seeds():
    net = smooth_net()
    found = [attribute(net, "effective-shapley", subject(seed=s), **FREE, budget=270, draws=200) for s in range(16)]
    spread = torch.stack([f.player_values for f in found]).var(0).sum().sqrt()
    claimed = [np.bincount(f.players.flatten(), f.stderr.sum(0).flatten(), 6) for f in found]
    assert 0.6 < np.sqrt(np.mean(np.square(claimed), 0).sum()) / float(spread) < 1.7


@pytest.mark.parametrize("budget", [120, 540])
def test_the_jackknife_of_effective_shapley_is_no_smaller_than_its_error(budget):
    """Sixty seeds on a game of six players: it is a third too large (classes are made anew without each group)."""
    noise, shares = np.random.default_rng(2).normal(size=64) * 0.3, np.arange(1.0, 7.0)
    found = [
        effective_shapley(lambda m: m @ shares + noise[m @ (1 << np.arange(6))], 6, budget=budget, key=seed, groups=8)
        for seed in range(60)
    ]
    error = np.var([one.values for one in found], axis=0).mean()
    assert 1.0 < np.sqrt(np.mean([one.stderr**2 for one in found]) / error) < 1.6


def test_ratios_follow_the_shapley_value_where_players_are_alike_in_effect():
    """An additive game: the ratios are exact whatever the pool."""
    shares = np.array([1.5, -2.0, 0.5, 4.0])
    values = effective_shapley(lambda m: m @ shares, 4, budget=30, groups=4).values
    np.testing.assert_allclose(values / values[3], shares / 4, atol=1e-12)


@pytest.mark.parametrize("form", ["to-input", "from-default", "both"])
def test_sig_starts_from_effective_coalitions(form):
    """Of a product of two players, effective coalitions hold the one and not the other: each gets half of F(x)."""
    who = subject()
    options = {**FREE, "form": form, "samples": 240, "pool": 80 * POOL, "steps": 2}
    found = attribute(product, "sig", who, **options, coalitions="effective")
    both = float(product(who.x[None])[0, 1])
    # From S ∌ i to x all of F(x) is player i's. From x' to b_S there is nothing: the other one stays absent.
    share = 0.0 if form == "from-default" else both / 2
    np.testing.assert_allclose(found.player_values.numpy(), [0, share, 0, 0, share, 0], atol=0.06 * both)
    assert found.player_values[[0, 2, 3, 5]].abs().max() == 0
    spent = found.evaluations
    assert spent <= 240 * 2 * (2 if form == "both" else 1) + 80 * POOL


def test_passes_for_the_pool_are_counted_and_replicates_are_independent():
    net = smooth_net()
    seen = {"forward": 0, "backward": 0}

    def model(x):
        seen["backward" if x.requires_grad else "forward"] += len(x)
        return net(x)

    found = attribute(model, "sig", subject(), **FREE, coalitions="effective", samples=96, batch_size=8, check=0)
    pool = seen["forward"]
    assert 0.9 * 96 < pool <= 96  # as many passes as nodes, as far as whole coalitions with their successors fit
    assert found.evaluations == seen["backward"] + pool == 96 + pool
    claimed, maps = [], []
    for seed in range(16):
        one = attribute(net, "sig", subject(seed=seed), **FREE, coalitions="effective", samples=96, pool=4 * POOL)
        claimed.append(one.standard_error)
        maps.append(one.values)
    spread = torch.stack(maps).var(0).sum().sqrt()
    assert 0.7 < np.sqrt(np.mean(np.square(claimed))) / float(spread) < 1.6
    again = attribute(net, "sig", subject(), **FREE, coalitions="effective", samples=96, batch_size=3)
    assert torch.allclose(again.values, found.values, rtol=1e-9, atol=1e-12)


def test_wrong_use_of_effective_coalitions():
    net, who = smooth_net(), subject()
    with pytest.raises(BudgetError, match=r"(?s)drawn for each player.*samples of 6 or more"):
        attribute(net, "sig", who, **FREE, coalitions="effective", samples=5)
    with pytest.raises(BudgetError, match="27 or more"):
        attribute(net, "sig", who, **FREE, coalitions="effective", pool=26)
    with pytest.raises(UsageError, match="sizes of effective coalitions"):
        attribute(net, "sig", who, **FREE, coalitions="effective", sizes="algorithm1")
    with pytest.raises(AttributionError, match="no player changes the score"):
        attribute(lambda x: 0 * product(x) + 1, "sig", who, **FREE, coalitions="effective")


def test_the_command_takes_images_and_arrays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("row.npy", np.linspace(0.5, 1.5, 5, dtype=np.float32))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "curved_rows.py").write_text(
        "import torch\nclass Row(torch.nn.Module):\n    def forward(self, x):\n"
        "        return torch.stack([x.sum(1), x[:, 0] * x[:, 1] + torch.tanh(x[:, 2])], 1)\n"
    )
    done = CliRunner().invoke(
        app,
        ["explain", "row.npy", "--model", "curved_rows:Row", "--method", "sig,effective-shapley",
         "--set", "sig.coalitions=effective", "--out", "run", "--json"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert np.load("run/row/sig.npy").shape == np.load("run/row/effective-shapley.npy").shape == (5,)

"""Methods that need scores only: against enumeration, slow loops and captum."""

import itertools
import math

import numpy as np
import pytest
import torch
from captum._utils.models.model import Model
from captum.attr import FeatureAblation, LimeBase, Occlusion

from sigcli import draws
from sigcli.errors import AttributionError, BudgetError, UsageError
from sigcli.methods.perturbation import ridge_fit
from sigcli.players import parse
from sigcli.shapley.closed_forms import linear_shap, low_order_shap, max_shap
from sigcli.shapley.exact import exact
from sigcli.shapley.game import table

from toys import attribute, coalition_values, shapley, smooth_net, subject

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")


def enumerated(net, who, players, default):
    labels = parse(players, who.picture).labels
    return shapley(coalition_values(lambda x: net(x)[:, who.target], who.x, default, labels))


@pytest.mark.parametrize("name", ["bshap", "low-order-shap", "kernelshap"])
def test_exact_values_equal_enumeration(name):
    net, who = smooth_net(), subject()
    budget = {} if name == "low-order-shap" else {"budget": 64}
    found = attribute(net, name, who, players="2x3", baseline="middle", **budget)
    expected = enumerated(net, who, "2x3", torch.full_like(who.x, 0.5))
    assert np.allclose(found.player_values.numpy(), expected, rtol=1e-9, atol=1e-12)
    assert found.stderr is None
    assert found.evaluations == 64
    assert found.completeness_gap < 1e-9
    # A player's value is shared out evenly.
    labels = parse("2x3", who.picture).labels
    assert torch.allclose(found.values[:, labels == 4], torch.tensor(expected[4] / 12, dtype=torch.float64))


@pytest.mark.parametrize(("name", "options"), [("bshap", {"budget": 402}), ("shapley-sampling", {"orders": 80})])
def test_sampled_values_are_within_their_standard_error(name, options):
    net, who = smooth_net(), subject()
    expected = enumerated(net, who, "2x3", torch.zeros_like(who.x))
    if name == "bshap":  # above 2^6 it would be exact: 9 players instead
        options, players = {"budget": 402}, "2x2"
        expected = enumerated(net, who, players, torch.zeros_like(who.x))
    else:
        players = "2x3"
    found = attribute(net, name, who, players=players, baseline="black", **options)
    error = found.player_values.numpy() - expected
    labels = parse(players, who.picture).labels
    sizes = torch.bincount(labels.flatten()).numpy() * 2
    stderr = np.array([float(found.stderr[0][labels == p][0]) for p in range(len(expected))]) * sizes
    assert (stderr > 0).all()
    assert (np.abs(error) < 5 * stderr).all()
    assert found.completeness_gap < 1e-9
    more = {"budget": 500} if name == "bshap" else {"orders": 320}
    better = attribute(net, name, who, players=players, baseline="black", **more)
    assert better.standard_error < found.standard_error


def test_budgets_that_are_too_small_are_told():
    with pytest.raises(BudgetError, match="KernelSHAP"):
        attribute(smooth_net(), "kernelshap", subject(), players="2x3", budget=9)
    with pytest.raises(BudgetError, match="permutation"):
        attribute(smooth_net(), "bshap", subject(), players="pixels", budget=9)
    with pytest.raises(UsageError, match="at most 16"):
        attribute(smooth_net(), "low-order-shap", subject(), players="pixels")


@pytest.mark.parametrize("n", [3, 170, 171, 200, 784])
def test_max_shap_of_many_players_is_that_of_the_airport_game(n):
    """Littlechild, Owen 1973: of 1, 2, …, n the steps are shared by those who need them; factorials of 171 fit no float."""
    values = np.arange(1.0, n + 1)
    np.testing.assert_allclose(max_shap(values, np.zeros(n)), np.cumsum(1 / np.arange(n, 0, -1.0)), rtol=1e-12)
    turned = max_shap(values, values[::-1])  # what a player brings when it is there, its mirror brings when it is not
    np.testing.assert_allclose(turned.sum(), 0, atol=1e-9)
    np.testing.assert_allclose(turned, -turned[::-1], atol=1e-12)


def test_max_shap_equals_enumeration_on_ten_inputs():
    for seed, spread in ((0, 0.0), (1, 0.7), (2, 2.0)):
        rng = np.random.default_rng(seed)
        x, reference = rng.normal(size=10), spread * rng.normal(size=10)
        if seed == 2:
            x[3] = x[4] = reference[5]  # ties
        values = table(lambda members, x=x, r=reference: np.where(members, x, r).max(1), 10)
        assert np.allclose(max_shap(x, reference), exact(values), rtol=1e-10, atol=1e-12)


def test_linear_and_low_order_shap_are_exact():
    rng = np.random.default_rng(3)
    w, x, mean = rng.normal(size=(3, 8))
    game = lambda members: np.where(members, x, mean) @ w + 1  # noqa: E731
    assert np.allclose(linear_shap(w, x, mean), exact(table(game, 8)))
    bent = lambda members: np.tanh(np.where(members, x, mean) @ w) * members[:, 0]  # noqa: E731
    assert np.allclose(low_order_shap(bent, 8).values, exact(table(bent, 8)))
    with pytest.raises(UsageError, match="at most 16"):
        low_order_shap(bent, 17)


def test_linear_shap_refuses_what_is_not_linear():
    w = torch.linspace(-1, 1, 72, dtype=torch.float64)
    who = subject()
    found = attribute(lambda x: (x.flatten(1) @ w)[:, None].expand(-1, 3) + 2, "linear-shap", who, baseline="middle")
    assert torch.allclose(found.values.flatten(), w * (who.x - 0.5).flatten())
    with pytest.raises(AttributionError, match="not"):
        attribute(smooth_net(), "linear-shap", who)


@pytest.mark.parametrize("centre", [False, True])
def test_rise_equals_a_slow_loop(centre):
    net, who, k, s, p = smooth_net(), subject(), 37, 4, 0.4
    found = attribute(net, "rise", who, samples=k, cells=s, keep=p, baseline="middle", batch_size=8, centre=centre)
    masks, scores = [], []
    key = draws.stream(who.seed, who.key, "rise")
    cell = math.ceil(6 / s)
    for i in range(k):
        u = draws.rows(key, i, 1, s * s + 2)[0]
        grid = (u[2:] < p).astype(float).reshape(s, s)
        side = (s + 1) * cell
        mask = np.zeros((6, 6))
        for y, x in itertools.product(range(6), range(6)):
            # Bilinear interpolation between the centres of cells, edges held.
            at = [((v + 0.5) * s / side - 0.5) for v in (y + int(u[0] * cell), x + int(u[1] * cell))]
            at = [min(max(v, 0.0), s - 1.0) for v in at]
            low = [min(int(v), s - 2) for v in at]
            f = [v - b for v, b in zip(at, low, strict=True)]
            mask[y, x] = sum(
                grid[low[0] + a, low[1] + b] * (f[0] if a else 1 - f[0]) * (f[1] if b else 1 - f[1])
                for a, b in itertools.product((0, 1), (0, 1))
            )
        m = torch.from_numpy(mask)
        scores.append(float(net((0.5 + m * (who.x - 0.5))[None])[0, 1]))
        masks.append(mask)
    offset = np.mean(scores) if centre else 0.0
    total = sum((score - offset) * mask for score, mask in zip(scores, masks, strict=True)) / (k * p)
    assert np.allclose(found.values.sum(0).numpy(), total, rtol=1e-5, atol=1e-7)
    assert torch.equal(found.values[0], found.values[1])


def test_rise_standard_error_is_the_spread_between_seeds():
    net = smooth_net()
    found = [attribute(net, "rise", subject(seed=seed), samples=64, cells=3) for seed in range(30)]
    spread = torch.stack([f.values for f in found]).var(0).sum().sqrt()
    claimed = np.sqrt(np.mean([f.standard_error**2 for f in found]))
    assert 0.7 < claimed / float(spread) < 1.4


def test_occlusion_gives_captums_numbers():
    net, who = smooth_net(), subject()
    labels = parse("2x3", who.picture).labels
    found = attribute(net, "occlusion", who, players="2x3", baseline="middle")
    base = torch.full_like(who.x, 0.5)[None]
    theirs = FeatureAblation(net).attribute(who.x[None], base, target=1, feature_mask=labels[None, None])[0]
    assert torch.allclose(found.values * 12, theirs, rtol=1e-6)
    single, x, base = net.float(), who.x.float()[None], base.float()  # Occlusion takes no doubles
    windows = Occlusion(single).attribute(x, (2, 2, 3), strides=(2, 2, 3), baselines=base, target=1)[0]
    assert torch.allclose(found.values.float() * 12, windows, rtol=1e-3, atol=1e-6)


def test_lime_gives_captums_numbers():
    """captum's LimeBase, given our samples, our kernel and a ridge regression, fits the same coefficients."""
    net, who, k = smooth_net(), subject(), 60
    found = attribute(net, "lime", who, players="2x3", baseline="black", samples=k, ridge=0.3)
    labels = parse("2x3", who.picture).labels
    members = draws.rows(draws.stream(who.seed, who.key, "lime"), 0, k, 6) < 0.5
    members[0] = True
    rows = iter(torch.from_numpy(members).double())

    class Ridge(Model):
        def fit(self, train_data, **_):
            x, y, w = (torch.cat(column) for column in zip(*train_data, strict=True))
            self.found = torch.from_numpy(ridge_fit(x.numpy(), y.flatten().numpy(), w.flatten().numpy(), 0.3))
            return {}

        def representation(self):
            return self.found

        def __call__(self, x):
            return x @ self.found

    def near(_, __, row, **___):
        d = 1 - math.sqrt(float(row.mean()))
        return torch.tensor([math.exp(-(d**2) / 0.25**2)], dtype=torch.float64)

    theirs = LimeBase(
        net, Ridge(), near, lambda *_, **__: next(rows)[None], True,
        lambda row, _, **__: (row[0][labels] * who.x)[None], None,
    ).attribute(who.x[None], target=1, n_samples=k, num_interp_features=6)  # fmt: skip
    assert torch.allclose(found.player_values, theirs.flatten().double(), rtol=1e-5)
    slow = np.linalg.lstsq(
        np.concatenate([np.sqrt(w_of(members))[:, None] * np.c_[members, np.ones(k)], 0.3**0.5 * np.eye(7)[:6]]),
        np.concatenate([np.sqrt(w_of(members)) * scores_of(net, who, members, labels), np.zeros(6)]),
        rcond=None,
    )[0][:6]
    assert np.allclose(found.player_values.numpy(), slow, rtol=1e-8)


def w_of(members):
    return np.exp(-((1 - np.sqrt(members.mean(1))) ** 2) / 0.25**2)


def scores_of(net, who, members, labels):
    return np.array([float(net((torch.from_numpy(m)[labels] * who.x)[None])[0, 1]) for m in members])


def test_unary_qii_is_the_mean_loss_and_set_qii_the_mean_shapley_value():
    net, who = smooth_net(), subject()
    labels = parse("2x3", who.picture).labels
    unary = attribute(net, "qii", who, players="2x3", samples=5)  # all five others, each once
    whole = float(net(who.x[None])[0, 1])
    for p in range(6):
        loss = [whole - float(net(torch.where(labels == p, u, who.x)[None])[0, 1]) for u in who.peers.images]
        assert float(unary.player_values[p]) == pytest.approx(np.mean(loss))
    expected = np.mean([enumerated(net, who, "2x3", u) for u in who.peers.images], 0)
    found = attribute(net, "qii", who, players="2x3", samples=400, form="shapley")
    size = np.array([float(found.stderr[0][labels == p][0]) for p in range(6)]) * 12
    assert (np.abs(found.player_values.numpy() - expected) < 6 * size).all()

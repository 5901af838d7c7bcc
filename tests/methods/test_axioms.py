"""Every method is held to the axioms that it declares, on linear, product, max and unanimity models (MATH.md)."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sigcli.methods import AXIOMS, METHODS

from toys import SMALL, attribute, relu_net, subject

MODELS = ("linear", "product", "max", "unanimity")
BLACK = {"baseline": "black"}
HOOKS = [name for name, entry in METHODS.items() if entry.properties["needs"] == "hooks"]


class Games(nn.Module):
    """Four models of the means of six patches of 2×3 pixels; nothing reads the last two patches, nor tells 0 and 1 apart."""

    def forward(self, x):
        m = functional.avg_pool2d(x.mean(1, keepdim=True), (2, 3)).flatten(1)
        a, b, c, d = m[:, 0], m[:, 1], m[:, 2], m[:, 3]
        linear = 2 * a + 2 * b - c + 0.5 * d
        product = a * b + 0 * c
        largest = torch.stack([a, b, 0.5 * c, 0.5 * d], 1).amax(1)
        unanimity = a * b * c * d  # of 0/1 patches it is the unanimity game of these four
        return torch.stack([linear, product, largest, unanimity], 1)


def image():
    """Patches 0 and 1 alike and not constant; the others different."""
    torch.manual_seed(4)
    x = 0.2 + 0.8 * torch.rand(2, 6, 6, dtype=torch.float64)
    x[:, :2, 3:] = x[:, :2, :3]
    return x


def cases(axiom):
    """(method, model) pairs to check; some methods explain one kind of model only, and say so of themselves."""
    declaring = [n for n, entry in METHODS.items() if axiom in entry.properties["axioms"] and n not in HOOKS]
    return [(n, model) for n in declaring for model in MODELS if METHODS[n].properties.get("only", model) == model]


def explain(name, module, target, seed=0, **options):
    given = {**SMALL.get(name, {}), **options}
    if "baseline" in METHODS[name].options():
        given = {**BLACK, **given}
    return attribute(module, name, subject(image(), target=target, seed=seed), **given)


def more(name):
    """Enough nodes or draws to tell an error from a violation."""
    options = METHODS[name].options()
    if METHODS[name].properties["sampled"]:
        enough = {"samples": 100, "orders": 40, "budget": 400}
        return {option: count for option, count in enough.items() if option in options}
    steps = 200 if name == "guided-ig" else 400  # its steps cannot share a batch
    return {"steps": steps} if "steps" in options else {}


@pytest.mark.parametrize("name", METHODS)
def test_declared_axioms_are_known_and_agree_with_the_other_properties(name):
    properties = METHODS[name].properties
    assert set(properties["axioms"]) <= set(AXIOMS)
    assert ("completeness" in properties["axioms"]) == properties["complete"]
    assert properties["cost"]
    assert METHODS[name].summary.endswith("]")  # its source


def mean_over_seeds(name, model, measure):
    """Mean of a measure over seeds, and four standard errors of that mean; of one map where nothing is drawn."""
    seeds = range(8) if METHODS[name].properties["sampled"] else [0]
    found = [measure(explain(name, Games(), MODELS.index(model), seed=seed, **more(name))) for seed in seeds]
    noise = 4 * np.std(found, ddof=1) / len(found) ** 0.5 if len(found) > 1 else 0.0
    return np.mean(found), noise


@pytest.mark.parametrize(("name", "model"), cases("completeness"))
def test_completeness(name, model):
    found = explain(name, Games(), MODELS.index(model), **more(name))
    gap = float(found.values.sum()) - found.total
    assert found.completeness_gap == pytest.approx(abs(gap), abs=1e-12)
    mean, noise = mean_over_seeds(name, model, lambda found: float(found.values.sum()) - found.total)
    share = 0.05 if model == "max" else 0.02  # a kink on the path costs a step
    assert abs(mean) <= noise + share * abs(found.total) + 1e-9
    assert noise <= 0.2 * float(found.values.abs().sum())  # or the line above could not fail


@pytest.mark.parametrize(("name", "model"), cases("dummy"))
def test_dummy(name, model):
    found = explain(name, Games(), MODELS.index(model))
    assert float(found.values[:, 4:].abs().max()) < 1e-12  # the last two patches are read by none
    if model == "product":
        assert float(found.values[:, 2:4].abs().max()) < 1e-12
    if model != "max":  # where two are the largest, taking one away changes nothing
        assert found.values[:, :4].abs().sum() > 0


@pytest.mark.parametrize(("name", "model"), cases("symmetry"))
def test_symmetry(name, model):
    def apart(found):
        return float(found.values[:, :2, :3].sum() - found.values[:, :2, 3:].sum())

    one_draw = {"samples": 1} if METHODS[name].properties["sampled"] and "samples" in METHODS[name].options() else {}
    size = float(explain(name, Games(), MODELS.index(model), **{**more(name), **one_draw}).values[:, :2].abs().sum())
    mean, noise = mean_over_seeds(name, model, apart)
    assert abs(mean) <= noise + 1e-9 * size + 1e-12
    assert noise <= 0.2 * size  # or the line above could not fail


@pytest.mark.parametrize(("name", "model"), cases("linearity"))
def test_linearity(name, model):
    class Mixed(nn.Module):
        def forward(self, x):
            scores = Games()(x)
            return 2 * scores - 0.5 * scores[:, :1]

    target = MODELS.index(model)
    mixed, f, g = explain(name, Mixed(), target), explain(name, Games(), target), explain(name, Games(), 0)
    apart = 2 * f.values - 0.5 * g.values
    if METHODS[name].properties.get("linear") == "players":  # within a player, values are shared out by magnitude
        labels = mixed.players.expand_as(apart).flatten()
        apart = torch.zeros_like(mixed.player_values).index_add_(0, labels, apart.flatten())
        assert torch.allclose(mixed.player_values, apart, rtol=1e-9, atol=1e-11)
        return
    assert torch.allclose(mixed.values, apart, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(("name", "model"), cases("invariance"))
def test_implementation_invariance(name, model):
    class Otherwise(nn.Module):
        """The same functions by logarithms, matrices and sorting."""

        def forward(self, x):
            m = functional.unfold(x, (2, 3), stride=(2, 3)).mean(1)
            weights = torch.tensor([2, 2, -1, 0.5, 0, 0], dtype=x.dtype)
            scaled = m[:, :4] * torch.tensor([1, 1, 0.5, 0.5], dtype=x.dtype)
            product = ((m[:, 0] + m[:, 1]) ** 2 - m[:, 0] ** 2 - m[:, 1] ** 2) / 2
            return torch.stack([m @ weights, product, scaled.amax(1), m[:, :2].prod(1) * m[:, 2:4].prod(1)], 1)

    target = MODELS.index(model)
    one, other = explain(name, Games(), target), explain(name, Otherwise(), target)
    assert torch.allclose(one.values, other.values, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "name", ["ig", "idgi", "linear-shap", "bshap", "low-order-shap", "sig-walk", "occlusion", "guided-ig"]
)
def test_linear_models_have_the_known_answer(name):
    found = explain(name, Games(), 0)
    totals = functional.avg_pool2d(image().mean(0, keepdim=True)[None], (2, 3)).flatten().numpy()
    expected = totals * np.array([2, 2, -1, 0.5, 0, 0])
    by_patch = functional.avg_pool2d(found.values.sum(0)[None, None], (2, 3)).flatten().numpy() * 6
    if name == "idgi":  # shares go by squared gradients, so that only their sum is known
        assert by_patch.sum() == pytest.approx(expected.sum())
    else:
        assert np.allclose(by_patch, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["bshap", "low-order-shap", "kernelshap"])
def test_unanimity_shares_equally(name):
    x = torch.ones(2, 6, 6, dtype=torch.float64)
    options = {**SMALL[name], "baseline": "black", **({} if name == "low-order-shap" else {"budget": 64})}
    found = attribute(Games(), name, subject(x, target=3), **options)
    assert np.allclose(found.player_values.numpy(), [0.25] * 4 + [0] * 2, atol=1e-10)


class Reading(nn.Module):
    """A network that never reads the last two rows."""

    def __init__(self):
        super().__init__()
        self.net = relu_net()

    def forward(self, x):
        return self.net(x[:, :, :4])


@pytest.mark.parametrize("name", [name for name in HOOKS if "dummy" in METHODS[name].properties["axioms"]])
def test_dummy_with_layers(name):
    found = explain(name, Reading(), 1)
    assert torch.equal(found.values[:, 4:], torch.zeros(2, 2, 6, dtype=torch.float64))
    assert found.values[:, :4].abs().sum() > 0


@pytest.mark.parametrize("name", [name for name in HOOKS if "completeness" in METHODS[name].properties["axioms"]])
def test_completeness_with_layers(name):
    found = explain(name, relu_net(), 1)
    assert found.total != 0
    assert found.completeness_gap < 1e-10

"""The class with captum's signature, run inside captum's own tools."""

import copy
import inspect
import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients
from captum.attr import visualization as viz
from captum.metrics import infidelity, sensitivity_max

import sigcli.captum
from sigcli import ShapleyIntegratedGradients
from sigcli.captum.function import references
from sigcli.captum.shapley import labels
from sigcli.errors import ModelError, UsageError

from toys import smooth_net


@pytest.fixture
def net():
    return smooth_net(torch.float32)


@pytest.fixture
def x():
    return torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def test_signature_starts_as_captums():
    theirs = list(inspect.signature(IntegratedGradients.attribute).parameters)
    ours = list(inspect.signature(ShapleyIntegratedGradients.attribute).parameters)
    assert ours[: len(theirs)] == theirs


def test_shape_type_and_delta(net, x):
    values, delta = ShapleyIntegratedGradients(net).attribute(x, target=1, n_steps=600, return_convergence_delta=True)
    assert values.shape == x.shape
    assert values.dtype == x.dtype
    assert delta.shape == (3,)
    assert delta.abs().max() < 0.1 * values.abs().sum((1, 2, 3)).max()


@pytest.mark.parametrize(("steps", "most"), [(8, 16), (50, 50), (200, 64)])
def test_batches_have_no_more_points_than_an_example_and_values_do_not_depend_on_the_others(net, x, steps, most):
    rows = []
    handle = net.register_forward_hook(lambda module, given, found: rows.append(len(found)))
    alone = sigcli.captum.IntegratedGradients(net).attribute(x[:1], target=1, n_steps=steps)
    handle.remove()
    assert max(rows) == most
    assert torch.equal(sigcli.captum.IntegratedGradients(net).attribute(x, target=1, n_steps=steps)[:1], alone)


@pytest.fixture
def passes(net):
    """Rows of each pass of the network: all, and those with a gradient."""
    every, with_gradient = [], []

    def count(module, given, found):
        every.append(len(found))
        if torch.is_grad_enabled():
            with_gradient.append(len(found))

    handle = net.register_forward_hook(count)
    yield every, with_gradient
    handle.remove()


@pytest.mark.parametrize(
    ("name", "rows", "batches"), [("Gradient", 3, 1), ("InputXGradient", 3, 1), ("SIGWalk", 256, 4)]
)
def test_methods_pass_no_more_rows_than_they_have_points(net, x, passes, name, rows, batches):
    """One point in a batch of 64 that is filled up would cost 64 times what it must; 216 points take four batches of 64."""
    options = {"players": "grid:3x3"} if name == "SIGWalk" else {}
    getattr(sigcli.captum, name)(net).attribute(x, target=1, **options)
    assert (sum(passes[1]), len(passes[1])) == (rows, batches)


def test_one_gradient_of_one_example_takes_a_pass_or_two(net, x, passes):
    values = sigcli.captum.Gradient(net).attribute(x[:1], target=1)
    assert sum(passes[1]) <= 2
    leaf = x[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(leaf)[0, 1], leaf)
    assert torch.allclose(values, gradient, rtol=1e-4, atol=1e-6)


def test_scores_where_paths_start_are_passed_for_the_delta_alone(net, x, passes):
    sig = ShapleyIntegratedGradients(net)
    sig.attribute(x, target=1, n_steps=64)
    assert sum(passes[0]) - sum(passes[1]) < 20
    sig.attribute(x, target=1, n_steps=64, return_convergence_delta=True)
    assert sum(passes[0]) - sum(passes[1]) > 3 * 64


def test_a_loop_tries_its_network_once_and_again_when_it_changes(net, x, passes):
    made = sigcli.captum.Gradient(net)
    made.attribute(x[:1], target=1)
    tried = len(passes[0])
    for one in x.split(1):
        made.attribute(one, target=1)
    assert len(passes[0]) == tried + len(x)
    with pytest.raises(UsageError, match="out of range"):
        made.attribute(x[:1], target=99)
    net.add_module("dropped", torch.nn.Dropout(0.5).train())
    with pytest.raises(ModelError, match="training mode"):
        made.attribute(x[:1], target=1)


def test_a_plain_function_is_tried_each_time(net, x):
    noise = torch.nn.Dropout(0.5).eval()
    made = sigcli.captum.Gradient(lambda inputs: net(noise(inputs)))
    made.attribute(x[:1], target=1)
    noise.train()
    with pytest.raises(ModelError, match="from call to call"):
        made.attribute(x[:1], target=1)


@pytest.mark.parametrize("size", [1, 2, 50])
def test_internal_batch_size_changes_nothing(net, x, size):
    one = ShapleyIntegratedGradients(net).attribute(x, target=[0, 1, 2], n_steps=30)
    other = ShapleyIntegratedGradients(net).attribute(x, target=[0, 1, 2], n_steps=30, internal_batch_size=size)
    assert (one - other).norm() <= 1e-5 * one.norm()


def test_an_example_does_not_depend_on_its_company(net, x):
    together = ShapleyIntegratedGradients(net).attribute(x, target=torch.tensor([2, 0, 1]), n_steps=30)
    alone = ShapleyIntegratedGradients(net).attribute(x[1:2], target=0, n_steps=30)
    assert torch.allclose(together[1:2], alone, atol=1e-6)


def test_baselines_of_every_form(net, x):
    sig = ShapleyIntegratedGradients(net)
    number = sig.attribute(x, 0.25, target=1, n_steps=30)
    tensor = sig.attribute(x, torch.full((1, 2, 6, 6), 0.25), target=1, n_steps=30)
    assert torch.allclose(number, tensor)
    assert torch.equal(sig.attribute(x, x, target=1, n_steps=30), torch.zeros_like(x))


def test_several_inputs_additional_arguments_and_scalar_outputs():
    generator = torch.Generator().manual_seed(3)
    a, b = torch.rand(4, 3, generator=generator), torch.rand(4, 2, 2, generator=generator)
    scale = torch.tensor([1.0, 2, 3, 4])

    def forward(first, second, factor, power):
        return factor * (first.sum(1) ** power + second.flatten(1).prod(1))

    sig = ShapleyIntegratedGradients(forward)
    (one, two), delta = sig.attribute(
        (a, b), additional_forward_args=(scale, 2), n_steps=1024, return_convergence_delta=True
    )
    assert one.shape == a.shape
    assert two.shape == b.shape
    total = forward(a, b, scale, 2) - forward(0 * a, 0 * b, scale, 2)
    # The 1,024 nodes are random, about 8 on each of 127 coalitions, and unbiased where gradients jump: a sum of 7 values has
    # their error. Fixed nodes, exact for a polynomial, lose nothing: there the delta is rounding.
    assert (delta / total).abs().max() < 0.01
    fixed = sig.attribute(
        (a, b), additional_forward_args=(scale, 2), n_steps=1024, method="gausslegendre", return_convergence_delta=True
    )
    assert (fixed[1] / total).abs().max() < 1e-5
    for mine, exact in zip((one, two), _by_enumeration(forward, a, b, scale), strict=True):
        assert (mine - exact).norm() < 0.02 * exact.norm()


def _by_enumeration(forward, a, b, scale):
    """[SIG] over all 127 coalitions of 7 values, 4 Gauss-Legendre nodes each: exact for a polynomial of degree 4."""
    x = torch.cat([a, b.flatten(1)], 1).double()
    nodes, weights = np.polynomial.legendre.leggauss(4)
    total = torch.zeros_like(x)
    for members in itertools.product([0.0, 1.0], repeat=7):
        there, size = torch.tensor(members, dtype=torch.float64), int(sum(members))
        if size == 7:
            continue
        for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
            point = (x * (there + node * (1 - there))).requires_grad_()
            score = forward(point[:, :3], point[:, 3:].reshape(-1, 2, 2), scale.double(), 2).sum()
            gradient = torch.autograd.grad(score, point)[0]
            total += weight / (7 * math.comb(7, size)) * gradient * x * (1 - there)
    return total[:, :3].float(), total[:, 3:].reshape(-1, 2, 2).float()


def test_captum_rules_are_taken(net, x):
    expected = ShapleyIntegratedGradients(net).attribute(x, target=1, n_steps=2000, players="grid:2x2")
    for method in ("gausslegendre", "riemann_middle", "riemann_trapezoid"):
        found = ShapleyIntegratedGradients(net).attribute(x, None, 1, None, 2000, method, players="grid:2x2")
        assert (found - expected).norm() < 0.2 * expected.norm()


def test_runs_in_captums_visualisation_and_metrics(net, x):
    import matplotlib as mpl

    mpl.use("Agg")
    sig = ShapleyIntegratedGradients(net)
    values = sig.attribute(x, target=1, n_steps=64)
    figure, _ = viz.visualize_image_attr(
        values[0].permute(1, 2, 0).numpy(),
        np.random.default_rng(0).random((6, 6, 3)),
        method="heat_map",
        sign="all",
        use_pyplot=False,
    )
    assert figure.axes

    def perturb(inputs):
        noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(1)) * 0.05
        return noise, inputs - noise

    score = infidelity(net, perturb, x, values, target=1, n_perturb_samples=20)
    assert score.shape == (3,)
    zero = infidelity(net, perturb, x, torch.zeros_like(x), target=1, n_perturb_samples=20)
    assert score.sum() < zero.sum()  # it explains small changes better than nothing does
    assert sensitivity_max(sig.attribute, x, target=1, n_steps=64, n_perturb_samples=2).shape == (3,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": torch.zeros(2, 3, dtype=torch.long)}, "floating-point"),
        ({"inputs": torch.rand(2, 3), "baselines": torch.rand(5, 5)}, "does not broadcast"),
        ({"inputs": torch.rand(2, 3)}, "needs a target"),
        ({"inputs": torch.rand(2, 3), "target": 0, "n_steps": 0}, "at least 1"),
        ({"inputs": torch.rand(2, 3), "target": 0, "method": "rieman_left"}, "Did you mean"),
        ({"inputs": torch.rand(2, 3), "target": 0, "n_step": 5}, "Did you mean 'n_steps'"),
    ],
)
def test_faults_are_told(arguments, message):
    with pytest.raises(UsageError, match=message):
        ShapleyIntegratedGradients(torch.nn.Linear(3, 2)).attribute(**arguments)


def test_masks_of_other_kinds_are_refused():
    """Past the types that the tests hold every call to."""
    for players in ((torch.zeros(2), torch.zeros(2)), [1], 3.5):
        with pytest.raises(UsageError, match=r"\(1, values\) of several inputs"):
            labels(players)


def test_a_baseline_by_name_is_refused():
    with pytest.raises(UsageError, match="a baseline is no tensor"):  # past the types that the tests hold every call to
        references("black", (torch.rand(2, 3),))


def test_multiply_by_inputs_false_is_refused():
    with pytest.raises(UsageError, match="multiplies by input"):
        ShapleyIntegratedGradients(torch.nn.Linear(3, 2), multiply_by_inputs=False)


WEIGHT = torch.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0], [2.0, 0.0, 1.0], [-3.0, 1.0, 0.25]])


def linear(x):
    """Four outputs whose attributions from 0 are weight · x."""
    return x @ WEIGHT.T


def table(x):
    """The same four outputs as two rows of two."""
    return linear(x).unflatten(1, (2, 2))


@pytest.mark.parametrize(
    ("forward", "target", "outputs"),
    [
        (linear, 2, [2, 2, 2]),
        (linear, -1, [3, 3, 3]),
        (linear, [2, 0, 1], [2, 0, 1]),
        (linear, torch.tensor([2, 0, 1]), [2, 0, 1]),
        (linear, torch.tensor(3), [3, 3, 3]),
        (linear, torch.tensor([3]), [3, 3, 3]),
        (linear, np.array([1, 1, 0]), [1, 1, 0]),
        (table, (1, 0), [2, 2, 2]),
        (table, (-1, 1), [3, 3, 3]),
        (table, [(0, 1), (1, 0), (1, 1)], [1, 2, 3]),
        (table, torch.tensor([[0, 0], [1, 1], [0, 1]]), [0, 3, 1]),
    ],
)
def test_a_target_names_the_output_in_all_of_captums_forms(forward, target, outputs):
    x = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0], [4.0, -2.0, 1.0]])
    found = ShapleyIntegratedGradients(forward).attribute(x, target=target, n_steps=4, form="both")
    assert torch.allclose(found, WEIGHT[outputs] * x, atol=1e-6)


@pytest.mark.parametrize(
    ("forward", "target", "message"),
    [
        (linear, 4, "out of range"),
        (linear, -5, "out of range"),
        (linear, [0, 1, 4], "out of range"),
        (linear, [0, 1], "does not fit the examples"),
        (linear, [0, 1, 2, 3], "does not fit the examples"),
        (linear, torch.tensor([0, 1]), "does not fit the examples"),
        (linear, 1.0, "does not fit the examples"),
        (linear, True, "does not fit the examples"),
        (linear, [], "does not fit the examples"),
        (linear, [0.0, 1.0, 2.0], "does not fit the examples"),
        (linear, "dog", "does not fit the examples|must be indices"),
        (linear, {"class": 1}, "must be indices"),
        (linear, [(0,), (1, 2), (3,)], "must be indices"),
        (linear, (1, 0), "outputs with 1 axes"),
        (linear, [(0, 1), (1, 0), (1, 1)], "outputs with 1 axes"),
        (table, 1, "outputs with 2 axes"),
        (table, (2, 0), "out of range"),
        (table, [(0, 1), (1, 0), (1, 2)], "out of range"),
        (lambda x: linear(x).sum(1), 0, "takes no target"),
        (lambda x: linear(x)[:2], 0, "row per example"),
        (lambda x: (linear(x),), 0, "row per example"),
    ],
)
def test_a_target_that_names_no_output_is_refused(forward, target, message):
    with pytest.raises(UsageError, match=message):
        ShapleyIntegratedGradients(forward).attribute(torch.rand(3, 3), target=target, n_steps=2)


def _trained():
    return torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2)
    )


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda: _trained().train(), "training mode"),
        (lambda: _trained().train().forward, "call to call|other images|one example"),
        (lambda: partial(torch.nn.functional.dropout, training=True), "call to call"),
        (lambda: lambda x: x - x.mean(0), "other images"),
    ],
)
def test_a_function_that_is_none_of_its_example_is_refused(forward, message):
    """vision#2079 (a forgotten `.eval()`): attributions would depend on the company of an example, or on chance."""
    function = forward()
    before = copy.deepcopy(function.state_dict()) if isinstance(function, torch.nn.Module) else {}
    with pytest.raises(ModelError, match=message):
        ShapleyIntegratedGradients(function).attribute(torch.rand(4, 3), target=1)
    assert all(torch.equal(value, function.state_dict()[name]) for name, value in before.items())
    ShapleyIntegratedGradients(_trained().eval()).attribute(torch.rand(4, 3), target=1, n_steps=4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_missing_is_refused(net, x, value):
    """captum#1921: a NaN in a baseline reached the attributions of other features."""
    hole = torch.zeros_like(x)
    hole[0, 0, 0, 0] = value
    for inputs, baselines, message in ((x + hole, None, "an input"), (x, hole, "a baseline")):
        with pytest.raises(UsageError, match=message):
            ShapleyIntegratedGradients(net).attribute(inputs, baselines, target=1)


def test_functions_that_change_their_input_get_copies(x):
    """captum#156: an in-place ReLU."""
    flat = x.flatten(1) - 0.5
    torch.manual_seed(0)
    last = torch.nn.Linear(flat.shape[1], 2)
    found = [
        ShapleyIntegratedGradients(torch.nn.Sequential(torch.nn.ReLU(inplace), last)).attribute(
            flat, target=1, n_steps=16
        )
        for inplace in (False, True)
    ]
    assert torch.equal(*found)
    assert float(flat.min()) < 0


def test_it_runs_where_the_caller_infers_only(net, x):
    right = ShapleyIntegratedGradients(net).attribute(x, target=1, n_steps=16)
    with torch.inference_mode():
        assert torch.equal(ShapleyIntegratedGradients(net).attribute(x * 1, x * 0, target=1, n_steps=16), right)


def test_feature_masks_have_the_shapes_that_captum_takes(net, x):
    mask = torch.arange(36).reshape(6, 6) // 9
    sig = ShapleyIntegratedGradients(net)
    one = sig.attribute(x, target=1, n_steps=16, players=mask)
    for shaped in (mask[None], mask[None, None], mask.expand(2, -1, -1), mask.expand(1, 2, -1, -1), mask[None].numpy()):
        assert torch.equal(one, sig.attribute(x, target=1, n_steps=16, players=shaped))
    with pytest.raises(UsageError, match="'label map' on an image of 6x6 pixels make 1"):
        sig.attribute(x, target=1, players=torch.zeros_like(mask))


def test_players_are_integers_of_any_make(net, x):
    labels = np.arange(36).reshape(6, 6) // 9
    one, other = (
        ShapleyIntegratedGradients(net).attribute(x, target=1, n_steps=16, players=players)
        for players in (labels, torch.from_numpy(labels))
    )
    assert torch.equal(one, other)
    for wrong in (torch.rand(6, 6), torch.zeros(6, 6) + 1j, torch.arange(72).reshape(2, 6, 6)):
        with pytest.raises(UsageError, match="label map"):
            ShapleyIntegratedGradients(net).attribute(x, target=1, players=wrong)

"""Every class of `sigcli.captum`: the numbers of `sigcli.explain`, captum's interface, and captum's own values."""

import inspect
import subprocess
import sys
from pathlib import Path

import captum.attr
import pytest
import torch
from captum.attr import NoiseTunnel
from captum.metrics import infidelity
from torch import nn

import sigcli
import sigcli.captum as ours
from sigcli.captum.names import class_name, explains, names
from sigcli.errors import ModelError, UsageError
from sigcli.methods import METHODS

from toys import smooth_net

CLASSES = sorted(
    {class_name(METHODS[method]) for method in names().values()} | {"ShapleyIntegratedGradients"} - {"SIG"}
)
SMALL = {"samples": 4, "orders": 2}


@pytest.fixture
def net():
    return smooth_net(torch.float32).eval()


@pytest.fixture
def x():
    return torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def cheap(kind, x):
    """Few evaluations, and references where the method draws them."""
    known = inspect.signature(kind.attribute).parameters
    options = {name: value for name, value in SMALL.items() if name in known}
    if "n_steps" in known:
        options["n_steps"] = 8
    if "baselines" in METHODS[kind.method].options():
        options["baselines"] = torch.rand(5, *x.shape[1:], generator=torch.Generator().manual_seed(1))
    return options


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_has_the_interface(name, net, x):
    kind = getattr(ours, name)
    made, options = kind(net), cheap(kind, x)
    values = made.attribute(x, target=[0, 1, 2], **options)
    assert values.shape == x.shape
    assert values.dtype == x.dtype
    again = made.attribute(x, target=[0, 1, 2], internal_batch_size=2, **options)
    assert (values - again).norm() <= 1e-5 * values.norm()
    alone = {key: value[1:2] if key == "inputs" else value for key, value in options.items()}
    assert torch.allclose(made.attribute(x[1:2], target=1, **alone), values[1:2], atol=1e-5 * float(values.abs().max()))
    if made.has_convergence_delta():
        with_delta, delta = made.attribute(x, target=[0, 1, 2], return_convergence_delta=True, **options)
        assert torch.equal(with_delta, values)
        assert delta.shape == (3,)
    else:
        with pytest.raises(UsageError, match="claims no sum"):
            made.attribute(x, target=1, return_convergence_delta=True, **options)
    with pytest.raises(NotImplementedError):
        made.attribute_future()


@pytest.mark.parametrize("name", ["IntegratedGradients", "GuidedIG", "IDGI", "SIGWalk"])
def test_the_delta_is_that_of_the_baseline_and_the_input(name, net, x):
    made = getattr(ours, name)(net)
    baseline = torch.full((1, 2, 6, 6), 0.25)
    options = cheap(type(made), x)
    values, delta = made.attribute(x, baseline, target=1, return_convergence_delta=True, **options)
    assert torch.equal(delta, made.compute_convergence_delta(values, baseline, x, target=1))
    with torch.no_grad():
        total = net(x)[:, 1] - net(baseline)[:, 1]
    assert torch.allclose(values.sum((1, 2, 3)) - total, delta, atol=1e-5)


@pytest.mark.parametrize("name", ["ShapleyIntegratedGradients", "AGN", "BlurIG", "ExpectedGradients"])
def test_a_delta_from_other_points_is_refused(name, net, x):
    with pytest.raises(UsageError, match=r"starts at points of its own"):
        getattr(ours, name)(net).compute_convergence_delta(x, 0, x, target=1)


@pytest.mark.parametrize("name", ["gradient", "ig", "idgi", "guided-ig", "blur-ig"])
def test_the_numbers_are_those_of_explain(name):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    x = torch.rand(2, 3, 8, 8)
    options = {"steps": 6} if "steps" in METHODS[name].options() else {}
    found = sigcli.explain(x, model=net, method=name, mean=0, std=1, target=2, settings=options)
    steps = {"n_steps": 6} if options else {}
    values = getattr(ours, class_name(METHODS[name]))(net.eval()).attribute(x, target=2, **steps)
    for item, one in zip(found, values, strict=True):
        assert torch.allclose(torch.from_numpy(item.values), one, atol=1e-6)


def test_integrated_gradients_are_captums(net, x):
    theirs = captum.attr.IntegratedGradients(net)
    mine = ours.IntegratedGradients(net)
    assert list(inspect.signature(mine.attribute).parameters)[:8] == list(
        inspect.signature(theirs.attribute).parameters
    )
    for method in ("gausslegendre", "riemann_left", "riemann_right", "riemann_middle"):
        arguments = (x, x * 0 + 0.1, torch.tensor([0, 1, 2]), None, 20, method)
        assert torch.allclose(mine.attribute(*arguments), theirs.attribute(*arguments), atol=1e-5)
    inner = captum.attr.IntegratedGradients(net, multiply_by_inputs=False).attribute(x, 0.1, target=1)
    assert torch.allclose(ours.IG(net, multiply_by_inputs=False).attribute(x, 0.1, target=1), inner, atol=1e-5)


def test_other_classes_of_captums_names_agree_with_captums(net, x):
    theirs = captum.attr.InputXGradient(net).attribute(x.clone().requires_grad_(), 1)
    assert torch.allclose(ours.InputXGradient(net).attribute(x, 1), theirs.detach(), atol=1e-6)  # target by its place
    references = torch.rand(40, 2, 6, 6)
    many = ours.GradientShap(net).attribute(x, references, target=1, samples=500)
    torch.manual_seed(0)
    expected = captum.attr.GradientShap(net).attribute(x, references, n_samples=500, target=1)
    assert (many - expected).norm() < 0.2 * expected.norm()
    with pytest.raises(UsageError, match=r"positional(.|\n)*inputs, baselines by their place, all else by name"):
        ours.GradientShap(net).attribute(x, references, 5)  # captum's n_samples, and not a target


def test_captums_tools_take_them(net, x):
    tunnel = NoiseTunnel(ours.IntegratedGradients(net))
    smooth, delta = tunnel.attribute(x, nt_samples=3, stdevs=1e-6, target=1, n_steps=8, return_convergence_delta=True)
    assert torch.allclose(smooth, ours.IG(net).attribute(x, target=1, n_steps=8), atol=1e-4)
    assert delta.shape == (9,)

    def perturb(inputs):
        noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(1)) * 0.05
        return noise, inputs - noise

    values = ours.IDGI(net).attribute(x, target=1)
    assert infidelity(net, perturb, x, values, target=1, n_perturb_samples=4).shape == (3,)


def test_tuples_of_inputs():
    a, b = torch.rand(4, 3), torch.rand(4, 2, 2)

    def forward(first, second, factor):
        return factor * (first.sum(1) + second.flatten(1).prod(1))

    references = torch.rand(7, 3), torch.rand(7, 2, 2)
    for kind, more in (
        (ours.IG, {}),
        (ours.IDGI, {}),
        (ours.EG, {"baselines": references}),
        (ours.SIGWalk, {"orders": 2}),
    ):
        found = kind(forward).attribute((a, b), additional_forward_args=2.0, **more)
        assert [one.shape for one in found] == [a.shape, b.shape]
    (one, _), delta = ours.IG(forward).attribute((a, b), additional_forward_args=2.0, return_convergence_delta=True)
    assert torch.allclose(one, 2 * a, atol=1e-5)
    assert delta.abs().max() < 1e-5


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("BlurIG", {"baselines": 0.0}, "takes no baselines"),
        ("BlurIG", {"inputs": torch.rand(2, 5)}, "pictures alone"),
        ("GuidedIG", {"inputs": (torch.rand(2, 3, 6, 6), torch.rand(2, 3))}, "pictures alone"),
        ("ExpectedGradients", {}, "none are given"),
        ("ExpectedGradients", {"baselines": torch.rand(4, 7)}, "inputs' shape"),
        ("ExpectedGradients", {"baselines": 0.5}, "inputs' shape"),
        ("IntegratedGradients", {"n_step": 3}, "Did you mean 'n_steps'"),
        ("IntegratedGradients", {"n_steps": 0}, "at least 1"),
        ("IntegratedGradients", {"n_steps": 2.5}, "at least 1"),
        ("IntegratedGradients", {"method": "riemann"}, "unknown"),
        ("IntegratedGradients", {"target": 7}, "out of range"),
        ("IntegratedGradients", {"inputs": torch.rand(0, 2, 6, 6)}, "no example"),
        ("IDGI", {"internal_batch_size": 0}, "at least 1"),
        ("AGN", {"n_steps": 5}, "has no n_steps.\nIts cost is set by samples"),
        ("SIGWalk", {"players": torch.rand(6, 6)}, "label map"),
        ("AGN", {"sigma": -1.0}, "above 0"),
    ],
)
def test_faults_are_told(net, x, name, arguments, message):
    with pytest.raises(UsageError, match=message):
        getattr(ours, name)(net).attribute(**{"inputs": x, "target": 1, **arguments})


def test_a_network_in_training_mode_is_refused(x):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(72, 2))
    with pytest.raises(ModelError, match="training mode"):
        ours.IG(net).attribute(x, target=1)


def test_multiply_by_inputs_is_refused_where_it_is_no_option(net):
    for name in ("IDGI", "BlurIG", "SIGWalk"):
        with pytest.raises(UsageError, match="always multiplies"):
            getattr(ours, name)(net, multiply_by_inputs=False)
    assert not ours.IG(net, multiply_by_inputs=False).multiplies_by_inputs
    assert not ours.SmoothGrad(net).multiplies_by_inputs


def test_classes_are_those_of_the_catalogue():
    assert set(names().values()) == {name for name, entry in METHODS.items() if explains(entry)}
    assert ours.IG is ours.IntegratedGradients
    assert ours.SIG is ours.ShapleyIntegratedGradients is sigcli.ShapleyIntegratedGradients
    assert {"SIG", "SIGWalk", "BlurIG", "AGN"} <= set(dir(ours))
    with pytest.raises(AttributeError, match="Nonsense"):
        ours.Nonsense  # noqa: B018


def test_importing_the_names_imports_no_torch():
    code = (
        "import sys, sigcli.captum as c; c.names(); assert 'torch' not in sys.modules and 'captum' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(sigcli.__file__).parents[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SIG", {"n_steps": 64, "form": "both"}),
        ("SIGWalk", {"orders": 8}),
        ("ExpectedGradients", {"samples": 64, "zeros": True}),
        ("IntegratedGradients", {"n_steps": 64}),
        ("InputXGradient", {}),
        ("GuidedIG", {"n_steps": 16}),
    ],
)
def test_a_network_in_another_precision_loses_no_more_than_its_own_rounding(name, options, dtype):
    """Of a linear network each of these is weight times input; sums over points are kept in fp32 at least."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2, bias=False)).to(dtype).eval()
    x, options = (torch.rand(2, 3, 4, 4) + 0.1).to(dtype), dict(options)
    references = {"baselines": torch.zeros(2, 3, 4, 4, dtype=dtype)} if options.pop("zeros", False) else {}
    found = getattr(ours, name)(network).attribute(x, target=1, **references, **options)
    right = network[1].weight[1].detach().double().view(3, 4, 4) * x.double()
    assert found.dtype == dtype
    limit = max(torch.finfo(dtype).eps / 2, 2e-7)
    assert float((found.double() - right).norm() / right.norm()) < limit

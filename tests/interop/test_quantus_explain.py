"""`sigcli.quantus_explain` in the form that Quantus asks of an `explain_func`."""

import numpy as np
import pytest
import torch
from torch import nn

import sigcli
from sigcli.errors import AttributionError, UsageError


@pytest.fixture
def net():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5)
    return nn.Sequential(*layers).eval()


X = np.random.default_rng(0).random((3, 3, 12, 12)).astype(np.float32)
Y = np.array([0, 4, 2])


@pytest.mark.parametrize("method", ["ig", "gradcam", "occlusion", "gradient"])
def test_a_batch_in_arrays_gives_arrays(net, method):
    options = {"settings": {"steps": 3}} if method == "ig" else {"players": "4x4"} if method == "occlusion" else {}
    found = sigcli.quantus_explain(model=net, inputs=X, targets=Y, method=method, **options)
    assert (found.shape, found.dtype) == (X.shape, np.float32)
    for place, target in enumerate(Y):
        alone = sigcli.quantus_explain(net, X[place : place + 1], target, method=method, **options)
        assert np.allclose(alone[0], found[place], atol=1e-6)


def test_the_values_are_those_of_autograd(net):
    x = torch.from_numpy(X).requires_grad_()
    score = net(x).gather(1, torch.from_numpy(Y)[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, x)
    assert np.allclose(sigcli.quantus_explain(net, X, Y, method="gradient"), gradient.numpy(), atol=1e-6)
    assert np.allclose(
        sigcli.quantus_explain(net, torch.from_numpy(X), torch.from_numpy(Y), method="gradient"),
        gradient.numpy(),
        atol=1e-6,
    )
    assert sigcli.quantus_explain(net, X[:0], Y[:0]).shape == (0, 3, 12, 12)


def test_a_map_of_one_channel_keeps_its_sum(net):
    found = sigcli.quantus_explain(net, X, Y, method="gradcam")
    single = sigcli.explain(torch.from_numpy(X[:1]), model=net, method="gradcam", mean=0, std=1, target=int(Y[0]))[0]
    assert np.allclose(found[0].sum(0), single.values.sum(0), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"inputs": X[0]}, UsageError, r"\(N, C, H, W\)"),
        ({"inputs": (X * 255).astype(np.uint8)}, UsageError, "must be floats"),
        ({"method": "ig,sig"}, UsageError, "one method"),
        ({"method": "igg"}, UsageError, "Did you mean"),
        ({"targets": np.array([0, 9, 2])}, AttributionError, "none of the model's classes"),
        ({"steps": 3}, UsageError, "unknown option"),
        ({"targets": np.array([0.0, 4.0, 2.0])}, UsageError, r"class indices \(given: float64, shape \(3,\)\)"),
        ({"targets": np.eye(5)[[0, 4, 2]]}, UsageError, "argmax"),
        ({"targets": np.eye(5, dtype=int)[[0, 4, 2]]}, UsageError, "argmax"),
        ({"targets": Y[:2]}, UsageError, r"integers of shape \(3,\)"),
        ({"targets": None}, UsageError, "given: None"),
    ],
)
def test_faults_are_told(net, arguments, error, message):
    with pytest.raises(error, match=message):
        sigcli.quantus_explain(**{"model": net, "inputs": X, "targets": Y, "method": "ig", **arguments})


def test_quantus_takes_it(net):
    quantus = pytest.importorskip("quantus", reason="Quantus is not installed, see docs/quantus.md")
    metric = quantus.Sparseness(abs=True, normalise=False, disable_warnings=True)
    found = metric(
        model=net, x_batch=X, y_batch=Y, a_batch=None, explain_func=sigcli.quantus_explain, channel_first=True,
        explain_func_kwargs={"method": "ig", "settings": {"steps": 3}},
    )  # fmt: skip
    assert len(found) == 3
    assert all(0 <= value <= 1 for value in found)


@pytest.mark.parametrize("targets", [torch.tensor([0, 4, 2]), Y[:, None], [0, 4, 2], Y.astype(np.uint8)])
def test_targets_in_the_forms_that_people_have_them(net, targets):
    known = sigcli.quantus_explain(net, X, Y, method="gradient")
    assert np.array_equal(sigcli.quantus_explain(net, X, targets, method="gradient"), known)


def test_tensors_that_numpy_has_no_type_for(net):
    inputs = torch.from_numpy(X).bfloat16()
    known = sigcli.quantus_explain(net, inputs.float(), Y, method="gradient")
    assert np.array_equal(sigcli.quantus_explain(net, inputs, Y, method="gradient"), known)

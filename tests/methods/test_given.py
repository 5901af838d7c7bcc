"""Functions of a program as methods: what they may do to the network, what they may return, and how they are told apart."""

import copy
import functools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn

import sigcli
from sigcli.errors import AttributionError, SigError
from sigcli.methods.given import given_method
from sigcli.methods.identity import source_of
from sigcli.methods.run import attributions
from sigcli.scores.classifier import ClassScore

from toys import smooth_net, subject


def explained(function, net=None, x=None):
    x = torch.rand(2, 6, 6) if x is None else x
    net = smooth_net(torch.float32) if net is None else net
    (found,) = attributions(given_method("mine", function), {}, ClassScore(net), [subject(x)])
    return found


def plain_gradient(model, inputs, targets):
    inputs.requires_grad_()
    return torch.autograd.grad(model(inputs)[0, targets], inputs)[0]


def leave_hook(model, inputs, targets):
    model[0].register_forward_hook(lambda module, given, output: output * 0)
    return inputs


def leave_pre_hook(model, inputs, targets):
    model[3].register_full_backward_pre_hook(lambda module, gradient: (gradient[0] * 0,))
    return inputs


def zero_weights(model, inputs, targets):
    with torch.no_grad():
        model[0].weight.zero_()
    return inputs


def zero_weights_unseen(model, inputs, targets):
    model[0].weight.data.zero_()
    return inputs


def train(model, inputs, targets):
    model.train()
    return inputs


def ask_gradients(model, inputs, targets):
    model.requires_grad_(True)
    return inputs


def other_layer(model, inputs, targets):
    model[1] = nn.ReLU()
    return inputs


MEDDLERS = {
    leave_hook: "hooks", leave_pre_hook: "hooks", zero_weights: "weights", zero_weights_unseen: "weights", train: "mode",
    ask_gradients: "requires_grad", other_layer: "layers",
}  # fmt: skip


def state(net):
    hooks = [len(part._forward_hooks) + len(part._backward_pre_hooks or ()) for part in net.modules()]
    modes = [part.training for part in net.modules()]
    return hooks, modes, list(map(type, net)), [(p.requires_grad, p.tolist()) for p in net.parameters()]


@pytest.mark.parametrize("function", MEDDLERS)
def test_what_a_function_leaves_in_the_network_reaches_no_other_result(function):
    net = smooth_net(torch.float32)
    before, x = state(net), torch.rand(2, 6, 6)
    wanted = explained(plain_gradient, net, x).values
    explained(function, net, x)
    assert state(net) == before
    assert torch.equal(explained(plain_gradient, net, x).values, wanted)


def test_a_function_s_own_next_call_begins_afresh():
    def worsen(model, inputs, targets):
        found = plain_gradient(model, inputs, targets)
        model[0].weight.data.zero_()
        return found

    net, x = smooth_net(torch.float32), torch.rand(2, 6, 6)
    entry, scorer = given_method("mine", worsen), ClassScore(net)
    one, two = attributions(entry, {}, scorer, [subject(x), subject(x)])
    assert one.values.any()
    assert torch.equal(one.values, two.values)


@pytest.mark.parametrize(("function", "what"), MEDDLERS.items())
def test_where_the_network_cannot_be_copied_it_is_restored_and_the_item_fails(function, what):
    net = smooth_net(torch.float32)
    net.lock = threading.Lock()
    before = state(net)
    with pytest.raises(AttributionError, match=rf"the function mine changed the network \({what}"):
        explained(function, net)
    assert state(net) == before
    assert explained(plain_gradient, net).values.any()


def test_a_copy_that_shares_weights_is_none():
    class Same(nn.Sequential):
        def __deepcopy__(self, memo):
            return self

    net = Same(*smooth_net(torch.float32))
    with pytest.raises(AttributionError, match="changed the network"):
        explained(zero_weights, net)
    assert net[0].weight.any()


def test_it_is_restored_where_the_function_fails_too():
    def fail(model, inputs, targets):
        model[0].weight.data.zero_()
        raise ZeroDivisionError("halfway")

    net = smooth_net(torch.float32)
    net.lock = threading.Lock()
    with pytest.raises(AttributionError, match="the function mine raised ZeroDivisionError: halfway"):
        explained(fail, net)
    assert net[0].weight.any()


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = smooth_net(torch.float32)

    def forward(self, images, *, scale=1.0):
        return self.inner(images) * scale


def test_images_given_by_keyword_are_counted():
    def asks(model, inputs, targets):
        model(images=inputs.expand(3, -1, -1, -1))
        model(inputs.expand(2, -1, -1, -1), scale=2.0)
        return inputs

    assert explained(asks, Named()).evaluations == 5


def test_scripted_networks_are_copied_for_functions():
    with pytest.warns((FutureWarning, DeprecationWarning)):
        net = torch.jit.script(smooth_net(torch.float32))
    x = torch.rand(2, 6, 6)
    found = explained(plain_gradient, net, x)
    assert torch.allclose(found.values, explained(plain_gradient, smooth_net(torch.float32), x).values, atol=1e-6)
    assert found.evaluations == 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda model, inputs, targets: 1 / 0, "the function mine raised ZeroDivisionError: division by zero"),
        (lambda model, inputs, targets: inputs * float("nan"), "the function mine gave NaN or infinity"),
        (lambda model, inputs, targets: (inputs.double() + 1e300).numpy(), "the function mine gave NaN or infinity"),
        (lambda model, inputs, targets: model, "the function mine returned no attributions .*Sequential"),
        (lambda model, inputs, targets: None, "the function mine returned no attributions .*NoneType"),
        (lambda model, inputs, targets: [None], "the function mine returned no attributions"),
        (lambda model, inputs, targets: np.array(["x"]), "the function mine returned no attributions"),
        (lambda model, inputs, targets: inputs + 1j, "the function mine returned complex numbers"),
        (lambda model, inputs, targets: inputs.numpy() * 1j, "the function mine returned complex numbers"),
        (lambda model, inputs, targets: inputs.mean(), "mine do not fit the image"),
    ],
)
def test_faults_of_a_function_are_told_as_its_own(function, message):
    with pytest.raises(AttributionError, match=message):
        explained(function)


def test_running_out_of_memory_is_not_the_function_s_fault():
    def greedy(model, inputs, targets):
        raise MemoryError

    with pytest.raises(AttributionError, match="too little memory"):
        explained(greedy)


@pytest.mark.parametrize(
    "returned",
    [
        lambda inputs: inputs.numpy()[..., ::-1],
        lambda inputs: inputs.flip(-1).to_sparse(),
        lambda inputs: inputs.flip(-1).tolist(),
        lambda inputs: inputs.flip(-1).numpy().astype(">f8"),
        lambda inputs: nn.Parameter(inputs.flip(-1)[0]),
    ],
)
def test_arrays_of_any_make_are_read(returned):
    x = torch.rand(2, 6, 6)
    found = explained(lambda model, inputs, targets: returned(inputs), x=x)
    assert torch.equal(found.values, x.flip(-1))


def test_results_are_not_overwritten_by_the_next_call():
    buffer = torch.zeros(1, 2, 6, 6)
    entry = given_method("mine", lambda model, inputs, targets: buffer.copy_(inputs))
    x = torch.rand(2, 2, 6, 6)
    one, two = attributions(entry, {}, ClassScore(smooth_net(torch.float32)), [subject(x[0]), subject(x[1])])
    assert torch.equal(one.values, x[0])
    assert torch.equal(two.values, x[1])


def test_functions_have_gradients_where_the_caller_turned_them_off():
    x = torch.rand(3, 16, 16)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))
    (wanted,) = sigcli.explain(x, model=net, method={"mine": plain_gradient})
    with torch.no_grad():
        (found,) = sigcli.explain(x, model=net, method={"mine": plain_gradient})
    assert not found.error
    assert np.array_equal(np.asarray(found.values), np.asarray(wanted.values))
    with torch.inference_mode():
        assert explained(plain_gradient).values.any()


# What tells functions apart.


def scaled(factor):
    def mine(model, inputs, targets):
        return inputs * factor

    return mine


def by(model, inputs, targets, *, factor):
    return inputs * factor


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, model, inputs, targets):
        return inputs * self.factor

    def explain(self, model, inputs, targets):
        return self(model, inputs, targets)


class Kept:
    """Methods of several sorts, and one that asks the class above."""

    def __init__(self, factor):
        self.factor = factor

    @functools.cached_property
    def doubled(self):
        return 2 * self.factor

    @property
    def halved(self):
        return self.doubled / 4

    @classmethod
    def of(cls, factor):
        return cls(factor)

    def __call__(self, model, inputs, targets):
        return inputs * self.halved * np.shape(super().__repr__())


class Module(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.as_tensor(float(factor)))

    def forward(self, model, inputs, targets):
        return inputs * self.factor


def defaulted(factor):
    return lambda model, inputs, targets, by=factor: inputs * by


def nested(factor):
    return scaled(scaled(factor))


MAKERS = [
    scaled, lambda factor: functools.partial(by, factor=factor), Scaled, lambda factor: Scaled(factor).explain, Module,
    defaulted, nested, Kept, lambda factor: Kept.of(factor).__call__, lambda factor: functools.lru_cache(scaled(factor)),
    lambda factor: scaled(torch.full((3,), factor, dtype=torch.bfloat16)),
    lambda factor: scaled(np.full(3, factor)), lambda factor: scaled(torch.full((3,), factor)),
    lambda factor: scaled({"a": [factor, "text"]}), lambda factor: scaled({factor, "text", "other"}),
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
def test_functions_are_told_apart_by_what_they_hold(make):
    assert source_of(make(2)) == source_of(make(2))
    assert source_of(make(2)) != source_of(make(3))


def test_functions_are_told_apart_by_their_code_and_what_it_names(monkeypatch):
    one, other = (lambda model, inputs, targets: inputs), (lambda model, inputs, targets: -inputs)
    assert source_of(one) != source_of(other)
    before = source_of(by_name)
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert source_of(by_name) != before
    made = {}
    for text in ("inputs", "inputs * 2", "inputs * 3"):
        space = {}
        exec(f"def f(model, inputs, targets):\n    return {text}", space)
        made[text] = source_of(space["f"])
    assert len(set(made.values())) == 3


def test_a_module_of_the_program_counts_by_its_file(nets_here):
    (nets_here / "nets.py").write_text("def scale(x):\n    return 2 * x\n")
    import nets

    function = lambda model, inputs, targets: nets.scale(inputs)  # noqa: E731
    before = source_of(function)
    assert source_of(function) == before
    (nets_here / "nets.py").write_text("def scale(x):\n    return 3 * x\n")
    assert source_of(function) != before


def test_digests_are_the_same_in_another_process():
    code = (
        "from sigcli.methods.identity import source_of\n"
        "def make(held):\n    return lambda model, inputs, targets: (inputs in {'p', 'q', 'r'}, held)\n"
        "print(source_of(make({'a', 'b', 'c', 'd'})))"
    )
    found = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1
    assert "not identified" not in found.pop()


FACTOR = 2


def by_name(model, inputs, targets):
    return inputs * FACTOR


class Derived(dict):
    def __call__(self, model, inputs, targets):
        return inputs


@pytest.mark.parametrize("held", [threading.Lock(), iter([1]), np.random.default_rng(0), Derived(), object()])
def test_what_cannot_be_told_is_never_taken_for_the_same(held):
    function = scaled(held)
    assert source_of(function) != source_of(function)
    entry = given_method("mine", function)
    assert entry.source == entry.source  # one run sees one
    assert copy.copy(entry).source == entry.source


def test_a_run_is_not_resumed_with_another_function(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))
    options = {"model": net, "out": tmp_path / "o"}
    x = torch.rand(1, 3, 16, 16)
    sigcli.explain(x, method={"mine": scaled(2.0)}, **options)
    sigcli.explain(x, method={"mine": scaled(2.0)}, resume=True, **options)
    with pytest.raises(SigError, match="methods differ"):
        sigcli.explain(x, method={"mine": scaled(3.0)}, resume=True, **options)

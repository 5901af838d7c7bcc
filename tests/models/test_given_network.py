"""Networks that a program gives: how they are copied, refused and told apart."""

import functools
import io
import threading

import numpy as np
import pytest
import torch
from torch import nn

import sigcli
from sigcli.errors import ModelError, SigError
from sigcli.models.fold import freeze
from sigcli.models.sources.factory import given_network

X = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def small(activation=nn.Tanh):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4), activation(), nn.Linear(4, 3)).eval()


class Holds(nn.Module):
    def __init__(self, inner, **held):
        super().__init__()
        self.inner = inner
        self.__dict__.update(held)

    def forward(self, images):
        return self.inner(images)


@functools.cache  # torch's compiler of scripts stumbles now and then over the same layers again
def scripted(activation=nn.Tanh):
    with pytest.warns((FutureWarning, DeprecationWarning)):
        return torch.jit.script(small(activation))


def traced(activation=nn.Tanh):
    with pytest.warns((FutureWarning, DeprecationWarning)):
        return torch.jit.trace(small(activation), X)


def loaded(activation=nn.Tanh):
    buffer, program = io.BytesIO(), scripted(activation)
    with pytest.warns((FutureWarning, DeprecationWarning)):
        torch.jit.save(program, buffer)
    buffer.seek(0)
    with pytest.warns((FutureWarning, DeprecationWarning)):
        return torch.jit.load(buffer)


def compiled(activation=nn.Tanh):
    return torch.compile(small(activation))


def holding(make):
    return lambda activation=nn.Tanh: Holds(make(activation))


KINDS = [small, scripted, traced, loaded, compiled, holding(scripted), holding(compiled)]


@pytest.mark.parametrize("make", KINDS)
def test_copies_are_frozen_and_the_given_network_is_left_as_it_is(make):
    network = make()
    before = [parameter.requires_grad for parameter in network.parameters()]
    source = given_network(network, None)
    freeze(source.module)
    assert torch.equal(source.module(X), small()(X))
    assert not any(parameter.requires_grad for parameter in source.module.parameters())
    assert [parameter.requires_grad for parameter in network.parameters()] == before
    own = {parameter.data_ptr() for parameter in source.module.parameters()}
    assert not own & {parameter.data_ptr() for parameter in network.parameters()}


@pytest.mark.parametrize("make", KINDS)
def test_layers_without_weights_tell_networks_apart(make):
    assert given_network(make(), None).weights_hash == given_network(make(), None).weights_hash
    assert given_network(make(), None).weights_hash != given_network(make(nn.ReLU), None).weights_hash


def test_constants_of_traced_networks_tell_them_apart():
    class Shifted(nn.Module):
        def __init__(self, by):
            super().__init__()
            self.by, self.inner = torch.full((1, 3, 8, 8), by), small()

        def forward(self, images):
            return self.inner(images + self.by)

    with pytest.warns((FutureWarning, DeprecationWarning)):
        one, same, other = (torch.jit.trace(Shifted(by), X) for by in (1.0, 1.0, 2.0))
    hashes = [given_network(network, None).weights_hash for network in (one, same, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_layers_are_told_apart_with_weights_from_a_file_too(tmp_path):
    torch.save(small().state_dict(), tmp_path / "w.pt")
    one, other = (given_network(small(kind), str(tmp_path / "w.pt")).weights_hash for kind in (nn.Tanh, nn.ReLU))
    assert one != other


def test_a_run_is_not_resumed_with_other_layers(tmp_path):
    options = {"method": "gradient", "out": tmp_path / "o"}
    sigcli.explain(X[0], model=small(), **options)
    sigcli.explain(X[0], model=small(), resume=True, **options)
    with pytest.raises(SigError, match="weights_hash differ"):
        sigcli.explain(X[0], model=small(nn.ReLU), resume=True, **options)


class Addressed(nn.Module):
    """Its text differs from process to process."""

    def __init__(self):
        super().__init__()
        self.inner, self.other = small(), object()

    def extra_repr(self):
        return repr(self.other)

    def forward(self, images):
        return self.inner(images)


def test_addresses_in_its_text_do_not_tell_a_network_apart():
    one, other = Addressed(), Addressed()
    assert repr(one) != repr(other)
    assert given_network(one, None).weights_hash == given_network(other, None).weights_hash


@pytest.mark.parametrize("make", [scripted, compiled])
def test_scripted_and_compiled_networks_are_explained(make):
    def gradient(model, inputs, targets):
        inputs.requires_grad_()
        return torch.autograd.grad(model(inputs)[0, targets], inputs)[0]

    found = sigcli.explain(X[0], model=make(), method={"mine": gradient, "theirs": "gradient"})
    wanted = sigcli.explain(X[0], model=small(), method="gradient")[0]
    for one in found:
        assert not one.error
        assert np.allclose(one.values, wanted.values, atol=1e-6)


def old_weight_norm():
    network = small()
    with pytest.warns((FutureWarning, DeprecationWarning)):
        network[3] = torch.nn.utils.weight_norm(network[3])
    network(X)
    return network


def sparse():
    network = small()
    network.register_buffer("links", torch.eye(3).to_sparse())
    return network


REFUSED = {
    "lock": (lambda: Holds(small(), lock=threading.Lock()), "cannot be copied: .*lock.*\nLeave out of it"),
    "generator": (lambda: Holds(small(), rows=iter(i for i in [1])), "cannot be copied: .*generator"),
    "computed": (lambda: Holds(small(), scale=2 * torch.ones(2, requires_grad=True)), r"computation.*\ndetach\(\) it"),
    "weight_norm": (old_weight_norm, r"computation (.*\n)?.*parametrizations.weight_norm"),
    "lazy": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), "lazy layers .*\nPass one batch"),
    "meta": (lambda: small().to("meta"), "meta device and has no weights .*\nMake it on a real device"),
    "sparse": (sparse, "cannot be fingerprinted: .*\nGive a network of ordinary"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_networks_that_cannot_be_copied_or_hashed_are_refused_in_a_sentence(make, message):
    with pytest.raises(ModelError, match=message) as told:
        sigcli.explain(X[0], model=make())
    assert str(told.value).count("\n") == 1

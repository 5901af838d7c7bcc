"""Every method on a device that is strict about tensors of another: the CPU's values, and no tensor left behind on it."""

import inspect

import numpy as np
import pytest
from method_networks import NETWORKS, apart, explained

from sigcli.errors import UsageError
from sigcli.methods import METHODS, perturbation

TOLERANCE = 1e-4


def test_every_method_has_a_network():
    assert {method for _, methods in NETWORKS.values() for method in methods} == set(METHODS)


@pytest.mark.parametrize("kind", NETWORKS)
def test_maps_are_those_of_the_cpu(kind, there):
    made, methods = NETWORKS[kind]
    expected = explained(made(), methods, "cpu")
    found = explained(made(), methods, there)
    assert [one.error for one in (*expected, *found)] == [""] * 2 * len(expected)
    assert len(found) == 2 * len(methods)
    wrong = {here.method: apart(here, other) for here, other in zip(expected, found, strict=True)}
    assert {method: much for method, much in wrong.items() if not much < TOLERANCE} == {}
    for here, other in zip(expected, found, strict=True):
        assert other.score == pytest.approx(here.score, rel=TOLERANCE)
        for name in ("completeness_gap", "standard_error", "shown_standard_error"):
            one, same = getattr(here, name), getattr(other, name)
            close = one == same if one is None or same is None else abs(one - same) <= 1e-4 * abs(one) + TOLERANCE
            assert close, (here.method, name, one, same)


def test_standard_errors_and_players_are_those_of_the_cpu(there):
    chosen = ["sig", "sig-walk", "eg", "rise", "lime", "qii"]
    made, options = NETWORKS["convolutions"][0], {"uncertainty": True, "tolerance": 0.5, "max_evaluations": 128}
    options["settings"] = {"players": "grid:2x2"}
    expected = explained(made(), chosen, "cpu", **options)
    found = explained(made(), chosen, there, **options)
    for here, other in zip(expected, found, strict=True):
        for name in ("values", "stderr", "deviations", "player_values"):
            one, same = getattr(here, name), getattr(other, name)
            assert (one is None) == (same is None)
            if one is not None:
                np.testing.assert_allclose(same, one, rtol=1e-4, atol=TOLERANCE * np.abs(one).max())


@pytest.mark.parametrize("output", ["prob", "logprob"])
@pytest.mark.parametrize("target", ["0", "top:2", "0 - 2"])
def test_scores_are_those_of_the_cpu(output, target, there):
    made = NETWORKS["convolutions"][0]
    expected = explained(made(), ["ig", "gradcam"], "cpu", output=output, target=target)
    found = explained(made(), ["ig", "gradcam"], there, output=output, target=target)
    assert len(found) == len(expected)
    assert max(apart(*both) for both in zip(expected, found, strict=True)) < TOLERANCE


def test_a_planted_mix_up_is_caught(monkeypatch, there):
    """A copy of `rise` whose masks stay on the CPU, which only a GPU would show."""
    right = ".astype(np.float32)).to(subject.x)"
    source = inspect.getsource(perturbation)
    assert right in source
    copy = dict(perturbation.__dict__)
    exec(compile(source.replace(right, ".astype(np.float32)).to(subject.x.dtype)"), "mixed up", "exec"), copy)
    monkeypatch.setattr(perturbation, "rise", copy["rise"])
    made = NETWORKS["convolutions"][0]
    assert explained(made(), ["rise"], "cpu")[0].values is not None
    assert "same device" in explained(made(), ["rise"], there)[0].error


def test_only_the_tests_can_name_it():
    with pytest.raises(UsageError, match="unknown device"):
        explained(NETWORKS["convolutions"][0](), ["ig"], "pretend")

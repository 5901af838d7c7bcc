"""What a caller has switched in torch has no part in the numbers, and is as it was afterwards."""

import gc
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import sigcli
from sigcli.engine.modes import own_modes
from sigcli.scores.classifier import ClassScore

from toys import Tiny


@contextmanager
def double():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


AROUND = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "float64 by default": double,
    "no_grad": torch.no_grad,
    "inference mode": torch.inference_mode,
    "detection of anomalies": lambda: torch.autograd.set_detect_anomaly(True),
}
METHODS = "ig,sig,gradcam,deeplift,guided-backprop,rise,kernelshap"
OPTIONS = {"method": METHODS, "settings": {"samples": 16}, "mean": 0, "std": 1}


def state():
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
    return *modes, torch.get_default_dtype(), torch.is_anomaly_enabled()


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    network, images = Tiny().eval(), torch.rand(1, 3, 16, 16)
    return network, images, [e.values for e in sigcli.explain(images, model=network, **OPTIONS)]


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("around", AROUND)
def test_the_callers_switches_change_no_number_and_are_left_as_they_were(plain, around):
    network, images, right = plain
    with AROUND[around]():
        before = state()
        found = [e.values for e in sigcli.explain(images, model=network, **OPTIONS)]
        between = []
        stepped = []
        for item in sigcli.iter_explain(images, model=network, **OPTIONS):
            between.append(state())
            stepped.append(item.values)
        assert {before, state(), *between} == {before}
    for values in (found, stepped):
        assert len(values) == len(right)
        assert all(np.array_equal(one, other) for one, other in zip(values, right, strict=True))


def test_an_iterator_that_is_left_early_closes_its_run(plain, tmp_path):
    network, images, _ = plain
    items = sigcli.iter_explain(images, model=network, out=tmp_path / "run", **OPTIONS)
    next(items)
    items.close()
    assert len(sigcli.explain(images, model=network, out=tmp_path / "run", resume=True, **OPTIONS)) == 7


def test_a_long_run_in_bf16_keeps_no_image():
    """torch's autocast caches casts until the outermost one ends, which is the whole run: 22 GB after 18 photographs."""
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 5))
    net.requires_grad_(False)
    seen = []

    def model(images):
        seen.append(weakref.ref(images))
        return net(images)

    score = ClassScore(model, precision="bf16")
    with own_modes():
        for _ in range(3):
            score.gradients(torch.rand(2, 3, 8, 8), torch.zeros(2, dtype=torch.long))
        gc.collect()
        assert [one() for one in seen] == [None] * 3


def test_weights_that_change_are_seen_under_autocast():
    """Of a network in training: the cached cast of its first weights would be used to the end."""
    net = torch.nn.Linear(2, 1, bias=False)
    found = []
    with own_modes():
        for _ in range(2):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found.append(net(torch.ones(1, 2)).item())
            with torch.no_grad():
                net.weight.add_(1)
    assert found[1] - found[0] == pytest.approx(2, abs=0.05)

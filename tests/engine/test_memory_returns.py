"""Batches that memory made smaller: known to all of a run, larger again once there is room, and the same maps throughout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_run import picture
from torch import nn

import sigcli
from sigcli.attribution.explain import explain
from sigcli.engine import batch_size
from sigcli.engine.batch_size import Batches
from sigcli.engine.integrate import integrate
from sigcli.engine.task import Task
from sigcli.evaluation.evaluate import evaluate
from sigcli.methods import METHODS
from sigcli.scores.classifier import ClassScore

from toys import smooth_net, subject

SHAPE = (1, 2, 2)


def asked(batches, limit, rounds):
    """Full batches of a model that takes `limit(number of the call)` images; sizes that fitted, and how many failed."""
    sizes, failed = [], 0
    for number in range(rounds):
        size = batches.size

        def call(size=size, number=number):
            if size > limit(number):
                raise torch.OutOfMemoryError
            return size

        found = batches.attempt(call, SHAPE, size)
        sizes += found
        failed += not found
    return sizes, failed


def test_the_size_returns_step_by_step():
    batches = Batches(32)
    sizes, failed = asked(batches, lambda number: 7 if number < 50 else 32, 400)
    assert failed == 3
    assert [size for size, before in zip(sizes, [0, *sizes], strict=False) if size != before] == [4, 8, 16, 32]
    assert sizes.count(4) == sizes.count(8) == sizes.count(16) == 64
    (note,) = batches.shortages.notes
    assert note.startswith("memory ran out at batches of 32 images: they had 4 then, and up to 32 again later")


def test_memory_that_never_returns_is_asked_for_a_few_times_only():
    batches = Batches(32)
    sizes, failed = asked(batches, lambda _: 7, 100_000)
    assert set(sizes) == {4}
    assert failed <= 3 + 6  # each try waits four times as long as the one before: 64, 256, 1024, …
    (note,) = batches.shortages.notes
    assert "again later" not in note
    assert f"--batch-size 4 avoids the attempts that failed ({failed})" in note


def test_memory_that_comes_and_goes_is_asked_for_less_and_less():
    sizes, failed = asked(Batches(32), lambda number: 32 if number % 200 < 100 else 7, 100_000)
    assert failed <= 3 * 8
    assert len(sizes) + failed == 100_000


def test_batches_that_are_not_full_tell_nothing_and_nor_does_a_call_that_makes_its_own():
    batches = Batches(8)
    asked(batches, lambda _: 4, 1)
    for _ in range(500):
        batches.attempt(int, SHAPE, 3)
        batches.attempt(int, SHAPE)
    assert batches.size == 4


def test_an_image_for_which_there_is_no_memory_at_all_is_no_shortage_of_the_run():
    batches = Batches(8)
    with pytest.raises(sigcli.errors.SigError, match="one image"):
        asked(batches, lambda _: 0, 9)
    assert batches.size == 8
    assert batches.shortages.notes == []


def test_what_a_short_request_learns_is_known_to_all():
    batches = Batches(32)
    short = batches.within(6)
    assert short.size == 6
    asked(short, lambda _: 3, 2)
    assert (short.size, batches.size) == (3, 3)
    asked(batches, lambda _: 32, 70)
    assert (short.size, batches.size) == (6, 6)
    assert Batches(4).within(6).size == 4


@settings(max_examples=25, deadline=None)
@given(limits=st.lists(st.integers(2, 12), min_size=1, max_size=12), size=st.integers(1, 12), data=st.data())
def test_sums_are_the_same_whatever_memory_there_is(limits, size, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_size, "_CALM", data.draw(st.integers(1, 3)))
        net, calls = smooth_net(torch.float32), []

        def tight(x):
            calls.append(len(x))
            if len(x) > limits[len(calls) % len(limits)]:
                raise torch.OutOfMemoryError
            return net(x.float()).double()

        x = torch.rand(3, *subject().x.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        tasks = [
            Task(subject(one, key=key), METHODS["ig"].load()(subject(one, key=key), steps=9))
            for key, one in enumerate(x)
        ]
        found = list(integrate(ClassScore(tight), tasks, batch_size=Batches(size)))
        expected = list(integrate(ClassScore(lambda x: net(x.float()).double()), tasks, batch_size=16))
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one.values, other.values, rtol=1e-5, atol=1e-8)
        assert one.completeness_gap == pytest.approx(other.completeness_gap, rel=1e-3, abs=1e-6)


SIZES: dict[str, list[int]] = {}
FAILED: dict[str, int] = {}
"""By name: a run works on a copy of the network."""


class Tight(nn.Module):
    """Takes three images, until it has failed so often that its memory comes back."""

    def __init__(self, name, back):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)
        self.relu, self.pool = nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.name, self.back = name, back
        SIZES[name], FAILED[name] = [], 0

    def forward(self, x):
        if len(x) > 3 and FAILED[self.name] < self.back:
            FAILED[self.name] += 1
            raise torch.OutOfMemoryError("pretend out of memory")
        SIZES[self.name].append(len(x))
        return self.last(self.pool(self.relu(self.conv(x))).flatten(1))


SEEN = {"image_size": 16, "mean": 0, "std": 1, "pictures": False, "target": "0"}


@pytest.fixture
def here(nets_here):
    """Four pictures."""
    for number in range(4):
        picture(Path(f"in/{number:02}.png"), number)
    return nets_here


OWN = {
    "sig,gradcam": {"sig.players": "grid:4x4", "sig.samples": "48"},
    "rise,gradcam,ig": {"rise.samples": "48", "ig.steps": "32"},
}  # fmt: skip


@pytest.mark.parametrize("method", OWN)
def test_a_run_on_a_device_learns_once_and_says_so(here, there, method, monkeypatch):
    monkeypatch.setattr(batch_size, "_CALM", 3)
    nets = [Tight("wide", 0), Tight("never", 10**9), Tight("later", 4)]
    runs = [
        explain("in", model=net, method=method, device=there, batch_size=16, write=False, settings=OWN[method], **SEEN)
        for net in nets
    ]
    for run in runs[1:]:
        assert [one.error for one in run] == [""] * 4 * len(method.split(","))
        for one, other in zip(run, runs[0], strict=True):
            np.testing.assert_allclose(one.values, other.values, rtol=1e-4, atol=1e-4 * np.abs(other.values).max())
    kinds = 2 if "rise" in method else 1  # gradients, and methods that pass images through the network themselves
    assert 3 <= FAILED["never"] <= (3 + 3) * kinds  # to learn it and to try for more, and not for each of the images
    assert max(SIZES["never"]) <= 3
    assert 16 in SIZES["later"]
    said = [" ".join(run.notes) for run in runs]
    assert ["memory ran out at batches of 16 images: they had 2 then" in one for one in said] == [False, True, True]
    assert ["again later" in one for one in said] == [False, False, True]


def test_an_evaluation_learns_once_and_says_so(here, monkeypatch):
    told = []
    monkeypatch.setattr("sigcli.evaluation.evaluate.tell_new", lambda listener, before, notes: told.extend(notes))
    nets = {"tight": Tight("tight", 10**9), "wide": Tight("wide", 0)}
    options = {
        "method": "ig",
        "metric": "deletion,max-sensitivity",
        "settings": {"ig.steps": "8", "max-sensitivity.samples": "3"},
    }
    found, expected = (
        evaluate("in", model=one, device="cpu", batch_size=8, out=name, **options, **SEEN) for name, one in nets.items()
    )
    assert [one.error for one in found.values] == [""] * 8
    np.testing.assert_allclose(
        [one.value for one in found.values], [one.value for one in expected.values], rtol=1e-3, atol=1e-5
    )
    assert 2 <= FAILED["tight"] <= 12
    assert [one.startswith("memory ran out at batches of 8 images") for one in told if "memory" in one] == [True]

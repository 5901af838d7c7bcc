"""Units that can be read in two ways: mean and deviation for pixels in 0..1 or 0..255, tensors normalised or not.

Asked in public: mmsegmentation#73, SynergyNet#19 (a mean of 123.675); dianna#254, lime#207 (pixels in 0..255 where 0..1 was
meant, and the other way round).
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import sigcli
from sigcli.errors import UsageError
from sigcli.inputs.samples import sample_images
from sigcli.models.given_values import Span, doubts, in_unit_range, read_off
from sigcli.models.preprocess import Preprocess, Wishes

STAR = str(sample_images() / "star.png")
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def net():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    return nn.Sequential(*layers)


def explained(images, net, **options):
    return sigcli.explain(images, model=net, **{"method": "ig", "settings": {"ig.steps": 4}, "write": False, **options})


@given(st.tuples(*[st.floats(0.05, 1)] * 3), st.tuples(*[st.floats(0.05, 1)] * 3))
def test_one_normalisation_in_either_unit_is_one(mean, std):
    bytes_ = Wishes(mean=tuple(255 * m for m in mean), std=tuple(255 * s for s in std))
    told, (note,) = in_unit_range(bytes_)
    assert told.mean == pytest.approx(mean)
    assert told.std == pytest.approx(std)
    assert "0..255" in note
    assert in_unit_range(Wishes(mean=mean, std=std)) == (Wishes(mean=mean, std=std), ())


@pytest.mark.parametrize(
    ("mean", "std", "right"),
    [
        ((104.0, 117.0, 123.0), (1.0,), ((104 / 255, 117 / 255, 123 / 255), (1 / 255,))),  # Caffe's: no division
        ((0.0,), (255.0,), ((0.0,), (1.0,))),
        (None, (51.0,), (None, (0.2,))),
        ((127.5,), None, ((0.5,), None)),
        ((-0.03, -0.088, -0.188), (0.458, 0.448, 0.45), ((-0.03, -0.088, -0.188), (0.458, 0.448, 0.45))),  # of LPIPS
        ((1.0,), (2.0,), ((1.0,), (2.0,))),
    ],
)
def test_what_a_mean_and_a_deviation_mean(mean, std, right):
    told, _ = in_unit_range(Wishes(mean=mean, std=std))
    for found, wanted in zip((told.mean, told.std), right, strict=True):
        assert found == (wanted if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize(
    ("mean", "std"),
    [((0.5,), (127.5,)), ((123.7,), (0.229,)), ((300.0,), (50.0,)), ((-130.0,), (50.0,)), (None, (999.0,))],
)
def test_two_units_or_none_are_refused(mean, std):
    with pytest.raises(UsageError, match="not of one unit"):
        in_unit_range(Wishes(mean=mean, std=std))


def test_a_mean_for_bytes_gives_the_map_of_that_for_fractions(net):
    mean, std = IMAGENET
    (right,) = explained(STAR, net, image_size=32, mean=mean, std=std)
    found = explained(STAR, net, image_size=32, mean=tuple(255 * m for m in mean), std=tuple(255 * s for s in std))
    assert np.allclose(found[0].values, right.values, atol=1e-6)
    assert sum("0..255" in note for note in found.notes) == 1


@pytest.mark.parametrize(("scale", "mean", "std"), [(1.0, 0.0, 1.0), (255.0, 0.0, 1 / 255)])
def test_tensors_that_nobody_normalised_are_known(net, scale, mean, std):
    batch = scale * torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    found, right = explained(batch, net), explained(batch, net, mean=mean, std=std)
    for one, other in zip(found, right, strict=True):
        assert np.array_equal(one.values, other.values)
    assert any("black is 0" in note for note in found.notes)
    assert not [note for note in right.notes if "tensors" in note]


def test_normalised_tensors_are_taken_as_such_in_any_order(net):
    mean, std = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    raw = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    batch = (raw - mean) / std
    bright = batch.clamp(min=0.1, max=0.9)[0]  # alone it might be taken for pixels in 0..1
    for images in ([bright, batch[1]], [batch[1], bright]):
        (note,) = [note for note in explained(images, net).notes if "tensors" in note]
        assert "black is -2.12" in note
        assert "outside" not in note


def test_tensors_that_contradict_what_is_known_are_told(net):
    x = torch.rand(1, 3, 16, 16)
    for images, options in ((255 * x, {"mean": 0, "std": 1}), (x, {"mean": IMAGENET[0], "std": IMAGENET[1]})):
        assert sum("the tensors lie in" in note for note in explained(images, net, **options).notes) == 1
    found = sigcli.explain(
        torch.rand(1, 3, 128, 128) * 255, method="gradient", write=False
    )  # a network that says its own
    assert sum("the tensors lie in" in note for note in found.notes) == 1


@given(st.floats(0, 1), st.floats(0, 1))
def test_pixels_of_the_range_raise_no_doubt(one, other):
    known = Preprocess(mean=IMAGENET[0], std=IMAGENET[1])
    low, high = float(known.low.min()), float(known.high.max())
    ends = sorted(low + (high - low) * share for share in (0.4 * one, 0.6 + 0.4 * other))
    assert doubts(Span(*ends), known) == ()
    assert read_off(Span(*ends), known)[0] == known

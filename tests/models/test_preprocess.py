"""Preprocessing equals torchvision's presets, and the user's options change it one by one."""

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from sigcli.errors import ImageError, UsageError
from sigcli.models.preprocess import FILTERS, Preprocess, Wishes, adapt, describe
from sigcli.models.sources.torchvision import preset


@pytest.fixture(scope="module")
def photo():
    draws = np.random.default_rng(0)
    small = Image.fromarray(draws.integers(0, 256, (30, 41, 3), dtype=np.uint8))
    return np.asarray(small.resize((410, 300)))


PRESETS = [
    torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1,
    torchvision.models.ResNet50_Weights.IMAGENET1K_V2,
    torchvision.models.EfficientNet_B0_Weights.IMAGENET1K_V1,
    torchvision.models.Inception_V3_Weights.IMAGENET1K_V1,
    torchvision.models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1,
    torchvision.models.Swin_V2_T_Weights.IMAGENET1K_V1,
]


@pytest.mark.parametrize("weights", PRESETS, ids=lambda weights: type(weights).__name__)
@pytest.mark.parametrize("turn", [0, 1])
def test_preprocessing_equals_torchvisions_preset(photo, weights, turn):
    pixels = np.rot90(photo, turn).copy()
    ours, theirs = preset(weights)(pixels), weights.transforms()(Image.fromarray(pixels))
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


SIDES = st.integers(1, 40)


@settings(deadline=None, max_examples=60)
@given(
    height=SIDES,
    width=SIDES,
    resize=st.one_of(st.none(), SIDES, st.tuples(SIDES, SIDES)),
    crop=st.one_of(st.none(), SIDES, st.tuples(SIDES, SIDES)),
    filters=st.sampled_from(sorted(FILTERS)),
)
def test_any_size_is_resized_and_cropped_as_torchvision_does(height, width, resize, crop, filters):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    if resize is not None:
        high, wide = [*resize] if isinstance(resize, tuple) else (resize, resize)
        if (
            not isinstance(resize, tuple)
            and min(int(resize * side / min(height, width)) for side in (height, width)) < 1
        ):
            return
        image = F.resize(image, [high, wide] if isinstance(resize, tuple) else [high], InterpolationMode(filters))
    if crop is not None:
        image = F.center_crop(image, [*crop] if isinstance(crop, tuple) else [crop])
    seen = Preprocess(resize, crop, interpolation=filters).display(pixels)
    np.testing.assert_array_equal(seen, np.asarray(image))


def test_every_interpolation_of_torchvision_is_known():
    assert set(FILTERS) == {mode.value for mode in InterpolationMode}


def test_display_low_high_and_denormalise_agree_with_the_input(photo):
    ready = Preprocess(resize=64, crop=48)
    shown = torch.from_numpy(ready.display(photo)).permute(2, 0, 1) / 255
    torch.testing.assert_close(ready.denormalise(ready(photo)), shown, atol=1e-6, rtol=0)
    assert ready.display(photo).shape == (48, 48, 3)
    black, white = (ready(np.full((64, 64, 3), value, np.uint8)) for value in (0, 255))
    torch.testing.assert_close(black, ready.low.expand_as(black))
    torch.testing.assert_close(white, ready.high.expand_as(white))


def test_grey_networks_get_one_channel_and_show_grey(photo):
    ready = Preprocess(resize=28, crop=28, mean=(0.0,), std=(1.0,))
    assert ready(photo).shape == (1, 28, 28)
    grey = np.asarray(Image.fromarray(photo).convert("L").resize((38, 28), Image.Resampling.BILINEAR))[:, 5:33]
    torch.testing.assert_close(ready(photo)[0], torch.from_numpy(grey / np.float32(255)))
    assert np.array_equal(ready.display(photo)[..., 0], ready.display(photo)[..., 2])


def test_options_replace_the_preset_one_by_one():
    changed, notes = adapt(Preprocess(), Wishes(mean=(0.5,), std=(0.2, 0.3, 0.4)))
    assert (changed.mean, changed.std, changed.resize, notes) == ((0.5,) * 3, (0.2, 0.3, 0.4), 256, ())
    assert adapt(Preprocess(), Wishes(crop=240))[0].resize == 256
    bigger, notes = adapt(Preprocess(), Wishes(crop=300))
    assert (bigger.resize, bigger.crop, notes) == (300, 300, ("resize 300 follows --crop 300",))
    smaller, notes = adapt(Preprocess(), Wishes(resize=64))
    assert (smaller.resize, smaller.crop, notes) == (64, 64, ("crop 64 follows --resize 64",))


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (Wishes(resize=0), "at least 1 pixel"),
        (Wishes(crop=-3), "at least 1 pixel"),
        (Wishes(mean=(0.1, 0.2)), r"--mean does not fit the network's 3 channel\(s\)"),
        (Wishes(std=(0.0,)), "--std must be above zero"),
    ],
)
def test_options_that_make_no_sense(wishes, message):
    with pytest.raises(UsageError, match=message):
        adapt(Preprocess(), wishes)


def test_a_picture_that_would_become_too_large_is_refused_before_it_is_scaled():
    with pytest.raises(ImageError, match=r"too long for its width(.|\n)*256×15360000"):
        Preprocess()(np.zeros((60000, 1, 3), np.uint8))
    assert Preprocess(resize=(8, 8), crop=8)(np.zeros((60000, 1, 3), np.uint8)).shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("preset", "told"),
    [
        (Preprocess(), "resize 256, crop 224"),
        (Preprocess(520, None), "resize 520, no crop"),
        (Preprocess((48, 64), None), "resize 48x64, no crop"),
        (Preprocess(None, (48, 64)), "no resize, crop 48x64"),
        (Preprocess(None, None), "any size"),
    ],
)
def test_size_and_crop_are_told_in_words(preset, told):
    assert describe(preset).partition(", mean")[0] == told

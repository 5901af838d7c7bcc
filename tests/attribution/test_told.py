"""What a run chooses by itself is told: the layer of the CAM family, and pictures where none were given."""

import numpy as np
import pytest
import torch
from torch import nn

import sigcli
from sigcli.errors import ModelError, UsageError


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)).eval()


def explained(net, methods, **options):
    pictures = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    return sigcli.explain(pictures, model=net, method=methods, target=1, mean=0, std=1, **options)


def test_the_layer_that_cams_take_by_themselves_is_told_once(net):
    notes = explained(net, "gradcam,layercam,gradient,mine=gradcam", settings={"mine.layer": "0"}).notes
    assert [one for one in notes if "layer" in one] == [
        "gradcam, layercam: the layer is '1' (others: sig list layers, --set layer=NAME)"
    ]
    named = explained(net, "gradcam", settings={"layer": "1"})
    assert not any("the layer is" in one for one in named.notes)
    assert np.array_equal(named[0].values, explained(net, "gradcam")[0].values)


def test_bundled_pictures_are_told_where_a_model_was_given_and_no_images(net):
    some = {"method": "gradient", "limit": 1, "write": False}
    assert "no images given: the bundled pictures are explained" in sigcli.explain(model=net, target=1, **some).notes
    assert "no images given" not in " ".join(sigcli.explain(**some).notes)


def test_a_grey_picture_that_is_read_as_a_table_is_told_how_to_be_one(net):
    with pytest.raises(ModelError, match=r"A grey picture is a PIL image, a uint8 array"):
        sigcli.explain(np.random.default_rng(0).random((24, 24), np.float32), model=net, method="gradient", target=1)


def test_a_name_that_nothing_resembles_is_given_no_suggestion():
    with pytest.raises(UsageError, match="unknown method") as error:
        sigcli.explain(method="nope")
    assert "Did you mean" not in str(error.value)

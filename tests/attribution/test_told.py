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


def test_an_image_that_is_among_the_references_is_told_that_it_is_left_out(net):
    """captum takes it as a reference of its own; its values are others then."""
    pictures = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    known = {"model": net, "target": 1, "mean": 0, "std": 1, "settings": {"samples": 4}}
    told = "the image is one of the references, and is left out of its own"
    inside = sigcli.explain(pictures[:1], method="deepshap,eg,gradient", references=pictures, **known)
    assert [item.note for item in inside] == [told, told, ""]
    outside = sigcli.explain(pictures[:1], method="deepshap,eg", references=pictures[1:], **known)
    assert [item.note for item in outside] == ["", ""]
    assert np.allclose(inside[0].values, outside[0].values, rtol=1e-4, atol=1e-7)


def test_a_baseline_file_may_be_a_batch_of_one(net, tmp_path):
    np.save(tmp_path / "b.npy", np.full((1, 3, 24, 24), 0.25, np.float32))
    np.save(tmp_path / "plain.npy", np.full((3, 24, 24), 0.25, np.float32))
    one, other = (explained(net, "ig", baseline=str(tmp_path / name))[0].values for name in ("b.npy", "plain.npy"))
    assert np.array_equal(one, other)


def test_several_inputs_are_told_what_to_do(net):
    with pytest.raises(UsageError, match="hold the others in a module around it"):
        sigcli.explain((torch.rand(2, 3, 24, 24), torch.rand(2, 5)), model=net, target=1)


def test_a_grey_picture_that_is_read_as_a_table_is_told_how_to_be_one(net):
    with pytest.raises(ModelError, match=r"A grey picture is a PIL image, a uint8 array"):
        sigcli.explain(np.random.default_rng(0).random((24, 24), np.float32), model=net, method="gradient", target=1)


def test_a_name_that_nothing_resembles_is_given_no_suggestion():
    with pytest.raises(UsageError, match="unknown method") as error:
        sigcli.explain(method="nope")
    assert "Did you mean" not in str(error.value)

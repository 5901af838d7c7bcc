"""Segmentation networks: a class is explained over a region of the image, and over nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from sigcli import explain
from sigcli.attribution.samples.regions import seen_classes
from sigcli.errors import ModelError, UsageError
from sigcli.heads import Head
from sigcli.models.loading import load_model
from sigcli.models.preprocess import COVER, Preprocess
from sigcli.models.wrappers.dense import Dense
from sigcli.render.maps.outline import outlined
from sigcli.scores.regions import Regions, RegionScore

FED = {"mean": 0.0, "std": 1.0, "class_names": "names.txt", "device": "cpu"}


class Colours(nn.Module):
    """At each pixel: background 0.1, red its red, green its green, less half of the other."""

    def forward(self, x):
        scores = torch.stack([0 * x[:, 0] + 0.1, x[:, 0] - 0.5 * x[:, 1], x[:, 1] - 0.5 * x[:, 0]], 1)
        return {"out": scores, "aux": scores.mean((2, 3))}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A picture of a red square on the left and a green one on the right, 32×32, and the names of the classes."""
    monkeypatch.chdir(tmp_path)
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[4:12, 4:12, 0] = 255
    pixels[20:28, 20:26, 1] = 255
    Image.fromarray(pixels).save("two.png")
    Path("names.txt").write_text("background\nred\ngreen\n")
    return pixels


def maps(target, method="gradient", picture="two.png", **options):
    (item,) = explain(
        picture, model=Colours(), method=method, target=target, write=False, **{**FED, "image_size": 32, **options}
    )
    assert item.status == "ok", item.error
    return item


# --- the score --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["logit", "prob", "logprob"])
def test_the_score_is_the_mean_over_the_region_of_each_image(output):
    outputs = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    regions, masks = Regions(), [np.random.default_rng(k).random((5, 6)) < 0.4 for k in range(2)]
    assert [regions.add(2, masks[0]), regions.add(1, masks[1])] == [1, 2]
    score = RegionScore(lambda images: outputs[: len(images)], output, regions=regions)
    numbers = [2, 1, 0, 2]
    found = score.scores(torch.zeros(4, 3, 5, 6), torch.tensor(numbers))
    for row, number in enumerate(numbers):  # number 0: class 0 over all of the image
        target, mask = (0, np.ones((5, 6), bool)) if number == 0 else ((2, 1)[number - 1], masks[number - 1])
        values = []
        for y, x in np.argwhere(mask):
            pixel = outputs[row, :, y, x].double()
            by_kind = {"logit": pixel, "prob": pixel.softmax(0), "logprob": pixel.softmax(0).log()}
            values.append(float(by_kind[output][target]))
        assert float(found[row]) == pytest.approx(np.mean(values), abs=1e-6)


def test_a_class_lights_its_object_and_not_its_neighbour(here):
    red, green = here[..., 0] > 0, here[..., 1] > 0
    for target, own, other in (("red", red, green), ("green", green, red)):
        gradient = maps(target).values
        assert np.allclose(gradient.sum(0)[own], 0.5 / own.sum())  # 1 for its colour, -1/2 for the other
        assert not gradient[:, ~own].any()
        item = maps(target, "ig", baseline="black")
        assert item.values.sum() == pytest.approx(item.score, abs=1e-5)  # F(black) is 0
        assert item.score == pytest.approx(1.0)
        assert np.abs(item.values.sum(0))[own].min() > 0
        assert not item.values[:, other].any()


def test_the_region_is_frozen(here):
    """Occlusion of half of the object halves the mean; a region that followed the prediction would keep it at 1."""
    item = maps("red", "occlusion", players="4x4", baseline="black")
    assert item.player_values[9] == pytest.approx(16 / 64)  # the square's left upper patch: row 1, column 1
    assert item.player_values.sum() == pytest.approx(1.0)


def test_top_leaves_the_background_out_and_several_are_side_by_side(here):
    assert maps("top").label == "red"
    both = explain("two.png", model=Colours(), method="gradient", target="top:2", write=False, image_size=32, **FED)
    assert [(one.label, one.target) for one in both] == [("red", 1), ("green", 2)]
    assert maps("background").values.sum() == 0
    assert both[0].seen.region.sum() == 64


# --- places -----------------------------------------------------------------------------------------------------------


def test_a_pixel_is_that_of_the_picture_whatever_its_size(here):
    Image.open("two.png").resize((96, 64), Image.Resampling.NEAREST).save("wide.png")  # 3 and 2 pixels for each
    seen = maps("red@30,16", picture="wide.png", image_size=32).values.sum(0)
    # The shorter side, 64, becomes 32: pixel 30 is at 15, and the crop takes 8 from the left of 48.
    assert np.argwhere(seen).tolist() == [[8, 7]]
    assert seen[8, 7] == pytest.approx(0.5)
    assert maps("top@22,22").label == "green at 22,22"
    assert maps("@22,22").label == "green at 22,22"


def test_a_mask_is_the_region(here):
    mask = np.zeros((32, 32), np.uint8)
    mask[8:10, :16] = 255
    Image.fromarray(mask).save("mask.png")
    item = maps("green@mask.png")
    assert item.label == "green in mask.png"
    assert np.array_equal(item.values.any(0), mask > 0)


@pytest.mark.parametrize("size", [(40, 50), (24, 90)])
def test_where_a_pixel_lands_is_where_a_mask_of_it_does(size):
    preprocess = Preprocess(COVER, (64, 60))  # larger than the picture, so no pixel is lost by resizing
    count = 0
    for y in range(0, size[0], 7):
        for x in range(0, size[1], 7):
            mask = np.zeros(size, bool)
            mask[y, x] = True
            area, spot = preprocess.area(mask), preprocess.landing(x, y, size)
            assert (spot is None) or area[spot[1], spot[0]]
            if spot is None:
                assert area.sum() <= 3 * 64  # at most the rim of a pixel that the crop halves
            count += spot is not None
    assert count > 10


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("red@99,3", "outside of the picture(.|\n)*0,0 to 31,31"),
        ("red@none.png", "no such file, and it is no pixel"),
        ("red@names.txt", "not an image"),
        ("red@black.png", "no white pixel"),
        ("red@small.png", "8x8 for a picture of 32x32"),
        ("blue@3,3", "unknown target"),
        ("7@3,3", "out of range"),
    ],
)
def test_places_that_are_none(here, target, message):
    Image.new("L", (32, 32)).save("black.png")
    small = Image.new("L", (8, 8))
    small.putpixel((1, 1), 255)
    small.save("small.png")
    with pytest.raises(Exception, match=message):  # before the run, or of the one picture
        raise explain("two.png", model=Colours(), target=target, write=False, image_size=32, **FED)[0].cause


def test_a_class_that_is_not_seen_is_told_with_those_that_are(here):
    Image.fromarray(here * np.array([1, 0, 0], np.uint8)).save("red.png")
    (item,) = explain("red.png", model=Colours(), target="green", write=False, image_size=32, **FED)
    assert "sees no 'green' in this image (given: it sees background, red)" in item.error
    assert "CLASS@X,Y" in item.error


# --- networks ---------------------------------------------------------------------------------------------------------


class Ways(nn.Module):
    """A segmentation at half the size, told in one of the usual ways."""

    def __init__(self, way, classes=3):
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.way = nn.Conv2d(3, classes, 3, padding=1, stride=2), way

    def forward(self, x):
        scores = self.conv(x)
        return {
            "tensor": scores, "dict": {"masks": scores, "loss": scores.sum()},
            "logits": type("Output", (), {"logits": scores})(), "softmax": scores.softmax(1),
        }[self.way]  # fmt: skip


@pytest.mark.parametrize("way", ["tensor", "dict", "logits", "softmax"])
def test_outputs_of_every_form_are_scaled_to_the_image(way):
    model = load_model(Ways(way), size=16, mean=(0.0,), std=(1.0,))
    images = torch.rand(2, 3, 16, 16)
    right = Ways("softmax" if way == "softmax" else "tensor")(images)
    right = nn.functional.interpolate(right, (16, 16), mode="bilinear", align_corners=False)
    torch.testing.assert_close(model.module(images), right.detach())
    assert (model.task, model.classes) == ("regions", 3)
    assert model.head.kind == ("probabilities" if way == "softmax" else "logits")
    assert any("explained as a segmentation" in note for note in model.notes)


def test_where_a_class_is_seen():
    outputs = torch.tensor([[[[2.0, -1.0]], [[1.0, 0.5]]]])
    assert seen_classes(outputs, Head("logits")).tolist() == [[[[True, False]], [[False, True]]]]
    assert seen_classes(outputs[:, :1], Head("logit")).tolist() == [[[[True, False]]]]
    assert seen_classes(outputs.sigmoid(), Head("labels")).tolist() == [[[[True, False]], [[True, True]]]]


@pytest.mark.parametrize(
    ("name", "options"), [("lraspp_mobilenet_v3_large", {}), ("deeplabv3_mobilenet_v3_large", {"aux_loss": True})]
)
def test_torchvision_networks_by_name_with_weights_of_other_classes(tmp_path, name, options):
    torch.manual_seed(0)
    net = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=4, **options).eval()
    torch.save(net.state_dict(), tmp_path / "w.pth")
    model = load_model(name, weights=str(tmp_path / "w.pth"), size=64)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.module(images), net(images)["out"], rtol=1e-4, atol=1e-4)
    assert (model.task, model.classes, model.labels) == ("regions", 4, None)
    assert isinstance(model.module, Dense)
    assert getattr(model.module.inner, "aux_classifier", None) is None
    assert any("4 instead of 21" in note for note in model.notes)


def test_names_come_with_torchvisions_number_of_classes(tmp_path):
    model = load_model("lraspp_mobilenet_v3_large", weights="none")
    assert (model.classes, model.preprocess.resize, model.preprocess.crop) == (21, 520, None)
    torch.save(model.module.inner.state_dict(), tmp_path / "w.pth")
    known = load_model("lraspp_mobilenet_v3_large", weights=str(tmp_path / "w.pth"))
    assert known.labels[8] == "cat"
    assert any("assumed" in note for note in known.notes)


# --- the rest of the tool ---------------------------------------------------------------------------------------------


def test_a_run_is_written_resumed_and_its_region_is_part_of_it(here):
    run = {"model": Colours(), "method": "gradient,occlusion", "players": "4x4", "image_size": 32, "out": "out", **FED}
    first = explain("two.png", target="red@5,5", **run)
    again = explain("two.png", target="red@5,5", resume=True, **run)
    assert [item.resumed for item in again] == [True, True]
    assert [item.score for item in again] == [item.score for item in first]
    assert json.loads(Path("out/manifest.json").read_text())["spec"]["target"] == "red@5,5"
    with pytest.raises(Exception, match="target"):  # another region is another run
        explain("two.png", target="red@6,6", resume=True, **run)
    assert Path("out/two/compare.png").is_file()


def test_the_region_is_outlined(here):
    inside = here[..., 0] > 0
    white = Image.new("RGB", (320, 320), "white")
    drawn = np.array(outlined(white, inside).convert("L"))
    assert drawn[40, 80] < 50  # the upper edge of the square, at 4/32
    assert drawn[80, 80] == 255
    assert drawn[250, 250] == 255
    assert outlined(white, None) is white
    dot = np.zeros((320, 320), bool)
    dot[100, 100] = True
    assert (np.array(outlined(white, dot).convert("L")) < 50).sum() >= 16  # one pixel is shown larger
    item = maps("red")
    plain = item.plot()
    assert np.abs(np.array(plain, int) - np.array(maps("red@6,6").plot(), int)).max() > 100


def test_what_needs_classes_of_an_image_is_refused_before_work(here):
    with pytest.raises(UsageError, match="baseline max-entropy of ig is learned"):
        explain("two.png", model=Colours(), method="ig", baseline="max-entropy", image_size=32, **FED)
    with pytest.raises(UsageError, match=r"method lrp needs a network that ends in one score(.|\n)*gradcam"):
        explain("two.png", model=Colours(), method="ig,lrp", image_size=32, **FED)
    with pytest.raises(ModelError, match="labels every pixel: it has no embedding"):
        explain("two.png", partner="two.png", model=Colours(), image_size=32, **FED)
    assert not Path("out").exists()


def test_grad_cam_takes_the_region_as_seg_grad_cam_does(here):
    """Of a convolution and a class map: the weights are mean gradients of the region's score [Vinogradova 2020, Eq. 3]."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)).eval()
    (item,) = explain(
        "two.png", model=net, method="gradcam", settings={"layer": "1"}, target="red@6,6", write=False,
        image_size=32, **FED,
    )  # fmt: skip
    assert item.status == "ok", item.error
    x = torch.from_numpy(here.transpose(2, 0, 1).copy()).float()[None] / 255
    with torch.no_grad():
        activations = net[:2](x)[0]
    # The score is a pixel's: ∂F/∂A is the head's weight there and 0 elsewhere.
    weights = net[2].weight[1, :, 0, 0].detach() / 32**2
    cam = (weights[:, None, None] * activations).sum(0).clamp(min=0)
    found = torch.from_numpy(item.values.sum(0))
    assert float(torch.nn.functional.cosine_similarity(found.flatten(), cam.flatten(), dim=0)) > 0.999


# --- several targets --------------------------------------------------------------------------------------------------


def several(target, **options):
    return explain(
        "two.png",
        model=Colours(),
        method="gradient",
        target=target,
        write=False,
        **{**FED, "image_size": 32, **options},
    )


def test_several_classes_and_places_are_side_by_side(here):
    assert [(item.label, item.target) for item in several("green,red")] == [("green", 2), ("red", 1)]
    both = several("red@5,6,green@22,23")
    assert [(item.label, item.region) for item in both] == [
        ("red at 5,6", "pixel 5,6"),
        ("green at 22,23", "pixel 22,23"),
    ]
    assert [np.argwhere(item.values.any(0)).tolist() for item in both] == [[[6, 5]], [[23, 22]]]
    mask = np.zeros((32, 32), np.uint8)
    mask[8:10, :16] = 255
    Image.fromarray(mask).save("a,b.png")  # a comma in its name
    first, second = several("red@a,b.png,green@22,23")
    assert (first.region, second.region) == ("32 pixels, in a,b.png", "pixel 22,23")


def test_a_class_that_is_not_seen_fails_alone(here):
    Image.fromarray(here * np.array([1, 0, 0], np.uint8)).save("two.png")
    red, green = several("red,green")
    assert (red.status, green.status, green.target, green.label) == ("ok", "failed", 2, "green")
    assert "sees no 'green'" in green.error


def test_a_difference_is_taken_over_the_region_of_the_first(here):
    (item,) = several("red - green")
    assert (item.label, item.target) == ("red − green", "1-2")
    red, green = here[..., 0] > 0, here[..., 1] > 0
    assert np.array_equal(item.seen.region, red)
    assert item.score == pytest.approx(1.5)  # 1 of red, and -1/2 of green
    assert np.allclose(item.values[0][red], 1.5 / red.sum())
    assert np.allclose(item.values[1][red], -1.5 / red.sum())
    assert not item.values[:, green].any()
    (at,) = several("red - green@22,23", output="logprob")
    assert at.score == pytest.approx(-1.5)  # log p_red - log p_green is the difference of the logits


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("red@3,3,green", "read in several ways|each must"),
        ("red,green@3,3", "where one of several targets names a place, each must"),
        ("red@3,3,red@5,5", "at one place in a run"),
        ("top@3,3,red@5,5", "top and top:K stand alone"),
        ("red@3,3,blue@5,5", "unknown target"),
        ("red - red@3,3", "minus itself"),
    ],
)
def test_lists_of_places_that_are_none(here, target, message):
    with pytest.raises(UsageError, match=message):
        several(target)


def test_a_run_of_several_is_written_and_resumed(here):
    run = {"model": Colours(), "method": "gradient", "image_size": 32, "out": "out", **FED}
    explain("two.png", target="red@5,6,green@22,23", **run)
    assert sorted(path.name for path in Path("out/two").glob("*.npy")) == ["gradient.class1.npy", "gradient.class2.npy"]
    again = explain("two.png", target="red@5,6,green@22,23", resume=True, **run)
    assert all(item.resumed for item in again)
    with pytest.raises(Exception, match="target"):
        explain("two.png", target="red@5,6,green@22,24", resume=True, **run)

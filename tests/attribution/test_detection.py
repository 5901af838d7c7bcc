"""Detectors: one box that is found is explained by what is found near it in changed images."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision.models.detection import FCOS, FasterRCNN, KeypointRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead

from sigcli import explain
from sigcli.attribution.wanted_boxes import parse_boxes
from sigcli.errors import ModelError, UsageError
from sigcli.models.loading import load_model
from sigcli.models.sources import detection
from sigcli.models.wrappers.detector import Detector, opened
from sigcli.scores.boxes import Box, BoxScore, overlaps

AREAS = ((2, 4, 12, 14), (18, 6, 28, 16), (4, 20, 10, 28))
"""Left, top, right, bottom."""


class Toy(nn.Module):
    """Three boxes in fixed places: two cats, as sure as they are red, and a dog, as sure as it is green."""

    num_classes = 3

    def __init__(self, noise=0.0, least=0.05):
        super().__init__()
        self.noise, self.least = noise, least

    def forward(self, images):
        if not isinstance(images, list):
            raise TypeError("a list of images")
        return [self.one(image) for image in images]

    def one(self, image):
        channels, labels = (0, 0, 1), torch.tensor([1, 1, 2])
        scores = torch.stack(
            [image[c, y0:y1, x0:x1].mean() for c, (x0, y0, x1, y1) in zip(channels, AREAS, strict=True)]
        ) + self.noise * torch.rand(())  # fmt: skip
        there = scores > self.least
        return {"boxes": torch.tensor(AREAS).float()[there], "labels": labels[there], "scores": scores[there]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A bright red cat, a dark red cat and a green dog, on black, 32×32."""
    monkeypatch.chdir(tmp_path)
    pixels = np.zeros((32, 32, 3), np.uint8)
    for (x0, y0, x1, y1), colour in zip(AREAS, ((150, 0, 0), (250, 0, 0), (0, 200, 0)), strict=True):
        pixels[y0:y1, x0:x1] = colour
    Image.fromarray(pixels).save("pets.png")
    Path("names.txt").write_text("background\ncat\ndog\n")
    return pixels


def found(target, method="gradient", **options):
    return explain(
        "pets.png",
        model=Toy(),
        method=method,
        target=target,
        class_names="names.txt",
        write=False,
        device="cpu",
        **options,
    )


# --- which box --------------------------------------------------------------------------------------------------------


def test_boxes_are_named_by_class_and_rank(here):
    cases = {
        "cat": ("cat 1", 0),
        "cat:1": ("cat 1", 0),
        "cat:2": ("cat 2", 2),
        "dog": ("dog 1", 1),
        "2:1": ("dog 1", 1),
    }
    for target, (label, place) in cases.items():
        (item,) = found(target)
        assert (item.label, item.target, item.status) == (label, place, "ok")
    assert [item.label for item in found("top:3")] == ["cat 1", "dog 1", "cat 2"]
    assert [item.label for item in found("top")] == ["cat 1"]
    assert len(found("top:20")) == 3  # more than there are classes: boxes are counted
    (item,) = found("cat:1")
    assert item.score == pytest.approx(250 / 255, abs=1e-6)
    region = np.zeros((32, 32), bool)
    region[6:16, 18:28] = True
    assert np.array_equal(item.seen.region, region)


def test_a_box_lights_itself_and_not_its_neighbour(here):
    for target, number in (("cat:1", 1), ("cat:2", 0), ("dog", 2)):
        x0, y0, x1, y1 = AREAS[number]
        channel = 1 if target == "dog" else 0
        right = np.zeros((3, 32, 32))
        right[channel, y0:y1, x0:x1] = 1 / ((x1 - x0) * (y1 - y0))
        (item,) = found(target)
        assert item.values == pytest.approx(right, abs=1e-6)  # the overlap is 1, and fixed
        (item,) = found(target, "occlusion", players="2x2", baseline="black")
        assert item.values.sum() == pytest.approx(item.score, abs=1e-5)
        outside = right.sum(0) == 0
        assert np.abs(item.values.sum(0)[~outside]).sum() > 0.9 * np.abs(item.values).sum()


def test_a_box_that_is_no_longer_found_scores_0(here):
    score = BoxScore(Detector(Toy()))
    number = score.add(Box(1, (18.0, 6.0, 28.0, 16.0)))
    scores, gradients = score.gradients(torch.zeros(2, 3, 32, 32), torch.tensor([number, number]))
    assert scores.tolist() == [0, 0]
    assert not gradients.any()


def test_what_is_not_found_is_told_with_what_is(here):
    (item,) = found("cat:3")
    assert "finds 2 of 'cat' in this image, not 3 (given: it finds cat 0.98, dog 0.78, cat 0.59)" in item.error
    Image.new("RGB", (32, 32)).save("pets.png")
    for target, message in (
        ("dog", "finds no 'dog' in this image (given: it finds nothing)"),
        ("top", "finds nothing"),
    ):
        assert message in found(target)[0].error


# --- the score --------------------------------------------------------------------------------------------------------


class Tiny(nn.Module):
    """A backbone of two convolutions, stride 8."""

    out_channels = 32

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 16, 4, 4), nn.ReLU(), nn.Conv2d(16, 32, 2, 2), nn.ReLU())

    def forward(self, x):
        return self.layers(x)


def fcos(classes=4):
    torch.manual_seed(0)
    net = FCOS(
        Tiny(), classes, min_size=64, max_size=64, head=FCOSHead(32, 1, classes, num_convs=1), score_thresh=0.012,
        anchor_generator=AnchorGenerator(sizes=((16,),), aspect_ratios=((1.0,),)), nms_thresh=0.5, detections_per_img=5,
    )  # fmt: skip
    nn.init.constant_(net.head.regression_head.bbox_reg.bias, 1.5)
    return net.eval()


def faster(kind=FasterRCNN, **options):
    torch.manual_seed(0)
    return kind(
        Tiny(), 4, min_size=64, max_size=64, box_score_thresh=0.2, box_detections_per_img=5,
        rpn_anchor_generator=AnchorGenerator(sizes=((16, 32),), aspect_ratios=((1.0,),)),
        box_roi_pool=torchvision.ops.MultiScaleRoIAlign(["0"], 4, 2), rpn_post_nms_top_n_test=20, **options,
    ).eval()  # fmt: skip


def mask():
    return faster(MaskRCNN, mask_roi_pool=torchvision.ops.MultiScaleRoIAlign(["0"], 8, 2))


def keypoint():
    return faster(KeypointRCNN, keypoint_roi_pool=torchvision.ops.MultiScaleRoIAlign(["0"], 8, 2), num_keypoints=3)


def overlap(one, other):
    """Intersection over union of two boxes, written out."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return width * height / (sum(areas) - width * height)


@pytest.mark.parametrize("build", [fcos, faster, mask, keypoint])
def test_the_score_is_the_best_overlap_times_score_over_all_candidates(build):
    net = build()
    detector, images = Detector(net), torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    assert detector.opened
    with torch.no_grad():
        reported, every = detector(images), detector.candidates(images)
    assert len(every[0].scores) > 5 >= len(reported[0].scores) > 0
    score = BoxScore(detector)
    first = reported[0].sorted()
    target = Box(int(first.labels[0]), tuple(first.boxes[0].tolist()))
    number = score.add(target)
    scores, gradients = score.gradients(images, torch.tensor([number, number]))
    for row, candidates in enumerate(every):
        best = max(
            overlap(box, target.box) * p
            for box, label, p in zip(
                candidates.boxes.tolist(), candidates.labels.tolist(), candidates.scores.tolist(), strict=True
            )
            if label == target.label and (box[2] - box[0]) * (box[3] - box[1]) > 0
        )
        assert float(scores[row]) == pytest.approx(best, rel=1e-4)
    assert float(scores[0]) >= float(first.scores[0]) - 1e-5  # the box itself is a candidate
    assert gradients[0].any()
    model = load_model(net)
    assert (model.task, model.classes) == ("boxes", 4)


def test_candidates_of_the_class_are_not_crowded_out():
    """torchvision keeps the best 1000 of all classes: here the best 10, which are of the class with the largest bias."""
    net = fcos()
    net.topk_candidates = 10
    nn.init.constant_(net.head.classification_head.cls_logits.bias[2:3], 5.0)
    detector, images = Detector(net), torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert set(detector.candidates(images)[0].labels.tolist()) == {2}
        one, other = detector.candidates(images, [1, 3])
        assert set(one.labels.tolist()) == {1}
        assert set(other.labels.tolist()) == {3}
        assert set(detector.candidates(images)[0].labels.tolist()) == {2}


def test_boxes_without_an_area_score_0_and_not_nan():
    boxes = torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 2.0, 2.0]], requires_grad=True)
    found = overlaps(boxes, torch.tensor([[1.0, 1.0, 1.0, 1.0]]))
    assert found.tolist() == [0, 0]
    (gradient,) = torch.autograd.grad(found.sum(), boxes)
    assert gradient.isfinite().all()
    some = torch.rand(20, 4).cumsum(1)
    right = [overlap(box, (0.3, 0.2, 1.5, 1.4)) for box in some.tolist()]
    assert overlaps(some, torch.tensor([[0.3, 0.2, 1.5, 1.4]])).tolist() == pytest.approx(right, abs=1e-5)


def test_the_gradient_is_that_of_the_score():
    detector = Detector(fcos().double())
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    score = BoxScore(detector)
    with torch.no_grad():
        first = detector(image)[0].sorted()
    left, top, right, bottom = first.boxes[0].tolist()  # moved a little: at an overlap of 1 there is a kink
    number = torch.tensor([score.add(Box(int(first.labels[0]), (left + 1.5, top + 1.0, right + 2.0, bottom - 1.0)))])
    _, gradient = score.gradients(image, number)
    direction = torch.randn(image.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    step = 1e-6
    ends = [float(score.scores(image + sign * step * direction, number)) for sign in (1, -1)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(float((gradient * direction).sum()), rel=1e-4)


def test_opening_shares_weights_and_leaves_the_detector_as_it_was():
    for net, owner in ((fcos(), lambda n: n), (faster(), lambda n: n.roi_heads)):
        limits = [getattr(owner(net), name) for name in ("score_thresh", "nms_thresh", "detections_per_img")]
        network, changed = opened(net)
        assert changed
        assert [getattr(owner(net), name) for name in ("score_thresh", "nms_thresh", "detections_per_img")] == limits
        assert owner(network).nms_thresh == 1.0
        assert all(a is b for a, b in zip(net.parameters(), network.parameters(), strict=True))
    assert opened(Toy())[1] is False


# --- networks ---------------------------------------------------------------------------------------------------------


def test_a_torchvision_detector_by_name_with_weights_of_other_classes(tmp_path):
    name = "ssdlite320_mobilenet_v3_large"
    torch.manual_seed(0)
    net = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=5).eval()
    torch.save(net.state_dict(), tmp_path / "w.pth")
    model = load_model(name, weights=str(tmp_path / "w.pth"))
    image = torch.rand(3, 80, 100)
    with torch.no_grad():
        (right,), (here,) = net([image]), model.module(image[None])
    torch.testing.assert_close(here.boxes, right["boxes"])
    torch.testing.assert_close(here.scores, right["scores"])
    assert (model.task, model.classes, model.labels) == ("boxes", 5, None)
    assert (model.preprocess.resize, model.preprocess.crop, model.preprocess.mean) == (None, None, (0.0,) * 3)
    assert any("5 instead of 91" in note for note in model.notes)


@pytest.mark.parametrize("name", detection.names())
def test_the_number_of_classes_is_read_off_every_head(name):
    with torch.device("meta"):
        state = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=7).state_dict()
    assert detection.classes_in(name, state) == 7


def test_a_network_of_boxes_is_found_to_be_a_detector():
    model = load_model(fcos().train())
    assert (model.task, model.classes, model.kind) == ("boxes", 4, "module")
    assert any("explained as a detector" in note for note in model.notes)
    assert not any("own limits" in note for note in model.notes)
    assert any("own limits" in note for note in load_model(Toy()).notes)


def test_a_detector_without_gradients_runs_by_its_scores(here):
    class Numpy(Toy):
        def one(self, image):
            return super().one(torch.from_numpy(image.numpy()))

    (item,) = explain("pets.png", model=Numpy(), method="occlusion", players="2x2", target="top", write=False)
    assert item.status == "ok", item.error
    with pytest.raises(UsageError, match=r"ig needs gradients(.|\n)*numpy"):
        explain("pets.png", model=Numpy(), method="ig", target="top", write=False)


def test_detectors_that_cannot_be_used(here):
    with pytest.raises(ModelError, match="different boxes for the same image"):
        load_model(Toy(noise=0.3))
    uncounted = Toy()
    uncounted.num_classes = None
    with pytest.raises(ModelError, match=r"how many classes it has(.|\n)*num_classes"):
        load_model(uncounted)
    with pytest.raises(UsageError, match="normalises its images itself"):
        load_model(Toy(), mean=(0.5,))
    with pytest.raises(ModelError, match="finds boxes: it has no embedding"):
        load_model(Toy(), pair=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "prob"}, "a detection has one score"),
        ({"precision": "bf16"}, "runs in fp32 or tf32"),
        ({"method": "gradcam"}, "it is a detector, whose boxes are made beside its layers"),
        ({"method": "ig", "baseline": "max-entropy"}, "learned from the probabilities"),
        ({"target": "cat:0"}, "counted from 1"),
        ({"target": "top:0"}, "K from 1 to 1000"),
        ({"target": "bird:1"}, "unknown target"),
        ({"target": "index:9:1"}, "out of range"),
        ({"target": "cat:1:1"}, "a class and one rank"),
    ],
)
def test_what_has_no_meaning_for_a_detector_is_refused_before_work(here, options, message):
    with pytest.raises(UsageError, match=message):
        found(**{"target": "top", **options})


def test_a_run_is_written_and_resumed(here):
    run = {"model": Toy(), "target": "top:2", "method": "gradient,rise", "settings": {"samples": 32}, "out": "out"}
    first = explain("pets.png", class_names="names.txt", **run)
    assert [item.status for item in first] == ["ok"] * 4
    assert sorted(path.name for path in Path("out/pets").glob("*.npy")) == [
        "gradient.class0.npy", "gradient.class1.npy", "rise.class0.npy", "rise.class1.npy",
    ]  # fmt: skip
    again = explain("pets.png", class_names="names.txt", resume=True, **run)
    assert all(item.resumed for item in again)


def test_several_boxes_are_named_and_what_is_not_there_fails_alone(here):
    items = found("dog:1,cat:2")
    assert [(item.label, item.target, item.status) for item in items] == [("dog 1", 1, "ok"), ("cat 2", 2, "ok")]
    assert items[0].region == "box 4.0,20.0,10.0,28.0 of 0.784"
    items = found("cat:1,cat:3,dog:2")
    assert [(item.label, item.status) for item in items] == [("cat 1", "ok"), ("cat 3, dog 2", "failed")]
    assert "finds 2 of 'cat' in this image, not 3 and 1 of 'dog' in this image, not 2" in items[1].error
    assert len(found("cat:1,cat")) == 1  # one box twice


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("cat:1 - dog:1", r"two boxes are in two places(.|\n)*--target cat:1,dog:1"),
        ("cat,dog - cat:2", "two boxes are in two places"),
        ("cat:1,top", "top and top:K stand alone"),
        ("cat:1,bird", "unknown target"),
        ("cat:1,dog:0", "counted from 1"),
    ],
)
def test_texts_that_name_no_boxes(here, target, message):
    with pytest.raises(UsageError, match=message):
        found(target)


def test_a_name_with_a_comma_is_one_class():
    labels = ["a", "cat, tom", "dog"]
    assert parse_boxes("cat, tom,dog:3", labels, 3).boxes == [(1, 1), (2, 3)]
    assert parse_boxes("cat, tom", labels, 3).boxes == [(1, 1)]
    with pytest.raises(UsageError, match="read in several ways"):  # the second cat, tom; or a cat, and the second tom
        parse_boxes("cat, tom:2,dog", labels, 3)
    assert parse_boxes("index:2:1,1:3", None, 4).boxes == [(2, 1), (1, 3)]
    assert parse_boxes(parse_boxes("dog:2,1", ["a", "b", "dog"], 3).spelled, None, 3).boxes == [(2, 2), (1, 1)]

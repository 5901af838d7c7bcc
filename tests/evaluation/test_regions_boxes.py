"""Metrics of segmentation networks and detectors: they follow the score of the region or box that was explained."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sigcli import benchmark, benchmark_methods, evaluate, explain
from sigcli.errors import UsageError
from sigcli.heads import Head
from sigcli.metrics.removal import Steps
from sigcli.metrics.sanity import random_logit
from sigcli.metrics.subsets import faithfulness_correlation
from sigcli.models.wrappers.detector import Detector
from sigcli.scores.boxes import Box, BoxScore
from sigcli.scores.regions import Regions, RegionScore

SIDE = 16
FED = {"mean": 0.0, "std": 1.0, "class_names": "names.txt", "device": "cpu", "image_size": SIDE}
AREAS = ((1, 2, 7, 8), (9, 3, 14, 9))


class Segments(nn.Module):
    """Background, cat and dog at each pixel, by random convolutions."""

    def __init__(self, classes=3):
        super().__init__()
        torch.manual_seed(4)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.Tanh(), nn.Conv2d(8, classes, 5, padding=2))

    def forward(self, x):
        return 3 * self.layers(x)


class Finds(nn.Module):
    """Two boxes in fixed places: a cat as sure as it is red, a dog as sure as it is green; each also a bit of the other."""

    num_classes = 3

    def forward(self, images):
        found = []
        for image in images:
            means = torch.stack([image[:2, y0:y1, x0:x1].mean((1, 2)) for x0, y0, x1, y1 in AREAS])
            scores = torch.cat([means[:, 0], means[:, 1]])
            there = scores > 0.05
            boxes = torch.tensor(AREAS).float().repeat(2, 1)
            found.append({"boxes": boxes[there], "labels": torch.tensor([1, 1, 2, 2])[there], "scores": scores[there]})
        return found


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two pictures of a red area on the left and a green one on the right, and the names of the classes."""
    monkeypatch.chdir(tmp_path)
    draws = np.random.default_rng(0)
    Path("in").mkdir()
    for name in ("a", "b"):
        pixels = np.full((SIDE, SIDE, 3), 20, np.uint8) + np.arange(SIDE, dtype=np.uint8)[:, None]
        for channel, (x0, y0, x1, y1) in enumerate(AREAS):
            pixels[y0:y1, x0:x1, channel] = draws.integers(150, 256, dtype=np.uint8)
        Image.fromarray(pixels).save(f"in/{name}.png")
    Path("names.txt").write_text("background\ncat\ndog\n")
    Image.fromarray(np.eye(SIDE, dtype=np.uint8) * 255).save("mask.png")


def measured(model, metric, target, method="gradient", **options):
    own = {key: value for key, value in FED.items() if isinstance(model, Segments) or key in ("class_names", "device")}
    found = evaluate(
        "in",
        model=model,
        metric=metric,
        target=target,
        method=method,
        view="raw",
        **{**own, "out": "out", "pictures": False, **options},
    )
    bad = [value.error for value in found.values if value.error]
    assert not bad, bad
    return found


def rows_of(folder):
    with Path(folder, "results.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def picture(name):
    pixels = torch.from_numpy(np.array(Image.open(f"in/{name}.png")))
    return pixels.permute(2, 0, 1).float() / 255


def removed(x, values, steps):
    """The image with more and more of its most relevant pixels black."""
    order = torch.from_numpy(np.argsort(-values.astype(np.float64).sum(0).ravel(), kind="stable").copy())
    for count in np.linspace(0, SIDE * SIDE, steps + 1).round().astype(int):
        changed = x.clone().reshape(3, -1)
        changed[:, order[:count]] = 0
        yield changed.reshape(x.shape)


def region_chance(net, images, mask, one):
    """The mean probability of a class over a region, written out."""
    with torch.no_grad():
        return [float(net(image[None])[0].double().softmax(0)[one][mask].mean()) for image in images]


def box_score(net, image, label, box):
    """The best overlap times score of that class, written out."""
    (found,) = net([image])
    best = 0.0
    for other, kind, score in zip(
        found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist(), strict=True
    ):
        width, height = (min(other[k + 2], box[k + 2]) - max(other[k], box[k]) for k in (0, 1))
        shared = max(0, width) * max(0, height)
        area = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (other, box)) - shared
        best = max(best, shared / area * score if kind == label else 0.0)
    return best


# --- against brute force ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["cat", "dog", "cat - dog"])
def test_deletion_of_a_region_is_the_area_under_its_mean_probability(here, target):
    net, steps = Segments(), 8
    found = measured(net, "deletion,morf,iaccuracy", target, imputation="black", settings={
        "deletion.steps": steps, "morf.steps": steps, "iaccuracy.steps": 256, "iaccuracy.largest": 256,
    })  # fmt: skip
    for item in explain("in", model=net, method="gradient", target=target, write=False, **FED):
        x, mask = picture(Path(item.image).stem), torch.from_numpy(item.seen.region)
        with torch.no_grad():
            own = net(x[None])[0].argmax(0)
        first = 2 if target == "dog" else 1
        assert torch.equal(mask, own == first)  # the region is that of the whole image
        images = list(removed(x, item.values, steps))
        if target == "cat - dog":
            with torch.no_grad():
                each = [net(image[None])[0].double().log_softmax(0) for image in images]
            curve = [float((one[1] - one[2]).sigmoid()[mask].mean()) for one in each]
        else:
            curve = region_chance(net, images, mask, first)
        at = np.linspace(0, SIDE * SIDE, steps + 1).round()
        right = {"deletion": np.trapezoid(curve, at) / (SIDE * SIDE), "morf": np.mean(curve[0] - np.array(curve))}
        if target != "cat - dog":
            whole = list(removed(x, item.values, SIDE * SIDE))
            every = np.array([region_chance(net, whole, mask, k) for k in range(3)]).argmax(0)
            right["iaccuracy"] = float((every == every[0]).mean())
        for name, value in right.items():
            (got,) = (one.value for one in found.values if (one.image, one.metric) == (item.image, name))
            assert got == pytest.approx(value, abs=1e-5), name


def test_correlations_follow_the_score_that_was_explained(here):
    """Also of probabilities: the map is of those."""
    net = Segments()
    found = measured(
        net,
        "faithfulness-correlation,infidelity",
        "cat",
        output="prob",
        settings={"faithfulness-correlation.samples": 20},
    )
    for item in explain("in", model=net, method="gradient", target="cat", output="prob", write=False, **FED):
        x, mask = picture(Path(item.image).stem), torch.from_numpy(item.seen.region)
        from sigcli.metrics.case import Case
        from sigcli.types import Subject

        zero = torch.zeros(3, 1, 1)
        key = next(int(one.content, 16) for one in [item])
        case = Case(Subject(x, 1, zero, zero + 1, key), torch.from_numpy(item.values))
        plan = faithfulness_correlation(case, samples=20)
        chances = torch.tensor(region_chance(net, plan.removal.images(slice(0, 21)), mask, 1), dtype=torch.float64)
        right = plan.finish(Steps(chances, chances, torch.zeros(21).long())).value
        (got,) = (
            one.value for one in found.values if (one.image, one.metric) == (item.image, "faithfulness-correlation")
        )
        assert got == pytest.approx(right, abs=1e-4)


@pytest.mark.parametrize(("target", "number"), [("cat", 0), ("dog:1", 1)])
def test_removal_for_a_box_follows_its_overlap_times_score(here, target, number):
    net, steps = Finds(), 6
    settings = {"insertion.steps": steps, "iaccuracy.steps": 256, "iaccuracy.largest": 256}
    found = measured(net, "insertion,iaccuracy", target, imputation="black", settings=settings)
    for item in explain(
        "in", model=net, method="gradient", target=target, class_names="names.txt", write=False, device="cpu"
    ):
        x, label, box = picture(Path(item.image).stem), number + 1, AREAS[number]
        rest = [x - one for one in removed(x, item.values, steps)]
        curve = [box_score(net, one, label, box) for one in rest]
        value = np.trapezoid(curve, np.linspace(0, 256, steps + 1).round()) / 256
        there = np.mean([box_score(net, one, label, box) > 0 for one in removed(x, item.values, 256)])
        for name, right in (("insertion", value), ("iaccuracy", there)):
            (got,) = (one.value for one in found.values if (one.image, one.metric) == (item.image, name))
            assert got == pytest.approx(right, abs=1e-5), name
        assert 0 < there < 1


def test_a_box_is_found_while_a_box_of_its_class_overlaps_it_by_half():
    class One(nn.Module):
        def candidates(self, images, labels=None):
            from sigcli.models.wrappers.detector import Found

            return [
                Found(torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([1]), torch.tensor([float(i.max())]))
                for i in images
            ]

    net = One()
    net.least = 0.4
    score = BoxScore(net)  # type: ignore[arg-type]
    images = torch.stack([torch.full((3, 4, 4), level) for level in (0.9, 0.5, 0.3)])
    for right, iou in ((18.0, 10 / 18), (22.0, 10 / 22)):
        number = score.add(Box(1, (0.0, 0.0, right, 10.0)))
        value, chance, there = score.judged(images, torch.full((3,), number))
        assert value.tolist() == pytest.approx([iou * level for level in (0.9, 0.5, 0.3)], abs=1e-6)
        assert torch.equal(value, chance)
        assert there.tolist() == ([1, 1, 0] if iou >= 0.5 else [0, 0, 0])
    other = score.add(Box(2, (0.0, 0.0, 10.0, 10.0)))
    assert score.judged(images, torch.full((3,), other))[2].tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", ["logits", "label-logits", "logit", "probabilities", "values"])
def test_what_is_followed_of_a_region(kind):
    outputs = torch.randn(3, 1 if kind == "logit" else 4, 5, 6, generator=torch.Generator().manual_seed(0))
    outputs = outputs.softmax(1) if kind == "probabilities" else outputs
    regions, masks = Regions(), [np.random.default_rng(k).random((5, 6)) < 0.5 for k in range(2)]
    number = [regions.add(0, masks[0]), regions.add(0 if kind == "logit" else 2, masks[1])]
    score = RegionScore(
        lambda images: outputs[: len(images)],
        "value" if kind == "values" else "logit",
        head=Head(kind),
        regions=regions,
    )
    value, chance, predicted = score.judged(torch.zeros(3, 3, 5, 6), torch.tensor([number[1], number[0], number[1]]))
    for row, which in enumerate([1, 0, 1]):
        at = regions.target(number[which])
        pixels = [outputs[row, :, y, x].double() for y, x in np.argwhere(masks[which])]
        assert float(value[row]) == pytest.approx(np.mean([float(p[at]) for p in pixels]), abs=1e-6)
        if kind == "values":
            assert bool(chance[row].isnan())
            assert int(predicted[row]) == -1
            continue
        odds = {"logits": lambda p: p.softmax(0), "probabilities": lambda p: p}.get(kind, torch.sigmoid)
        mean = torch.stack([odds(p) for p in pixels]).mean(0)
        assert float(chance[row]) == pytest.approx(float(mean[at]), abs=1e-6)
        assert int(predicted[row]) == (int(mean[0] > 0.5) if kind == "logit" else int(mean.argmax()))


# --- methods that are run again ---------------------------------------------------------------------------------------


def test_another_class_is_asked_about_at_the_same_place():
    regions = Regions()
    mask = np.eye(4, dtype=bool)
    score = RegionScore(nn.Identity(), regions=regions)
    number = regions.add(1, mask)
    other = score.instead(number, 2)
    assert regions.target(other) == 2
    assert np.array_equal(regions.mask(other), mask)
    assert score.instead(number, 1) == number  # the same region has the same number
    assert score.rivals(number, 3) == [0, 2]
    boxes = BoxScore(Detector(Finds()))
    box = boxes.add(Box(1, (1.0, 2.0, 7.0, 8.0), 3, 1, 0.9))
    assert boxes.rivals(box, 3) == [2]  # not the background
    assert boxes.boxes[boxes.instead(box, 2)].box == boxes.boxes[box].box
    asked = []

    def explain_one(images, target, model=None, seed=None):
        asked.append(target)
        return torch.rand(1, 3, 4, 4)

    from sigcli.metrics.case import Case
    from sigcli.types import Subject

    zero = torch.zeros(3, 1, 1)
    random_logit(
        Case(Subject(torch.rand(3, 4, 4), number, zero, zero + 1, 5), torch.rand(3, 4, 4)), explain_one, 3, score
    )
    assert asked[0] == number
    assert regions.target(asked[1]) != 1
    assert np.array_equal(regions.mask(asked[1]), mask)


@pytest.mark.parametrize(("net", "target"), [(Segments, "cat,dog"), (Finds, "top:2")])
def test_every_metric_of_maps_works_for_both(here, net, target):
    metrics = (
        "deletion,insertion,morf,lerf,iaccuracy,irof,faithfulness-correlation,sensitivity-n,infidelity,max-sensitivity,"
        "avg-sensitivity,seed-stability,sparseness,entropy,relative-gap,roc-auc,pointing-game"
    )
    few = {
        "sensitivity-n.samples": 4,
        "deletion.steps": 4,
        "insertion.steps": 4,
        "max-sensitivity.samples": 2,
        "irof.segments": 4,
    }
    found = measured(net(), metrics, target, method="ig", settings={**few, "steps": 4})
    assert len(found.values) == 2 * 2 * len(metrics.split(","))
    assert {value.target for value in found.values} == ({1, 2} if net is Segments else {0, 1})
    both = measured(
        Segments(),
        "random-logit,parameter-randomisation",
        "cat",
        settings={"parameter-randomisation.stages": 2},
        out="more",
    )
    assert all(-1 <= value.value <= 1 for value in both.values)


# --- localisation -----------------------------------------------------------------------------------------------------


def test_localisation_is_against_the_own_region_or_box_or_given_masks(here):
    for net, target, number in ((Segments(), "cat", None), (Finds(), "dog", 1)):
        own = {key: value for key, value in FED.items() if number is None or key in ("class_names", "device")}
        items = explain("in", model=net, method="gradient", target=target, write=False, **own)
        found = measured(net, "relevance-mass", target, out=f"own{number}")
        for item in items:
            positive = item.values.astype(np.float64).sum(0).clip(0)
            inside = item.seen.region
            if number is not None:
                x0, y0, x1, y1 = AREAS[number]
                assert inside.sum() == (x1 - x0) * (y1 - y0)
                assert inside[y0:y1, x0:x1].all()
            (got,) = (one.value for one in found.values if one.image == item.image)
            assert got == pytest.approx(positive[inside].sum() / positive.sum(), abs=1e-6)
        Path("masks").mkdir(exist_ok=True)
        for name in ("a", "b"):
            mask = np.zeros((SIDE, SIDE), np.uint8)
            mask[:, :5] = 255
            Image.fromarray(mask).save(f"masks/{name}.png")
        given = measured(net, "relevance-mass", target, masks="masks", out=f"given{number}")
        for item in items:
            positive = item.values.astype(np.float64).sum(0).clip(0)
            (got,) = (one.value for one in given.values if one.image == item.image)
            assert got == pytest.approx(positive[:, :5].sum() / positive.sum(), abs=1e-6)


def test_what_metrics_are_of_is_told(here):
    from sigcli.listener import Listener

    class Heard(Listener):
        def __init__(self):
            self.notes = []

        def begin(self, items, notes, folder):
            self.notes += notes

    from sigcli.evaluation.evaluate import evaluate as run
    from sigcli.evaluation.options import EvaluateOptions

    heard = Heard()
    options = EvaluateOptions(
        images="in",
        model=Finds(),
        method="gradient",
        metric="deletion,roc-auc",
        target="cat",
        out="out",
        class_names="names.txt",
        pictures=False,
    )
    run(options, heard)
    told = "\n".join(heard.notes)
    assert "the box is that of the whole image" in told
    assert "no --masks: localisation is measured against the box that is explained" in told


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "target"),
    [(Segments, "dog"), (Segments, "cat@mask.png"), (Segments, "cat,dog"), (Finds, "dog:1"), (Finds, "top:2")],
)
def test_a_run_is_measured_as_if_it_was_made_anew(here, net, target):
    own = {key: value for key, value in FED.items() if net is Segments or key in ("class_names", "device")}
    direct = measured(net(), "deletion,infidelity", target, out="direct", settings={"deletion.steps": 5})
    explain("in", model=net(), method="gradient", target=target, out="run", pictures=False, **own)
    again = evaluate("run", model=net(), metric="deletion,infidelity", view="raw", settings={"deletion.steps": 5})
    assert [value.error for value in again.values] == [""] * len(again.values)
    one, other = ({(v.image, str(v.target), v.metric): v.value for v in found.values} for found in (again, direct))
    assert one == pytest.approx(other)


def test_arrays_of_anyone_are_measured_for_the_box_that_is_named(here):
    items = explain(
        "in", model=Finds(), method="gradient", target="dog", class_names="names.txt", write=False, device="cpu"
    )
    Path("mine").mkdir()
    for item in items:
        np.save(f"mine/{Path(item.image).stem}.npy", item.values)
    of = {"model": Finds(), "metric": "deletion", "view": "raw", "class_names": "names.txt", "imputation": "black"}
    found = evaluate("in", attributions="mine", target="dog", out="one", **of)
    direct = evaluate("in", method="gradient", target="dog", out="two", **of)
    assert [one.value for one in found.values] == pytest.approx([one.value for one in direct.values])
    other = evaluate("in", attributions="mine", target="cat", out="three", **of)
    assert [one.value for one in other.values] != pytest.approx([one.value for one in direct.values])


def test_values_are_kept_by_what_a_region_is_and_not_by_its_number(here):
    first = measured(Segments(), "deletion", "cat,dog", settings={"deletion.steps": 4})
    lines = Path("out/metrics.jsonl").read_text()
    again = measured(Segments(), "deletion", "cat,dog", settings={"deletion.steps": 4}, resume=True)
    assert [one.value for one in again.values] == [one.value for one in first.values]
    assert Path("out/metrics.jsonl").read_text() == lines


def test_benchmarks_run_on_both(here):
    for net, target in ((Segments(), "cat"), (Finds(), "top")):
        own = {
            key: value for key, value in FED.items() if isinstance(net, Segments) or key in ("class_names", "device")
        }
        found = benchmark(
            "in", model=net, method="gradient,ig", metric="deletion", target=target, out=f"b{target}", counts=[1, 2],
            settings={"ig.steps": 4, "deletion.steps": 4}, pictures=False, **own,
        )  # fmt: skip
        assert all(row["seconds"] for row in found.rows)
        best = benchmark_methods(
            "in", model=net, method="gradient,black=ig", metric="deletion,sparseness", target=target, out=f"m{target}",
            evaluations=16, settings={"deletion.steps": 4}, pictures=False, **own,
        )  # fmt: skip
        assert {row["method"] for row in best.rows} == {"gradient", "black"}
        assert all(row["mean"] is not None for row in best.rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "labels.csv"}, "--labels are classes of whole images"),
        ({"metric": "deletion", "imputation": "tokens"}, "cannot drop tokens"),
        ({"metric": "accuracy"}, "measures the model"),
        ({"metric": "neutrality"}, "certainty"),
        ({"metric": "random-logit", "target": "cat - dog"}, "compares two"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_work(here, options, message):
    Path("labels.csv").write_text("image,label\na.png,1\nb.png,2\n")
    with pytest.raises(UsageError, match=message):
        measured(Segments(), **{"metric": "deletion", "target": "cat", **options})
    assert not Path("out").exists()


def test_a_function_of_a_class_is_refused(here):
    with pytest.raises(UsageError, match="takes the index of a class of the whole image"):
        measured(Segments(), "deletion", "cat", method=[lambda model, inputs, targets: inputs])


def test_rows_say_which_box_or_region(here):
    explain(
        "in/a.png",
        model=Finds(),
        method="gradient",
        target="dog:1,cat:1,cat:2",
        class_names="names.txt",
        out="boxes",
        device="cpu",
    )
    rows = rows_of("boxes")
    assert [row["label"] for row in rows] == ["cat 1", "dog 1", "cat 2"] or len(rows) == 3
    (dog,) = (row for row in rows if row["label"] == "dog 1")
    assert dog["region"].startswith("box 9.0,3.0,14.0,9.0 of 0.")
    explain("in/a.png", model=Segments(), method="gradient", target="cat@3,4,dog@10,5", out="regions", **FED)
    rows = rows_of("regions")
    assert [(row["target"], row["region"]) for row in rows] == [("1", "pixel 3,4"), ("2", "pixel 10,5")]
    explain("in/a.png", model=Segments(), method="gradient", target="cat", out="own", **FED)
    (row,) = rows_of("own")
    assert row["region"].endswith(" pixels, where the network sees it")
    explain("in/a.png", model=Segments(), method="gradient", target="cat", out="own", resume=True, **FED)
    assert rows_of("own") == [row]

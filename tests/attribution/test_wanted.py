"""Several targets of one image, and comparisons of two classes: how they are read, scored, measured, kept and named."""

import csv
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from sigcli import evaluate, explain
from sigcli.attribution.wanted import compares, count_of, parse_wanted, spelled_wanted, spelling
from sigcli.cli.main import app
from sigcli.comparisons import against, pair_of, target_of, told
from sigcli.errors import UsageError
from sigcli.heads import Head
from sigcli.scores.classifier import ClassScore

ANIMALS = ["cat", "dog", "great white shark, white shark", "snow leopard, ounce", "ounce", "x - y", "hen"]
K = len(ANIMALS)
SIDE = 8
FED = {"image_size": SIDE, "mean": 0.0, "std": 1.0}


# --- numbers and texts ------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(1, 30), st.data())
def test_every_ordered_pair_has_a_number_of_its_own(classes, data):
    a, b = (data.draw(st.integers(0, classes - 1)) for _ in range(2))
    target = against(a, b, classes)
    assert pair_of(target, classes) == (a, b)
    assert target_of(told(target, classes), classes) == target >= classes
    assert pair_of(a, classes) is None
    assert target_of(told(a, classes), classes) == a
    assert len({against(i, j, 5) for i in range(5) for j in range(5)}) == 25


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat", 0),
        ("cat,dog", (0, 1)),
        (" dog , cat ", (1, 0)),
        ("cat,cat", 0),
        ("0,index:1,name:hen", (0, 1, 6)),
        ("cat - dog", against(0, 1, K)),
        ("cat − dog", against(0, 1, K)),
        ("6-0", against(6, 0, K)),
        ("index:6 - cat", against(6, 0, K)),
        ("white shark - dog", against(2, 1, K)),
        ("white shark,great white shark", 2),  # two of its synonyms
        ("cat - dog,hen", (against(0, 1, K), 6)),
        ("snow leopard, ounce", 3),  # the exact name, though ounce is a class, too
        ("Snow_Leopard,  OUNCE", 3),
        ("x - y", 5),
        ("x - y - cat", against(5, 0, K)),
        ("hen - x - y", against(6, 5, K)),
        ("x - y,cat", (5, 0)),
        ("top:3", ("top", 3)),
        (2, 2),
    ],
)
def test_what_texts_mean(text, expected):
    found = parse_wanted(text, ANIMALS, K)
    assert found == expected
    if not isinstance(found, tuple) or not isinstance(found[0], str):
        targets = (found,) if isinstance(found, int) else found
        assert parse_wanted(spelling(targets, K), ANIMALS, K) == found
        assert count_of(found) == len(targets)
        assert compares(found, K) == any(one >= K for one in targets)


@pytest.mark.parametrize(
    ("text", "labels", "message"),
    [
        ("ounce, snow leopard", ["ounce", "snow leopard", "snow leopard, ounce"], r"several ways(.|\n)*index:0,index:1"),
        ("a,b,c", ["a,b", "c", "a", "b,c"], "several ways"),
        ("a - b - c", ["a - b", "c", "a", "b - c"], r"index:2 - index:3 for one .*; or index:0 - index:1 for one "),
        ("a - b,c", ["a", "b, c"], r"index:0 - index:1,index:1 for 2 targets, 'a' - 'b, c' and 'b, c'; or index:0 "),
        ("cat,dgo", ANIMALS, "unknown target.*dgo(.|\n)*dog"),
        ("cat - dgo", ANIMALS, "unknown target.*dgo"),
        ("cat - cat", ANIMALS, "minus itself is 0"),
        ("cat,top", ANIMALS, "stand alone"),
        ("top - cat", ANIMALS, "stand alone"),
        (",", ANIMALS, "unknown target"),
        ("cat@3,3", ANIMALS, r"only a segmentation network has \(given: cat@3,3(.|\n)*--target cat\."),
        ("cat,dog@mask.png", ANIMALS, "only a segmentation network has"),
        ("cat - dog@3,3", ANIMALS, "only a segmentation network has"),
        ("cat,dog:2", ANIMALS, "only a detection network finds"),
        ("0,9", ANIMALS, "out of range"),
        ("0-7", ANIMALS, "out of range"),
        ("cat,dog", None, "no class names"),
        (" - ", ANIMALS, "unknown target"),
        (",".join(["cat"] * 101), ANIMALS, "too many targets"),
    ],
)  # fmt: skip
def test_texts_that_mean_nothing_or_too_much(text, labels, message):
    with pytest.raises(UsageError, match=message):
        parse_wanted(text, labels, len(labels or ANIMALS))


def test_a_name_twice_is_no_list_of_synonyms():
    assert parse_wanted("star - heart,heart", ["star", "heart"], 2) == (against(0, 1, 2), 1)
    assert parse_wanted("heart,heart", ["star", "heart"], 2) == 1
    assert parse_wanted("heart,heart", ["star", "heart", "heart,heart"], 3) == 2


def test_a_manifest_spells_them_by_their_indices():
    assert spelled_wanted("cat,dog", ANIMALS, K) == spelled_wanted("0,1", ANIMALS, K) == "index:0,index:1"
    assert spelled_wanted("cat - dog", ANIMALS, K) == "index:0 - index:1"
    assert [spelled_wanted(one, ANIMALS, K) for one in ("cat", "top:2", "3")] == ["cat", "top:2", "3"]


def test_hard_texts_are_read_in_a_moment():
    names = [f"n{i}" for i in range(60)]
    assert len(parse_wanted(",".join(names), names, 60)) == 60
    with pytest.raises(UsageError):
        parse_wanted(",".join(["a - a"] * 60), ["a", "b"], 2)


# --- scores -----------------------------------------------------------------------------------------------------------


def linear(outputs=4):
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, outputs))


@pytest.mark.parametrize("kind", ["logits", "label-logits", "values"])
@pytest.mark.parametrize("output", ["logit", "prob", "logprob"])
def test_the_score_is_the_difference_of_the_two_scores(kind, output):
    net, x = linear(), torch.rand(3, 3, SIDE, SIDE)
    if kind == "values":
        output = "value"
    single, both = (ClassScore(net, output, head=Head(kind), compares=one) for one in (False, True))
    a, b = torch.tensor([1, 3, 0]), torch.tensor([0, 2, 1])
    targets = torch.tensor([against(int(i), int(j), 4) for i, j in zip(a, b, strict=True)])
    (one, rise), (other, fall) = single.gradients(x, a), single.gradients(x, b)
    found, gradients = both.gradients(x, targets)
    torch.testing.assert_close(found, one - other)
    torch.testing.assert_close(gradients, rise - fall, rtol=1e-5, atol=1e-6)
    mixed = both.scores(x, torch.tensor([2, int(targets[1]), 0]))  # classes beside comparisons
    torch.testing.assert_close(
        mixed,
        torch.stack([single.scores(x, torch.tensor([2] * 3))[0], found[1], single.scores(x, torch.tensor([0] * 3))[2]]),
    )


def test_chances_of_a_comparison_are_those_of_one_of_the_two():
    outputs = torch.randn(5, 4, dtype=torch.float64)
    target = against(2, 0, 4)
    for kind in ("logits", "label-logits"):
        head = Head(kind)
        p = head.probability(outputs)
        torch.testing.assert_close(head.chance(outputs, target), p[:, 2] / (p[:, 2] + p[:, 0]))
        assert head.chosen(outputs, target).tolist() == [2 if row[2] > row[0] else 0 for row in outputs.tolist()]
        torch.testing.assert_close(head.value(outputs, target), outputs[:, 2] - outputs[:, 0])
        torch.testing.assert_close(head.chance(outputs, 1), p[:, 1])


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"p{number}.png")
    return folder


METHODS = "ig,sig,gradcam,lrp,deeplift,occlusion,rise"


def test_methods_of_a_comparison_are_complete_and_linear(files):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4)
    )  # fmt: skip
    given = {
        "model": net,
        "write": False,
        "settings": {"sig.samples": 2, "rise.samples": 8, "occlusion.players": "4x4"},
        **FED,
    }
    found = explain(files / "p0.png", method=METHODS, target="2,1,2 - 1,1 - 2", **given)
    assert [one.target for one in found[:: len(METHODS.split(","))]] == [2, 1, "2-1", "1-2"]
    by = {(one.method, one.target): one for one in found}
    assert all(one.status == "ok" for one in found)
    for name in METHODS.split(","):
        a, b, ab, ba = (by[name, target] for target in (2, 1, "2-1", "1-2"))
        assert ab.score == pytest.approx(a.score - b.score, abs=1e-5)
        if name != "gradcam":  # which cuts off what is below 0
            np.testing.assert_allclose(ab.values, a.values - b.values, atol=2e-5)
            np.testing.assert_allclose(ab.values, -ba.values, atol=2e-5)
    assert by["ig", "2-1"].what() == "class 2 − class 1"


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_comparison_survives_saving_resuming_and_evaluating(files, nets_here):
    (nets_here / "nets.py").write_text(
        "import torch\n"
        "def build():\n"
        "    torch.manual_seed(3)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4))\n"
    )
    (nets_here / "names.txt").write_text("cat\ndog\nhen\nsnow leopard, ounce\n")
    net = [
        "-m", "nets:build", "--image-size", "8", "--mean", "0", "--std", "1", "--class-names", "names.txt",
        "--method", "ig,gradient", "--out", "run",
    ]  # fmt: skip
    run, target = CliRunner(), ["--target", "ounce - cat,dog"]
    first = run.invoke(app, ["explain", str(files), *net, *target])
    assert first.exit_code == 0, first.stderr
    table = rows("run/results.csv")
    assert [(row["target"], row["label"]) for row in table[:4]] == [
        ("1", "dog"), ("1", "dog"), ("3-0", "snow leopard, ounce − cat"), ("3-0", "snow leopard, ounce − cat"),
    ] or {row["target"] for row in table} == {"1", "3-0"}  # fmt: skip
    assert sorted(path.name for path in (nets_here / "run").rglob("ig*.npy")) == [
        "ig.class1.npy", "ig.class1.npy", "ig.class3-0.npy", "ig.class3-0.npy",
    ]  # fmt: skip
    again = run.invoke(app, ["explain", str(files), *net, *target, "--resume", "--json"])
    assert again.exit_code == 0, again.stderr
    assert rows("run/results.csv") == table
    assert (
        json.loads((nets_here / "run" / "manifest.json").read_text())["spec"]["target"] == "index:3 - index:0,index:1"
    )
    same = run.invoke(app, ["explain", str(files), *net, "--target", "3 - 0,1", "--resume"])
    assert same.exit_code == 0, same.stderr
    other = run.invoke(app, ["explain", str(files), *net, "--target", "0 - 3,1", "--resume"])
    assert other.exit_code == 2
    measured = run.invoke(app, ["evaluate", "run", "--metric", "deletion,iaccuracy", "--imputation", "black", "--set",
                                "deletion.steps=4", "--no-pictures", "--view", "raw"])  # fmt: skip
    assert measured.exit_code == 0, measured.stderr
    values = rows("run/metrics.csv")
    assert {row["target"] for row in values} == {"1", "3-0"}
    assert all(row["status"] == "ok" for row in values)
    _check_deletion(values, files)
    twice = run.invoke(app, ["evaluate", "run", "--metric", "deletion,iaccuracy", "--imputation", "black", "--set",
                             "deletion.steps=4", "--no-pictures", "--view", "raw", "--resume"])  # fmt: skip
    assert twice.exit_code == 0, twice.stderr
    assert rows("run/metrics.csv") == values


def _check_deletion(values, files):
    """Brute force: the probability of the first class, if it is one of the two."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    weights = net[1].weight.detach()
    for file in sorted(files.iterdir()):
        x = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).float().div(255)
        order = np.argsort(-(weights[3] - weights[0]).reshape(3, -1).sum(0).numpy(), kind="stable").copy()
        curve = []
        for count in (0, 16, 32, 48, 64):
            kept = torch.ones(64)
            kept[order[:count]] = 0
            p = net((x * kept.reshape(1, 8, 8))[None]).softmax(1)[0].detach()
            curve.append(float(p[3] / (p[3] + p[0])))
        (row,) = [
            row for row in values
            if (row["image"], row["method"], row["target"], row["metric"]) == (file.name, "gradient", "3-0", "deletion")
        ]  # fmt: skip
        assert float(row["value"]) == pytest.approx(np.trapezoid(curve, dx=1 / 4), abs=1e-5)


def test_accuracy_knows_nothing_of_comparisons(files, tmp_path):
    net = linear()
    (tmp_path / "labels.csv").write_text("image,label\np0.png,0\np1.png,1\n")
    summaries = []
    for target in ("top", "2 - 1"):
        out = tmp_path / target.replace(" ", "")
        evaluate(files, model=net, method="ig", metric="sparseness", target=target, labels=tmp_path / "labels.csv",
                 out=out, pictures=False, **FED)  # fmt: skip
        summaries.append([row for row in rows(out / "summary.csv") if row["method"] != "ig"])
    assert summaries[0] == summaries[1] != []


def test_what_has_no_comparison_says_so(files, tmp_path):
    net = linear()
    with pytest.raises(UsageError, match="takes the index of a class, and the target compares two"):
        explain(files, model=net, method={"own": lambda model, x, t: x}, target="2 - 1", write=False, **FED)
    with pytest.raises(UsageError, match=r"random-logit .*compares two"):
        evaluate(files, model=net, method="ig", metric="random-logit", target="2 - 1", out=tmp_path / "run", **FED)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError):
        explain(files, model=linear(1), method="ig", target="0 - 1", write=False, **FED)

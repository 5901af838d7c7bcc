"""The model's own answer: what is read off its outputs, where it stands, and that it costs nothing."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sigcli
from sigcli.attribution.explanation import Explanation
from sigcli.attribution.predictions import Prediction, chance_of, percent, predictions_of
from sigcli.attribution.sheets import answers_of
from sigcli.heads import Head

OUTPUTS = torch.tensor([0.5, 2.0, -1.0, 2.0, 0.0, 1.0, -3.0])


class Net(nn.Module):
    """Scores of classes: a linear map of the mean colour; counts images that pass."""

    def __init__(self, classes=7, last=None):
        super().__init__()
        self.linear, self.last, self.passed = nn.Linear(3, classes), last or nn.Identity(), 0
        nn.init.normal_(self.linear.weight, generator=torch.Generator().manual_seed(0))

    def forward(self, x):
        self.passed += len(x)
        return self.last(self.linear(x.mean((2, 3))))


def read(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def run(path, net, out="out", **more):
    for name in ("a", "b"):
        if not (path / f"{name}.png").exists():
            pixels = np.random.default_rng(ord(name)).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(path / f"{name}.png")
    known = {"image_size": 8, "mean": (0.0,), "std": (1.0,), "device": "cpu", "method": "gradient", **more}
    return sigcli.explain([path / "a.png", path / "b.png"], model=net, out=path / out, **known)


class Names:
    """Stands in for a model: a head, and names of its answers."""

    def __init__(self, kind):
        self.head = Head(kind)

    def answer(self, index):
        return f"class {index}"


@pytest.mark.parametrize("kind", ["logits", "label-logits"])
def test_the_likeliest_five_come_in_order_and_ties_by_their_number(kind):
    found = predictions_of(Names(kind), OUTPUTS)
    assert [one.index for one in found] == [1, 3, 5, 0, 4]
    shares = OUTPUTS.double().softmax(0) if kind == "logits" else OUTPUTS.double().sigmoid()
    assert [one.probability for one in found] == pytest.approx(shares[[1, 3, 5, 0, 4]].tolist())
    assert chance_of(Head(kind), OUTPUTS, 6) == pytest.approx(float(shares[6]))
    assert chance_of(Head(kind), OUTPUTS, 7 + 3) is None  # class 0 against class 3


def test_a_single_output_answers_yes_or_no_and_values_answer_nothing():
    found = predictions_of(Names("logit"), torch.tensor([-2.0]))
    assert [one.index for one in found] == [0, 1]
    assert sum(one.probability for one in found) == pytest.approx(1)
    assert found[0].probability == pytest.approx(1 / (1 + np.exp(-2)))
    assert predictions_of(Names("values"), OUTPUTS) == ()
    assert chance_of(Head("values"), OUTPUTS, 0) is None
    assert predictions_of(Names("logits"), None) == ()


@pytest.mark.parametrize("share", np.linspace(0, 1, 101))
def test_percentages_are_true_and_short(share):
    text = percent(share)
    assert len(text) <= 8
    number = float(text.strip("<> %"))
    assert text[0] in "<>" or abs(number - 100 * share) <= 0.5
    assert text != "100 %" or share == 1


def test_a_run_writes_them_without_a_further_pass(tmp_path):
    net = Net()
    found = run(tmp_path, net)
    rows, answers = read(tmp_path / "out/results.csv"), read(tmp_path / "out/predictions.csv")
    assert [(one["image"], one["rank"]) for one in answers] == [(f"{i}.png", str(r)) for i in "ab" for r in range(1, 6)]
    for item, row in zip(found, rows, strict=True):
        first = next(one for one in answers if one["image"] == item.image)
        assert (row["predicted"], row["probability"]) == (first["class"], first["probability"])
        assert item.predicted == row["predicted"]
        assert float(row["probability"]) == pytest.approx(item.probability, rel=1e-5)
        assert item.chance == pytest.approx(item.probability)
    net.passed = 0
    run(tmp_path, net, out="other")
    with_predictions = net.passed
    net.passed = 0
    regression = Net(last=nn.Identity())
    run(tmp_path, regression, out="values", head="regression", target=0)
    assert with_predictions <= regression.passed
    assert not (tmp_path / "values/predictions.csv").exists()
    assert {row["predicted"] + row["probability"] for row in read(tmp_path / "values/results.csv")} == {""}


def test_a_run_without_them_is_resumed_and_gets_them(tmp_path):
    """A folder of the version before: no columns, no file, no facts in its record."""
    import json

    net = Net()
    run(tmp_path, net)
    out = tmp_path / "out"
    whole = {name: (out / name).read_bytes() for name in ("results.csv", "predictions.csv")}
    lines = [json.loads(line) for line in (out / "files.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "source" not in line]  # such a folder does not say which images are done
    for line in lines:
        for name in ("predicted", "probability", "predictions"):
            line.get("facts", {}).pop(name, None)
    (out / "files.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = read(out / "results.csv")
    columns = [name for name in rows[0] if name not in ("predicted", "probability")]
    with (out / "results.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    (out / "predictions.csv").unlink()
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["owns"].remove("predictions.csv")
    (out / "manifest.json").write_text(json.dumps(manifest))
    measured = sigcli.evaluate(out, model=net, image_size=8, mean=(0.0,), std=(1.0,), metric="sparseness", device="cpu",
                               out=tmp_path / "measured", pictures=False)  # fmt: skip
    assert [one.error for one in measured.values] == ["", ""]
    again = run(tmp_path, net, resume=True)
    assert all(one.resumed for one in again)
    assert again.notes == run(tmp_path, net, resume=True).notes
    assert {name: (out / name).read_bytes() for name in whole} == whole
    assert [one.chance for one in run(tmp_path, net, resume=True)] == [one.chance for one in again]  # passed over now


def test_several_targets_tell_their_own_chance_and_share_a_sheet(tmp_path):
    net = Net()
    found = run(tmp_path, net, target="top:2", method="gradient,ig", settings={"steps": 2})
    first, second = found[0], found[2]
    assert first.chance == pytest.approx(first.predictions[0].probability)
    assert second.chance == pytest.approx(first.predictions[1].probability)
    assert second.told.endswith(f"(predicted {first.predicted} {percent(first.chance)})")
    names = {one.name for one in (tmp_path / "out/a").glob("compare*")}
    assert names == {"compare.png", f"compare.class{first.target}.png", f"compare.class{second.target}.png"}
    before = (tmp_path / "out/a/compare.png").read_bytes()
    (tmp_path / "out/a/compare.png").unlink()
    run(tmp_path, net, target="top:2", method="gradient,ig", settings={"steps": 2}, resume=True)
    assert (tmp_path / "out/a/compare.png").read_bytes() == before


@pytest.mark.parametrize(
    ("target", "chance", "shares", "expected"),
    [
        (0, 0.12, (0.88, 0.12), [False, True]),  # a single output: its one number is that of yes
        (0, 0.88, (0.88, 0.12), [True, False]),  # two classes
        (6, 0.01, (0.5, 0.3), [False, False, True]),  # not among the likeliest: it comes last
    ],
)
def test_the_explained_class_stands_out_in_a_sheet(target, chance, shares, expected):
    answers = tuple(Prediction(i, f"class {i}", share) for i, share in enumerate(shares))
    item = Explanation("a.png", "ig", target=target, chance=chance, predictions=answers)
    assert [one.explained for one in answers_of(item)] == expected
    assert all(one.explained for one in answers_of(item, marked=False))

"""--head: what the outputs are, as the user says; scores, metrics and labels follow it."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from sigcli import evaluate, explain
from sigcli.cli.main import app
from sigcli.errors import UsageError
from sigcli.heads import Head
from sigcli.models.loading import load_model
from sigcli.models.model import Reading
from sigcli.scores.classifier import ClassScore

SIDE = 8
FED = {"image_size": SIDE, "mean": 0.0, "std": 1.0}
LOADED = {"size": SIDE, "mean": (0.0,), "std": (1.0,)}


def linear(outputs, end=None):
    """Weights times pixels, and what comes after."""
    torch.manual_seed(3)
    layer = nn.Linear(3 * SIDE * SIDE, outputs)
    return nn.Sequential(nn.Flatten(), layer, *([] if end is None else [end]))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"p{number}.png")
    return folder


def read(path):
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1).float().div(255)


@pytest.mark.parametrize(
    ("outputs", "end", "asked", "kind"),
    [
        (3, None, "auto", "logits"),
        (3, None, "softmax", "logits"),
        (3, None, "sigmoid", "label-logits"),
        (3, None, "regression", "values"),
        (3, nn.Softmax(1), "auto", "probabilities"),
        (3, nn.Softmax(1), "probabilities", "probabilities"),
        (3, nn.Sigmoid(), "probabilities", "labels"),
        (3, nn.Sigmoid(), "softmax", "logits"),
        (1, None, "auto", "logit"),
        (1, None, "single", "logit"),
        (1, None, "sigmoid", "logit"),
        (1, None, "regression", "values"),
        (1, nn.Sigmoid(), "single", "probability"),
        (1, nn.Sigmoid(), "probabilities", "probability"),
        (1, nn.LogSigmoid(), "single", "log-probability"),
    ],
)
def test_what_is_asked_for_is_what_the_outputs_are(outputs, end, asked, kind):
    model = load_model(linear(outputs, end), reading=Reading(head=asked), **LOADED)
    assert model.head.kind == kind
    told = [note for note in model.notes if f"(--head {asked}" in note]
    assert len(told) == (asked != "auto")  # and nothing of what they look like, which would contradict it
    assert not any("taken as" in note for note in model.notes) or asked == "auto"


def test_another_reading_than_that_of_sight_is_told():
    (told,) = [
        note
        for note in load_model(linear(3, nn.Softmax(1)), reading=Reading(head="sigmoid"), **LOADED).notes
        if "--head" in note
    ]
    assert "without --head they would be read as probabilities" in told


@pytest.mark.parametrize(
    ("outputs", "end", "asked", "message"),
    [
        (1, None, "softmax", r"needs several outputs: of one it is always 1(.|\n)*single, regression"),
        (3, None, "single", r"needs one output \(given: a network of 3\)"),
        (3, None, "probabilities", r"between 0 and 1 \(given: outputs from -"),
        (1, None, "probabilities", r"--head single"),
        (3, None, "sofmax", "softmax"),
    ],
)
def test_heads_that_the_outputs_cannot_have(outputs, end, asked, message):
    with pytest.raises(UsageError, match=message):
        load_model(linear(outputs, end), reading=Reading(head=asked), **LOADED)


def test_labels_have_a_sigmoid_each():
    head, outputs = Head("label-logits"), torch.tensor([[2.0, -1.0, 0.5], [0.0, 9.0, -90.0]], dtype=torch.float64)
    p = 1 / (1 + (-outputs).exp())
    torch.testing.assert_close(head.probability(outputs), p)
    torch.testing.assert_close(head.log_probability(outputs), p.log())
    torch.testing.assert_close(head.answers(outputs), p)
    both = head.distributions(outputs)
    torch.testing.assert_close(both[..., 0].exp(), p)
    torch.testing.assert_close(both.exp().sum(2), torch.ones_like(p))
    assert (head.output, head.several, head.single, head.classes(3)) == ("logit", True, False, 3)
    assert isinstance(head.layer(), nn.Sigmoid)
    assert head.predicted(outputs).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("output", "slope"), [("logit", lambda p: 1.0), ("prob", lambda p: p * (1 - p)), ("logprob", lambda p: 1 - p)]
)
def test_gradients_of_a_label_by_hand(output, slope):
    net, x = linear(3), torch.rand(2, 3, SIDE, SIDE)
    score = ClassScore(net, output, head=Head("label-logits"))
    p = net(x).sigmoid()[:, 1].detach()
    found, gradients = score.gradients(x, torch.tensor([1, 1]))
    torch.testing.assert_close(found, {"logit": net(x)[:, 1].detach(), "prob": p, "logprob": p.log()}[output])
    expected = net[1].weight[1].detach().reshape(1, 3, SIDE, SIDE) * torch.as_tensor(slope(p)).reshape(-1, 1, 1, 1)
    torch.testing.assert_close(gradients, expected.expand_as(gradients), rtol=1e-4, atol=1e-6)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_of_labels_agree_with_brute_force(files, tmp_path):
    net = linear(4)
    evaluate(
        files, model=net, head="sigmoid", method="gradient", metric="deletion,iaccuracy", imputation="black", target=2,
        settings={"deletion.steps": 8}, out=tmp_path, view="raw", pictures=False, **FED,
    )  # fmt: skip
    found = {row["image"]: float(row["value"]) for row in rows(tmp_path / "metrics.csv") if row["metric"] == "deletion"}
    for file in sorted(files.iterdir()):
        x = read(file)
        order = np.argsort(-net[1].weight[2].detach().reshape(3, -1).sum(0).numpy(), kind="stable")
        curve = []
        for count in [round(SIDE * SIDE * step / 8) for step in range(9)]:
            kept = torch.ones(SIDE * SIDE)
            kept[order[:count].copy()] = 0
            curve.append(float(net((x * kept.reshape(1, SIDE, SIDE))[None]).sigmoid()[0, 2].detach()))
        assert found[file.name] == pytest.approx(np.trapezoid(curve, dx=1 / 8), abs=1e-5)


def test_accuracy_and_calibration_of_one_output(files, tmp_path):
    net = linear(1)
    truth = {file.name: int(net(read(file)[None])[0, 0].detach() > 0) for file in sorted(files.iterdir())}
    truth["p0.png"] = 1 - truth["p0.png"]
    (tmp_path / "labels.csv").write_text(
        "image,label\n" + "".join(f"{name},{label}\n" for name, label in truth.items())
    )
    evaluate(
        files, model=net, head="single", method="gradient", metric="sparseness", labels=tmp_path / "labels.csv",
        out=tmp_path / "run", pictures=False, **FED,
    )  # fmt: skip
    (accuracy,) = [r for r in rows(tmp_path / "run" / "summary.csv") if r["metric"] == "accuracy"]
    assert float(accuracy["mean"]) == pytest.approx(2 / 3, abs=1e-6)


@pytest.mark.parametrize(("outputs", "told"), [(1, False), (3, False), (5, False), (6, True)])
def test_what_is_always_1_is_no_metric(outputs, told, files, tmp_path):
    """Among the best five of five classes, or of yes and no, is every class."""
    labels = tmp_path / "labels.csv"
    labels.write_text("image,label\n" + "".join(f"{file.name},0\n" for file in sorted(files.iterdir())))
    given = {"model": linear(outputs), "method": "gradient", "metric": "sparseness", "pictures": False, **FED}
    evaluate(files, **given, labels=labels, out=tmp_path / "run")
    told_of = {row["metric"] for row in rows(tmp_path / "run" / "summary.csv")}
    assert {"accuracy", "calibration-error"} <= told_of
    assert ("top-5-accuracy" in told_of) is told


def test_a_single_output_has_no_other_class_to_look_at(files, tmp_path):
    given = {"method": "gradient", "metric": "random-logit,sparseness", "out": tmp_path / "run", **FED}
    with pytest.raises(UsageError, match=r"random-logit .*the network has a single output"):
        evaluate(files, model=linear(1), **given)
    assert not (tmp_path / "run").exists()


def test_a_regression_has_values_and_no_probabilities(files, tmp_path):
    net = linear(2)
    (found, *_) = explain(files / "p0.png", model=net, head="regression", method="ig", target=1, **FED, write=False)
    assert found.output == "value"
    assert found.score == pytest.approx(float(net(read(files / "p0.png")[None])[0, 1].detach()), abs=1e-5)
    given = {"model": net, "head": "regression", "method": "ig", "out": tmp_path / "run", **FED}
    for output in ("prob", "logprob"):
        with pytest.raises(UsageError, match=r"values, not classes(.|\n)*Allowed: value(.|\n)*--head softmax"):
            explain(files, **{**given, "output": output})
    with pytest.raises(
        UsageError, match=r"deletion, insertion, iaccuracy cannot be measured(.|\n)*--metric sparseness"
    ):
        evaluate(files, **given)
    with pytest.raises(UsageError, match="--labels are of classes"):
        evaluate(files, **given, metric="sparseness", labels=files / "p0.png")
    with pytest.raises(UsageError, match=r"max-entropy.* cannot be learned"):
        explain(files, **{**given, "baseline": "max-entropy"})
    assert not (tmp_path / "run").exists()
    evaluate(files, **given, metric="sparseness,faithfulness-correlation", pictures=False)
    assert all(row["status"] == "ok" for row in rows(tmp_path / "run" / "metrics.csv"))


def test_a_value_of_classes_is_refused(files):
    with pytest.raises(UsageError, match=r"the outputs are of classes(.|\n)*logit, prob, logprob"):
        explain(files, model=linear(3), method="ig", output="value", write=False, **FED)


def test_the_head_is_kept_with_the_run(files, nets_here):
    (nets_here / "nets.py").write_text(
        "import torch\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))\n"
    )
    net = ["-m", "nets:build", "--image-size", "8", "--mean", "0", "--std", "1", "--method", "ig", "--out", "run"]
    run, pictures = CliRunner(), str(files)
    done = run.invoke(app, ["explain", pictures, *net, "--head", "sigmoid"])
    assert done.exit_code == 0
    assert "the outputs are read as logits of labels" in " ".join(done.stderr.split())
    manifest = json.loads((nets_here / "run" / "manifest.json").read_text())
    assert (manifest["spec"]["head"], manifest["options"]["head"]) == ("label-logits", "sigmoid")
    again = run.invoke(app, ["evaluate", "run", "--metric", "deletion", "--no-pictures"])
    assert "the outputs are read as logits of labels" in " ".join(again.stderr.split())
    other = run.invoke(app, ["explain", pictures, *net, "--resume"])
    assert other.exit_code == 2
    assert "head" in other.stderr

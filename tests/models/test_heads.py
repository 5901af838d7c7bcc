"""What a network's outputs are is recognised, and probabilities are right by hand: one logit, softmax or sigmoid inside."""

import csv
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sigcli import explain
from sigcli.baselines.learned import entropy
from sigcli.errors import UsageError
from sigcli.evaluation.evaluate import evaluate
from sigcli.heads import Head
from sigcli.models.heads import probes, recognise
from sigcli.models.loading import load_model
from sigcli.scores.classifier import ClassScore

SIDE = 16


class Ending(nn.Module):
    """A linear network of 3×16×16 pixels whose outputs a test ends as it likes."""

    def __init__(self, outputs=3, end=lambda z: z, gain=0.05, seed=8):
        super().__init__()
        draws = torch.Generator().manual_seed(seed)
        self.fc, self.end = nn.Linear(3 * SIDE * SIDE, outputs), end
        with torch.no_grad():
            self.fc.weight.copy_(gain * torch.randn(self.fc.weight.shape, generator=draws))
            self.fc.bias.copy_(torch.randn(outputs, generator=draws))

    def forward(self, images):
        return self.end(self.fc(images.flatten(1)))


def zero(net):
    nn.init.zeros_(net.fc.weight)
    return net


def black_box(end, outputs=3):
    net = Ending(outputs, end)

    class Hidden(nn.Module):
        def forward(self, images):
            return net(images).detach()

    return Hidden()


ENDINGS = {
    "logits": (Ending(), "logits"),
    "logits between 0 and 1 for pictures": (Ending(gain=1e-6, end=lambda z: z * 0.01 + 0.5), "logits"),
    "means of the channels, in 0..1 for pictures": (types.MethodType(lambda _, x: x.mean((2, 3)), 0), "logits"),
    "rectified small logits": (Ending(gain=1e-4, end=torch.relu), "logits"),
    "rectified, averaged": (Ending(6, lambda z: z.relu().reshape(len(z), 3, 2).mean(2), gain=1e-3), "logits"),
    "an untrained head": (zero(Ending()), "logits"),
    "softmax": (Ending(end=lambda z: z.softmax(1)), "probabilities"),
    "exp of log-softmax": (Ending(end=lambda z: z.log_softmax(1).exp()), "probabilities"),
    "an untrained softmax": (zero(Ending(end=lambda z: z.softmax(1))), "probabilities"),
    "mean of two softmaxes": (Ending(6, lambda z: (z[:, :3].softmax(1) + z[:, 3:].softmax(1)) / 2), "probabilities"),
    "a sigmoid and its rest": (Ending(1, lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1)), "probabilities"),
    "a softmax without gradient": (black_box(lambda z: z.softmax(1)), "probabilities"),
    "log-softmax": (Ending(end=lambda z: z.log_softmax(1)), "log-probabilities"),
    "sigmoids": (Ending(end=torch.sigmoid), "labels"),
    "sigmoids by hand": (Ending(end=lambda z: 1 / (1 + (-z).exp())), "labels"),
    "sigmoids without gradient": (black_box(torch.sigmoid), "labels"),
    "some classes of a softmax": (Ending(end=lambda z: z.softmax(1)[:, :2]), "labels"),
    "log-sigmoids": (Ending(end=nn.functional.logsigmoid), "log-labels"),
    "one log-sigmoid": (Ending(1, nn.functional.logsigmoid), "log-probability"),
    "one logit": (Ending(1), "logit"),
    "one rectified logit": (Ending(1, torch.relu), "logit"),
    "one sigmoid": (Ending(1, torch.sigmoid), "probability"),
    "one class of a softmax": (Ending(2, lambda z: z.softmax(1)[:, 1:]), "probability"),
    "one sigmoid without gradient": (black_box(torch.sigmoid, 1), "probability"),
}


@pytest.mark.parametrize("case", ENDINGS)
@pytest.mark.parametrize("low", [0.0, -2.1])
def test_the_head_is_recognised(case, low):
    net, kind = ENDINGS[case]
    images = probes(torch.full((3, 1, 1), low), torch.full((3, 1, 1), low + 1 if low == 0 else 2.4), (SIDE, SIDE))
    head, notes = recognise(net, images)
    assert head.kind == kind
    assert len(notes) == (0 if kind == "logits" else 1)


@pytest.mark.parametrize(("kind", "outputs"), [("log-labels", 3), ("log-probability", 1)])
def test_logarithms_of_sigmoids_are_read_as_such(kind, outputs):
    logits = torch.linspace(-4, 5, 6 * outputs, dtype=torch.float64).reshape(6, outputs)
    shares, head = 1 / (1 + (-logits).exp()), Head(kind)
    assert torch.allclose(head.score(shares.log(), "prob"), shares)
    assert torch.allclose(head.score(shares.log(), "logprob"), shares.log())
    assert head.in_force("logit") == "logprob"
    expected = torch.stack([shares.log(), (1 - shares).log()], 2)
    assert torch.allclose(head.distributions(shares.log()), expected)
    assert torch.equal(head.predicted(shares.log()), (logits[:, 0] > 0).long() if outputs == 1 else logits.argmax(1))
    if outputs == 1:
        assert torch.allclose(head.answers(shares.log()), torch.cat([1 - shares, shares], 1))


def test_a_network_that_refuses_some_probes_is_read_by_the_others():
    """A detector that raises where it sees nothing (black) is no reason to stop; nor is one that raises at all probes."""

    class Picky(Ending):
        def forward(self, images):
            if float(images.detach().abs().amax((1, 2, 3)).min()) == 0:
                raise ValueError("no face found")
            return super().forward(images)

    levels = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    images = probes(*levels, (SIDE, SIDE))

    # The end is no operation of its own, so that the values decide.
    def shares(z):
        return z.square() / z.square().sum(1, keepdim=True)

    assert (
        recognise(Picky(end=shares), images)[0].kind == recognise(Ending(end=shares), images)[0].kind == "probabilities"
    )

    def none(_):
        raise RuntimeError("no")

    head, notes = recognise(none, images)
    assert head.kind == "logits"
    assert "takes none of the trial images" in notes[0]


def test_a_scripted_network_is_recognised_as_well():
    class Soft(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3 * 16 * 16, 4)

        def forward(self, images):
            return self.fc(images.flatten(1)).softmax(1)

    images = probes(torch.zeros(3, 1, 1), torch.ones(3, 1, 1), (SIDE, SIDE))
    traced = torch.export.export(
        Soft().eval(), (torch.rand(2, 3, 16, 16),), dynamic_shapes=({0: torch.export.Dim("n")},)
    )
    assert recognise(traced.module(), images)[0].kind == "probabilities"


def by_hand(kind, z):
    """Probabilities in float64 numpy from what stands before the ending."""
    if kind in ("logit", "probability", "labels"):
        return 1 / (1 + np.exp(-z))
    shares = np.exp(z - z.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


@pytest.mark.parametrize("output", ["prob", "logprob"])
@pytest.mark.parametrize("case", ["logits", "softmax", "log-softmax", "sigmoids", "one logit", "one sigmoid"])
def test_scores_and_gradients_are_those_of_the_probability(case, output):
    net, kind = ENDINGS[case]
    net = Ending(net.fc.out_features, net.end).double()
    x = torch.rand(2, 3, SIDE, SIDE, dtype=torch.float64)
    target = torch.tensor([0, 0 if kind in ("logit", "probability") else 2])
    scores, gradients = ClassScore(net, output, head=Head(kind)).gradients(x, target)

    def score(images):
        found = by_hand(kind, net.fc(images.flatten(1)).detach().numpy())[[0, 1], target.numpy()]
        return np.log(found) if output == "logprob" else found

    assert scores.numpy() == pytest.approx(score(x), rel=1e-9)
    along = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    slope = (score(x + 1e-5 * along) - score(x - 1e-5 * along)) / 2e-5
    assert (gradients * along).sum((1, 2, 3)).numpy() == pytest.approx(slope, rel=1e-6)


def test_the_logarithm_of_a_probability_of_zero_is_finite():
    outputs = torch.tensor([[0.0, 1.0]], requires_grad=True)
    found = Head("probabilities").log_probability(outputs)
    found.sum().backward()
    assert found.isfinite().all()
    assert outputs.grad.isfinite().all()


def test_entropy_knows_the_head():
    p = 0.3
    one = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    z = torch.tensor([[np.log(p / (1 - p))]])
    assert float(entropy(z, Head("logit"))) == pytest.approx(one)
    assert float(entropy(z.sigmoid(), Head("probability"))) == pytest.approx(one)
    assert float(entropy(torch.tensor([[p, 0.5]]), Head("labels"))) == pytest.approx(one + np.log(2))
    assert float(entropy(torch.tensor([[p, 1 - p]]), Head("probabilities"))) == pytest.approx(one, rel=1e-6)


# --- through the commands ---------------------------------------------------------------------------------------------


@pytest.fixture
def nets(monkeypatch, tmp_path):
    """`headnets`, and three pictures in the working directory."""
    module = types.ModuleType("headnets")
    module.binary = lambda: Ending(1)
    module.binary_sigmoid = lambda: Ending(1, torch.sigmoid)
    module.flat = lambda: Ending(1, lambda z: z[:, 0])
    module.softmax = lambda: Ending(3, lambda z: z.softmax(1))
    module.plain = Ending
    monkeypatch.setitem(sys.modules, "headnets", module)
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"p{number}.png")
    return [f"p{number}.png" for number in range(3)]


FED = {"image_size": SIDE, "mean": (0.0,), "std": (1.0,), "pictures": False, "device": "cpu"}


def pixels_of(name):
    return np.asarray(Image.open(name), np.float64).transpose(2, 0, 1) / 255


@pytest.mark.parametrize("model", ["binary", "binary_sigmoid", "flat"])
def test_metrics_of_a_single_output_are_those_of_its_sigmoid(nets, model):
    weight, bias = (t.detach().double().numpy() for t in (Ending(1).fc.weight, Ending(1).fc.bias))

    def logit(x):
        return float((weight @ x.ravel() + bias)[0])

    with open("labels.csv", "w") as stream:
        stream.write("image,label\n" + "".join(f"{name},{number % 2}\n" for number, name in enumerate(nets)))
    options = {
        "method": "ig",
        "settings": {"baseline": "black", "iaccuracy.largest": 256, "iaccuracy.steps": 256},
        "imputation": "black",
        "labels": "labels.csv",
        **FED,
    }
    found = evaluate(nets, model=f"headnets:{model}", metric="deletion,insertion,morf,iaccuracy", out="out", **options)
    figures = {(figure.image, figure.metric): figure.value for figure in found.values}
    confidences, right = [], []
    for number, name in enumerate(nets):
        x = pixels_of(name)
        relevance = (
            (weight.reshape(x.shape) * x).sum(0).ravel()
        )  # of a linear logit; those of its sigmoid have its order
        order = np.argsort(-relevance, kind="stable")
        counts = np.round(np.linspace(0, SIDE * SIDE, 51)).astype(int)
        curves = {"deletion": [], "insertion": []}
        for count in counts:
            first = np.zeros(SIDE * SIDE, bool)
            first[order[:count]] = True
            first = first.reshape(SIDE, SIDE)
            curves["deletion"].append(1 / (1 + np.exp(-logit(np.where(first, 0, x)))))
            curves["insertion"].append(1 / (1 + np.exp(-logit(np.where(first, x, 0)))))
        for metric, curve in curves.items():
            assert figures[name, metric] == pytest.approx(np.trapezoid(curve, counts / SIDE**2), abs=1e-5)
        kept = [np.where((np.argsort(order) < k).reshape(SIDE, SIDE), 0, x) for k in range(SIDE**2 + 1)]
        alike = np.mean([(logit(image) > 0) == (logit(x) > 0) for image in kept])
        assert figures[name, "iaccuracy"] == pytest.approx(alike, abs=1e-5)
        deletion = np.array(curves["deletion"])
        assert figures[name, "morf"] == pytest.approx(np.mean(deletion[0] - deletion), abs=1e-5)
        share = 1 / (1 + np.exp(-logit(x)))
        confidences.append(max(share, 1 - share))
        right.append((share > 0.5) == (number % 2 == 1))
    with open("out/model.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["confidence"]) for row in rows] == pytest.approx(confidences, rel=1e-4)
    assert [row["correct"] == "1" for row in rows] == right
    assert {row["predicted_name"] for row in rows} <= {"no", "yes"}
    assert min(figures[name, "iaccuracy"] for name in nets) < 1


@pytest.mark.parametrize("output", ["logit", "prob"])
def test_a_softmax_inside_gets_no_second_one(nets, output):
    net, plain = Ending(3, lambda z: z.softmax(1)), Ending(3)
    x = torch.from_numpy(pixels_of(nets[0])).float()[None]
    with torch.no_grad():
        there, black = net(x)[0, 1], net(0 * x)[0, 1]
        assert there == pytest.approx(plain(x).softmax(1)[0, 1])
    (item,) = explain(nets[:1], model="headnets:softmax", method="ig", target=1, output=output, write=False, **FED)
    assert item.output == "prob"
    assert item.score == pytest.approx(float(there), rel=1e-5)
    assert item.values.sum() == pytest.approx(float(there - black), abs=2e-3)
    (same,) = explain(nets[:1], model="headnets:plain", method="ig", target=1, output="prob", write=False, **FED)
    assert np.abs(same.values - item.values).max() < 1e-6


def test_the_reading_is_a_note_and_in_the_manifest(nets):
    model = load_model("headnets:softmax", size=SIDE, mean=(0.0,), std=(1.0,))
    assert model.notes == (
        "the network's outputs come from a softmax: they are taken as probabilities and explained as they are "
        "(--output logprob explains their logarithm)",
    )
    single = load_model("headnets:flat", size=SIDE, mean=(0.0,), std=(1.0,))
    assert (single.head.kind, single.classes) == ("logit", 1)
    assert any("logit of yes" in note for note in single.notes)
    assert any("(2,) for 2 images" in note for note in single.notes)


@pytest.mark.parametrize("method", ["lrp", "cam"])
def test_methods_of_logits_say_that_there_are_none(nets, method):
    with pytest.raises(UsageError, match="outputs are not logits") as refused:
        explain(nets[:1], model="headnets:softmax", method=method, write=False, **FED)
    assert "--output logit" not in str(refused.value)

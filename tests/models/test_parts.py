"""Networks that return dataclasses, dicts, tuples and lists: the part that is explained."""

import json
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from sigcli import explain
from sigcli.cli.main import app
from sigcli.errors import ModelError
from sigcli.models.loading import load_model
from sigcli.models.model import Reading

Pair = namedtuple("Pair", ["scores", "map"])
SIZE = {"size": 8, "mean": (0.0,), "std": (1.0,)}


@dataclass
class Output:
    loss: Tensor | None
    scores: Tensor
    features: Tensor


class Net(nn.Module):
    """Scores (N, 5), others (N, 2) and a map (N, 3, 8, 8), put together by a function."""

    def __init__(self, pack):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.pack = nn.Linear(192, 5), nn.Linear(192, 2), pack

    def forward(self, x):
        return self.pack(self.one(x.flatten(1)), self.two(x.flatten(1)), x)


PACKED = {  # how it is put together → the part that is the scores, as the note tells it
    "dict": (lambda a, b, x: {"scores": a, "map": x}, "scores"),
    "ordered": (lambda a, b, x: OrderedDict(logits=a, aux=b), "logits"),
    "dataclass": (lambda a, b, x: Output(None, a, x), "scores"),
    "tuple": (lambda a, b, x: (x, a), "part 1"),
    "list": (lambda a, b, x: [a, x.mean()], "part 0"),
    "named": (lambda a, b, x: Pair(a, x), "scores"),
    "object": (lambda a, b, x: SimpleNamespace(logits=a, aux=b), "logits"),
}


@pytest.mark.parametrize("name", PACKED)
def test_the_only_part_that_may_be_scores_is_taken_and_told(name):
    pack, part = PACKED[name]
    model, x = load_model(Net(pack), **SIZE), torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(model.module(x), Net(pack).one(x.flatten(1)).detach())
    (told,) = [note for note in model.notes if "the network returns a" in note]
    assert part in told
    assert ("only part" in told) == (name not in ("ordered", "object"))  # there the name logits decides


@pytest.mark.parametrize(
    ("pack", "part", "row"),
    [
        (lambda a, b, x: {"a": a, "b": b}, "b", 2),
        (lambda a, b, x: (a, b, x), "0", 5),
        (lambda a, b, x: (a, b, x), 1, 2),
        (lambda a, b, x: OrderedDict(logits=a, aux=b), "aux", 2),
        (lambda a, b, x: Output(None, a, x), ".scores", 5),
    ],
)
def test_the_part_that_is_asked_for(pack, part, row):
    net, picture = Net(pack), Image.fromarray(np.full((8, 8, 3), 99, np.uint8))
    (found,) = explain(
        picture, model=net, part=part, image_size=8, mean=0.0, std=1.0, method="gradient", target=row - 1
    )
    layer = net.one if row == 5 else net.two
    np.testing.assert_allclose(found.values.ravel(), layer.weight[-1].detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("pack", "part", "message"),
    [
        (
            lambda a, b, x: (a, b),
            None,
            r"several parts that may be scores \(given: 0 \(2, 5\), 1 \(2, 2\)\)(.|\n)*--part 0",
        ),
        (lambda a, b, x: (a, b), "2", r"tuple without such a part(.|\n)*Allowed: 0, 1"),
        (lambda a, b, x: (a, b), "-1", "without such a part"),
        (lambda a, b, x: {"a": a, "x": x[0]}, "x", r"not a row of scores for each image \(given: x: shape \(3, 8, 8\)"),
        (lambda a, b, x: {"a": a, "n": 3}, "n", "n: a int"),
        (lambda a, b, x: {"x": x.mean()}, None, "must return one tensor of scores"),
        (lambda a, b, x: {}, None, "must return one tensor of scores"),
        (lambda a, b, x: (), None, "must return one tensor of scores"),
        (lambda a, b, x: a, "logits", "one tensor, which has no parts"),
        (lambda a, b, x: {"a": a.long()}, None, "must return one tensor of scores"),
    ],
)
def test_parts_that_cannot_be_explained(pack, part, message):
    with pytest.raises(ModelError, match=message):
        load_model(Net(pack), reading=Reading(part=part), **SIZE)


def test_maps_beside_scores():
    whole = {"scores": lambda a, b, x: {"scores": a, "map": x}, "out": lambda a, b, x: {"out": x, "pooled": a}}
    assert [load_model(Net(whole[name]), **SIZE).task for name in whole] == ["classes", "regions"]
    assert load_model(Net(whole["scores"]), reading=Reading(part="map"), **SIZE).task == "regions"
    assert load_model(Net(whole["out"]), reading=Reading(part="pooled"), **SIZE).task == "classes"
    assert load_model(Net(lambda a, b, x: {"x": x}), **SIZE).task == "regions"


def test_the_part_is_kept_and_another_one_is_another_run(nets_here):
    (nets_here / "nets.py").write_text(
        "import torch\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    one, two = torch.nn.Linear(192, 5), torch.nn.Linear(192, 2)\n"
        "    class Net(torch.nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        "            self.one, self.two = one, two\n"
        "        def forward(self, x):\n"
        "            return {'many': self.one(x.flatten(1)), 'few': self.two(x.flatten(1))}\n"
        "    return Net()\n"
    )
    Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save("a.png")
    net = ["-m", "nets:build", "--image-size", "8", "--mean", "0", "--std", "1", "--method", "ig", "--out", "run"]
    run = CliRunner()
    assert run.invoke(app, ["explain", "a.png", *net, "--part", "few"]).exit_code == 0
    assert json.loads((nets_here / "run" / "manifest.json").read_text())["options"]["part"] == "few"
    assert run.invoke(app, ["evaluate", "run", "--metric", "deletion", "--no-pictures"]).exit_code == 0
    other = run.invoke(app, ["explain", "a.png", *net, "--part", "many", "--resume"])
    assert other.exit_code == 2
    assert "part" in other.stderr

"""Methods that fit neither the network nor the output are refused before the first image, and named together."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from sigcli import evaluate, explain
from sigcli.cli.main import app
from sigcli.errors import MisfitError, UsageError
from sigcli.methods import METHODS

from toys import SMALL


def run(*given):
    return CliRunner().invoke(app, list(map(str, given)))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in")
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"p{number}.png")
    return folder


class Gated(nn.Module):
    """Ends in what LRP has no rule for, and has no attention."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Sigmoid(), nn.Conv2d(4, 4, 3, padding=1))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.body(x).amax((2, 3)))


class Attentive(nn.Module):
    """A block of attention between the 4 × 4 patches of an image."""

    def __init__(self):
        super().__init__()
        self.patches, self.qkv, self.head = nn.Conv2d(3, 8, 6, 6), nn.Linear(8, 24), nn.Linear(8, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(x).chunk(3, -1)
        x = x + (q @ k.transpose(1, 2) / 8**0.5).softmax(-1) @ v
        return self.head(x.mean(1))


NETS = {"gated": Gated, "attentive": Attentive}
GIVEN = {"image_size": 24, "mean": (0.5,), "std": (0.5,), "device": "cpu"}


def net(name):
    torch.manual_seed(3)
    return NETS[name]().eval()


@pytest.mark.parametrize(("name", "output"), [("gated", "logit"), ("attentive", "logit"), ("attentive", "prob")])
def test_no_method_fails_at_an_image_for_what_the_network_decides(files, name, output):
    """Every method of the catalogue: refused before the run, or done; never a misfit of one image."""
    methods = [method for method, entry in METHODS.items() if not entry.properties.get("certainty")]
    own = {**{key: value for one in SMALL.values() for key, value in one.items()}, "players": "grid:2x2", "samples": 8}
    settings = {
        f"{method}.{key}": value
        for method in methods
        for key, value in own.items()
        if key in METHODS[method].options() and key != "baseline"
    }
    given = {"model": net(name), "output": output, "settings": settings, "write": False, **GIVEN}
    with pytest.raises(UsageError) as told:
        explain(files, method=methods, **given)
    named = re.findall(r"(?:^|; )([^:;]+) cannot be used:", str(told.value))
    refused = {one for names in named for one in names.split(", ")}
    rest = [method for method in methods if method not in refused]
    given["settings"] = {key: value for key, value in settings.items() if key.partition(".")[0] in rest}
    found = list(explain(files, method=rest, **given))
    assert len(found) == 2 * len(rest)
    assert not [one.method for one in found if isinstance(one.cause, MisfitError)]
    logits = {"cam", "fullgrad", "lrp", "transformer-attribution"} if output == "prob" else set()
    attention = {"attention-rollout", "attention-gradient", "generic-attention", "transformer-attribution"}
    assert logits <= refused
    assert attention <= refused if name == "gated" else not (attention - logits) & refused


def test_all_that_do_not_fit_are_named_and_the_others_offered(files, tmp_path):
    given = ("--method", "lrp,sig,attention-rollout,gradcam,transformer-attribution", "--output", "prob")
    ended = run("explain", files, *given, "--model", "shapes", "--out", tmp_path / "out", "--device", "cpu")
    assert ended.exit_code == 2, ended.output
    said = " ".join(ended.stderr.split())
    assert "lrp cannot be used: LRP explains logits only" in said
    assert "attention-rollout cannot be used: attention can be followed only" in said
    assert "transformer-attribution cannot be used: Transformer attribution explains logits only" in said
    assert "output prob" in said
    assert "Use --output logit." in said
    assert "--method sig,gradcam." in said
    assert not (tmp_path / "out").exists()


def test_reasons_that_several_share_are_told_once(files):
    with pytest.raises(UsageError, match=r"^attention-rollout, generic-attention cannot be used: [^;]*given: --model"):
        explain(files, method="attention-rollout,generic-attention", model=net("gated"), write=False, **GIVEN)


def test_tokens_and_libragrad_are_refused_before_the_run(files):
    with pytest.raises(UsageError, match="no attention"):
        explain(files, method="kernelshap", baseline="tokens", model=net("gated"), write=False, **GIVEN)
    for method in ("ig", "gradient", "smoothgrad"):
        with pytest.raises(UsageError, match=f"{method} cannot be used: (.|\n)*control flow"):
            explain(files, method=method, settings={"libragrad": True}, model=Looping(), write=False, **GIVEN)


class Looping(nn.Module):
    """Reads values of its input."""

    def forward(self, x):
        return x.mean((2, 3)) * (2 if bool(x.isfinite().all()) else 1)


def test_one_image_has_nothing_to_be_compared_with(files, tmp_path):
    ended = run("explain", files / "p0.png", "--method", "eg,ig", "--out", tmp_path / "out", "--device", "cpu")
    assert ended.exit_code == 2
    assert "eg cannot be used: " in ended.stderr
    assert "--references" in ended.stderr


def test_an_evaluation_refuses_them_as_well(files, tmp_path):
    with pytest.raises(UsageError, match="attention-rollout cannot be used"):
        evaluate(files, method="ig,attention-rollout", model=net("gated"), out=tmp_path / "out", **GIVEN)
    assert not (tmp_path / "out").exists()


def test_only_the_first_picture_is_read_where_all_have_one_size(files, tmp_path, monkeypatch):
    """A refusal costs the same in a folder of a million pictures."""
    from sigcli.attribution.samples import Pictures

    read, own = [], Pictures.read
    monkeypatch.setattr(Pictures, "read", lambda self, source: read.append(source) or own(self, source))
    with pytest.raises(UsageError, match="cannot be used"):
        explain(files, method="attention-rollout", model=net("gated"), write=False, **GIVEN)
    assert len(read) == 1

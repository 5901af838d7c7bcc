"""Two images: minus the distance of the first to the second is a score like any other; messages where it cannot be."""

import csv
import math
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import sigcli
from sigcli.cli.main import app
from sigcli.engine.integrate import Task, integrate
from sigcli.errors import AttributionError, ModelError, UsageError
from sigcli.evaluation.evaluate import evaluate
from sigcli.inputs.samples import sample_images
from sigcli.methods import METHODS
from sigcli.models.loading import load_model
from sigcli.models.wrappers.twins import Twin, inputs_of
from sigcli.scores.distance import EmbeddingDistance, PairDistance, cosine, euclidean

from repository import ROOT
from toys import Images, attribute, smooth_net, subject

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*jit.*:FutureWarning"),
]
SMALL = ["--resize", "32", "--crop", "32", "--device", "cpu", "--no-pictures"]
NETS = """
import torch
from torch import nn

class Pair(nn.Module):
    def __init__(self, root=1e-6):
        super().__init__()
        torch.manual_seed(0)
        self.root = root
        self.embed = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 5))

    def forward(self, a, b):
        return ((self.embed(a) - self.embed(b)).square().sum(1) + self.root).sqrt()

class Wide(Pair):
    def forward(self, a, b):
        return torch.cat((self.embed(a), self.embed(b)), 1)

class Cut(Pair):
    def forward(self, a, b):
        return super().forward(a, b).detach()

class Broken(Pair):
    def forward(self, a, b):
        return super().forward(a, b) * float("nan")

class Three(Pair):
    def forward(self, a, b, c):
        return super().forward(a, b)

class One(Pair):
    def forward(self, a, b):
        return super().forward(b, b)

def pair(): return Pair()
def kinked(): return Pair(0.0)
def embed(): return Pair().embed
def wide(): return Wide()
def cut(): return Cut()
def broken(): return Broken()
def three(): return Three()
def one(): return One()
"""


def sig(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def rows(folder):
    with (Path(folder) / "results.csv").open(newline="") as stream:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]


@pytest.fixture
def here(nets_here):
    """Three first images, their second ones by the same names, and networks in `nets.py`."""
    tmp_path = nets_here
    (tmp_path / "nets.py").write_text(NETS)
    paths = sorted(sample_images().glob("*.png"))
    for folder, chosen in (("a", paths[:3]), ("b", paths[3:6])):
        (tmp_path / folder).mkdir()
        for number, path in enumerate(chosen):
            shutil.copy(path, tmp_path / folder / f"{number}.png")
    return tmp_path


def others(count=3, seed=5, shape=(2, 6, 6)):
    return Images(torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def explain(scorer, who, method="ig", batch_size=16, **options):
    task = Task(who, METHODS[method].load()(who, **options))
    return next(iter(integrate(scorer, [task], batch_size=batch_size, check=1)))


# --- the score


def test_euclidean_distance_of_a_linear_embedding_has_a_closed_form():
    """With embedding W x, IG from x' to x of -‖W(x - b)‖ is the line integral, which a fine sum gives."""
    weight = torch.randn(4, 72, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    partners, who = others(), subject(target=2)
    scorer = EmbeddingDistance(lambda x: x.flatten(1) @ weight.T, partners)
    found = explain(scorer, who, steps=64, baseline="black")
    alpha = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    ends = (alpha[:, None] * who.x.flatten() - partners.image(2).flatten()) @ weight.T
    gradient = -(ends / ends.norm(dim=1, keepdim=True)) @ weight
    expected = (gradient.mean(0) * who.x.flatten()).reshape(who.x.shape)
    torch.testing.assert_close(found.values, expected, rtol=1e-4, atol=1e-6)
    assert found.score == pytest.approx(-float(((who.x - partners.image(2)).flatten() @ weight.T).norm()), rel=1e-3)


@pytest.mark.parametrize("distance", ["distance", "cosine-distance"])
@pytest.mark.parametrize("method", ["ig", "sig", "sig-walk"])
def test_values_sum_to_the_difference_of_distances(distance, method):
    options = {"ig": {"steps": 200}, "sig": {"players": "3x3", "samples": 4000}, "sig-walk": {"players": "3x3"}}[method]
    scorer, who = EmbeddingDistance(smooth_net(), others(), distance), subject(target=1)
    found = explain(scorer, who, method, baseline="black", **options)
    start = scorer.scores(torch.zeros_like(who.x)[None], torch.tensor([1]))
    end = scorer.scores(who.x[None], torch.tensor([1]))
    assert found.score == pytest.approx(float(end))
    assert found.relative_gap < {"ig": 1e-3, "sig": 0.1, "sig-walk": 1e-9}[method]
    if method != "sig":
        assert float(found.values.sum()) == pytest.approx(float(end - start), rel=2e-3)


def test_distances_are_symmetric_and_zero_only_at_home():
    net, images = smooth_net(), others(4).images
    codes = net(images)
    for kind in (euclidean, cosine):
        torch.testing.assert_close(kind(codes[:2], codes[2:]), kind(codes[2:], codes[:2]), rtol=1e-3, atol=0)
        torch.testing.assert_close(kind(codes, codes), torch.zeros(4, dtype=codes.dtype), atol=1e-12, rtol=0)
        assert bool((kind(codes[:2], codes[2:]) > 0).all())
    plain = (codes[:2] - codes[2:]).norm(dim=1)
    torch.testing.assert_close(euclidean(codes[:2], codes[2:]), plain, rtol=1e-3, atol=0)


def test_red_brings_closer():
    """A step along positive attribution lowers the distance."""
    partners, who = others(), subject(target=0)
    scorer = EmbeddingDistance(smooth_net(), partners)
    found = explain(scorer, who, "gradient")
    nearer = scorer.scores((who.x + 1e-3 * found.values)[None], torch.tensor([0]))
    assert float(nearer) > found.score
    assert found.score < 0


@pytest.mark.parametrize("distance", ["distance", "cosine-distance"])
def test_equal_images_have_no_kink(distance):
    who = subject(target=0)
    scorer = EmbeddingDistance(smooth_net(), Images(who.x[None]), distance)
    score, gradient = scorer.gradients(who.x[None], torch.tensor([0]))
    assert float(score) == pytest.approx(0, abs=1e-12)
    assert float(gradient.abs().max()) < 1e-6
    found = explain(scorer, who, "ig", steps=200)
    assert bool(torch.isfinite(found.values).all())
    assert found.relative_gap < 0.01


def test_a_model_of_two_images_gives_what_its_embedding_gives():
    net = smooth_net()

    def both(a, b):
        return ((net(a) - net(b)).square().sum(1) + 1e-12).sqrt()

    who, partners = subject(target=1), others()
    one, other = explain(PairDistance(both, partners), who), explain(EmbeddingDistance(net, partners), who)
    torch.testing.assert_close(one.values, other.values, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", ["sig", "sig-walk", "eg"])
def test_batches_change_nothing(method):
    scorer = EmbeddingDistance(smooth_net(torch.float32), Images(others().images.float()))
    who = subject(dtype=torch.float32, target=1)
    options = {} if method == "eg" else {"players": "3x3", "baseline": "black"}
    small, large = (explain(scorer, who, method, size, **options) for size in (3, 64))
    torch.testing.assert_close(small.values, large.values, rtol=1e-4, atol=1e-6)


def test_pairs_share_batches():
    """Points of several pairs in one batch keep to their own second images."""
    scorer = EmbeddingDistance(smooth_net(), others())
    tasks = [subject(target=number, key=number) for number in (2, 0, 1)]
    plans = [Task(who, METHODS["ig"].load()(who, steps=7)) for who in tasks]
    together = list(integrate(scorer, plans, batch_size=5, check=1))
    for who, found in zip(tasks, together, strict=True):
        torch.testing.assert_close(found.values, explain(scorer, who, steps=7).values)


def test_a_pair_is_not_a_classifier():
    """The score is of the pair: another second image, another map."""
    scorer = EmbeddingDistance(smooth_net(), others())
    one, other = (explain(scorer, subject(target=number)).values for number in (0, 1))
    assert not torch.allclose(one, other)
    assert not torch.allclose(one, attribute(smooth_net(), "ig", subject(target=0)).values)


def test_zero_and_nan_embeddings_are_named():
    zero = EmbeddingDistance(lambda x: x.flatten(1) * 0, others(), "cosine-distance")
    with pytest.raises(AttributionError, match="cosine distance is undefined"):
        zero.scores(others().images, torch.zeros(3, dtype=torch.long))
    broken = EmbeddingDistance(lambda x: x.flatten(1) * math.nan, others())
    with pytest.raises(AttributionError, match="NaN"):
        broken.scores(others().images, torch.zeros(3, dtype=torch.long))


@pytest.mark.parametrize("kind", [{"distance": "manhattan"}, {"precision": "int8"}])
def test_unknown_kinds_are_named(kind):
    with pytest.raises(UsageError, match="Allowed"):
        EmbeddingDistance(smooth_net(), others(), **kind)


# --- models


def test_inputs_are_counted():
    class Two(nn.Module):
        def forward(self, a, b, scale: float = 1.0):
            return (a - b).flatten(1).sum(1) * scale

    assert inputs_of(nn.Flatten()) == 1
    assert inputs_of(Two()) == 2
    assert inputs_of(torch.jit.script(Two())) == 2


def _save(kind, folder):
    import nets

    net, images = nets.pair().eval(), (torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32))
    if kind == "trace":
        torch.jit.trace(net, images).save(str(folder / "pair.pt"))
        return "pair.pt"
    if kind == "factory":
        return "nets:pair"
    sizes = None if kind == "fixed" else ({0: torch.export.Dim("n", min=1, max=64)},) * 2
    torch.export.save(torch.export.export(net, images, dynamic_shapes=sizes), str(folder / "pair.pt2"))
    return "pair.pt2"


@pytest.mark.parametrize("kind", ["trace", "export", "fixed", "factory"])
def test_models_of_two_images_load_from_every_form(kind, here):
    model = load_model(_save(kind, here), pair=True, resize=32, crop=32)
    assert isinstance(model.module, Twin)
    import nets

    one, other = torch.rand(3, 3, 32, 32), torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(model.module(one, other), nets.pair()(one, other), rtol=1e-4, atol=1e-5)


# --- the command


def test_one_second_image_for_all(here):
    done = sig("explain", "a", "--reference", "b/0.png", "-m", "nets:pair", "--method", "ig,sig", "--set", "samples=8",
               "--set", "steps=4", "--set", "sig.steps=1", "--players", "8x8", "--out", "out", "--json", *SMALL)  # fmt: skip
    assert done.exit_code == 0, done.output
    found = rows("out")
    assert {row["label"] for row in found} == {"0.png"}
    assert {row["output"] for row in found} == {"minus distance"}
    assert all(float(row["score"]) < 0 for row in found)
    assert '"output": "minus distance"' in done.stdout


def test_a_folder_of_second_images_goes_by_name(here):
    common = ["-m", "nets:embed", "--method", "ig", "--set", "steps=4", *SMALL]
    assert sig("explain", "a", "--partner", "b", "--out", "all", *common).exit_code == 0
    scores = [row["score"] for row in rows("all")]
    assert [row["label"] for row in rows("all")] == ["b/0.png", "b/1.png", "b/2.png"]
    for number in range(3):
        one = ["explain", f"a/{number}.png", "--partner", f"b/{number}.png", "--out", f"one{number}"]
        assert sig(*one, *common).exit_code == 0
        assert float(rows(f"one{number}")[0]["score"]) == pytest.approx(float(scores[number]), rel=1e-5)
        each, alone = np.load(f"all/{number}/ig.npy"), np.load(f"one{number}/{number}/ig.npy")
        np.testing.assert_allclose(each, alone, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("output", ["distance", "cosine-distance"])
def test_both_distances_and_both_pictures(here, output):
    found = sigcli.explain(
        "a/0.png", partner="b/1.png", model="nets:embed", output=output, method="ig", resize=32, crop=32, out="out"
    )
    assert found[0].output == f"minus {output}"
    assert found[0].unit == f"minus {output} per pixel"
    assert found[0].partner.shape == (32, 32, 3)
    assert found[0].relative_gap < 0.02
    with Image.open("out/0/compare.png") as wide, Image.open("out/0/ig.png") as narrow:
        assert wide.width > narrow.width


def test_a_pair_run_is_resumed_and_knows_its_second_image(here):
    common = ["explain", "a", "-m", "nets:embed", "--method", "ig", "--set", "steps=4", *SMALL, "--out", "out"]
    assert sig(*common, "--partner", "b").exit_code == 0
    before = rows("out")
    Path("out/1/ig.npy").unlink()
    assert sig(*common, "--partner", "b", "--resume").exit_code == 0
    assert rows("out") == before
    again = sig(*common, "--partner", "b/0.png", "--resume")
    assert again.exit_code == 2
    assert "partners" in again.stderr


def test_a_damaged_second_image_fails_alone(here):
    Path("b/1.png").write_bytes(Path("b/1.png").read_bytes()[:200])
    done = sig(
        "explain",
        "a",
        "--partner",
        "b",
        "-m",
        "nets:embed",
        "--method",
        "ig",
        "--set",
        "steps=4",
        "--out",
        "out",
        *SMALL,
    )
    assert done.exit_code == 1
    assert [row["status"] for row in rows("out")] == ["ok", "failed", "ok"]
    assert "damaged" in rows("out")[1]["error"]


BAD = {
    "no such second image": (["--partner", "b/9.png", "-m", "nets:pair"], "no such file"),
    "a pattern": (["--partner", "b/*.png", "-m", "nets:pair"], "one file or a folder"),
    "a name without partner": (["--partner", "few", "-m", "nets:pair"], "no second image for 1.png, 2.png"),
    "a probability": (["--partner", "b", "-m", "nets:pair", "--output", "prob"], "no classes"),
    "a target": (["--partner", "b", "-m", "nets:pair", "--target", "3"], "no target"),
    "cosine of a distance": (["--partner", "b", "-m", "nets:pair", "--output", "cosine-distance"], "itself"),
    "a distance alone": (["-m", "nets:embed", "--output", "distance"], "--partner"),
    "--references for --partner": (["-m", "nets:embed", "--output", "distance", "--references", "b"], "--partner"),
    "two inputs, one image": (["-m", "nets:pair"], "takes two inputs"),
    "three inputs": (["--partner", "b", "-m", "nets:three"], "more than two"),
    "a row for each pair": (["--partner", "b", "-m", "nets:wide"], "one distance for each pair"),
    "no gradient": (["--partner", "b", "-m", "nets:cut"], "not differentiable"),
    "NaN": (["--partner", "b", "-m", "nets:broken"], "NaN"),
    "only the second image": (["--partner", "b", "-m", "nets:one"], "first image"),
    "bundled faces alone": (["-m", "expression"], "second image"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case, here):
    (here / "few").mkdir()
    shutil.copy("b/0.png", "few/0.png")
    arguments, message = BAD[case]
    done = sig("explain", "a", "--out", "out", *arguments, *SMALL)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3


def test_a_kink_at_equal_images_is_noted(here):
    model = load_model("nets:kinked", pair=True, resize=32, crop=32)
    assert any("both images are equal" in note for note in model.notes)
    assert not any("equal" in note for note in load_model("nets:pair", pair=True, resize=32, crop=32).notes)
    done = sig(
        "explain", "a/0.png", "--partner", "a/0.png", "-m", "nets:kinked", "--method", "gradient", "--out", "o", *SMALL
    )
    assert done.exit_code == 1
    assert "NaN" in rows("o")[0]["error"]


def test_evaluate_refuses_pairs(here):
    with pytest.raises(UsageError, match="unknown option of evaluate"):
        evaluate("a", partner="b", model="nets:pair")
    with pytest.raises(ModelError, match="two inputs"):
        load_model("nets:pair", resize=32, crop=32)


@pytest.mark.slow
def test_every_command_of_the_docs_runs(here):
    text = (ROOT / "docs" / "pairs.md").read_text(encoding="utf-8")
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    assert len(commands) == 6
    shutil.copy("nets.py", "mynets.py")
    shutil.copytree("a", "photos")
    shutil.copytree("b", "others")
    for name, source in (("a.jpg", "a/0.png"), ("b.jpg", "b/0.png")):
        with Image.open(source) as picture:
            picture.convert("RGB").save(name)
    _save("trace", here)
    cheap = ["--set", "sig.samples=8", "--device", "cpu"]
    for command in commands:
        arguments = shlex.split(command.split("#")[0].replace("--pairs 16", "--pairs 2"))[1:]
        if arguments[0] == "benchmark":
            extra = [*cheap, "--method", "sig", "--no-pictures"]
        else:
            faces = "expression" in arguments
            extra = [*cheap, *(["--set", "sig-walk.orders=2", "--set", "ig.steps=4"] if faces else SMALL)]
        done = sig(*arguments, *extra)
        assert done.exit_code == 0, f"{command}\n{done.output}"

"""Integrated Certainty Gradients: the path in certainty, models that take one, masked areas."""

import inspect
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from sigcli.attribution.explain import explain
from sigcli.cli.main import app
from sigcli.engine.integrate import Task, integrate
from sigcli.errors import UsageError
from sigcli.inputs.samples import sample_images
from sigcli.methods.certainty_gradients import icg
from sigcli.models.loading import load_model
from sigcli.models.networks.certainty import SmallCNN
from sigcli.models.wrappers.certainty import Aware, masked, takes_certainty
from sigcli.scores.classifier import ClassScore

from toys import attribute, smooth_net, subject

STAR = str(sample_images() / "star.png")
FAST = {"device": "cpu", "pictures": False, "settings": {"steps": 4}}


class Certain(nn.Module):
    """A network that takes a certainty, with terms that mix it with the image in both orders."""

    def __init__(self):
        super().__init__()
        self.net = smooth_net(channels=3)

    def forward(self, x, certainty=None):
        certainty = torch.ones_like(x[:, :1]) if certainty is None else certainty
        return self.net(torch.cat((x * certainty, certainty**2), 1))


@pytest.fixture
def net():
    return Aware(Certain().double(), 2)


def run(net, who, batch_size=16, **options):
    return next(iter(integrate(ClassScore(net), [Task(who, icg(who, **options))], batch_size=batch_size, check=1)))


def by_hand(net, x, target, steps):
    """The definition: the mean over α of dF(x, α·1)/dc, one gradient after another."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros_like(x[:1])
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        c = torch.full_like(x[None, :1], node).requires_grad_()
        total += weight * torch.autograd.grad(net.inner(x[None], c)[0, target], c)[0][0]
    return total


def test_it_is_the_definition(net):
    who = subject()
    found = run(net, who, steps=12)
    assert torch.allclose(found.values, by_hand(net, who.x, who.target, 12), rtol=1e-9, atol=1e-12)
    assert found.values.shape == (1, 6, 6)
    assert found.gradient_evaluations == 12


def test_completeness_is_the_difference_that_certainty_makes(net):
    who = subject()
    found = run(net, who, steps=30)
    with torch.no_grad():
        sure, unsure = (net.inner(who.x[None], torch.full((1, 1, 6, 6), c).double())[0, 1] for c in (1.0, 0.0))
    assert found.total == pytest.approx(float(sure - unsure))
    assert found.score == pytest.approx(float(sure))
    assert found.completeness_gap < 1e-8 * abs(found.total)


def test_where_certainty_dims_pixels_it_is_ig_from_black():
    """Then x·c runs from 0 to x, and the chain rule sums IG over the channels."""
    who, plain = subject(), smooth_net()
    one = attribute(plain, "icg", who, steps=20)
    other = attribute(plain, "ig", who, steps=20, baseline="black")
    assert torch.allclose(one.values[0], other.values.sum(0), rtol=1e-9, atol=1e-12)


class TestNoiseAverage:
    def test_it_is_the_mean_of_paths_of_noisy_images(self, net):
        who = subject()
        plan = icg(who, steps=8, samples=5, sigma=0.1)
        images = plan.reference.sample(torch.arange(5))
        assert torch.equal(images[:, 2:], torch.zeros(5, 1, 6, 6).double())
        assert 0.05 < float((images[:, :2] - who.x).std()) < 0.2
        expected = torch.stack([by_hand(net, image[:2], who.target, 8) for image in images]).mean(0)
        assert torch.allclose(run(net, who, steps=8, samples=5, sigma=0.1).values, expected, rtol=1e-9, atol=1e-12)

    def test_completeness_and_standard_error(self, net):
        found = run(net, subject(), steps=20, samples=5, sigma=0.1)
        assert found.completeness_gap < 1e-8 * abs(found.total)
        assert found.stderr.shape == found.values.shape
        assert 0 < found.relative_standard_error < 0.5

    @pytest.mark.parametrize("batch_size", [1, 7, 64])
    def test_batch_size_changes_nothing(self, net, batch_size):
        one, other = (run(net, subject(), b, steps=6, samples=5, sigma=0.1) for b in (16, batch_size))
        assert torch.allclose(one.values, other.values, rtol=1e-9, atol=1e-12)

    def test_the_seed_moves_it(self, net):
        one, again, other = (run(net, subject(seed=s), steps=4, samples=2, sigma=0.1).values for s in (0, 0, 1))
        assert torch.equal(one, again)
        assert not torch.equal(one, other)

    def test_noise_must_be_above_zero(self):
        with pytest.raises(UsageError, match="sigma must be above 0"):
            icg(subject(), samples=5, sigma=0)


class TestModels:
    def test_who_takes_it(self):
        assert takes_certainty(Certain())
        assert not takes_certainty(smooth_net())
        assert takes_certainty(SmallCNN(2, certainty=True))
        assert not takes_certainty(SmallCNN(2))
        assert "certainty" in inspect.signature(load_model("shapes").module.inner.forward).parameters

    @pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning")
    @pytest.mark.filterwarnings("ignore:.*jit.*:FutureWarning")
    def test_torchscript_says_so_in_its_schema(self):
        class Scripted(nn.Module):
            def forward(self, x: torch.Tensor, certainty: torch.Tensor | None = None) -> torch.Tensor:
                if certainty is not None:
                    x = x * certainty
                return x.mean((2, 3))

        assert takes_certainty(torch.jit.script(Scripted()))

    def test_a_model_without_certainty_is_refused_with_the_way_out(self, tmp_path):
        with pytest.raises(UsageError, match=r"icg needs a certainty-aware model(.|\n)*sig train FOLDER"):
            explain(STAR, model="squeezenet1_1", weights="none", method="ig,icg", write=False, **FAST)
        with pytest.raises(UsageError, match="mask-certainty needs a certainty-aware model"):
            explain(STAR, model="squeezenet1_1", weights="none", mask_certainty="0,0,1,0.5", write=False)

    def test_shapes_has_it_beside_the_others(self, tmp_path):
        one, other = explain(STAR, method="icg,ig", out=tmp_path / "out", **FAST)
        assert one.values.shape == (1, 128, 128)
        assert other.values.shape == (3, 128, 128)
        assert one.score == pytest.approx(other.score, rel=1e-5)
        assert one.status == other.status == "ok"

    def test_without_a_certainty_the_wrapper_changes_nothing(self, net):
        x = torch.rand(3, 2, 6, 6).double()
        assert torch.equal(net(x), net.inner(x))
        assert torch.allclose(net(torch.cat((x, torch.ones_like(x[:, :1])), 1)), net.inner(x))


class TestMask:
    """[ICG] Fig. 7: an area of certainty 0 loses its attribution under every method."""

    def test_icg_gives_exactly_nothing_there(self):
        found = explain(STAR, method="icg", mask_certainty="0.5,0,1,1", write=False, **FAST)[0].values
        assert not found[..., 64:].any()
        assert found[..., :64].any()

    def test_ig_loses_most_of_it(self):
        def share(mask):
            found = explain(STAR, method="black=ig,white=ig", write=False, device="cpu", mask_certainty=mask,
                            settings={"steps": 12, "white.baseline": "white"})  # fmt: skip
            total = sum(np.abs(item.values) for item in found).sum(0)
            return float(total[:, 64:].sum() / total.sum())

        assert share("0.5,0,1,1") < 0.1 < share(None)

    def test_an_image_names_the_area_too(self, tmp_path):
        area = np.zeros((64, 64), np.uint8)
        area[:, 32:] = 255
        Image.fromarray(area).save(tmp_path / "area.png")
        one = explain(STAR, method="icg", mask_certainty=tmp_path / "area.png", write=False, **FAST)[0].values
        other = explain(STAR, method="icg", mask_certainty="0.5,0,1,1", write=False, **FAST)[0].values
        assert np.array_equal(one, other)

    @pytest.mark.parametrize("spec", ["a,b", "0,0,1", "0.5,0,0.2,1", "0,0,2,1", "0,0,1,1", "0,0,0.001,0.001"])
    def test_no_area_is_refused(self, spec):
        with pytest.raises(UsageError, match="mask-certainty"):
            masked(load_model("shapes"), spec)

    def test_command_masks_and_resumes_only_the_same(self, tmp_path):
        command = ["explain", STAR, "--method", "icg,ig", "--set", "steps=3", "--device", "cpu", "--out", str(tmp_path)]
        done = CliRunner().invoke(app, [*command, "--mask-certainty", "0.5,0,1,1", "--json"])
        assert done.exit_code == 0, done.output
        values = np.load(json.loads(done.stdout.splitlines()[0])["array"])
        assert not values[..., 64:].any()
        picture = np.asarray(Image.open(tmp_path / "star" / "compare.png").convert("RGB")).astype(int)
        assert (np.abs(picture - 127).max(-1) <= 1).mean() > 0.02  # the masked half is grey
        refused = CliRunner().invoke(app, [*command, "--mask-certainty", "0,0,0.5,1", "--resume"])
        assert refused.exit_code == 2
        assert "mask_certainty differ" in refused.output

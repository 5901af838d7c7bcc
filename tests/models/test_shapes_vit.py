"""The bundled transformer `shapes-vit`: what it is, what it reached, and that dropped tokens are nothing new to it."""

import json
import math
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sigcli.attribution.tokens import grid_of
from sigcli.errors import ModelError
from sigcli.methods.attention import tokens
from sigcli.methods.token_masks import noise_image, token_masks
from sigcli.models.loading import load_model
from sigcli.models.networks import shapes, shapes_vit
from sigcli.models.preprocess import Preprocess
from sigcli.scenarios.shapes.data import CLASSES, batch

from repository import ROOT

SEED = 987_654  # of no picture that the network was trained on


@pytest.fixture(scope="module")
def model():
    return load_model("shapes-vit", device="cpu")


@pytest.fixture(scope="module")
def fresh():
    return batch(SEED, range(240))


@pytest.fixture(scope="module")
def inputs(model, fresh):
    return torch.stack([model.preprocess(image) for image in fresh.images])


def test_right_on_fresh_pictures(model, fresh, inputs):
    with torch.no_grad():
        said = torch.cat([model.module(part).argmax(1) for part in inputs.split(60)])
    assert (said.numpy() == fresh.labels).mean() >= 0.95  # 97 % of all; 240 pictures have a standard error of 1.1 %


def test_small_and_with_what_it_reached():
    assert shapes_vit.WEIGHTS.stat().st_size < 2_500_000
    with safe_open(shapes_vit.WEIGHTS, framework="pt") as file:
        facts = json.loads(file.metadata()["training"])
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118 (not a dict)
    assert (facts["accuracy"], facts["fresh"]) >= (0.97, 5_000)
    assert facts["minutes"] <= 35
    assert kinds == {torch.float16}


def test_it_is_loaded_as_any_bundled_network(model):
    assert (model.kind, model.labels, model.certainty) == ("bundled", CLASSES, False)
    assert model.preprocess == Preprocess(shapes.SIZE, shapes.SIZE, shapes.MEAN, shapes.STD)
    assert {value.dtype for value in model.module.parameters()} == {torch.float32}


def test_its_attention_is_that_of_a_class_token_and_8x8_patches(model):
    found = tokens(model.module, noise_image(model.module, (3, 128, 128)))
    assert (len(found.weights), found.count, found.size, found.read, found.note) == (6, 65, (8, 8), (0,), "")
    assert found.places == tuple(range(1, 65))
    assert grid_of(model, (128, 128), "--baseline tokens", dropped=True) == (8, 8)


def test_dropped_tokens_are_not_seen_and_the_object_alone_is_enough(model, fresh, inputs):
    masks = token_masks(model.module, noise_image(model.module, (3, 128, 128)))
    some, noise = inputs[:48], torch.randn(48, 3, 128, 128)
    cells = torch.from_numpy(fresh.masks[:48]).view(48, 8, 16, 8, 16).any(4).any(2)
    near = torch.nn.functional.max_pool2d(cells.float()[:, None], 3, 1, 1)  # the object's patches and those around them
    there = near.repeat_interleave(16, 2).repeat_interleave(16, 3)
    with torch.no_grad():
        seen = masks(torch.cat((some, there), 1))
        other = masks(torch.cat((some * there + noise * (1 - there), there), 1))
    torch.testing.assert_close(seen, other, rtol=1e-4, atol=1e-4)
    assert (1 - near.mean()).item() > 0.5  # most tokens are dropped
    assert (seen.argmax(1).numpy() == fresh.labels[:48]).mean() >= 0.85


def test_missing_weights_and_those_of_another_network(tmp_path):
    with pytest.raises(ModelError, match="no such weights file"):
        load_model("shapes-vit", weights=str(tmp_path / "s.safetensors"))
    with pytest.raises(ModelError, match="no random weights"):
        load_model("shapes-vit", weights="none")
    with pytest.raises(ModelError, match=r"weights of the network 'shapes-vit'(.|\n)*train_shapes_vit\.py"):
        load_model("shapes-vit", weights=str(shapes_vit.WEIGHTS.with_name("shapes.safetensors")))
    with pytest.raises(ModelError, match="Did you mean 'shapes-vit'"):
        load_model("shapes-vt")


def test_weights_trained_anew_have_their_own_classes(tmp_path):
    net = shapes_vit.build(3)
    torch.nn.init.normal_(net.heads.head.weight)
    state = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    save_file(state, tmp_path / "s.safetensors", metadata={"classes": '["a", "b", "c"]'})
    model = load_model("shapes-vit", weights=str(tmp_path / "s.safetensors"))
    assert model.labels == ("a", "b", "c")
    net.load_state_dict(state)
    x = torch.randn(2, 3, 128, 128)
    torch.testing.assert_close(model.module(x), net.eval()(x).detach(), rtol=1e-4, atol=1e-5)


class TestScript:
    """What `scripts/train_shapes_vit.py` trains is the network that is kept."""

    @pytest.fixture
    def script(self, monkeypatch):
        monkeypatch.syspath_prepend(str(ROOT / "scripts"))
        yield __import__("train_shapes_vit")
        for name in ("train_shapes", "train_shapes_vit"):
            sys.modules.pop(name, None)

    def test_its_pass_over_all_tokens_is_the_networks_in_any_order(self, script, inputs):
        net, _ = shapes_vit.load()
        patches, order = script.patches_of(inputs[:4]), torch.rand(4, 64).argsort(1)
        moved = patches.gather(1, order[..., None].expand(-1, -1, patches.shape[2]))
        with torch.no_grad():
            said, between = script.scores(net, moved, order)
            torch.testing.assert_close(said, net(inputs[:4]), rtol=1e-4, atol=1e-4)
        assert [len(one) for one in between] == [0, 0]  # the first ten pictures of a batch get no hints

    def test_tokens_of_the_object_come_first(self, script):
        boxes = torch.tensor([[20, 40, 60, 70]] * 400)
        chosen = script.chosen_tokens(boxes, 12, torch.Generator().manual_seed(0))
        assert all(len(set(row.tolist())) == 12 for row in chosen)
        box = {8 * row + column for row in (2, 3, 4) for column in (1, 2, 3)}
        whole = np.mean([box <= set(row.tolist()) for row in chosen])
        assert 0.68 < whole < 0.82  # 75 %, with a standard error of 2 %

    def test_hints_lie_where_the_patches_do(self, script, fresh):
        images = torch.from_numpy(fresh.images[:64]).permute(0, 3, 1, 2).contiguous()
        other = images.clone()
        other[:, :, 64:80, 32:48] = 255 - other[:, :, 64:80, 32:48]
        plain = [torch.zeros(64, dtype=torch.int64), torch.zeros(64, 4, dtype=torch.int64)]
        one, two = script.taught(images, *plain), script.taught(other, *plain)
        for name in ("fine", "deep"):
            moved = (getattr(one, name).float() - getattr(two, name).float()).square().sum(2).mean(0)
            assert moved.argmax() == 8 * 4 + 2

    @pytest.mark.parametrize(("shape", "parts"), [((96, 32), 1), ((32, 96), 1), ((96, 32), 3)])
    def test_a_step_of_muon_is_orthogonal_part_by_part(self, script, shape, parts):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.zeros(shape))
        left, _, right = torch.linalg.svd(torch.randn(parts, shape[0] // parts, shape[1]), full_matrices=False)
        weight.grad = (left * torch.linspace(1, 5, right.shape[1]) @ right).reshape(shape)
        script.Muon([{"params": [weight], "parts": parts}]).step()
        values = torch.linalg.svdvals(weight.detach().view(parts, -1, shape[1])) / 0.02
        tall = math.sqrt(max(1, shape[0] / parts / shape[1]))
        assert 0.6 * tall < values.min() <= values.max() < 1.3 * tall

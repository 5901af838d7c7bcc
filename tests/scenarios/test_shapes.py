"""The shapes scenario and the bundled network trained on it."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sigcli.errors import ModelError, UsageError
from sigcli.metrics import certainty as checks
from sigcli.models.networks import shapes as model
from sigcli.scenarios.shapes.data import CLASSES, batch, draw

SEED = 987_654  # of no picture that the network was trained on


def normalised(images):
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return (x - torch.tensor(model.MEAN).view(3, 1, 1)) / torch.tensor(model.STD).view(3, 1, 1)


@pytest.fixture(scope="module")
def net():
    return model.load()[0]


@pytest.fixture(scope="module")
def fresh():
    return batch(SEED, range(480))


class TestPictures:
    def test_same_arguments_same_picture(self):
        a, b = draw(3, 14), draw(3, 14)
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.mask, b.mask)
        assert a.label == b.label
        assert not np.array_equal(a.image, draw(3, 15).image)
        assert not np.array_equal(a.image, draw(4, 14).image)

    def test_batch_is_the_pictures_whatever_the_order(self):
        together = batch(5, [9, 2])
        assert np.array_equal(together.images[1], draw(5, 2).image)
        assert np.array_equal(together.masks[0], draw(5, 9).mask)
        assert together.images.dtype == np.uint8
        assert together.labels.dtype == np.int64
        assert together.masks.dtype == bool

    def test_classes_are_named_once_and_all_drawn_evenly(self, fresh):
        assert len(set(CLASSES)) == len(CLASSES) >= 10
        counts = np.bincount(fresh.labels, minlength=len(CLASSES))
        assert counts.min() > 480 / len(CLASSES) / 2

    def test_masks_are_one_small_part_of_the_picture(self, fresh):
        share = fresh.masks.mean(axis=(1, 2))
        assert share.min() > 0.005
        assert share.max() < 0.2
        edge = np.concatenate((fresh.masks[:, [0, -1]], fresh.masks[:, :, [0, -1]].swapaxes(1, 2)), axis=1)
        assert not edge.any()

    @pytest.mark.parametrize("label", range(len(CLASSES)))
    def test_mask_holds_every_pixel_that_the_object_changed(self, label):
        # The draws before the object do not depend on the class, so two classes differ on their objects only,
        # up to the half-covered pixels of the edges and the grain, which has its own strength.
        from scipy.ndimage import binary_dilation

        for index in range(5):
            one, other = draw(8, index, label=label), draw(8, index, label=(label + 1) % len(CLASSES))
            either = binary_dilation(one.mask | other.mask, iterations=2)
            apart = np.abs(one.image.astype(int) - other.image).max(axis=2)
            assert apart[~either].max() < 60
            assert np.median(apart[one.mask ^ other.mask]) > np.median(apart[~either])

    def test_asking_for_a_class_draws_it(self):
        assert [draw(0, 1, label=k).label for k in range(len(CLASSES))] == list(range(len(CLASSES)))

    def test_colour_says_nothing_about_the_class(self, fresh):
        mean = fresh.images.mean(axis=(1, 2))
        object_mean = np.stack([i[m].mean(axis=0) for i, m in zip(fresh.images, fresh.masks, strict=True)])
        for values in (mean, object_mean):
            spread = values.std(axis=0)
            for kind in range(len(CLASSES)):
                of_kind = values[fresh.labels == kind]
                error = spread / np.sqrt(len(of_kind))
                assert (np.abs(of_kind.mean(axis=0) - values.mean(axis=0)) < 4 * error).all(), CLASSES[kind]

    def test_object_stands_out_from_its_surroundings(self, fresh):
        inside = np.stack([i[m].mean(axis=0) for i, m in zip(fresh.images, fresh.masks, strict=True)])
        outside = np.stack([i[~m].mean(axis=0) for i, m in zip(fresh.images, fresh.masks, strict=True)])
        assert np.mean(np.linalg.norm(inside - outside, axis=1) > 40) > 0.95

    @pytest.mark.parametrize("size", [32, 64, 200])
    def test_other_sizes_show_the_same_scene(self, size):
        picture = draw(1, 2, size=size)
        assert picture.image.shape == (size, size, 3)
        assert abs(picture.mask.mean() - draw(1, 2).mask.mean()) < 0.03

    @pytest.mark.parametrize(
        "arguments", [{"seed": -1}, {"index": -1}, {"size": 8}, {"label": len(CLASSES)}, {"label": -1}]
    )
    def test_arguments_out_of_range(self, arguments):
        with pytest.raises(UsageError, match="given"):
            draw(**({"seed": 0, "index": 0} | arguments))

    def test_no_pictures(self):
        with pytest.raises(UsageError, match="no pictures"):
            batch(0, [])


class TestNetwork:
    def test_classes_are_those_of_the_scenario(self):
        assert model.load()[1] == CLASSES

    def test_right_on_fresh_pictures(self, net, fresh):
        with torch.no_grad():
            said = torch.cat([net(normalised(part)).argmax(1) for part in np.array_split(fresh.images, 12)])
        assert (said.numpy() == fresh.labels).mean() >= 0.975

    def test_no_certainty_means_full_certainty(self, net, fresh):
        x = normalised(fresh.images[:4])
        torch.testing.assert_close(net(x), net(x, torch.ones(4, 1, 128, 128)), rtol=1e-5, atol=1e-4)

    def test_certainty_zero_says_nothing(self, net, fresh):
        noise = np.random.default_rng(0).integers(0, 256, (40, 128, 128, 3), dtype=np.uint8)
        x = normalised(np.concatenate((fresh.images[:60], noise, noise[:1] * 0, noise[:1] * 0 + 255)))
        assert checks.information_absence(net, x) <= 0.02
        assert checks.neutrality(net, x, torch.full((len(CLASSES),), 1 / len(CLASSES))) <= 0.05

    def test_certainty_can_be_attributed_to(self, net, fresh):
        x = normalised(fresh.images[:2]).requires_grad_()
        certainty = torch.full((2, 1, 128, 128), 0.5, requires_grad=True)
        net(x, certainty).sum().backward()
        assert x.grad.abs().max() > 0
        assert certainty.grad.abs().max() > 0

    @pytest.mark.parametrize("shape", [(32, 32), (96, 160)])
    def test_other_sizes(self, net, shape):
        assert net(torch.zeros(1, 3, *shape)).shape == (1, len(CLASSES))

    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
    def test_scripted_and_exported_networks_agree(self, fresh):
        # Imported under a name that the tests' shape checks leave alone: TorchScript reads the source of `forward`.
        spec = importlib.util.spec_from_file_location("plain_shapes", model.__file__)
        plain = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(plain)
        net, x = plain.load()[0], normalised(fresh.images[:3])
        expected = net(x)
        torch.testing.assert_close(torch.jit.script(net)(x), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(torch.jit.trace(net, x)(x), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(torch.export.export(net, (x,)).module()(x), expected, rtol=1e-5, atol=1e-5)


class TestWeights:
    def test_small_and_with_what_they_reached(self):
        assert model.WEIGHTS.stat().st_size < 2_000_000
        with safe_open(model.WEIGHTS, framework="pt") as file:
            facts = json.loads(file.metadata()["training"])
        assert facts["accuracy"] >= 0.98
        assert facts["information_absence"] <= 0.02
        assert facts["neutrality"] <= 0.05
        assert facts["minutes"] < 15

    def test_missing(self, tmp_path):
        with pytest.raises(ModelError, match=r"none\.safetensors"):
            model.load(tmp_path / "none.safetensors")

    def test_truncated(self, tmp_path):
        broken = tmp_path / "broken.safetensors"
        broken.write_bytes(model.WEIGHTS.read_bytes()[:5000])
        with pytest.raises(ModelError, match="retrain"):
            model.load(broken)

    @pytest.mark.parametrize("metadata", [None, {"classes": "[1"}, {"classes": '["a", "b"]'}, {"classes": "3"}])
    def test_of_another_network(self, tmp_path, metadata):
        other = tmp_path / "other.safetensors"
        save_file({"weight": torch.zeros(2)}, other, metadata=metadata)
        with pytest.raises(ModelError, match="weights of the network 'shapes'"):
            model.load(other)

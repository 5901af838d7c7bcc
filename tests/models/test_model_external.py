"""Models from elsewhere: timm by name, and the user's own functions."""

import json
import sys
import types

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from sigcli.errors import ModelError
from sigcli.models.loading import load_model
from sigcli.models.preprocess import Wishes, adapt
from sigcli.models.settling import settle
from sigcli.models.sources.torchvision import IMAGENET_ASSUMED

from toys import Tiny


def test_timm_brings_its_preprocessing():
    timm = pytest.importorskip("timm")
    model = load_model("timm/test_resnet.r160_in1k", weights="none")
    config = timm.data.resolve_model_data_config(timm.create_model("test_resnet.r160_in1k"))
    transform = timm.data.create_transform(**config, is_training=False)
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    from PIL import Image

    torch.testing.assert_close(model.preprocess(pixels), transform(Image.fromarray(pixels)), atol=1e-6, rtol=0)
    assert (model.kind, model.classes, model.labels) == ("timm", 1000, None)


def test_timm_weights_from_a_file_and_failed_downloads(tmp_path, monkeypatch):
    timm = pytest.importorskip("timm")
    net = timm.create_model("test_resnet", num_classes=6)
    torch.save(net.state_dict(), tmp_path / "w.pt")
    model = load_model("timm/test_resnet", weights=str(tmp_path / "w.pt"))
    assert model.classes == 6
    told = "states no preprocessing: that of timm's test_resnet.r160_in1k is used (resize"
    assert any(told in note for note in model.notes)
    assert not any("states no preprocessing" in note for note in load_model("timm/test_resnet", weights="none").notes)

    def fail(*_, **__):
        raise FileNotFoundError("An error happened while trying to locate the file on the Hub")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(ModelError, match=r"pretrained weights: An error happened(.|\n)*--weights FILE"):
        load_model("timm/test_resnet")


def test_timm_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r"timm cannot be imported(.|\n)*pip install '\.\[timm\]'"):
        load_model("timm/resnet18")


@pytest.fixture
def own_module(monkeypatch):
    """`ownnets`, as if it lay in the working directory."""
    module = types.ModuleType("ownnets")
    monkeypatch.setitem(sys.modules, "ownnets", module)
    return module


def test_a_function_that_returns_a_network(own_module, tmp_path):
    own_module.build = Tiny
    net = Tiny()
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    model = load_model("ownnets:build", weights=str(tmp_path / "w.safetensors"), resize=32)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model.module(images), net.eval()(images).detach(), rtol=1e-4, atol=1e-5)
    assert model.kind == "factory"
    assert load_model("ownnets:build", resize=32).weights_hash == load_model("ownnets:build", resize=32).weights_hash


def test_a_plain_function_and_a_ready_network_will_do(own_module):
    own_module.net = Tiny().eval()
    own_module.build = lambda: lambda images: images.mean((2, 3))
    assert load_model("ownnets:net", resize=32).classes == 5
    model = load_model("ownnets:build", resize=32)
    assert model.classes == 3
    assert "fingerprinted" in model.notes[0]


def test_the_working_directory_is_importable(tmp_path, monkeypatch):
    (tmp_path / "herenets.py").write_text(
        "import torch\ndef build():\n    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert load_model("herenets:build", resize=32).classes == 3


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: 3, "must return a torch.nn.Module(.|\n)*returned a int"),
        (lambda: 1 / 0, "ownnets:build failed: ZeroDivisionError: division by zero"),
        (7, "not a function"),
    ],
)
def test_functions_that_return_no_network(own_module, made, message):
    own_module.build = made
    with pytest.raises(ModelError, match=message):
        load_model("ownnets:build")


def test_a_module_that_fails_on_import(tmp_path, monkeypatch):
    (tmp_path / "badnets.py").write_text("raise OSError('no such disk')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ModelError, match="importing badnets failed: OSError: no such disk"):
        load_model("badnets:build")


def test_three_values_of_mean_say_colour():
    assert settle(Tiny().eval(), (None, None, None), Wishes(mean=(0.1, 0.2, 0.3)), torch.device("cpu"))[1].channels == 3


def test_a_network_that_ends_the_program_is_named(own_module):
    def leave(*_):
        sys.exit("needs a GPU")

    own_module.build, own_module.net = leave, lambda: leave
    with pytest.raises(ModelError, match="ownnets:build failed: SystemExit: needs a GPU"):
        load_model("ownnets:build")
    with pytest.raises(ModelError, match="needs a GPU"):
        load_model("ownnets:net", resize=32)


# --- what a timm configuration says: crops, channels, names, and that there is no classifier -----------------------


@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize("share", [1.0, 0.875])
@pytest.mark.parametrize("size", [(100, 80), (80, 100), (64, 48), (200, 50)])
def test_timm_input_that_is_not_square_is_prepared_as_timm_does(mode, share, size):
    timm = pytest.importorskip("timm")
    from PIL import Image

    from sigcli.models.sources.timm import _timm_preprocess

    config = {"input_size": (3, 64, 48), "crop_pct": share, "crop_mode": mode, "interpolation": "bicubic"}
    config |= {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    right = timm.data.create_transform(**config, is_training=False)(Image.fromarray(pixels))
    ready, notes = _timm_preprocess(config)
    torch.testing.assert_close(ready(pixels), right, atol=1e-6, rtol=0)
    assert notes == ()
    assert adapt(ready, Wishes(size=(64, 48)))[0].cover is None


def local_timm(folder, classes, *, names=None, channels=3):
    """A timm model in a folder, as `timm/local-dir:FOLDER` reads it."""
    timm = pytest.importorskip("timm")
    network = timm.create_model("test_resnet", num_classes=classes, in_chans=channels)
    folder.mkdir()
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, folder / "model.safetensors")
    kept = ("mean", "std", "interpolation", "crop_pct", "first_conv", "classifier")
    stated = {key: network.pretrained_cfg[key] for key in kept}
    stated |= {"num_classes": classes, "input_size": [channels, 96, 96]} | (
        {} if names is None else {"label_names": names}
    )
    config = {"architecture": "test_resnet", "num_classes": classes, "pretrained_cfg": stated}
    config |= {} if channels == 3 else {"model_args": {"in_chans": channels}}
    (folder / "config.json").write_text(json.dumps(config))
    return f"timm/local-dir:{folder}"


@pytest.mark.parametrize("classes", [6, 1000])
def test_class_names_of_a_timm_model_are_its_own(tmp_path, classes):
    names = [f"flower {i}" for i in range(classes)]
    assert load_model(local_timm(tmp_path / "m", classes, names=names)).labels == tuple(names)


def test_imagenets_names_are_assumed_with_a_note_where_nobody_says_whose_the_classes_are(tmp_path):
    model = load_model(local_timm(tmp_path / "m", 1000))
    assert model.labels is not None
    assert model.labels[0] == "tench"
    assert IMAGENET_ASSUMED in model.notes
    torch.save(torchvision.models.squeezenet1_1().state_dict(), tmp_path / "net.pt")
    assert IMAGENET_ASSUMED in load_model("squeezenet1_1", weights=str(tmp_path / "net.pt")).notes


def test_a_grey_timm_model_is_fed_grey(tmp_path):
    model = load_model(local_timm(tmp_path / "m", 4, channels=1))
    assert model.preprocess.channels == 1
    assert (model.preprocess.mean, model.preprocess.std) == ((0.5,), (0.5,))


def test_a_network_without_a_classifier_is_refused_for_classes_and_taken_for_distances():
    timm = pytest.importorskip("timm")
    features = timm.create_model("test_resnet", num_classes=0)
    with pytest.raises(ModelError, match=r"no classifier: its outputs are features(.|\n)*--partner"):
        load_model(features)
    assert load_model(features, pair=True).classes > 1


class Counted(torch.nn.Module):
    """A network of so many outputs, by its word."""

    def __init__(self, count):
        super().__init__()
        self.num_classes, self.pretrained_cfg = count, {}


def test_every_pretrained_timm_model_is_known_as_a_classifier_or_as_features():
    # right: by the tags of timm, which name the data of a classifier, or of CLIP and the like, or none
    timm = pytest.importorskip("timm")
    from sigcli.models.sources.timm import _embeds

    space = ("clip", "laion", "merged2b", "vit_pe_")
    wrong = []
    for tag in timm.list_pretrained():
        count = timm.get_pretrained_cfg(tag).num_classes
        right = count == 0 or (count != 1000 and "in12k" not in tag and any(word in tag for word in space))
        if _embeds(timm, Counted(count), sure=True) != right:
            wrong.append((tag, count))
    assert wrong == []


def test_classes_of_larger_imagenets_have_their_names():
    timm = pytest.importorskip("timm")
    from sigcli.models.sources.timm import _labels

    labels, notes = _labels(timm, Counted(11821), sure=True)
    assert notes == ()
    assert labels is not None
    assert len(labels) == 11821
    assert any("espresso" in name for name in labels)
    assert _labels(timm, Counted(11821), sure=False) == (None, ())

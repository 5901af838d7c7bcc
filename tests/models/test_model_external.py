"""Models from elsewhere: timm by name, and the user's own functions."""

import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sigcli.errors import ModelError
from sigcli.models.loading import load_model
from sigcli.models.preprocess import Wishes
from sigcli.models.settling import settle

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
    assert load_model("timm/test_resnet", weights=str(tmp_path / "w.pt")).classes == 6

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

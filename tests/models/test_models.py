"""Loading classifiers by name, with every kind of weights, and checking that they behave."""

import json
import os
import pickle
import sys
import types
import urllib.error
import warnings

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from sigcli.catalog import Catalog
from sigcli.cli.main import app
from sigcli.errors import ModelError, UsageError
from sigcli.inputs.images import read_image
from sigcli.inputs.samples import sample_images
from sigcli.models import MODELS, _source, described, names
from sigcli.models.labels import read_labels
from sigcli.models.layers import model_layers
from sigcli.models.loading import load_model, source_of
from sigcli.models.model import Source
from sigcli.models.preprocess import IMAGENET_MEAN
from sigcli.models.sources import torchvision as vision
from sigcli.models.sources.torchvision import fitting, preset
from sigcli.models.sources.weights import read_state_dict


@pytest.fixture(scope="module")
def squeezenet_state():
    torch.manual_seed(1)
    return torchvision.models.squeezenet1_1(weights=None).state_dict()


@pytest.fixture
def squeezenet_file(tmp_path, squeezenet_state):
    torch.save(squeezenet_state, tmp_path / "net.pt")
    return tmp_path / "net.pt"


# --- names ------------------------------------------------------------------------------------------------------------


def test_the_table_of_models_leads_to_functions_and_all_names_are_classifiers():
    for entry in MODELS.values():
        assert callable(entry.load())
        assert entry.properties["form"]
    assert {"squeezenet1_1", "resnet50", "vit_b_16"} <= set(names())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet5O", "unknown model(.|\n)*Did you mean 'resnet50'"),
        ("shape", "Did you mean 'shapes'"),
        ("qqqqq", "sig list models"),
        ("net.pt", "no such model file"),
        ("folder/net", "no such model file"),
        ("resnet19:net.pth", "no such model file"),
        ("squeezenet1_1:net.pth", "apart: --model squeezenet1_1 --weights 'net.pth'"),
        ("resnet18, folder/net.safetensors", "apart: --model resnet18 --weights 'folder/net.safetensors'"),
        ("fcn_resnet50=net.pt", "apart: --model fcn_resnet50 --weights 'net.pt'"),
        ("timm/resnet18:net.pth", "apart: --model timm/resnet18 --weights 'net.pth'"),
        ("torchvision.models:resnet18:net.pth", "apart: --model torchvision.models:resnet18 --weights 'net.pth'"),
        ("timm/resnet19x", "unknown timm model(.|\n)*Did you mean 'resnet"),
        ("timm/resnet18.a1_in1kk", "unknown weights tag(.|\n)*Did you mean 'resnet18.a1_in1k'"),
        ("nosuchpackage:build", "no module named 'nosuchpackage'"),
        ("torchvision.models:resnet19", "unknown function of torchvision.models(.|\n)*resnet18"),
    ],
)
def test_misspelt_models_get_the_nearest_right_name(spec, message):
    with pytest.raises(ModelError, match=message) as error:
        load_model(spec)
    assert len(str(error.value).splitlines()) <= 2


def test_a_torchvision_name_wins_over_a_file_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "resnet18").write_text("notes")
    monkeypatch.chdir(tmp_path)
    assert source_of("resnet18").name == "torchvision"
    with pytest.raises(ModelError, match="not a model file"):
        source_of("./resnet18")


def test_the_first_source_that_fits_loads_it(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Flatten()), tmp_path / "a.pt2")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "net.bin")
    assert [source_of(spec).name for spec in ("shapes", "expression", "timm/x", "a.b:c")] == [
        "shapes", "expression", "timm", "factory",
    ]  # fmt: skip
    assert source_of(str(tmp_path / "a.pt2")).name == "torchscript"  # by its content
    with pytest.raises(ModelError, match="without their network"):
        source_of(str(tmp_path / "net.bin"))
    for spec in ("shapes", "resnet18", "timm/x", "a.b:c", "nothing"):
        fits = [entry.name for entry in MODELS.values() if entry.load("matches")(spec)]
        assert len(fits) == (spec != "nothing")


def test_a_new_source_is_one_function_and_one_line(tmp_path, monkeypatch):
    """`--model fake:x` has a function's form too: what stands first is tried first."""
    asked = []

    def load(spec, weights, device):
        asked.append((spec, weights))
        net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 4))
        return Source(net.to(device), kind="fake", weights="none", weights_hash="0")

    room = types.ModuleType("sigcli.models.sources.fake")
    room.load, room.matches = load, lambda spec: spec.startswith("fake:")
    monkeypatch.setitem(sys.modules, room.__name__, room)
    line = _source("fake", "fake:load", "a source of a test", form="fake:NAME", example="fake:x")
    monkeypatch.setattr("sigcli.models.loading.MODELS", Catalog("model", [line, *MODELS.values()]))
    options = ["--model", "fake:x", "--method", "gradient", "--device", "cpu", "--out", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(app, ["explain", str(sample_images() / "star.png"), *options])
    assert done.exit_code == 0, done.output
    assert asked == [("fake:x", None)]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["spec"]["model"]
    assert json.loads(done.stdout.splitlines()[0])["status"] == "ok"
    array = CliRunner().invoke(app, ["explain", str(tmp_path / "out/star/gradient.npy"), *options[:2], "--overwrite"])
    assert "fake:x is a network for images and cannot explain arrays" in array.stderr


def test_a_device_that_is_not_there():
    for device in ("cudo", "cuda:99"):
        with pytest.raises(UsageError, match=rf"given: {device}\)(.|\n)*cpu"):
            load_model("squeezenet1_1", weights="none", device=device)


# --- torchvision weights ----------------------------------------------------------------------------------------------


def test_random_weights_are_the_same_every_time_and_say_so():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = load_model("squeezenet1_1", weights="none", resize=64)
    assert torch.equal(before, torch.random.get_rng_state())
    second = load_model("squeezenet1_1", weights="none", resize=64)
    assert first.weights_hash == second.weights_hash
    assert first.labels is None
    assert "random" in first.notes[0]
    assert not first.module.training
    assert not any(parameter.requires_grad for parameter in first.module.parameters())


def test_default_weights_are_downloaded_safely_and_bring_preset_and_labels(monkeypatch, squeezenet_state):
    asked = {}

    def fetch(url, **options):
        asked.update(options, url=url)
        return squeezenet_state

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    for weights in (None, "DEFAULT", "imagenet1k_v1", "SqueezeNet1_1_Weights.IMAGENET1K_V1"):
        model = load_model("squeezenet1_1", weights=weights, resize=64)
    assert asked["weights_only"]
    assert asked["check_hash"]
    assert (model.weights, model.labels[1], model.label(1)) == ("IMAGENET1K_V1", "goldfish", "goldfish")
    assert model.preprocess.mean == IMAGENET_MEAN
    assert load_model("squeezenet1_1", weights="DEFAULT").preprocess == preset(
        torchvision.models.SqueezeNet1_1_Weights.DEFAULT
    )


def test_old_names_in_published_densenet_files_are_understood(monkeypatch):
    state = torchvision.models.densenet121(weights=None).state_dict()
    old = {key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value for key, value in state.items()}
    old = {key: value for key, value in old.items() if "num_batches" not in key}
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: old)
    assert load_model("densenet121", resize=32).classes == 1000


def test_a_failed_download_names_the_address_and_the_ways_out(monkeypatch):
    def fail(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(
        ModelError, match=r"not be downloaded: Name or service(.|\n)*https://(.|\n)*--weights FILE.*none"
    ):
        load_model("squeezenet1_1")


def test_weights_that_torchvision_does_not_have():
    with pytest.raises(ModelError, match=r"unknown weights of resnet50(.|\n)*IMAGENET1K_V2"):
        load_model("resnet50", weights="IMAGENET1K_V3")
    with pytest.raises(ModelError, match="no classifier, only features"):
        load_model("vgg16", weights="IMAGENET1K_FEATURES")


@pytest.mark.parametrize("form", ["plain", "state_dict", "model", "parallel", "half", "safetensors"])
def test_a_weights_file_in_every_usual_form_gives_the_same_network(tmp_path, squeezenet_state, form):
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        save_file(squeezenet_state, path)
    elif form == "parallel":
        torch.save({f"module.{key}": value for key, value in squeezenet_state.items()}, path)
    elif form == "half":
        torch.save({key: value.half() for key, value in squeezenet_state.items()}, path)
    else:
        torch.save(squeezenet_state if form == "plain" else {form: squeezenet_state, "epoch": 3}, path)
    model = load_model("squeezenet1_1", weights=str(path), resize=64)
    expected = torchvision.models.squeezenet1_1(weights=None).eval()
    expected.load_state_dict(squeezenet_state)
    images = torch.randn(2, 3, 64, 64)
    tolerance = 1e-3 if form == "half" else 1e-6
    torch.testing.assert_close(model.module(images), expected(images).detach(), rtol=tolerance, atol=tolerance)
    assert model.labels[1] == "goldfish"
    assert any("preprocessing" in note for note in model.notes)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("squeezenet1_1", {}),
        ("resnet18", {}),
        ("googlenet", {"init_weights": False}),
        ("googlenet", {"init_weights": False, "aux_logits": False}),
        ("inception_v3", {"init_weights": False}),
    ],
)
def test_the_number_of_classes_and_the_build_are_read_off_the_file(tmp_path, name, options):
    net = torchvision.models.get_model(name, weights=None, num_classes=7, **options)
    torch.save(net.state_dict(), tmp_path / "w.pt")
    model = load_model(name, weights=str(tmp_path / "w.pt"), resize=80 if name == "inception_v3" else 64)
    assert (model.classes, model.labels) == (7, None)


def test_a_transformers_image_size_is_read_off_its_positions():
    state = {"encoder.pos_embedding": torch.zeros(1, 577, 768), "conv_proj.weight": torch.zeros(768, 3, 16, 16)}
    assert vision._options("vit_b_16", state) == {"image_size": 384}
    assert vision._by_size("vit_b_16", {"image_size": 384}).transforms().crop_size == [384]


@pytest.mark.parametrize("length", [0x80, 0x1380, 0x4B50])
def test_the_length_of_a_header_is_not_taken_for_another_format(tmp_path, length):
    """Safetensors begin with that length: its bytes may be those of a pickle (0x80) or of a zip file (PK)."""
    path = tmp_path / "weights.safetensors"
    header = json.dumps({"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode().ljust(length)
    path.write_bytes(length.to_bytes(8, "little") + header + torch.tensor([1.0, 2.0]).numpy().tobytes())
    assert path.read_bytes()[:2] in (b"\x80\x00", b"\x80\x13", b"PK")
    assert read_state_dict(path)["weight"].tolist() == [1.0, 2.0]


def test_weights_of_another_network_name_the_one_they_fit(squeezenet_file):
    with pytest.raises(ModelError, match=r"not those of resnet18: missing(.|\n)*try --model squeezenet1_1") as error:
        load_model("resnet18", weights=str(squeezenet_file))
    assert len(str(error.value).splitlines()) <= 2
    state = read_state_dict(squeezenet_file)
    assert fitting(state) == ["squeezenet1_1"]
    assert fitting({"layer.weight": torch.zeros(3)}) == []


def test_weights_that_are_no_weights(tmp_path, squeezenet_file):
    pickled, text, empty, broken, other = (tmp_path / name for name in ("p.pt", "t.pt", "e.pt", "b.pt", "o.pt"))
    torch.save(nn.Linear(2, 2), pickled)
    text.write_text("hello")
    empty.touch()
    broken.write_bytes(squeezenet_file.read_bytes()[:5000])
    torch.save({"epoch": 3}, other)
    for path, message in (
        (pickled, r"refused: the file pickles Python objects \(torch.nn.modules.linear.Linear\)(.|\n)*state_dict"),
        (text, "not a weights file"),
        (empty, "empty"),
        (broken, "cannot be read|damaged"),
        (other, "no state dict"),
        (tmp_path / "nett.pt", r"no such weights file(.|\n)*net\.pt"),
    ):
        with pytest.raises(ModelError, match=message):
            load_model("squeezenet1_1", weights=str(path))


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    for path in (tmp_path / "a.pt", tmp_path / "b.pkl"):
        if path.suffix == ".pt":
            torch.save({"state_dict": Hostile()}, path)
        else:
            path.write_bytes(pickle.dumps(Hostile()))
        for options in ({"spec": str(path)}, {"spec": "squeezenet1_1", "weights": str(path)}):
            with pytest.raises(ModelError, match="refused"):
                load_model(**options)
    assert not (tmp_path / "run").exists()


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "cat\ndog\nbird, small\n",
        '2,"bird, small"\n0,cat\n1,dog\n',
        'index,label\n0,cat\n1,dog\n2,"bird, small"\n',
    ],
)
def test_labels_from_lines_or_a_table(tmp_path, text):
    (tmp_path / "l.txt").write_text(text, encoding="utf-8-sig")
    assert read_labels(tmp_path / "l.txt", 3) == ("cat", "dog", "bird, small")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\n", "1 labels for a network with 3 classes"),
        (b"0,cat\n0,dog\n1,x\n", "class 0 has two labels"),
        (b"0,cat\n1,dog\n3,x\n", "there is no class 3"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"", "empty"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, content, message):
    (tmp_path / "l.txt").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_labels(tmp_path / "l.txt", 3)


# --- real weights -----------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_squeezenet_names_most_photographs_rightly(real):
    model = load_model("squeezenet1_1", weights=str(real / "weights" / "squeezenet1_1_imagenet.pt"))
    rows = [line.split(",") for line in (real / "images.csv").read_text().splitlines()[1:]]
    images = torch.stack([model.preprocess(read_image(real / "images" / row[0]).pixels) for row in rows])
    with torch.no_grad():
        found = model.module(images).argmax(1).tolist()
    right = sum(index == int(row[1]) for index, row in zip(found, rows, strict=True))
    assert right >= 0.6 * len(rows)
    assert model.labels[int(rows[0][1])] == rows[0][2]


# --- what is known of a network by its name -----------------------------------------------------------------------------


def test_a_named_network_is_listed_with_its_weights():
    text = described("resnet18")
    assert "IMAGENET1K_V1 (DEFAULT): resize 256, crop 224" in text
    assert "11.7 million" in text
    for name in names():
        assert described(name).count("(DEFAULT)") == 1
    with pytest.raises(ModelError, match=r"unknown model(.|\n)*Did you mean 'resnet50'"):
        described("resnet5O")
    with pytest.raises(ModelError, match="unknown model"):
        described("net.pt")


def test_layers_are_listed_without_weights(monkeypatch, squeezenet_state):
    def fail(*_, **__):
        raise urllib.error.URLError("no connection")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    bare = model_layers("squeezenet1_1", resize=64)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: squeezenet_state)
    assert model_layers("squeezenet1_1", weights="DEFAULT", resize=64) == bare
    assert sum(default for _, default in bare) == 1

"""Classifiers of Hugging Face's transformers, from folders that `save_pretrained` wrote: small and with random weights."""

import json
import os
import pickle
import shutil
import sys
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hf_folders import KINDS, LABELS, NAMES, SQUARE, VIT, write
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from sigcli import explain
from sigcli.cli.main import app
from sigcli.errors import ModelError
from sigcli.models.layers import model_layers
from sigcli.models.loading import load_model
from sigcli.models.model import Reading

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each kind."""
    root = tmp_path_factory.mktemp("hf")
    for name in KINDS:
        write(root / name, name)
    return root


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def picture(high=53, wide=90, seed=0):
    """Noise of several scales, uint8 (H, W, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    noise = np.random.default_rng(seed + 1).integers(-40, 40, (high, wide, 3))
    return (np.asarray(Image.fromarray(coarse).resize((wide, high))) + noise).clip(0, 255).astype(np.uint8)


@cache
def loaded(folder):
    """Image processor and network by transformers itself."""
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    return processor, transformers.AutoModelForImageClassification.from_pretrained(folder).eval()


def theirs(folder, pixels):
    """Logits by transformers' own image processor and network."""
    processor, network = loaded(folder)
    with torch.no_grad():
        return network(**processor(images=Image.fromarray(pixels), return_tensors="pt")).logits


@pytest.mark.parametrize("name", KINDS)
def test_logits_are_those_of_transformers_own_pipeline(name, folders):
    model = load_model(f"hf/{folders / name}")
    assert (model.kind, model.labels, model.classes, model.head.kind) == ("hf", tuple(NAMES.values()), 3, "logits")
    for number, size in enumerate([(53, 90), (201, 150), (20, 31)]):
        pixels = picture(*size, seed=number)
        ours, expected = model.module(model.preprocess(pixels)[None]), theirs(folders / name, pixels)
        assert float(expected.std()) > 1e-3  # weights that let no input through would agree with anything
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_the_channels_of_mobilevit_are_turned_for_the_network_alone(folders):
    model, pixels = load_model(f"hf/{folders / 'mobilevit'}"), picture()
    assert model.module(model.preprocess(pixels)[None]).sub(
        model.module(model.preprocess(pixels[..., ::-1].copy())[None])
    ).abs().max() > 1e-3  # fmt: skip
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 0] = 255
    assert model.preprocess(red)[0].min() > model.preprocess(red)[2].max()  # attributions come with red first


@pytest.mark.parametrize(
    "name", ["ViTImageProcessorPil", "ConvNextImageProcessorPil", "LevitImageProcessor", "PoolFormerImageProcessor"]
)
def test_other_image_processors(name, tmp_path):
    size = SQUARE if name.startswith("ViT") else {"shortest_edge": 32}
    crop = {} if name.startswith(("ViT", "Conv")) else {"crop_size": SQUARE}
    write(tmp_path, processor=getattr(transformers, name)(size=size, **crop))
    model, pixels = load_model(str(tmp_path)), picture()
    torch.testing.assert_close(
        model.module(model.preprocess(pixels)[None]), theirs(tmp_path, pixels), atol=1e-4, rtol=1e-4
    )
    assert any("read as one of Hugging Face's transformers (ViTForImageClassification)" in one for one in model.notes)


def test_rescaling_and_normalising_of_all_sorts_are_one_mean_and_deviation(tmp_path):
    odd = [
        transformers.ViTImageProcessor(size=SQUARE, do_normalize=False),
        transformers.ViTImageProcessor(
            size=SQUARE, rescale_factor=1 / 127.5, image_mean=[1.0] * 3, image_std=[1.0] * 3
        ),
        transformers.ViTImageProcessor(
            size=SQUARE, do_rescale=False, image_mean=[127.0, 99.0, 3.0], image_std=[50.0] * 3
        ),
        transformers.EfficientNetImageProcessor(size=SQUARE, resample=0, rescale_offset=True, rescale_factor=1 / 127.5),
    ]
    for number, processor in enumerate(odd):
        write(tmp_path / str(number), processor=processor)
        model, pixels = load_model(f"hf/{tmp_path / str(number)}"), picture()
        expected = processor(images=Image.fromarray(pixels), return_tensors="pt")["pixel_values"][0]
        torch.testing.assert_close(model.preprocess(pixels), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (lambda: transformers.ViTImageProcessor(size={"longest_edge": 32}), "scales by the longer side"),
        (
            lambda: transformers.PerceiverImageProcessor(size=SQUARE, crop_size={"height": 40, "width": 40}),
            r"of a picture it makes \(3, 32, 32\)",
        ),
        (
            lambda: transformers.ViTImageProcessor(size=SQUARE, do_pad=True, pad_size={"height": 40, "width": 40}),
            "makes",
        ),
    ],
)
def test_an_image_processor_that_does_more_is_refused(processor, message, tmp_path):
    write(tmp_path, processor=processor())
    with pytest.raises(
        ModelError, match=rf"does not only resize, crop .*{message}(.|\n)*--model package.module:function"
    ):
        load_model(f"hf/{tmp_path}")


def test_the_users_size_goes_before_the_processors(folders):
    model = load_model(f"hf/{folders / 'resnet'}", size="40x48")
    assert model.preprocess.size == (40, 48)
    with pytest.raises(ModelError, match="does not take images of the size asked for"):
        load_model(f"hf/{folders / 'vit'}", size="40x48")


def test_without_an_image_processor_it_is_said_what_is_assumed(tmp_path):
    write(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    model = load_model(f"hf/{tmp_path}")
    assert model.preprocess.size == (32, 32)
    told = " ".join(model.notes)
    assert "no preprocessor_config.json" in told
    assert "colour input prepared with resize 32, crop 32, mean 0.485" in told


def test_explain_save_load_and_the_same_map(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture()).save("a.png")
    maps = []
    for name in ("vit", "resnet"):
        for again in (folders / name, tmp_path / name):
            (found,) = explain("a.png", model=f"hf/{again}", method="sig", settings={"sig.samples": 2}, target="hen")
            maps.append(found.values)
            transformers.AutoModelForImageClassification.from_pretrained(again).save_pretrained(tmp_path / name)
            transformers.AutoImageProcessor.from_pretrained(again).save_pretrained(tmp_path / name)
            assert found.label == "hen"
    for one, other in (maps[:2], maps[2:]):
        assert np.abs(one).max() > 0
        np.testing.assert_array_equal(one, other)


def sig(*arguments):
    """What the command writes to standard error; it must have worked."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, done.stderr
    return " ".join(done.stderr.split())


def test_the_command_and_its_evaluation_from_another_folder(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(folders)
    Image.fromarray(picture()).save(tmp_path / "a.png")
    out = tmp_path / "out"
    said = sig("explain", tmp_path / "a.png", "-m", "vit", "--method", "ig,gradcam", "--out", out)
    assert "the folder is read as one of Hugging Face's transformers" in said
    monkeypatch.chdir(tmp_path)
    sig("evaluate", out, "--metric", "deletion", "--no-pictures")
    assert json.loads((out / "manifest.json").read_text())["options"]["model"] == str(folders / "vit")


# --- what configurations say of the outputs ---------------------------------------------------------------------------


def test_the_heads_that_configurations_state(tmp_path):
    many = write(tmp_path / "many", problem_type="multi_label_classification")
    model = load_model(f"hf/{tmp_path / 'many'}")
    assert model.head.kind == "label-logits"
    assert any("multi_label_classification" in note for note in model.notes)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(
        model.head.probability(model.module(x)), many(pixel_values=x).logits.sigmoid().detach(), atol=1e-5, rtol=1e-4
    )
    write(tmp_path / "one", id2label={0: "age"}, label2id={"age": 0})
    age = load_model(f"hf/{tmp_path / 'one'}")
    assert (age.head.kind, age.labels) == ("values", ("age",))
    assert any("which transformers trains as a regression" in note for note in age.notes)
    assert load_model(f"hf/{tmp_path / 'one'}", reading=Reading(head="single")).head.kind == "logit"
    write(tmp_path / "stated", problem_type="regression")
    assert load_model(f"hf/{tmp_path / 'stated'}").head.kind == "values"


def test_names_that_are_none(tmp_path):
    write(tmp_path / "plain", id2label={0: "LABEL_0", 1: "LABEL_1"}, label2id={"LABEL_0": 0, "LABEL_1": 1})
    assert load_model(f"hf/{tmp_path / 'plain'}").labels is None
    write(tmp_path / "gap", id2label={1: "one", 2: "two"}, label2id={"one": 1, "two": 2})
    model = load_model(f"hf/{tmp_path / 'gap'}")
    assert model.labels is None
    assert any("do not belong to classes 0 to 1" in note for note in model.notes)


# --- weights ----------------------------------------------------------------------------------------------------------


def test_weights_random_from_a_file_or_in_half_precision(folders, tmp_path):
    spec = f"hf/{folders / 'vit'}"
    one, other = load_model(spec, weights="none"), load_model(spec, weights="none")
    assert one.weights_hash == other.weights_hash != load_model(spec).weights_hash
    assert any("random" in note for note in one.notes)
    filled = load_model(spec, weights=str(folders / "vit" / "model.safetensors"))
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(filled.module(x), load_model(spec).module(x))
    write(tmp_path).half().save_pretrained(tmp_path)
    half = load_model(f"hf/{tmp_path}")
    assert any("weights are float16: they are used as float32" in note for note in half.notes)
    torch.testing.assert_close(half.module(x), load_model(spec).module(x), atol=1e-2, rtol=1e-2)


def test_pickles_and_pieces_are_read_without_running_them(folders, tmp_path):
    state = load_file(folders / "vit" / "model.safetensors")
    x, expected = torch.randn(1, 3, 32, 32), load_model(f"hf/{folders / 'vit'}")
    write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(state, tmp_path / "pytorch_model.bin")
    torch.testing.assert_close(load_model(f"hf/{tmp_path}").module(x), expected.module(x))
    names = list(state)
    pieces = {"pytorch_model-1.bin": names[::2], "pytorch_model-2.bin": names[1::2]}
    for file, part in pieces.items():
        torch.save({name: state[name] for name in part}, tmp_path / file)
    (tmp_path / "pytorch_model.bin").unlink()
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {name: file for file, part in pieces.items() for name in part}}))
    torch.testing.assert_close(load_model(f"hf/{tmp_path}").module(x), expected.module(x))
    index.write_text(json.dumps({"weight_map": {"a": "../vit/model.safetensors"}}))
    with pytest.raises(ModelError, match="does not name files beside it"):
        load_model(f"hf/{tmp_path}")


class Bomb:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Bomb()}))
    with pytest.raises(ModelError):
        load_model(f"hf/{tmp_path}")
    torch.save({"x": Bomb()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError):
        load_model(f"hf/{tmp_path}")
    assert not (tmp_path / "exploded").exists()


def change(folder, **changes):
    """A configuration with other values; None takes one out."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: change(f, auto_map={"AutoModelForImageClassification": "code.Net"}), "brings its own code"),
        (lambda f: change(f, _attn_implementation="someone/kernel"), "brings its own code"),
        (lambda f: change(f, model_type="bert"), "no image classifier, segmentation network or detector of the kind 'bert'"),
        (lambda f: change(f, model_type="no-such"), "cannot read the configuration"),
        (lambda f: change(f, model_type=None), "cannot read the configuration"),
        (lambda f: change(f, hidden_size=64), "have another shape|cannot load"),
        (lambda f: change(f, architectures=7), "no list of names"),
        (lambda f: change(f, id2label=None, num_labels=2**40), "num_labels is 1099511627776"),
        (lambda f: change(f, backbone_config={"depths": [2, 10**9]}), "depths is"),
        (lambda f: change(f, num_hidden_layers=2), "weights lack .* and 13 more of ViT"),
        (lambda f: (f / "config.json").write_text("[1"), "config.json cannot be read"),
        (lambda f: (f / "config.json").write_text("[1]"), "holds no table"),
        (lambda f: (f / "config.json").unlink(), "the folder has no config.json"),
        (lambda f: (f / "model.safetensors").unlink(), r"the folder has no weights(.|\n)*--weights FILE"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\0" * 9), "not a weights file|damaged"),
        (lambda f: (f / "preprocessor_config.json").write_text("{"), "cannot read the image processor"),
        (lambda f: (f / "adapter_config.json").write_text("{}"), r"an adapter(.|\n)*merge_and_unload"),
        (lambda f: transformers.ViTModel(transformers.ViTConfig(**VIT)).save_pretrained(f), "lack classifier.bias"),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_loaded(damage, message, tmp_path):
    write(tmp_path)
    damage(tmp_path)
    with pytest.raises(ModelError, match=message):
        load_model(f"hf/{tmp_path}")


@pytest.mark.parametrize("kind", ["vit", "dinov2"])
@pytest.mark.parametrize("weights", [None, "none"])
@pytest.mark.parametrize("count", [10**5, 2**40])
def test_a_configuration_of_too_many_layers_is_refused(kind, weights, count, tmp_path):
    write(tmp_path, kind)
    change(tmp_path, num_hidden_layers=count)
    with pytest.raises(ModelError, match=r"asks for more than [0-9,]+ modules|num_hidden_layers is"):
        load_model(f"hf/{tmp_path}", weights=weights)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hf/owner/name", r"not in the cache(.|\n)*hf download NAME"),
        ("hf/owner/name@main", "not in the cache"),
        ("hf/", "no such folder"),
        ("hf/../../etc/nothing", "no such folder"),
        ("hf/a/b/c", "no such folder"),
        ("hf/a\0b", "no such folder"),
    ],
)
def test_names_that_cannot_be_had_are_told_at_once(spec, message, tmp_path, monkeypatch):
    import huggingface_hub as hub

    def local(one=hub.snapshot_download, **asked):
        assert asked["local_files_only"]  # else the hub's client would try six times, for half a minute
        return one(**asked, cache_dir=tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", local)
    with pytest.raises(ModelError, match=message):
        load_model(spec)


def test_a_complete_cache_is_used_without_asking(folders, tmp_path, monkeypatch):
    kept = tmp_path / "models--owner--name"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("abc")
    (kept / "snapshots").mkdir()
    (kept / "snapshots" / "abc").symlink_to(folders / "vit")
    import huggingface_hub

    monkeypatch.setattr(
        huggingface_hub, "snapshot_download",
        lambda one=huggingface_hub.snapshot_download, **asked: one(**asked, cache_dir=tmp_path),
    )  # fmt: skip
    model = load_model("hf/owner/name")
    assert (model.labels, model.weights) == (tuple(NAMES.values()), "owner/name of the hub")


def test_transformers_that_is_not_installed(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"transformers cannot be imported(.|\n)*pip install '\.\[hf\]'"):
        load_model(f"hf/{folders / 'vit'}")


def test_an_older_transformers_is_refused_at_once(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(__version__="4.57.6"))
    with pytest.raises(ModelError, match=r"too old \(given: 4.57.6\)(.|\n)*transformers 5 or newer(.|\n)*\[hf\]"):
        load_model(f"hf/{folders / 'vit'}")


def test_a_folder_asks_no_network(folders, tmp_path, monkeypatch):
    """Three methods by the command, with every connection refused and nothing said of being offline."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    tried = []

    def refuse(*given, **_):
        tried.append(given)
        raise OSError("no network")

    for name in ("socket.socket.connect", "socket.socket.connect_ex", "socket.getaddrinfo", "socket.create_connection"):
        monkeypatch.setattr(name, refuse)
    Image.fromarray(picture()).save(tmp_path / "photo.png")
    given = ["explain", str(tmp_path / "photo.png"), "--model", f"hf/{folders / 'vit'}", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(
        app, [*given, "--method", "sig,transformer-attribution,gradcam", "--set", "sig.samples=16"]
    )
    assert done.exit_code == 0, done.stderr
    assert not tried


@pytest.mark.parametrize(
    ("name", "config", "changes"),
    [
        ("Dinov2WithRegistersForImageClassification", "Dinov2WithRegistersConfig", {"num_register_tokens": 4}),
        ("DeiTForImageClassificationWithTeacher", "DeiTConfig", {}),
    ],
)
def test_registers_and_distillation_tokens(name, config, changes, tmp_path):
    torch.manual_seed(0)
    network = getattr(transformers, name)(getattr(transformers, config)(**VIT, **LABELS, **changes)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 1.2 / parameter[0].numel() ** 0.5)
    network.save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size=SQUARE).save_pretrained(tmp_path)
    every = [
        "attention-rollout",
        "attention-gradient",
        "generic-attention",
        "transformer-attribution",
        "lrp",
        "gradcam",
    ]
    found = explain(Image.fromarray(picture()), model=f"hf/{tmp_path}", method=",".join(every), write=False)
    assert [(one.method, one.error) for one in found] == [(name, "") for name in every]
    assert all(np.abs(one.values).max() > 0 for one in found)


def test_a_network_of_patches_is_refused(tmp_path):
    transformers.Siglip2Config().save_pretrained(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"'siglip2' takes sequences of patches(.|\n)*of a fixed size"):
        load_model(f"hf/{tmp_path}")


def test_layers_have_the_networks_own_names(folders):
    network = transformers.AutoModelForImageClassification.from_pretrained(folders / "vit")
    names = [layer.name for layer, _ in model_layers(f"hf/{folders / 'vit'}")]
    layers = [name for name in names if ":" not in name]
    assert "vit.layers.0" in layers
    assert set(layers) <= set(dict(network.named_modules()))
    assert not [name for name in names if "inner" in name]
    (found,) = explain(Image.fromarray(picture()), model=f"hf/{folders / 'vit'}", method="gradcam", write=False,
                       settings={"layer": "vit.layernorm"})  # fmt: skip
    assert found.error == ""


def test_weights_without_their_folder_are_told_where_they_belong(folders):
    with pytest.raises(ModelError, match=r"--model '.*vit'"):
        load_model(str(folders / "vit" / "model.safetensors"))


def test_a_folder_called_hf_is_told_from_a_name_of_the_hub(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folders / "vit", tmp_path / "hf" / "mine")
    with pytest.raises(ModelError, match=r"there is a folder hf/mine here(.|\n)*--model \./hf/mine"):
        load_model("hf/mine")
    assert load_model("./hf/mine").classes == 3


def test_a_classifier_of_transformers_that_takes_no_pictures_is_refused(tmp_path):
    config = transformers.ImageGPTConfig(n_embd=8, n_layer=1, n_head=1, n_positions=16)
    transformers.ImageGPTForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="ImageGPTForImageClassification takes no pictures"):
        load_model(f"hf/{tmp_path}")

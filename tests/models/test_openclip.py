"""Networks of open_clip: a small configuration with random weights in a folder, compared with open_clip's own logits."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from sigcli import explain
from sigcli.cli.main import app
from sigcli.errors import ModelError, UsageError
from sigcli.models.loading import load_model
from sigcli.models.model import Reading

open_clip = pytest.importorskip("open_clip")

PROMPTS = ("a cat", "a photo of a dog", "hen")
VISION = {"layers": 2, "width": 64, "head_width": 32, "patch_size": 8, "image_size": 32}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
KINDS = {
    "clip": ({}, {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.25], "interpolation": "bilinear"}),
    "siglip": (
        {"custom_text": True, "init_logit_bias": -2.0, "init_logit_scale": 3.0},
        {"resize_mode": "squash"},
    ),
}  # fmt: skip


def write(folder, kind="clip", preprocess=None, **changes):
    """A folder as open_clip's push_to_hf_hub writes it, with weights that tell pictures apart."""
    folder.mkdir(exist_ok=True)
    own, steps = KINDS[kind]
    config = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT, **own, **changes}
    stated = {"model_cfg": config, "preprocess_cfg": {**steps, **(preprocess or {})}}
    (folder / "open_clip_config.json").write_text(json.dumps(stated))
    torch.manual_seed(0)
    network = open_clip.create_model(f"local-dir:{folder}", load_weights=False).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 1.2 / parameter[0].numel() ** 0.5)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()},
              folder / "open_clip_model.safetensors")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("openclip")
    for kind in KINDS:
        write(root / kind, kind)
    return root


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (45, 61, 3), dtype=np.uint8)


def theirs(folder, pixels):
    """Logits by open_clip alone."""
    network, _, steps = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    texts = open_clip.get_tokenizer(f"local-dir:{folder}")(list(PROMPTS))
    with torch.no_grad():
        return network.eval().get_logits(steps(Image.fromarray(pixels))[None], texts)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_similarities_that_open_clip_gives(kind, folders):
    model = load_model(f"openclip/{folders / kind}", reading=Reading(prompts=PROMPTS))
    assert (model.labels, model.classes, model.weights) == (PROMPTS, 3, "of the folder")
    assert model.head.kind == {"clip": "logits", "siglip": "label-logits"}[kind]
    for seed in range(2):
        expected = theirs(folders / kind, picture(seed))
        assert float(expected.std()) > 0.05
        found = model.module(model.preprocess(picture(seed))[None])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_configuration_of_a_trillion_layers_is_refused(tmp_path):
    write(tmp_path)
    file = tmp_path / "open_clip_config.json"
    stated = json.loads(file.read_text())
    stated["model_cfg"]["vision_cfg"]["layers"] = 2**40
    file.write_text(json.dumps(stated))
    with pytest.raises(ModelError, match=r"asks for more than [0-9,]+ modules"):
        load_model(f"openclip/{tmp_path}", reading=Reading(prompts=PROMPTS))


def test_the_text_half_is_left_away_and_layers_have_open_clips_names(folders):
    model = load_model(f"openclip/{folders / 'clip'}", reading=Reading(prompts=PROMPTS))
    assert not any("token_embedding" in name for name, _ in model.module.named_parameters())
    (found,) = explain(
        Image.fromarray(picture()), model=f"openclip/{folders / 'clip'}", prompts=PROMPTS, method="gradcam",
        settings={"layer": "visual.transformer.resblocks.0"}, write=False,
    )  # fmt: skip
    assert np.abs(found.values).max() > 0


def test_methods_of_attention_and_tokens(folders):
    names = ["sig", "attention-rollout", "transformer-attribution", "generic-attention", "lrp", "kernelshap"]
    every = explain(
        Image.fromarray(picture()), model=f"openclip/{folders / 'siglip'}", prompts=PROMPTS, method=",".join(names),
        settings={"sig.samples": 16, "sig.players": "tokens", "kernelshap.players": "tokens",
                  "kernelshap.baseline": "tokens", "kernelshap.budget": 64}, write=False,
    )  # fmt: skip
    assert [(one.method, one.error) for one in every] == [(name, "") for name in names]
    assert all(np.abs(one.values).max() > 0 for one in every)


def test_the_command_and_its_resumption_from_another_folder(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(folders)
    Image.fromarray(picture()).save(tmp_path / "a.png")
    run, out = CliRunner(), str(tmp_path / "out")
    given = [
        "explain",
        str(tmp_path / "a.png"),
        "--method",
        "ig,gradient",
        "--out",
        out,
        "--prompts",
        ";".join(PROMPTS),
    ]
    done = run.invoke(app, [*given, "-m", "openclip/clip", "--target", "hen - a cat"])
    assert done.exit_code == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    measured = run.invoke(app, ["evaluate", out, "--metric", "deletion", "--no-pictures"])
    assert measured.exit_code == 0, measured.stderr


def test_weights_by_name_or_file_or_random(folders, tmp_path, monkeypatch):
    """A name of open_clip's, as if it were this small network."""
    config = json.loads((folders / "clip" / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Small-32", config)
    file = folders / "clip" / "open_clip_model.safetensors"
    reading = Reading(prompts=PROMPTS)
    one = load_model(f"openclip/Small-32:{file}", reading=reading)
    torch.save({"state_dict": {f"module.{name}": value for name, value in load_file(file).items()}}, tmp_path / "w.pt")
    other = load_model("openclip/Small-32", weights=str(tmp_path / "w.pt"), reading=reading)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(one.module(x), other.module(x))
    assert one.preprocess.mean == open_clip.constants.OPENAI_DATASET_MEAN
    random = load_model("openclip/Small-32", weights="none", reading=reading)
    assert any("random" in note for note in random.notes)
    with pytest.raises(ModelError, match=r"no weights are named(.|\n)*--weights none"):
        load_model("openclip/Small-32", reading=reading)
    with pytest.raises(ModelError, match="named twice"):
        load_model(f"openclip/Small-32:{file}", weights="none", reading=reading)


def test_weights_trained_with_quickgelu_get_it(folders, monkeypatch):
    config = json.loads((folders / "clip" / "open_clip_config.json").read_text())["model_cfg"]
    stated = {
        "file": str(folders / "clip" / "open_clip_model.safetensors"),
        "quick_gelu": True,
        "mean": (0.1, 0.2, 0.3),
    }
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Small-32", config)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "Small-32", {"quick": stated})
    model = load_model("openclip/Small-32:quick", reading=Reading(prompts=PROMPTS))
    assert any("QuickGELU" in note for note in model.notes)
    assert model.preprocess.mean == (0.1, 0.2, 0.3)
    assert any(type(part).__name__ == "QuickGELU" for part in model.module.modules())


@pytest.mark.parametrize(
    ("spec", "weights", "message"),
    [
        ("openclip/ViT-B-32", None, r"no weights are named(.|\n)*openclip/ViT-B-32:"),
        ("openclip/ViT-B-23:openai", None, r"Did you mean 'ViT-B-32'"),
        ("openclip/ViT-B-32:laion", None, "unknown weights of ViT-B-32"),
        ("openclip/ViT-B-32:none/here.pt", None, "no such weights file"),
        ("openclip/ViT-B-32:openai", None, r"not in the cache(.|\n)*hf download timm/"),
        ("openclip/no/such/folder", None, "no such folder"),
        ("openclip/", None, "unknown network of open_clip"),
    ],
)
def test_names_that_cannot_be_had(spec, weights, message):
    with pytest.raises(ModelError, match=message):
        load_model(spec, weights=weights, reading=Reading(prompts=PROMPTS))


def _cut(folder):
    file = folder / "open_clip_model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


def _lacking(folder):
    file = folder / "open_clip_model.safetensors"
    state = load_file(file)
    save_file({name: value for name, value in state.items() if name != "visual.conv1.weight"}, file)


def _other(folder):
    save_file({"fc.weight": torch.zeros(2, 2)}, folder / "open_clip_model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "open_clip_config.json").unlink(), "has no open_clip_config.json"),
        (lambda folder: (folder / "open_clip_config.json").write_text("{"), "cannot be read"),
        (
            lambda folder: (folder / "open_clip_config.json").write_text('{"model_cfg": {}}'),
            "no model_cfg with embed_dim",
        ),
        (lambda folder: (folder / "open_clip_model.safetensors").unlink(), "has no weights"),
        (_cut, "open_clip_model.safetensors"),
        (_lacking, "lack visual.conv1.weight"),
        (_other, "lack "),
    ],
)
def test_folders_that_cannot_be_loaded(damage, message, folders, tmp_path):
    for file in (folders / "clip").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damage(tmp_path)
    with pytest.raises(ModelError, match=message):
        load_model(f"openclip/{tmp_path}", reading=Reading(prompts=PROMPTS))


def test_what_cannot_be_asked(folders, tmp_path, monkeypatch):
    spec = f"openclip/{folders / 'clip'}"
    with pytest.raises(ModelError, match=r'no classes of its own(.|\n)*--prompts "a photo'):
        load_model(spec)
    with pytest.raises(UsageError, match=r"longer than the network reads(.|\n)*up to 16 tokens"):
        load_model(spec, reading=Reading(prompts=["a cat", "a " * 30]))
    with pytest.raises(UsageError, match="reads two prompts alike"):
        load_model(spec, reading=Reading(prompts=["a cat", "A  cat"]))
    write(tmp_path / "padded", preprocess={"resize_mode": "longest"})
    with pytest.raises(ModelError, match="resize_mode 'longest'"):
        load_model(f"openclip/{tmp_path / 'padded'}", reading=Reading(prompts=PROMPTS))
    monkeypatch.setitem(__import__("sys").modules, "open_clip", None)
    with pytest.raises(ModelError, match=r"cannot be imported(.|\n)*\[openclip\]"):
        load_model(spec, reading=Reading(prompts=PROMPTS))

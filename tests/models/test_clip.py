"""CLIP and SigLIP with prompts for classes: small networks with random weights and tokenizers of letters and words."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from sigcli import explain
from sigcli.cli.main import app
from sigcli.errors import ModelError, UsageError
from sigcli.models.loading import load_model
from sigcli.models.model import Reading
from sigcli.models.sources.clip import read_prompts

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

TOWER = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
VISION = {**TOWER, "image_size": 32, "patch_size": 8}
WORDS = ["[PAD]", "[UNK]", "[BOS]", "[EOS]", "a", "cat", "dog", "photo", "of", "hen", "red"]
PROMPTS = ("a cat", "a photo of a dog", "hen")


def words():
    """A tokenizer of words, with marks at both ends."""
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 2), ("[EOS]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", bos_token="[BOS]", eos_token="[EOS]"
    )


def write(folder, kind):
    torch.manual_seed(0)
    text = {**TOWER, "vocab_size": len(WORDS), "max_position_embeddings": 16, "projection_dim": 8, "projection_size": 8,
            "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}  # fmt: skip
    if kind == "clip":
        config = transformers.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)
        network = transformers.CLIPModel(config)
    else:
        text["projection_size"] = 32
        network = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=VISION))
    network.eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 1.2 / parameter[0].numel() ** 0.5)
        network.logit_scale.fill_(3.0)
    network.save_pretrained(folder)
    words().save_pretrained(folder)
    crop = {"height": 32, "width": 32}
    steps = {"size": {"shortest_edge": 36}, "crop_size": crop} if kind == "clip" else {"size": crop}
    getattr(transformers, {"clip": "CLIPImageProcessor", "siglip": "SiglipImageProcessor"}[kind])(
        **steps
    ).save_pretrained(folder)
    return network


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("clip")
    for kind in ("clip", "siglip"):
        write(root / kind, kind)
    return root


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (45, 61, 3), dtype=np.uint8)


def theirs(folder, pixels, prompts):
    """Logits by transformers itself."""
    reader = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    network = transformers.AutoModel.from_pretrained(folder).eval()
    padding = {"padding": "max_length", "max_length": 16} if folder.name == "siglip" else {"padding": True}
    texts = reader(list(prompts), return_tensors="pt", return_token_type_ids=False, **padding)
    with torch.no_grad():
        return network(**texts, **processor(images=Image.fromarray(pixels), return_tensors="pt")).logits_per_image


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_scores_are_the_similarities_that_transformers_gives(kind, folders):
    model = load_model(f"hf/{folders / kind}", reading=Reading(prompts=PROMPTS))
    assert (model.labels, model.classes) == (PROMPTS, 3)
    assert model.head.kind == {"clip": "logits", "siglip": "label-logits"}[kind]
    for seed in range(2):
        expected = theirs(folders / kind, picture(seed), PROMPTS)
        assert float(expected.std()) > 0.1
        found = model.module(model.preprocess(picture(seed))[None])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        p = expected.softmax(1) if kind == "clip" else expected.sigmoid()
        torch.testing.assert_close(model.head.probability(found), p, atol=1e-4, rtol=1e-4)


def test_texts_are_read_once_and_other_texts_are_another_network(folders):
    one, other = (load_model(f"hf/{folders / 'clip'}", reading=Reading(prompts=p)) for p in (PROMPTS, PROMPTS[::-1]))
    assert one.weights_hash != other.weights_hash
    assert not any("text" in name for name, _ in one.module.named_parameters())
    x = one.preprocess(picture())[None]
    torch.testing.assert_close(one.module(x), other.module(x).flip(1))


def test_one_prompt_has_a_similarity_and_no_probability(folders):
    model = load_model(f"hf/{folders / 'clip'}", reading=Reading(prompts=["a cat"]))
    assert model.head.kind == "values"
    assert any("--prompts with several" in note for note in model.notes)
    assert load_model(f"hf/{folders / 'siglip'}", reading=Reading(prompts=["a cat"])).head.kind == "logit"


def test_the_command_its_resumption_and_evaluation(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(folders)
    Image.fromarray(picture()).save(tmp_path / "a.png")
    run, out = CliRunner(), str(tmp_path / "out")
    given = ["explain", str(tmp_path / "a.png"), "-m", "hf/clip", "--method", "ig,gradient", "--out", out]
    done = run.invoke(app, [*given, "--prompts", "a cat; a photo of a dog;hen", "--target", "hen - a cat"])
    assert done.exit_code == 0, done.stderr
    spec = json.loads((tmp_path / "out" / "manifest.json").read_text())["spec"]
    assert (spec["prompts"], spec["target"]) == (list(PROMPTS), "index:2 - index:0")
    same = run.invoke(app, [*given, "--prompts", "a cat;a photo of a dog;hen", "--target", "hen - a cat", "--resume"])
    assert same.exit_code == 0, same.stderr
    other = run.invoke(app, [*given, "--prompts", "a cat;a photo of a dog;a hen", "--target", "2-0", "--resume"])
    assert other.exit_code == 2
    monkeypatch.chdir(tmp_path)
    measured = run.invoke(app, ["evaluate", out, "--metric", "deletion", "--no-pictures"])
    assert measured.exit_code == 0, measured.stderr


def test_gradients_reach_the_picture(folders):
    (found,) = explain(Image.fromarray(picture()), model=f"hf/{folders / 'clip'}", prompts=list(PROMPTS), target="hen",
                       method="ig", settings={"ig.steps": 64})  # fmt: skip
    assert found.label == "hen"
    assert found.relative_gap < 0.05
    assert np.abs(found.values).max() > 0


@pytest.mark.parametrize("bad", ["", ";", "a;;b", "a;a", "a; a", "x" * 1001, []])
def test_prompts_that_are_none(bad):
    with pytest.raises(UsageError, match="--prompts"):
        read_prompts(bad)


def test_what_cannot_be_asked(folders, tmp_path):
    with pytest.raises(ModelError, match=r'has no classes of its own(.|\n)*--prompts "a photo'):
        load_model(f"hf/{folders / 'clip'}")
    with pytest.raises(UsageError, match=r"pictures and texts(.|\n)*given: --model shapes"):
        load_model("shapes", reading=Reading(prompts=PROMPTS))
    with pytest.raises(UsageError, match="pictures and texts"):
        load_model(torch.nn.Flatten(), reading=Reading(prompts=PROMPTS))
    with pytest.raises(UsageError, match=r"longer than the network reads(.|\n)*up to 16 tokens"):
        load_model(f"hf/{folders / 'clip'}", reading=Reading(prompts=["a cat", "a " * 30]))
    with pytest.raises(UsageError, match="reads two prompts alike"):
        load_model(f"hf/{folders / 'clip'}", reading=Reading(prompts=["a cow", "a horse"]))
    vit = transformers.ViTForImageClassification(transformers.ViTConfig(**VISION))
    vit.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="'vit' is none"):
        load_model(f"hf/{tmp_path}", reading=Reading(prompts=PROMPTS))
    write(tmp_path / "bare", "clip")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "bare" / name).unlink()
    with pytest.raises(ModelError, match="has no tokenizer"):
        load_model(f"hf/{tmp_path / 'bare'}", reading=Reading(prompts=PROMPTS))


@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_prompts_for_a_fine_tuned_classifier_are_refused_for_what_they_are(kind, tmp_path):
    config = getattr(transformers, f"{kind}Config")(vision_config=VISION, num_labels=3)
    getattr(transformers, f"{kind}ForImageClassification")(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=rf"holds a {kind}ForImageClassification, without texts(.|\n)*its own"):
        load_model(f"hf/{tmp_path}", reading=Reading(prompts=("a cat", "a dog")))

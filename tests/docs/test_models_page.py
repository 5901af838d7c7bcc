"""docs/models.md: its commands, with small networks where the page has a user's own."""

import csv
import shlex

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from sigcli.cli.main import app

from pages import commands
from repository import ROOT

PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
NETS = """
import torch
def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(48, 2))
def tagger():
    return net()
class Two(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = net(), net()
    def forward(self, x):
        return {"species": self.one(x), "sex": self.two(x)}
def two_heads():
    return Two()
"""


def hugging(tmp_path):
    """The folders `fine-tuned` and `clip`."""
    transformers, tokenizers = (pytest.importorskip(name) for name in ("transformers", "tokenizers"))
    torch.manual_seed(0)
    names = {0: "cat", 1: "dog"}
    vit = transformers.ViTConfig(
        **SMALL, image_size=32, patch_size=8, id2label=names, label2id={"cat": 0, "dog": 1}, initializer_range=0.2
    )
    transformers.ViTForImageClassification(vit).save_pretrained(tmp_path / "fine-tuned")
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "fine-tuned")
    words = ["[PAD]", "[EOS]", "a", "photo", "of", "cat", "dog"]
    reader = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="a"))
    reader.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=reader, pad_token="[PAD]").save_pretrained(tmp_path / "clip")
    text = {**SMALL, "vocab_size": len(words) + 8, "max_position_embeddings": 16, "eos_token_id": 2, "bos_token_id": 1,
            "pad_token_id": 0}  # fmt: skip
    clip = transformers.CLIPConfig(text_config=text, vision_config={**SMALL, "image_size": 32, "patch_size": 8})
    transformers.CLIPModel(clip).save_pretrained(tmp_path / "clip")
    steps = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    transformers.CLIPImageProcessor(**steps).save_pretrained(tmp_path / "clip")


def of_open_clip(tmp_path, monkeypatch):
    """The network and weights of the page's name, made small."""
    open_clip = pytest.importorskip("open_clip")
    vision = {"layers": 1, "width": 16, "head_width": 8, "patch_size": 8, "image_size": 32}
    text = {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}
    config = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-32", config)
    torch.save(open_clip.create_model("ViT-B-32").state_dict(), tmp_path / "small.pt")
    stated = {"laion2b_s34b_b79k": {"file": str(tmp_path / "small.pt")}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "ViT-B-32", stated)


def test_the_commands_of_the_page_run(nets_here, monkeypatch):
    hugging(nets_here)
    of_open_clip(nets_here, monkeypatch)
    (nets_here / "mynets.py").write_text(NETS)
    (nets_here / "names.txt").write_text("cat\ndog\n")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save("photo.jpg")
    found = commands(PAGE)
    assert len(found) == 6
    labels = []
    for number, command in enumerate(found):
        own = ["--image-size", "16", "--class-names", "names.txt"] if "mynets" in command else []
        cheap = [] if "--set" in command else ["--set", "sig.samples=2"]
        done = CliRunner().invoke(app, [*shlex.split(command)[1:], *own, *cheap, "--out", f"out{number}"])
        assert done.exit_code == 0, (command, done.stderr)
        with open(f"out{number}/results.csv", newline="") as file:
            labels.append({row["label"] for row in csv.DictReader(file)})
    assert labels[2] <= {"a cat", "a dog"}
    assert labels[3] == {"cat", "dog"}
    assert labels[5] == {"cat − dog"}

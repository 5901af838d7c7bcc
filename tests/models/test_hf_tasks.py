"""Segmentation networks and detectors of Hugging Face's transformers, from folders that `save_pretrained` wrote."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sigcli import evaluate, explain
from sigcli.errors import ModelError
from sigcli.models.loading import load_model
from sigcli.models.wrappers.queries import Sides

transformers = pytest.importorskip("transformers")

NAMES = {0: "cat", 1: "dog", 2: "hen"}
LABELS = {"id2label": NAMES, "label2id": {name: index for index, name in NAMES.items()}}
SQUARE = {"height": 32, "width": 32}
SEGFORMER = {
    "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2], "decoder_hidden_size": 16,
    "classifier_dropout_prob": 0.0,
}  # fmt: skip
BACKBONE = {
    "embedding_size": 8,
    "hidden_sizes": [8, 16],
    "depths": [1, 1],
    "layer_type": "basic",
    "out_features": ["stage2"],
}
SMALL = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
}
WIDE = {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "num_queries": 12}


def segformer(folder, **changes):
    torch.manual_seed(1)
    config = transformers.SegformerConfig(**{**SEGFORMER, **LABELS, **changes})
    network = transformers.SegformerForSemanticSegmentation(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 1.6 / parameter[0].numel() ** 0.5)
    network.save_pretrained(folder)
    transformers.SegformerImageProcessor(size=SQUARE).save_pretrained(folder)
    return network


def detr(folder):
    torch.manual_seed(2)
    backbone = transformers.ResNetConfig(**BACKBONE)
    own = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None, "backbone_config": backbone}
    network = transformers.DetrForObjectDetection(transformers.DetrConfig(**own, **SMALL, **WIDE, **LABELS)).eval()
    with torch.no_grad():
        network.class_labels_classifier.weight.normal_(0, 1.5)
        network.bbox_predictor.layers[-1].weight.normal_(0, 1.5)
        network.model.query_position_embeddings.weight.normal_(0, 2)
    network.save_pretrained(folder)
    transformers.DetrImageProcessor(size={"shortest_edge": 48, "longest_edge": 80}).save_pretrained(folder)
    return network


def deformable(folder):
    torch.manual_seed(3)
    backbone = transformers.ResNetConfig(**{**BACKBONE, "out_features": ["stage1", "stage2"]})
    own = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None, "backbone_config": backbone}
    config = transformers.DeformableDetrConfig(
        **own, **{**SMALL, "d_model": 32, "decoder_layers": 2}, **WIDE, **LABELS, num_feature_levels=2
    )
    network = transformers.DeformableDetrForObjectDetection(config).eval()
    with torch.no_grad():
        for layer in network.class_embed:
            layer.weight.normal_(0, 0.6)
            layer.bias.zero_()
    network.save_pretrained(folder)
    transformers.DeformableDetrImageProcessor(size={"shortest_edge": 48, "longest_edge": 80}).save_pretrained(folder)
    return network


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((60, 40), Image.Resampling.BICUBIC)
    image.save("photo.png")
    return image


def test_a_segmentation_network_scores_pixels_as_transformers_does(here):
    network = segformer("net")
    model = load_model("hf/net")
    assert (model.task, model.classes, model.labels, model.kind) == ("regions", 3, ("cat", "dog", "hen"), "hf")
    assert model.preprocess.size == (32, 32)
    processor = transformers.AutoImageProcessor.from_pretrained("net")
    fed = processor(images=here, return_tensors="pt")["pixel_values"]
    x = model.preprocess(np.array(here))
    assert torch.allclose(x, fed[0], atol=1e-3)
    with torch.no_grad():
        output, own = network(pixel_values=fed), model.module(x[None])[0]
    (right,) = processor.post_process_semantic_segmentation(output, target_sizes=[(32, 32)])
    assert float((own.argmax(0) == right).float().mean()) > 0.99
    assert len(set(right.flatten().tolist())) > 1
    (item,) = explain("photo.png", model="hf/net", method="gradient", target="top", write=False, device="cpu")
    assert item.status == "ok", item.error
    assert item.label in NAMES.values()
    found = evaluate(
        "photo.png",
        model="net",
        method="gradcam,ig",
        metric="deletion",
        settings={"ig.steps": 4},
        device="cpu",
        pictures=False,
    )
    assert [value.error for value in found.values] == ["", ""]


@pytest.mark.parametrize("build", [detr, deformable])
def test_a_detector_finds_what_transformers_finds(here, build):
    network = build("net")
    model = load_model("hf/net")
    assert (model.task, model.classes, model.labels, model.kind) == ("boxes", 3, ("cat", "dog", "hen"), "hf")
    processor = transformers.AutoImageProcessor.from_pretrained("net")
    fed = processor(images=here, return_tensors="pt")
    with torch.no_grad():
        output = network(**fed)
    (right,) = processor.post_process_object_detection(output, threshold=0.5, target_sizes=[(40, 60)])
    image = torch.from_numpy(np.array(here)).permute(2, 0, 1).float()[None] / 255
    with torch.no_grad():
        (found,) = model.module(image)
        (every,) = model.module.candidates(image)
    found, order = found.sorted(), torch.argsort(right["scores"], descending=True)
    assert 0 < len(found.scores) < 36
    torch.testing.assert_close(found.scores, right["scores"][order], atol=2e-2, rtol=0)
    assert found.labels.tolist() == right["labels"][order].tolist()
    torch.testing.assert_close(found.boxes, right["boxes"][order], atol=1.0, rtol=0)
    assert len(every.scores) == 12 * 3  # every query for every class
    (item,) = explain(
        "photo.png", model="hf/net", method="ig", settings={"steps": 4}, target="top", write=False, device="cpu"
    )
    assert item.status == "ok", item.error
    assert np.abs(item.values).sum() > 0


def test_how_pictures_are_scaled_is_transformers_own_rule():
    from transformers.image_transforms import get_size_with_aspect_ratio

    for high, wide in ((40, 60), (60, 40), (50, 50), (48, 90), (13, 200), (200, 13), (480, 641)):
        assert Sides(48, 80).of(high, wide) == tuple(get_size_with_aspect_ratio((high, wide), 48, 80))


def test_what_is_no_segmentation_is_said(here):
    Path("masks").mkdir()
    config = transformers.MaskFormerConfig()
    config.architectures = ["MaskFormerForInstanceSegmentation"]
    config.save_pretrained("masks")
    with pytest.raises(ModelError, match="gives masks and a class for each, not a score of every class at every pixel"):
        load_model("hf/masks", weights="none")
    segformer("net")
    table = json.loads(Path("net/config.json").read_text())
    table["architectures"] = ["SegformerForImageClassification"]
    Path("net/config.json").write_text(json.dumps(table))
    with pytest.raises(ModelError, match="the weights lack"):
        load_model("hf/net")
    detr("finds")
    Path("finds/preprocessor_config.json").unlink(missing_ok=True)
    Path("finds/processor_config.json").unlink(missing_ok=True)
    with pytest.raises(ModelError, match="image processor"):
        load_model("hf/finds")

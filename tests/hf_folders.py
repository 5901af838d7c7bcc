"""Small classifiers of Hugging Face's transformers with random weights, as `save_pretrained` writes them."""

import torch

NAMES = {0: "cat", 1: "dog, hound", 2: "hen"}
LABELS = {"id2label": NAMES, "label2id": {name: index for index, name in NAMES.items()}}
VIT = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip
SQUARE = {"height": 32, "width": 32}
LARGER = {"height": 37, "width": 39}
STAGES = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
# name → (kind, options of its configuration, image processor, its options); odd rests of crops are meant
KINDS = {
    "vit": ("ViT", VIT, "ViT", {"size": SQUARE}),
    "deit": ("DeiT", VIT, "DeiT", {"size": LARGER, "crop_size": SQUARE}),
    "swin": (
        "Swin", {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4},
        "ViT", {"size": SQUARE, "resample": 3},
    ),
    "convnext": ("ConvNext", STAGES, "ConvNext", {"size": {"shortest_edge": 32}}),
    "dinov2": ("Dinov2", VIT, "Bit", {"size": {"shortest_edge": 37}, "crop_size": SQUARE}),
    "beit": ("Beit", VIT, "Beit", {"size": LARGER, "crop_size": SQUARE, "do_center_crop": True}),
    "mobilevit": (
        "MobileViT",
        {"image_size": 32, "hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 16, 16, 32],
         "num_attention_heads": 2},
        "MobileViT", {"size": {"shortest_edge": 40}, "crop_size": SQUARE},
    ),
    "mobilenetv2": (
        "MobileNetV2", {"image_size": 32, "depth_multiplier": 0.35}, "MobileNetV2",
        {"size": {"shortest_edge": 41}, "crop_size": SQUARE},
    ),
    "resnet": (
        "ResNet", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}, "ConvNext",
        {"size": {"shortest_edge": 32}},
    ),
}  # fmt: skip


def write(folder, name="vit", processor=None, **changes):
    """A network of that kind with weights that tell its inputs apart, saved with its image processor."""
    import transformers

    kind, config, own, steps = KINDS[name]
    torch.manual_seed(1)
    made = getattr(transformers, f"{kind}Config")(**config, **{**LABELS, **changes})
    network = getattr(transformers, f"{kind}ForImageClassification")(made).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:  # the initial weights are so small that hardly anything comes through
                parameter.normal_(0, 1.6 / parameter[0].numel() ** 0.5)
        last = [part for part in network.modules() if isinstance(part, torch.nn.Linear)][-1]
        last.weight /= network(pixel_values=torch.randn(4, 3, 32, 32)).logits.std()
    network.save_pretrained(folder)
    chosen = processor or getattr(transformers, f"{own}ImageProcessor")(**steps)
    chosen.save_pretrained(folder)
    return network

"""The networks of docs/methods.md, with random weights: which there are, and how `sig explain` is asked for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

SIDE = 64
FAMILIES = {
    "Convolutional networks": (
        "resnet18", "vgg11", "densenet121", "mobilenet_v2", "squeezenet1_1", "convnext_tiny", "timm/resnet10t",
        "timm/convnextv2_atto", "hf/ConvNext",
    ),
    "Vision transformers": (
        "vit_b_16", "timm/vit_tiny_patch16_224", "timm/deit_tiny_distilled_patch16_224", "hf/ViT", "hf/Dinov2", "hf/Beit",
    ),
    "Windows, other kinds of attention, and hybrids": (
        "swin_t", "hf/Swin", "timm/xcit_nano_12_p16_224", "timm/levit_128s", "timm/mobilevit_xxs",
        "timm/vit_tiny_r_s16_p8_224",
    ),
    "Segmentation and detection": (
        "lraspp_mobilenet_v3_large", "ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn",
    ),
}  # fmt: skip
NETWORKS = tuple(name for names in FAMILIES.values() for name in names)
DETECTORS = {  # with random weights no box has a score above the usual threshold
    "ssdlite320_mobilenet_v3_large": "score_thresh",
    "fasterrcnn_mobilenet_v3_large_320_fpn": "box_score_thresh",
}
TOKENS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
CONFIGURATIONS = {
    "ViT": {**TOKENS, "patch_size": 8},
    "Dinov2": {**TOKENS, "patch_size": 8},
    "Beit": {**TOKENS, "patch_size": 8, "use_relative_position_bias": True},
    "Swin": {"patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4},
    "ConvNext": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
}
OWN_SIZE = ("_224", "/levit")
"""In the names of networks that take images of 224×224 only; the others take them of `SIDE`."""


def built(name: str) -> nn.Module:
    """A network of torchvision or timm with random weights, the same every time."""
    torch.manual_seed(0)
    if name.startswith("timm/"):
        import timm

        return timm.create_model(name.removeprefix("timm/"), pretrained=False).eval()
    options: dict[str, Any] = {}
    if name.startswith("vit"):
        options = {"image_size": SIDE}
    elif name == "googlenet":
        options = {"init_weights": True}
    elif name in DETECTORS:
        options = {"weights_backbone": None, DETECTORS[name]: 0.0}
    elif name in FAMILIES["Segmentation and detection"]:
        options = {"weights_backbone": None}
    net = torchvision.models.get_model(name, weights=None, **options).eval()
    if name.startswith("vit"):
        nn.init.normal_(net.heads.head.weight, std=0.05)  # torchvision starts it at zero
    return net


def settle(net: nn.Module, images: torch.Tensor | list[torch.Tensor]) -> None:
    """Give batch norms the statistics of images, as training would: else deep networks have outputs of 1e-13."""
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = None
    with torch.no_grad():
        net(images)
    net.eval()


def saved(kind: str, folder: Path) -> str:
    """`--model` for a small network of Hugging Face's, saved in a folder as its users save theirs."""
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(image_size=SIDE, num_labels=10, **CONFIGURATIONS[kind])
    getattr(transformers, f"{kind}ForImageClassification")(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return f"hf/{folder}"


def asked(name: str, folder: Path) -> dict[str, Any]:
    """The options of `sig explain` that name a network of the matrix, whose weights are written to a folder."""
    if name.startswith("hf/"):
        return {"model": saved(name.removeprefix("hf/"), folder)}
    net = built(name)
    if name in DETECTORS:
        settle(net, list(torch.rand(4, 3, SIDE, SIDE)))
        return {"model": net}
    if name.startswith("vit"):
        return {"model": net, "image_size": SIDE, "mean": (0.5,), "std": (0.25,)}
    side = 224 if any(mark in name for mark in OWN_SIZE) else SIDE
    settle(net, torch.randn(8, 3, side, side))
    save_file(net.state_dict(), folder / "weights.safetensors")
    return {"model": name, "weights": str(folder / "weights.safetensors"), "image_size": side}

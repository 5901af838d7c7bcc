"""Where models come from: one table of kinds, each loaded by one function. Importing this imports no torch."""

from __future__ import annotations

from sigcli.catalog import Catalog, Entry

MODELS = Catalog(
    "model",
    [
        Entry(
            "shapes",
            "models.sources.bundled:load",
            "the small bundled network of drawn shapes, works offline (the default)",
            {"form": "shapes", "example": "--model shapes"},
        ),
        Entry(
            "expression",
            "models.sources.bundled:load_expression",
            "the small bundled embedding of drawn faces, for pairs of them: what does a face express?",
            {"form": "expression", "example": "--model expression --partner other.png"},
        ),
        Entry(
            "torchvision",
            "models.sources.torchvision:load",
            "a torchvision classifier by name; --weights DEFAULT, NAME, none or FILE",
            {"form": "NAME", "example": "--model resnet50 --weights IMAGENET1K_V2"},
        ),
        Entry(
            "torchscript",
            "models.sources.files:load_torchscript",
            "a TorchScript program, as saved by torch.jit.save",
            {"form": "FILE.pt", "example": "--model net.pt"},
        ),
        Entry(
            "export",
            "models.sources.files:load_export",
            "an exported program, as saved by torch.export.save",
            {"form": "FILE.pt2", "example": "--model net.pt2"},
        ),
        Entry(
            "trained",
            "models.sources.trained:load",
            "a network that `sig train` made, with or without a certainty per pixel",
            {"form": "FILE.safetensors", "example": "--model sig-train/network.safetensors"},
        ),
        Entry(
            "timm",
            "models.sources.timm:load",
            "a timm model by name, with its own preprocessing (pip install 'sigcli[timm]')",
            {"form": "timm/NAME", "example": "--model timm/vit_tiny_patch16_224"},
        ),
        Entry(
            "factory",
            "models.sources.factory:load",
            "your own function that returns a torch.nn.Module",
            {"form": "PACKAGE.MODULE:FUNCTION", "example": "--model mynets.small:build --weights net.safetensors"},
        ),
    ],
)


def names() -> list[str]:
    """The names of all torchvision classifiers, sorted (this imports torchvision).

    >>> "squeezenet1_1" in names()
    True
    """
    from .sources.torchvision import architectures

    return architectures()

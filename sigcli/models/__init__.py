"""Where models come from: one table of sources, in the order in which they are tried. Importing this imports no torch.

Properties:
    matches: a function of what a user typed after `--model`; the first source that says True loads it. It may raise
        ModelError for a file that cannot be read.
    arrays: the function that loads a network of arrays; None where the source has networks of pictures only.
    prompts: the function that loads a network whose classes are texts; None where the source has none.
    known: the source says what a network's outputs are: several are logits, and their names come with them. Elsewhere both
        are read off the network.
    pairs: its networks embed images, so a second image is needed.
    details: the function that tells about one of its networks by name (`sig list models resnet18`); None where names are
        files or functions. Such a source also builds its networks with random weights (`--weights none`).
    form: what is typed.
    example: an example of its use in a command.
"""

from __future__ import annotations

from sigcli.catalog import Catalog, Entry
from sigcli.errors import ModelError, unknown

NAME = "NAME"
"""The form of a plain name, which torchvision has to be asked for."""


def _source(
    name: str,
    target: str,
    summary: str,
    *,
    form: str,
    example: str,
    matches: str = "matches",
    arrays: str | None = None,
    prompts: str | None = None,
    known: bool = False,
    pairs: bool = False,
    details: str | None = None,
) -> Entry:
    """A line of the table; functions are named within `models.sources`, the others within the module of the first."""
    module = f"models.sources.{target.partition(':')[0]}"
    properties = {
        "pairs": pairs, "matches": f"{module}:{matches}", "known": known,
        "arrays": None if arrays is None else f"{module}:{arrays}",
        "prompts": None if prompts is None else f"models.sources.{prompts}",
        "details": None if details is None else f"{module}:{details}",
        "form": form, "example": f"--model {example}",
    }  # fmt: skip
    return Entry(name, f"models.sources.{target}", summary, properties)


MODELS = Catalog(
    "model",
    [
        _source(
            "shapes", "bundled:load", "the small bundled network of drawn shapes, works offline (the default)",
            matches="is_shapes", known=True, form="shapes", example="shapes",
        ),
        _source(
            "shapes-vit", "bundled:load", "a small bundled vision transformer of the same drawn shapes",
            matches="is_shapes_vit", known=True, form="shapes-vit", example="shapes-vit --method transformer-attribution",
        ),
        _source(
            "expression", "bundled:load_expression",
            "the small bundled embedding of drawn faces, for pairs of them: what does a face express?",
            matches="is_expression", known=True, pairs=True, form="expression", example="expression --partner other.png",
        ),
        _source(
            "torchvision", "torchvision:load", "a torchvision classifier by name; --weights DEFAULT, NAME, none or FILE",
            known=True, details="details", form=NAME, example="resnet50 --weights IMAGENET1K_V2",
        ),
        _source(
            "segmentation", "segmentation:load", "a torchvision segmentation network by name: a class over a region",
            known=True, details="details", form=NAME, example="lraspp_mobilenet_v3_large --target cat",
        ),
        _source(
            "detection", "detection:load", "a torchvision detector by name: one of the boxes that it finds",
            known=True, details="details", form=NAME, example="fasterrcnn_resnet50_fpn --target person:1",
        ),
        _source(
            "timm", "timm:load", "a timm model by name, with its own preprocessing (pip install '.[timm]')",
            known=True, details="details", form="timm/NAME", example="timm/vit_tiny_patch16_224",
        ),
        _source(
            "hf", "hf:load",
            "a classifier, segmentation network or detector of Hugging Face's transformers: a folder, or a name on the hub "
            "(pip install '.[hf]')",
            known=True, prompts="clip:load", form="hf/NAME or FOLDER", example="hf/google/vit-base-patch16-224",
        ),
        _source(
            "openclip", "openclip:load",
            "a network of open_clip by name and weights, or a folder of its own (pip install '.[openclip]')",
            known=True, prompts="openclip:load_for_prompts", form="openclip/NAME:PRETRAINED",
            example="openclip/ViT-B-32:laion2b_s34b_b79k --prompts 'a cat;a dog'",
        ),
        _source(
            "torchscript", "torchscript:load", "a TorchScript program, as saved by torch.jit.save",
            arrays="load", form="FILE.pt", example="net.pt",
        ),
        _source(
            "export", "export:load", "an exported program, as saved by torch.export.save",
            arrays="load_for_arrays", form="FILE.pt2", example="net.pt2",
        ),
        _source(
            "trained", "trained:load", "a network that `sig train` made, certainty-aware or not",
            known=True, form="FILE.safetensors", example="sig-train/network.safetensors",
        ),
        _source(
            "factory", "factory:load", "your own function that returns a torch.nn.Module",
            arrays="load", form="PACKAGE.MODULE:FUNCTION", example="mynets.small:build --weights net.safetensors",
        ),
    ],
)  # fmt: skip


def names() -> list[str]:
    """The names of all torchvision classifiers, sorted (this imports torchvision).

    >>> "squeezenet1_1" in names()
    True
    """
    from .sources.torchvision import architectures

    return architectures()


def others() -> dict[str, str]:
    """The names of torchvision's networks that are no classifiers, and their source (this imports torchvision).

    >>> others()["fasterrcnn_resnet50_fpn"], others()["lraspp_mobilenet_v3_large"]
    ('detection', 'segmentation')
    """
    from .sources import detection, segmentation

    return {
        **dict.fromkeys(segmentation.names(), "segmentation"),
        **dict.fromkeys(detection.names(), "detection"),
    }


def described(name: str) -> str:
    """What is known of a network that has a name: its weights and how they are fed (this imports torchvision or timm).

    Args:
        name: as after `--model`: a torchvision name or `timm/NAME`.

    Raises:
        ModelError: no network of that name.
    """
    for entry in MODELS.values():
        if entry.properties["details"] is not None and entry.load("matches")(name):
            return entry.load("details")(name)
    raise unknown("model", name, [*MODELS, *names(), *others()], ModelError)

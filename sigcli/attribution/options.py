"""The options of `sig explain`, and those that other commands share with it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from ..options import (
    COMPUTE,
    METHOD,
    MODEL,
    OUTPUT,
    VIEW,
    VIEWS,
    ComputeOptions,
    Options,
    ResumeOptions,
    assignments,
    numbers,
    option,
)

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor, nn

Sample = Union[str, Path, "Tensor", "np.ndarray", "Image"]
"""What is explained: a file, a folder or a pattern; or a picture in memory, see `sigcli.inputs.given`."""
Method = str | Callable[..., Any]
"""A name in the catalogue, or a function (model, inputs, targets) → attributions."""
Samples = Union[Sample, Sequence[Sample], Iterable[Any]]  # noqa: UP007  of texts there is no |
"""Samples, or an iterable of batches, see `sigcli.attribution.batches`."""
_INPUTS = "Image files, .npy files of floats, folders or glob patterns; by default the bundled sample images."


@dataclass(frozen=True, repr=False)
class NetworkOptions(Options):
    """A network and the size of its input."""

    model: "str | nn.Module" = option(
        "shapes",
        "shapes (bundled), a torchvision name, a TorchScript or .pt2 file, timm/NAME, hf/NAME, hf/FOLDER, "
        "openclip/NAME:PRETRAINED or package.module:factory.",
        panel=MODEL, flags=("--model", "-m"), kind=str, kept=True,
    )  # fmt: skip
    weights: str | None = option(
        None, "DEFAULT, a torchvision weights name, none, or a file (state dict or safetensors); FILE:PART is one of "
        "several.",
        panel=MODEL, flags=("--weights", "-w"), kept=True,
    )  # fmt: skip
    image_size: str | int | tuple[int, int] | None = option(
        None, "Size of the network's input in pixels: the image is scaled to fill it, then cropped at the centre.",
        panel=MODEL, kind=str, shown=False, metavar="SIDE|HEIGHTxWIDTH", kept=True, was=("--size",),
    )  # fmt: skip
    resize: int | None = option(
        None, "Scale the shorter side to this many pixels before the crop.", panel=MODEL, kept=True
    )
    crop: int | None = option(None, "Side of the centre crop in pixels; or use --image-size.", panel=MODEL, kept=True)
    part: str | int | None = option(
        None, "Part of the network's outputs that holds the scores, where it returns several tensors: a name or a number.",
        panel=MODEL, kind=str, shown=False, metavar="NAME", kept=True,
    )  # fmt: skip


@dataclass(frozen=True, repr=False)
class ModelOptions(NetworkOptions, ComputeOptions):
    """The model, and how a picture is brought to it."""

    class_names: str | Path | None = option(
        None,
        "File of class names in the model's order: one per line, a table of index and name, JSON or a Python dict.",
        panel=MODEL,
        kind=Path,
        shown=False,
        kept=True,
    )
    mean: tuple[float, ...] | None = option(
        None, "Mean for normalisation, for example 0.485,0.456,0.406; one number applies to all channels.",
        panel=MODEL, kind=str, read=numbers("mean"), kept=True,
    )  # fmt: skip
    std: tuple[float, ...] | None = option(
        None, "Standard deviation for normalisation, for example 0.229,0.224,0.225; one number applies to all channels.",
        panel=MODEL, kind=str, read=numbers("std"), kept=True,
    )  # fmt: skip
    prompts: str | Sequence[str] | None = option(
        None, "Texts that are the classes, for a CLIP model (hf/ or openclip/), with ; between them: 'a cat;a dog'.",
        panel=MODEL, kind=str, shown=False, metavar="TEXT;TEXT", kept=True,
    )  # fmt: skip
    head: str = option(
        "auto",
        "What the outputs are: softmax, sigmoid, single (one output), probabilities or regression; auto detects it.",
        panel=MODEL,
        choices=("auto", "softmax", "sigmoid", "single", "probabilities", "regression"),
        kept=True,
    )
    precision: str = option(
        "fp32",
        "Precision of the model: fp32, tf32, bf16 (weights too, where the network allows it) or fp16.",
        panel=COMPUTE,
        choices=("fp32", "tf32", "bf16", "fp16"),
        kept=True,
    )
    compile: str = option(
        "auto",
        "Compile the model with torch.compile: auto (long runs on CUDA), on or off.",
        panel=COMPUTE,
        choices=("auto", "on", "off"),
        kept=True,
    )


@dataclass(frozen=True, repr=False)
class MethodOptions(ModelOptions):
    """Methods, and the score that they explain."""

    method: str | Sequence[Method] | Mapping[str, Method] = option(
        "sig", "One method or several, separated by commas; see 'sig list methods'. NAME=METHOD gives it your own name.",
        panel=METHOD, kind=str,
    )  # fmt: skip
    settings: Mapping[str, Any] | None = option(
        None,
        "Set an option of all methods that have it, of one method (METHOD.NAME=VALUE) or of a metric (METRIC.NAME=VALUE); "
        "repeatable.",
        panel=METHOD, flags=("--set",), kind=list[str], read=assignments, metavar="NAME=VALUE", shown=False,
    )  # fmt: skip
    preset: str | None = option(
        None, "Named settings: 'paper' runs SIG, SIG-walk and IG as the papers do. --set overrides it.",
        panel=METHOD, shown=False,
    )  # fmt: skip
    players: str | None = option(
        None,
        "Players, the parts of the input that get credit: 80x80 (pixels a patch), grid:7x7 (patches), superpixels:N, "
        "pixels, tokens (a transformer's patches) or a label map .npy; for arrays axis:N or features.",
        panel=METHOD,
    )  # fmt: skip
    baseline: str | None = option(
        None, "Baseline x' that stands for a missing input; see 'sig list baselines'.", panel=METHOD
    )
    tolerance: float | None = option(
        None,
        "Keep drawing until the standard error of the map, as pictures show it, is at most this fraction of the map; for "
        "example 0.05.",
        panel=COMPUTE, shown=False, metavar="FRACTION",
    )  # fmt: skip
    max_evaluations: int | None = option(
        None, "With --tolerance: most evaluations of the model for one map; by default 16 times the method's usual cost.",
        panel=COMPUTE, shown=False, metavar="N",
    )  # fmt: skip
    evaluations: int | None = option(
        None, "Budget: evaluations of the model for one map, the same for every method; sets each method's own option.",
        panel=COMPUTE, shown=False, metavar="N",
    )  # fmt: skip
    target: str | int = option(
        "top", "Class to explain: top, top:K, an index or a label (index:10 and name:10 where 10 may be either); several "
        "with commas: cat,dog; 'cat - dog' is the difference of two scores. Of a segmentation cat, cat@X,Y (a pixel) or "
        "cat@MASK.png; of a detector cat:2, its second cat.",
        panel=METHOD, kind=str, otherwise="One class for each image: pass batches of (images, labels), such as "
        "DataLoader(TensorDataset(images, labels)), with target='label'; several of each image: target='1,2'.",
    )  # fmt: skip
    output: str = option(
        "logit",
        "Score to explain: logit, prob or logprob; for a pair, distance or cosine-distance.",
        panel=METHOD,
        kept=True,
    )
    references: Samples | None = option(
        None, "Images that eg and the mean and random baselines use instead of the explained ones; repeatable.",
        panel=METHOD, kind=list[str], shown=False,
    )  # fmt: skip
    mask_certainty: str | Path | None = option(
        None,
        "Set the certainty of an area to 0, for certainty-aware models: LEFT,TOP,RIGHT,BOTTOM as fractions of the image, "
        "or an image that is white there.",
        panel=METHOD, kind=str, shown=False, metavar="AREA", kept=True,
    )  # fmt: skip
    completeness_check: str = option(
        "sampled", "End points that the completeness check evaluates: sampled (cheap) or all.",
        panel=COMPUTE, choices=("sampled", "all"),
        was=("--check",),
    )  # fmt: skip


@dataclass(frozen=True, repr=False)
class RunOptions(MethodOptions, ResumeOptions):
    """A run: images, a model, methods and a run folder."""

    images: Samples | None = option(
        None, _INPUTS, keyword_only=False, argument=True, kind=list[str], metavar="IMAGES", shown=False
    )
    limit: int | None = option(None, "Take only the first N images that were found.", metavar="N", shown=False)
    sample: int | None = option(
        None, "Take only N of the images that were found, drawn with --seed: the same N whatever their order.",
        metavar="N", shown=False,
    )  # fmt: skip
    preprocessed: bool | None = option(
        None, "For float tensors. True: they are the network's input, used as they are. False: they are pixels in 0..1 and "
        "are normalised like pictures. By default True; refused where the values could be either.",
        panel=MODEL, command_line=False,
    )  # fmt: skip
    stage: str | Path | None = option(
        None, "Where --out is a URL: local folder in which the run is made; by default one in the user's cache.",
        panel=OUTPUT, kind=str, metavar="FOLDER", shown=False,
    )  # fmt: skip
    uncertainty: bool = option(False, "Also write each value's standard error.", panel=OUTPUT)
    significant: bool = option(
        False, "In pictures, fade values whose 95 % interval contains 0. Sets --uncertainty.",
        panel=OUTPUT,
    )  # fmt: skip
    view: str | None = option(None, f"How pictures show a map: {VIEWS}. Arrays stay raw.", panel=OUTPUT, shown=VIEW)
    smooth: float | None = option(
        None,
        "Blur the maps in pictures by this many pixels: --view smooth:PIXELS; 0 for none.",
        panel=OUTPUT,
        shown=False,
    )
    save_view: bool = option(
        False, "Also write METHOD.view.npy, the map as pictures show it; with --uncertainty, its standard errors too.",
        panel=OUTPUT,
    )  # fmt: skip
    gallery: bool = option(
        True, "Write index.html, a page to look through the run in a browser; it follows the run while it goes on.",
        panel=OUTPUT, flags=("--gallery/--no-gallery",),
    )  # fmt: skip
    signs: str = option(
        "together",
        "together, or apart: also draw positive and negative values separately.",
        panel=OUTPUT,
        choices=("together", "apart"),
    )
    scale: str = option(
        "own",
        "Scale of the colours in the sheet: own, each map's, or common, one for all maps of a unit.",
        panel=OUTPUT,
        choices=("own", "common"),
    )
    cmap: str = option(
        "red-blue",
        "Colours of maps: red-blue, orange-purple, teal-brown, RdBu, PuOr or BrBG. Alone or after a comma: viridis, "
        "cividis, inferno or magma, for maps without negative values.",
        panel=OUTPUT, metavar="NAME[,NAME]",
    )  # fmt: skip
    bare: bool = option(
        False, "Also write each map alone as METHOD.bare.png: no margin, no scale, of the size of the network's input.",
        panel=OUTPUT,
    )  # fmt: skip


def shard_option() -> Any:
    """The option `shard` of a command."""
    return option(
        None, "Explain one part of the images: 3/16 takes every 16th of the sorted list, starting with the 3rd. "
        "sig merge joins the parts.",
        panel=COMPUTE, metavar="NUMBER/COUNT", shown=False,
    )  # fmt: skip


def workers_option() -> Any:
    """The option `workers` of a command."""
    return option(
        None, "Workers that divide the images, each with a GPU or its share of the cores: processes of this machine, or "
        "actors with --engine ray.",
        panel=COMPUTE, metavar="N", shown="1; with --engine ray one for each GPU, or for each node",
    )  # fmt: skip


def engine_option() -> Any:
    """The option `engine` of a command."""
    return option(
        "local", "Where --workers are: local, on this machine; ray, in a Ray cluster.",
        panel=COMPUTE, choices=("local", "ray"),
    )  # fmt: skip


def address_option() -> Any:
    """The option `address` of a command."""
    return option(
        None, "Ray cluster: auto for the one that this machine belongs to, HOST:PORT of its head, or local to start one of "
        "this machine alone.",
        panel=COMPUTE, metavar="auto|HOST:PORT|local", shown="auto",
    )  # fmt: skip


@dataclass(frozen=True, repr=False)
class ExplainOptions(RunOptions):
    """The options of `sig explain`."""

    shard: str | None = shard_option()
    workers: int | None = workers_option()
    engine: str = engine_option()
    address: str | None = address_option()

    partner: Sample | None = option(
        None, "Second image of a pair, held fixed: one for all images, or a folder with one of the same name for each.",
        panel=METHOD, flags=("--partner", "--reference"), kind=Path, shown=False,
    )  # fmt: skip
    figure: str | Path | None = option(
        None, "Also draw one figure for a paper as FILE.pdf, .svg or .png: a row for each image, a column for each method.",
        panel=OUTPUT, kind=Path, shown=False, metavar="FILE",
    )  # fmt: skip
    figure_width: str | float | None = option(
        None, "Width of --figure: nature, nature-wide, ieee, ieee-wide, neurips and others, or a number of mm.",
        panel=OUTPUT, kind=str, shown="neurips, 139.7 mm", metavar="JOURNAL|MM",
    )  # fmt: skip
    write: bool | None = option(
        None, "Write files. By default only if all images are files, or `out` is given.", command_line=False
    )

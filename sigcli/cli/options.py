"""Options that several commands share; one name and one meaning everywhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError

_MODEL, _COMPUTE, _OUTPUT, _METHOD = "Model", "Computation", "Output", "Method"

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATHS]...",
        help="Images, or arrays of floats .npy; folders or glob patterns; without any, the bundled sample images.",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        rich_help_panel=_MODEL,
        help="shapes (bundled), a torchvision name, a TorchScript or .pt2 file, timm/NAME or package.module:factory.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        "-w",
        rich_help_panel=_MODEL,
        help="DEFAULT, a torchvision weights name, none, or a file (state dict or safetensors).",
    ),
]
ClassNames = Annotated[
    Path | None,
    typer.Option(
        "--class-names", rich_help_panel=_MODEL, show_default=False,
        help="File of the classes' names: one a line, or CSV index,name.",
    ),
]  # fmt: skip
Size = Annotated[
    str | None,
    typer.Option(
        "--size", rich_help_panel=_MODEL, show_default=False, metavar="SIDE|HEIGHTxWIDTH",
        help="The network's input in pixels: the picture is scaled to fill it and cropped at its centre.",
    ),
]  # fmt: skip
Resize = Annotated[
    int | None, typer.Option("--resize", rich_help_panel=_MODEL, help="Shorter side in pixels before the crop.")
]
Crop = Annotated[
    int | None, typer.Option("--crop", rich_help_panel=_MODEL, help="Side of the centre crop; or name --size.")
]
Mean = Annotated[
    str | None,
    typer.Option("--mean", rich_help_panel=_MODEL, help="Normalisation, e.g. 0.485,0.456,0.406; one number for all."),
]
Std = Annotated[
    str | None,
    typer.Option("--std", rich_help_panel=_MODEL, help="Normalisation, e.g. 0.229,0.224,0.225; one number for all."),
]

Method = Annotated[
    str,
    typer.Option(
        "--method", rich_help_panel=_METHOD,
        help="One or several, with commas; see 'sig list methods'. NAME=METHOD gives one a name of its own.",
    ),
]  # fmt: skip
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        rich_help_panel=_METHOD,
        show_default=False,
        help="An option of the methods, for all that have it or as METHOD.NAME=VALUE; of a metric as METRIC.NAME=VALUE; "
        "repeatable.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", rich_help_panel=_METHOD, show_default=False,
        help="Settings that go together: 'paper' runs SIG, the walk and IG as the papers do; --set comes before it.",
    ),
]  # fmt: skip
Players = Annotated[
    str | None,
    typer.Option(
        "--players",
        rich_help_panel=_METHOD,
        help="80x80, grid:7x7, superpixels:N, pixels or a label map .npy; axis:N or features of arrays.",
    ),
]
Baseline = Annotated[
    str | None, typer.Option("--baseline", rich_help_panel=_METHOD, help="Default sample x'; see 'sig list baselines'.")
]
References = Annotated[
    list[str] | None,
    typer.Option(
        "--references",
        rich_help_panel=_METHOD,
        show_default=False,
        help="Images for eg and the mean and random baselines instead of those explained; repeatable.",
    ),
]
Partner = Annotated[
    Path | None,
    typer.Option(
        "--partner",
        "--reference",
        rich_help_panel=_METHOD,
        show_default=False,
        help="The second image of a pair, held fixed: one for all, or a folder with one of the same name for each.",
    ),
]
MaskCertainty = Annotated[
    str | None,
    typer.Option(
        "--mask-certainty", rich_help_panel=_METHOD, show_default=False, metavar="AREA",
        help="Set the certainty of an area to 0, for networks that take one: LEFT,TOP,RIGHT,BOTTOM in shares of the image, "
        "or an image that is white there.",
    ),
]  # fmt: skip
Target = Annotated[str, typer.Option("--target", rich_help_panel=_METHOD, help="top, top:K, a class index or a label.")]
OutputKind = Annotated[
    str,
    typer.Option(
        "--output", rich_help_panel=_METHOD, help="logit, prob or logprob; distance or cosine-distance of a pair."
    ),
]

Device = Annotated[str, typer.Option("--device", rich_help_panel=_COMPUTE, help="auto, cpu, cuda, cuda:1 or mps.")]
Precision = Annotated[str, typer.Option("--precision", rich_help_panel=_COMPUTE, help="fp32, tf32, bf16 or fp16.")]
BatchSize = Annotated[str, typer.Option("--batch-size", rich_help_panel=_COMPUTE, help="auto or a number of images.")]
Seed = Annotated[int, typer.Option("--seed", rich_help_panel=_COMPUTE, help="Fixes every random draw.")]
Check = Annotated[
    str,
    typer.Option("--check", rich_help_panel=_COMPUTE, help="Completeness check: sampled (cheap) or all end points."),
]


def _folder(text: str) -> Path:
    """The folder of `--out`; a name that is empty would be the current folder."""
    if not str(text).strip():
        raise typer.BadParameter("names no folder (given: ''). For example --out sig-out.")
    return Path(text)


Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        parser=_folder,
        metavar="PATH",
        rich_help_panel=_OUTPUT,
        show_default=False,
        help="Run folder; by default sig-out, or the next free sig-out-N.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", rich_help_panel=_OUTPUT, help="Go on with an interrupted run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", rich_help_panel=_OUTPUT, help="Replace another run in --out.")]
Uncertainty = Annotated[
    bool, typer.Option("--uncertainty", rich_help_panel=_OUTPUT, help="Also write each value's standard error.")
]
Smooth = Annotated[
    float | None,
    typer.Option(
        "--smooth",
        rich_help_panel=_OUTPUT,
        show_default=False,
        help="Blur of the maps in pictures, in pixels; 0 for none. Arrays stay raw.",
    ),
]
Signs = Annotated[
    str,
    typer.Option(
        "--signs",
        rich_help_panel=_OUTPUT,
        help="together, or apart: also pictures of positive and of negative values alone.",
    ),
]
Pictures = Annotated[bool, typer.Option("--pictures/--no-pictures", rich_help_panel=_OUTPUT, help="Draw PNGs.")]
Json = Annotated[
    bool, typer.Option("--json", rich_help_panel=_OUTPUT, help="One JSON object per result on standard output.")
]
Debug = Annotated[bool, typer.Option("--debug", rich_help_panel=_OUTPUT, help="Show tracebacks.")]


def typed(context: typer.Context) -> dict[str, Any]:
    """The options that were typed, as the library takes them; those left out keep the library's defaults."""
    left = {"paths", "as_json", "debug"}
    given = {
        name: value
        for name, value in context.params.items()
        if name not in left and _source(context, name) not in ("DEFAULT", "DEFAULT_MAP")
    }
    convert = {
        "settings": assignments,
        "mean": partial(numbers, "mean"),
        "std": partial(numbers, "std"),
        "batch_size": partial(whole_or_auto, "batch-size"),
    }
    return {name: convert.get(name, _same)(value) for name, value in given.items()}


def _source(context: typer.Context, name: str) -> str:
    """Where a value came from; by name, since typer may bring a click of its own."""
    source = context.get_parameter_source(name)
    return "DEFAULT" if source is None else source.name


def _same(value: Any) -> Any:
    return value


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Numbers separated by commas; raises UsageError where they are none."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--{option} needs numbers separated by commas", given=text) from None


def whole_or_auto(option: str, text: str) -> int | None:
    """A whole number of at least 1, or None for `auto`; raises UsageError otherwise."""
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"--{option} must be a whole number of at least 1, or auto", given=text)
    return int(text)


def assignments(texts: list[str] | None) -> dict[str, str]:
    """`--set` texts as name → value; raises UsageError for a text without `=`."""
    pairs = [text.partition("=") for text in texts or []]
    for text, (name, equals, _) in zip(texts or [], pairs, strict=True):
        if not equals or not name.strip():
            raise UsageError("--set needs NAME=VALUE", given=text)
    return {name.strip(): value.strip() for name, _, value in pairs}

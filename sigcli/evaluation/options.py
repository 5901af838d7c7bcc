"""The options of `sig evaluate` and `sig benchmark`: those of a run, and what is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from ..attribution.options import Method, RunOptions, address_option, engine_option, shard_option, workers_option
from ..options import COMPUTE, METHOD, METRIC, OUTPUT, VIEW, VIEWS, Options, folder_option, option, option_like

STANDARD = (
    "sig,sig-walk,black=ig,mean=ig,blur=ig,blur-ig,guided-ig,idgi,eg,agn,smoothgrad,gradient-shap,gradcam,lime,"
    "kernelshap,rise"
)
"""The methods of `sig benchmark methods`."""
LOCALISATION = ("roc-auc", "pointing-game", "relevance-mass")
"""The metrics that `sig benchmark methods` adds where there are masks."""
_COUNTS = "Increasing numbers of images, separated by commas; each count takes the first images of one random order."


@dataclass(frozen=True, repr=False)
class MeasureOptions(RunOptions):
    """A run whose explanations are measured."""

    method: str | Sequence[Method] | Mapping[str, Method] = option_like(RunOptions, "method", "sig,ig")
    metric: str | Sequence[str] = option(
        "deletion,insertion,iaccuracy,sparseness", "One metric or several, separated by commas; see 'sig list metrics'.",
        panel=METRIC, kind=str,
    )  # fmt: skip
    imputation: str | None = option(
        None, "What replaces removed pixels: black, mean, blur, road or another baseline, or tokens to drop "
        "a transformer's; several separated by commas.",
        panel=METRIC, shown="each metric's own",
    )  # fmt: skip
    masks: str | Path | None = option(
        None, "Folder of masks with the images' names: black and white, class numbers or cut-outs. Or boxes: CSV "
        "image,x0,y0,x1,y1. Or COCO annotations: JSON.",
        panel=METRIC, kind=Path, shown=False,
    )  # fmt: skip
    mask_class: str | int | None = option(
        None, "Where masks hold several classes: those that are the object, as numbers (in COCO's JSON also names) "
        "separated by commas; or any.",
        panel=METRIC, kind=str, shown=False, metavar="CLASS",
    )  # fmt: skip
    mask_void: str | int | None = option(
        None, "Values in masks that are neither object nor background; localisation metrics leave them out; or none.",
        panel=METRIC, kind=str, shown="255 beside class numbers", metavar="VALUE",
    )  # fmt: skip
    labels: str | Path | None = option(
        None, "Table (CSV) of images and true classes, indices or names; or the word folders where each image lies in a "
        "folder named after its class. Adds the model's accuracy and calibration.",
        panel=METRIC, kind=Path, shown=False, metavar="FILE|folders",
    )  # fmt: skip
    label_column: str | None = option(
        None, "Column of --labels with the class; index:NAME or name:NAME says how to read it where classes are numbers.",
        panel=METRIC, shown="by its title",
    )  # fmt: skip
    image_column: str | None = option(
        None, "Column of --labels with the image.", panel=METRIC, shown="by its title"
    )  # fmt: skip
    view: str | None = option(
        None, f"How maps are smoothed before they are measured and drawn: {VIEWS}.",
        panel=METRIC, shown=f"{VIEW}; raw for arrays that sig did not make",
    )  # fmt: skip
    smooth: float | None = option(
        None, "Blur the maps by this many pixels before they are measured and drawn: --view smooth:PIXELS.",
        panel=METRIC, shown=False,
    )  # fmt: skip


@dataclass(frozen=True, repr=False)
class EvaluateOptions(MeasureOptions):
    """The options of `sig evaluate`."""

    images: Any = option(
        None, "Image files, folders, glob patterns or a run folder; by default the bundled sample images.",
        keyword_only=False, argument=True, kind=list[str], metavar="IMAGES", shown=False,
    )  # fmt: skip
    attributions: str | Path | None = option(
        None,
        "Evaluate existing attribution arrays instead of computing them: a run folder, or any folder of "
        "<image>/<method>.npy or <image>.npy.",
        panel=METRIC, kind=Path, shown=False,
    )  # fmt: skip
    shard: str | None = shard_option()
    workers: int | None = workers_option()
    engine: str = engine_option()
    address: str | None = address_option()
    out: str | Path | None = folder_option("sig-out", more="An evaluated run gets its tables in its own folder.")


@dataclass(frozen=True, repr=False)
class BenchmarkOptions(MeasureOptions):
    """The options of `sig benchmark images`."""

    shard: str | None = shard_option()
    workers: int | None = workers_option()
    engine: str = engine_option()
    address: str | None = address_option()

    counts: str | Sequence[int] | None = option(
        None, _COUNTS, panel="Benchmark", kind=str, shown="an eighth, a quarter, half and all"
    )
    timing: str = option(
        "alone",
        "alone: time each explanation in its own batches. shared: divide the time of shared batches, which is faster.",
        panel="Benchmark",
        choices=("alone", "shared"),
    )


@dataclass(frozen=True, repr=False)
class MergeOptions(Options):
    """The options of `sig merge`."""

    runs: str | Path | Sequence[str | Path] = option(
        MISSING, "Run folders of all shards of one run, in any order.",
        keyword_only=False, argument=True, kind=list[str], metavar="RUNS", shown=False,
    )  # fmt: skip
    out: str | Path | None = folder_option("sig-merged")
    overwrite: bool = option(False, "Replace an earlier run in --out.", panel=OUTPUT)
    partial: bool = option(
        False, "Merge even if shards are missing or unfinished; the run's own command with --resume completes it.",
        panel=OUTPUT,
    )  # fmt: skip


@dataclass(frozen=True, repr=False)
class BenchmarkMethodsOptions(MeasureOptions):
    """The options of `sig benchmark methods`."""

    method: str | Sequence[Method] | Mapping[str, Method] = option(
        STANDARD, "One method or several, separated by commas; see 'sig list methods'. NAME=METHOD gives it your own name; "
        "black=ig, mean=ig and blur=ig are ig from that baseline.",
        panel=METHOD, kind=str, shown=STANDARD.replace(",", ", "),
    )  # fmt: skip
    metric: str | Sequence[str] = option_like(
        MeasureOptions, "metric", "deletion,insertion,seed-stability",
        f"One metric or several, separated by commas; see 'sig list metrics'. --masks adds {', '.join(LOCALISATION)}.",
    )  # fmt: skip
    imputation: str | None = option(
        "black,mean,blur,road",
        "What replaces removed pixels: names of baselines or road, separated by commas.",
        panel=METRIC,
    )
    evaluations: int | None = option(
        None, "Evaluations of the model that each method may spend on one map, translated into its own options.",
        panel=COMPUTE, shown="256, but for methods whose own number is set", metavar="N",
    )  # fmt: skip
    against: str | None = option(
        None, "Method with which every other one is compared.", panel="Benchmark", shown="the first"
    )
    timing: str = option_like(BenchmarkOptions, "timing", "alone")

"""The options of `sig evaluate` and `sig benchmark images`: those of a run, and what is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..attribution.options import Method, RunOptions
from ..options import METRIC, option, option_like

_COUNTS = "Numbers of images, increasing, with commas; each count is the first so many of one random order."


@dataclass(frozen=True, repr=False)
class MeasureOptions(RunOptions):
    """A run whose explanations are measured."""

    method: str | Sequence[Method] | Mapping[str, Method] = option_like(RunOptions, "method", "sig,ig")
    metric: str | Sequence[str] = option(
        "deletion,insertion,iaccuracy,sparseness", "One or several, with commas; see 'sig list metrics'.",
        panel=METRIC, kind=str,
    )  # fmt: skip
    imputation: str | None = option(
        None, "What stands in for removed pixels: black, mean, blur, road or another baseline; several with commas.",
        panel=METRIC, shown="each metric's own",
    )  # fmt: skip
    masks: str | Path | None = option(
        None, "Folder of masks with the images' names and sizes, in which white marks the object; or CSV image,x0,y0,x1,y1.",
        panel=METRIC, kind=Path, shown=False,
    )  # fmt: skip
    labels: str | Path | None = option(
        None, "CSV image,label of the images' true classes: also the model's accuracy and calibration.",
        panel=METRIC, kind=Path, shown=False,
    )  # fmt: skip
    smooth: float | None = option(
        None, "Blur the maps by so many pixels before they are measured and drawn.",
        panel=METRIC, shown="arrays as they are",
    )  # fmt: skip


@dataclass(frozen=True, repr=False)
class EvaluateOptions(MeasureOptions):
    """The options of `sig evaluate`."""

    images: Any = option(
        None, "Images, folders or glob patterns, or the folder of a run; without any, the bundled sample images.",
        keyword_only=False, argument=True, kind=list[str], metavar="IMAGES", shown=False,
    )  # fmt: skip
    attributions: str | Path | None = option(
        None,
        "Evaluate existing attribution arrays instead of computing them: a run folder, or anyone's <image>/<method>.npy or "
        "<image>.npy.",
        panel=METRIC, kind=Path, shown=False,
    )  # fmt: skip


@dataclass(frozen=True, repr=False)
class BenchmarkOptions(MeasureOptions):
    """The options of `sig benchmark images`."""

    counts: str | Sequence[int] | None = option(
        None, _COUNTS, panel="Benchmark", kind=str, shown="an eighth, a quarter, half and all"
    )
    timing: str = option(
        "alone",
        "alone: each explanation in batches of its own, with its own seconds. shared: faster, batches and time shared.",
        panel="Benchmark",
    )

"""How the baselines and label maps that a user brings are read: one note on each, or a refusal, before any work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..baselines import BASELINES
from ..errors import AttributionError, UsageError
from ..files import load_array
from ..metrics.road import ROAD
from ..models.given_values import BYTE, MANY, Span, outside, two_readings
from ..models.preprocess import Preprocess, describe
from ..players import read_labels
from .select import Chosen

if TYPE_CHECKING:
    from .options import RunOptions

_VOID = (255, 65535)
"""What marks pixels without an object in label maps of 8 and 16 bits."""


def of_pictures(chosen: Sequence[Chosen], preprocess: Preprocess, *, tensors: bool) -> Iterator[str]:
    """How baselines and label maps of methods and metrics are read where pictures are explained.

    Args:
        chosen: methods or metrics with their options.
        preprocess: how pictures are brought to the model.
        tensors: some samples are the network's input already.

    Raises:
        UsageError: a baseline in another unit than the network's input, or one that cannot be prepared as tensors were.
    """
    for spec in _given(chosen, ("baseline", "imputation")):
        yield from _baseline(spec, preprocess, tensors=tensors)
    yield from of_players(chosen)


def of_players(chosen: Sequence[Chosen]) -> Iterator[str]:
    """What is taken for a player in label maps, where a label often stands for what belongs to none."""
    for spec in _given(chosen, ("players",)):
        if isinstance(spec, Tensor):
            labels, name = spec.detach().cpu().numpy(), "the label map"
        elif spec.endswith(".npy"):
            labels, name = read_labels(spec), f"the label map {spec}"
        else:
            continue
        if labels.dtype.kind in "iu" and labels.size and (odd := _odd(np.unique(labels))):
            yield (
                f"{name}: every label is a player, {_listed(odd)} too ({np.isin(labels, odd).mean():.0%} of the values); "
                "if it marks what belongs to none, give that to a neighbour or keep it as the background"
            )


def _given(chosen: Iterable[Chosen], names: Sequence[str]) -> list[Any]:
    """The texts and tensors that options of these names were set to, each once."""
    values = (one.options[name] for one in chosen for name in names if name in one.options)
    found: dict[Any, Any] = {}
    for value in values:
        if isinstance(value, (str, Tensor)):
            found.setdefault(value if isinstance(value, str) else id(value), value)
    return list(found.values())


def _odd(labels: np.ndarray) -> list[int]:
    """Labels below 0, and 255 or 65535 where the numbers before it are no labels."""
    known = set(labels.tolist())
    return [label for label in sorted(known) if label < 0 or (label in _VOID and label - 1 not in known)]


def _listed(labels: Sequence[int]) -> str:
    shown = ", ".join(map(str, labels[:3]))
    return shown if len(labels) <= 3 else f"{shown}, …"


def _baseline(spec: str | Tensor, preprocess: Preprocess, *, tensors: bool) -> Iterator[str]:
    if isinstance(spec, Tensor):
        yield from _values(spec.detach().cpu().numpy(), "the baseline", preprocess)
        return
    path = Path(spec)
    if spec.partition(":")[0] in (ROAD, *BASELINES) or not path.is_file():
        return  # what is no file and no baseline is told where it is tried
    if path.suffix.lower() == ".npy":
        yield from _values(_array(path), f"the baseline {spec}", preprocess)
    elif tensors and preprocess.resize is None:
        raise UsageError(
            "a baseline image beside tensors needs a network whose preprocessing is known", given=spec,
            hint="Prepare it as the tensors were, and give that: settings={'baseline': tensor}, or a .npy.",
        )  # fmt: skip
    elif preprocess.size is None:
        yield f"the baseline {spec} is prepared as the pictures are, and stretched to the size of each"
    else:
        yield f"the baseline {spec} is prepared as the pictures are ({describe(preprocess)})"


def _array(path: Path) -> np.ndarray:
    try:
        return load_array(path)
    except (OSError, ValueError) as error:
        raise UsageError("the baseline array cannot be read", given=path, hint=str(error).splitlines()[0]) from error


def _values(values: np.ndarray, name: str, preprocess: Preprocess) -> Iterator[str]:
    """In what unit the values of a baseline are taken; raises UsageError where they are bytes."""
    if values.dtype.kind not in "fiu" or not values.size or not np.isfinite(values).all():
        return  # refused where it is tried
    own = Span(float(preprocess.low.min()), float(preprocess.high.max()))
    span = Span(float(values.min()), float(values.max()))
    if span.low >= 0 and MANY <= span.high <= BYTE and own.high < MANY:
        raise UsageError(
            f"{name} lies in {span}, as pixels of bytes do, and the network's input in {own}",
            hint="Save it as an image, or prepare it as the input: (x / 255 - mean) / std.",
        )
    told = f"{name} lies in {span} and is taken as the network's input, whose pixels lie in {own}"
    if span.low >= 0 and 0 < span.high <= 1 and own.low <= -0.5:
        told += ": if it holds pixels in 0..1, save it as an image, or give (x - mean) / std"
    elif outside(span, preprocess):
        told += ": it leaves that range"
    yield told


def check_tensors(span: Span | None, known: Preprocess, options: RunOptions) -> None:
    """Raise UsageError where it is not clear whether tensors are the network's input, and the options do not say it.

    Args:
        span: of the values of all tensors; None where there are none.
        known: how the network's input is normalised.
        options: of the run.
    """
    told = options.preprocessed or options.mean is not None or options.std is not None
    if span is None or told or not two_readings(span, known):
        return
    raise UsageError(
        "tensors in 0..1 can be read in two ways, for this network normalises pixels to "
        f"{float(known.low.min()):.2f}..{float(known.high.max()):.2f}", given=f"values in {span}",
        hint="Say preprocessed=True for tensors that are the network's input as they are, preprocessed=False for pixels "
        "that are still to be normalised.",
    )  # fmt: skip


def class_of(target: int, classes: int) -> int:
    """The class that a sample brought as its target; raises AttributionError where the model has no such class."""
    if not 0 <= target < classes:
        raise AttributionError("the label is none of the model's classes", given=target, allowed=f"0 to {classes - 1}")
    return target

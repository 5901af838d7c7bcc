"""What scenarios on pictures share: pictures as files, settings, maps as they come, means over pictures. No printing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..attribution.explanation import Explanation
from ..attribution.pipeline import Session
from ..metrics.statistics import CORRELATION, SHARE, Summary, bootstrap
from ..runs.folder import save_table, write_aside
from .scenario import Progress

Means = Mapping[tuple[str, str], Summary]
"""(method, measure) → mean over the pictures."""


def written(names: Sequence[str], images: np.ndarray, folder: Path) -> list[Path]:
    """Pictures uint8 (N, H, W) as PNG files, those that do not stand there already."""
    paths = [folder / name for name in names]
    for path, image in zip(paths, images, strict=True):
        if not path.exists():
            grey = Image.fromarray(image)
            write_aside(path, lambda aside, grey=grey: grey.save(aside, format="PNG"))
    return paths


def settings_for(method: str | Sequence[str], defaults: Mapping[str, str], given: Mapping[str, Any] | None) -> Any:
    """A scenario's settings of the methods that were chosen, and over them those that were given."""
    text = method if isinstance(method, str) else ",".join(method)
    named = {one.partition("=")[0].strip() for one in text.split(",")}
    return {**{key: value for key, value in defaults.items() if key.partition(".")[0] in named}, **(given or {})}


def maps_of(
    session: Session, items: Iterator[Explanation], progress: Progress | None
) -> Iterator[tuple[Explanation, np.ndarray | None]]:
    """Explanations as they come, each with its map (H, W) summed over channels; None where it failed."""
    for number, item in enumerate(items):
        values = item.values
        if item.status == "ok" and values is None and session.run is not None:  # done by an earlier run
            values = np.load(session.run.path / item.folder / f"{item.name}.npy")
        if progress is not None:
            progress("explaining", number + 1, session.items)
        yield item, None if values is None else values.astype(np.float64).sum(0)


def means_of(
    scores: Sequence[Mapping[str, Any]], measures: Sequence[str], seed: int, *, signed: Sequence[str] = ()
) -> dict[tuple[str, str], Summary]:
    """Mean of each measure over the pictures that have it, for each method in the order of the rows.

    Args:
        scores: a row for each picture and method.
        measures: columns of the rows, shares within 0..1.
        seed: of the resampling.
        signed: those that are within -1..1, as correlations and differences of shares are.
    """
    methods = dict.fromkeys(row["method"] for row in scores)
    return {
        (name, measure): bootstrap(
            [row[measure] for row in scores if row["method"] == name and row[measure] is not None],
            seed=seed,
            within=CORRELATION if measure in signed else SHARE,
        )
        for name in methods
        for measure in measures
    }


def save_means(path: Path, means: Means) -> None:
    """A table of means with their 95 % intervals."""
    save_table(path, [
        {"method": method, "measure": measure, "mean": one.mean, "ci_low": one.low, "ci_high": one.high, "n": one.n}
        for (method, measure), one in means.items()
    ])  # fmt: skip


def percent(share: float | None, *, digits: int = 0) -> str | None:
    """A share as it is shown."""
    return None if share is None else f"{round(share, digits + 2) + 0.0:.{digits}%}"  # never -0%


def failures(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """What could not be explained, one sentence each."""
    return [f"{row['image']} {row['method']}: {row['error']}" for row in scores if row["error"]]


def correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Pearson's, over all places of two maps; None where one of them does not vary."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])

"""One explanation as the user gets it, and its files: array, map, overlay, and the sheet over all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import render
from ..failures import contained
from ..runs import RunFolder, cell_text, figure, save_array, stopped
from .feature_results import write_feature_sheet, write_features


@dataclass(frozen=True, eq=False)
class Explanation:
    """One image explained by one method for one target.

    Args:
        image: its name in the run.
        method: what the user calls it: its name in the catalogue, or an alias.
        target: class index, or None where the image could not be read.
        label: of the target, empty where the model has none.
        score: F(x).
        output: what the score is: logit, prob or logprob; minus distance or minus cosine-distance for pairs.
        seconds: wall time, shared among what ran in the same batches.
        gradient_evaluations: forward and backward passes.
        completeness_gap: |Σ values − score difference| in the score's unit, None where the method makes no such claim.
        relative_gap: the same over the score difference.
        standard_error: sampling error of the whole map as a vector, in the score's unit, None where nothing was sampled.
        relative_standard_error: the same over the map's norm.
        status: "ok" or "failed".
        error: what failed, or where status is "ok" what could not be checked; empty where nothing did.
        content: hash of the image's pixels, as it was explained.
        values: (C, H, W) float32 attribution, None where it failed.
        stderr: (C, H, W) standard error of `values`, or None.
        players: (H, W) player of each position, or None.
        player_values: (n,) sum over each player, or None.
        picture: (H, W, 3) uint8, what the model saw.
        partner: (H, W, 3) uint8, what it saw of the second image, or None where there is none.
        sample: the array that was explained, of any shape, which `values` and `stderr` then have; None for pictures.
        names: of the players of an array, or None.
        folder: of its files, relative to the run folder.
        name: of its files: the method, and the class where several are explained.
        multiplied: the values are in the score's unit, not per unit of input.
        own_unit: the values' unit where it is neither.
        resumed: it was done by an earlier run and read from its row.
        cause: the error that `error` tells of, with its traceback; None where nothing failed, or an earlier run did it.
    """

    image: str
    method: str
    target: int | None = None
    label: str = ""
    score: float | None = None
    output: str = "logit"
    seconds: float | None = None
    gradient_evaluations: int | None = None
    completeness_gap: float | None = None
    relative_gap: float | None = None
    standard_error: float | None = None
    relative_standard_error: float | None = None
    status: str = "ok"
    error: str = ""
    content: str = ""
    values: np.ndarray | None = None
    stderr: np.ndarray | None = None
    players: np.ndarray | None = None
    player_values: np.ndarray | None = None
    picture: np.ndarray | None = None
    partner: np.ndarray | None = None
    sample: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    folder: str = ""
    name: str = ""
    multiplied: bool = True
    own_unit: str = ""
    resumed: bool = False
    cause: Exception | None = None

    def row(self) -> dict[str, str]:
        """Its row of `results.csv`."""
        return {
            "image": self.image,
            "method": self.method,
            "target": "" if self.target is None else str(self.target),
            "label": self.label,
            "score": figure(self.score),
            "output": self.output,
            "seconds": "" if self.seconds is None else f"{self.seconds:.3f}",
            "gradient_evaluations": "" if self.gradient_evaluations is None else str(self.gradient_evaluations),
            "completeness_gap": figure(self.completeness_gap),
            "relative_gap": figure(self.relative_gap),
            "standard_error": figure(self.standard_error),
            "relative_standard_error": figure(self.relative_standard_error),
            "status": self.status,
            "error": self.error,
            "content": self.content,
        }

    def facts(self) -> tuple[str, ...]:
        """Short lines for a picture: target and score; gap and standard error; cost."""
        checks = [
            f"{name} {value:.2g} %" if value >= 0.1 else f"{name} < 0.1 %"
            for name, value in (
                ("gap", None if self.relative_gap is None else 100 * self.relative_gap),
                (
                    "standard error",
                    None if self.relative_standard_error is None else 100 * self.relative_standard_error,
                ),
            )
            if value is not None
        ]
        evaluations = self.gradient_evaluations or 0
        cost = f"{evaluations:,} gradient evaluation{'s' if evaluations != 1 else ''}"
        return tuple(
            line for line in (f"{self.what()} · {self.output} {self.score:.3g}", " · ".join(checks), cost) if line
        )

    def what(self) -> str:
        """The target in words."""
        if self.partner is not None:
            return f"with {self.label}"
        return self.label or f"class {self.target}"

    @property
    def unit(self) -> str:
        """Unit of the values per pixel."""
        if self.own_unit:
            return self.own_unit
        what = "pixel" if self.sample is None else "feature"
        return f"{self.output} per {what}" if self.multiplied else f"{self.output} per unit of input"


def from_row(row: Mapping[str, str], output: str) -> Explanation:
    """An explanation that an earlier run finished; its arrays stay on disk."""

    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    return Explanation(
        image=cell_text(row["image"]),
        method=row["method"],
        target=int(row["target"]),
        label=cell_text(row["label"]),
        output=output,
        score=number("score"),
        seconds=number("seconds"),
        gradient_evaluations=int(row["gradient_evaluations"]),
        completeness_gap=number("completeness_gap"),
        relative_gap=number("relative_gap"),
        standard_error=number("standard_error"),
        relative_standard_error=number("relative_standard_error"),
        error=cell_text(row["error"]),
        content=row.get("content") or "",
        resumed=True,
    )


def failed(item: Explanation, error: Exception, what: str = "") -> Explanation:
    """An explanation that failed, and why: what went wrong, and the error in one line."""
    cause = contained(error)
    return replace(item, status="failed", error=what + " ".join(str(cause).split()), picture=None, cause=cause)


@dataclass(frozen=True)
class Drawing:
    """How maps are shown; arrays stay raw.

    Args:
        smooth: σ of the Gaussian in pixels of the map, None for the default share of the side, 0 for none.
        pictures: whether to draw at all.
    """

    smooth: float | None = None
    pictures: bool = True

    def sigma(self, shape: tuple[int, ...]) -> float:
        """σ in pixels for a map of that shape."""
        return render.default_sigma(shape[-2:]) if self.smooth is None else self.smooth


def write_explanation(run: RunFolder, item: Explanation, drawing: Drawing) -> None:
    """Write the array, map and overlay of one explanation, or for arrays the array, table and bars; then its row."""
    run.check()
    if item.values is not None:
        base = run.path / item.folder
        save_array(base / f"{item.name}.npy", item.values)
        if item.stderr is not None:
            save_array(base / f"{item.name}.stderr.npy", item.stderr)
        if item.sample is not None:
            write_features(base, item, drawing.pictures)
        elif drawing.pictures and item.picture is not None:
            _draw(base, item, drawing, item.values, item.picture)
    run.add(item.row())


def landed(run: RunFolder, item: Explanation, jobs: list[Future[None]]) -> Explanation:
    """Wait for the files of an explanation; raises OutputError where they could not be written."""
    for job in jobs:
        try:
            job.result()
        except OSError as error:
            raise stopped(run.path, error) from error
        except Exception as error:  # noqa: BLE001  a map that cannot be drawn is one failed item
            item = failed(item, error, "a picture of it cannot be drawn: ")
            run.add(item.row())
    return item


def _draw(base: Path, item: Explanation, drawing: Drawing, values: np.ndarray, picture: np.ndarray) -> None:
    sigma = drawing.sigma(values.shape)
    shown = render.smooth(render.reduce_channels(values), sigma)
    title = "\n".join((f"{item.method}: {item.what()}", f"{item.image} · {' · '.join(item.facts()[0:2])}"))
    dress: dict[str, Any] = {
        "title": title,
        "caption": f"{render.describe(sigma)}",
        "unit": item.unit,
        "ends": _ends(item),
    }
    render.save_png(render.map_image(shown, **dress), base / f"{item.name}.png")
    render.save_png(render.overlay_image(picture, shown, **dress), base / f"{item.name}.overlay.png")
    if item.stderr is not None:
        del dress["ends"]
        error = render.smooth(np.sqrt((item.stderr.astype(np.float64) ** 2).sum(0)), sigma).clip(min=0)
        dress["title"] = title.replace(f"{item.method}:", f"{item.method}, standard error:", 1)
        render.save_png(render.uncertainty_image(error, **dress), base / f"{item.name}.stderr.png")


def write_sheet(run: RunFolder, items: Sequence[Explanation], drawing: Drawing, heading: str) -> None:
    """Write `compare.png` of one image and target: all methods that succeeded, side by side."""
    if items and any(item.sample is not None for item in items):
        if drawing.pictures:
            write_feature_sheet(run.path, [_reload(run, item) for item in items if item.status == "ok"], heading)
        return
    loaded = [item if item.values is not None else _reload(run, item) for item in items if item.status == "ok"]
    pictures = [item.picture for item in items if item.picture is not None]
    ready = [item for item in loaded if item.values is not None]
    if not ready or not pictures or not drawing.pictures:
        return
    sigma, partner = drawing.sigma(pictures[0].shape[:2]), ready[0].partner
    image = render.compare_image(
        pictures[0],
        [_panel(item, sigma) for item in ready],
        heading=heading,
        caption=render.describe(sigma)
        + f"\n{_reading(ready[0])} Panels of one unit share one scale, the median of their own.",
        picture_lines=(ready[0].image, "" if partner is not None else f"target: {ready[0].what()}"),
        second=None if partner is None else (partner, (ready[0].label, "held fixed")),
        ends=_ends(ready[0]),
    )
    suffix = ready[0].name.removeprefix(ready[0].method)
    render.save_png(image, run.path / ready[0].folder / f"compare{suffix}.png")


def _ends(item: Explanation) -> tuple[str, str]:
    """What blue and red say."""
    return ("against", "for") if item.partner is None else ("parts", "brings closer")


def _reading(item: Explanation) -> str:
    if item.partner is None:
        return "Red speaks for the target, blue against it."
    distance = item.output.removeprefix("minus ")
    return f"Red brings the pair closer, blue parts it: what is explained is minus the {distance}."


def _reload(run: RunFolder, item: Explanation) -> Explanation:
    """Read back what an earlier run left, so that the sheet of a resumed run shows all methods."""
    path = run.path / item.folder / f"{item.name}.npy"
    return replace(item, values=np.load(path)) if item.values is None and path.exists() else item


def _panel(item: Explanation, sigma: float) -> render.Panel:
    assert item.values is not None
    flat = render.reduce_channels(item.values)
    by_player: Any = None
    if item.players is not None and item.player_values is not None:
        by_player = item.player_values[item.players]
    return render.Panel(
        item.method, render.smooth(flat, sigma), by_player, item.facts(),
        group=item.unit, unit=item.unit, player_unit=f"{item.output}, sum per player",
    )  # fmt: skip

"""One explanation as the user gets it, and its files: array, map, overlay, and the sheet over all methods."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import render
from ..engine.failures import contained
from ..files import Stamp, stamp
from ..runs.folder import PICTURES, RunFolder, figure, save_array, stopped
from ..runs.ledger import Entry, digest_of
from .samples.features import draw_features, write_feature_sheet, write_table


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
        note: what the user should know of the map, shown on the screen only.
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
    note: str = ""
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


def from_entry(item: Explanation, entry: Entry, seconds: str) -> Explanation:
    """An explanation that an earlier run finished: what it is now, with the figures of then; its arrays stay on disk."""
    found: dict[str, Any] = {name: entry.facts.get(name) for name in _FACTS}
    found["error"] = str(found["error"] or "")  # what was left unchecked
    return replace(item, **found, seconds=float(seconds), resumed=True)


_FACTS = (
    "score", "gradient_evaluations", "completeness_gap", "relative_gap", "standard_error", "relative_standard_error",
    "error",
)  # fmt: skip


SIGNS = ("positive", "negative")


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
        signs: "together", or "apart" for positive and negative values in pictures of their own as well.
    """

    smooth: float | None = None
    pictures: bool = True
    signs: str = "together"

    def sigma(self, shape: tuple[int, ...]) -> float:
        """σ in pixels for a map of that shape."""
        return render.default_sigma(shape[-2:]) if self.smooth is None else self.smooth


def write_explanation(run: RunFolder, item: Explanation, drawing: Drawing) -> None:
    """Write the array, map and overlay of one explanation, or for arrays the array, table and bars; then its row."""
    run.check()
    if item.values is None:
        run.add(item.row())
        return
    base, names = run.path / item.folder, [f"{item.name}.npy"]
    run.ledger.begin(f"{item.folder}/{item.name}")
    save_array(base / names[0], item.values)
    if item.stderr is not None:
        names.append(f"{item.name}.stderr.npy")
        save_array(base / names[1], item.stderr)
    if item.sample is not None:
        names += write_table(base, item)
    pictures = _draw(base, item, drawing)
    players = run.ledger.keep_players(item.players if item.sample is None else None)
    run.add(item.row(), Entry(
        item.image, item.method, str(item.target), item.content, item.folder, item.label, item.output,
        {name: getattr(item, name) for name in _FACTS}, _stamps(base, [*names, *pictures]),
        _drawn(item, drawing) if pictures else "", players,
    ))  # fmt: skip


def mend_pictures(run: RunFolder, item: Explanation, drawing: Drawing) -> None:
    """Draw what an earlier run left undrawn, or drew otherwise, of an explanation whose arrays stand."""
    entry, of = run.ledger.entries[item.image, item.method, str(item.target)], _drawn(item, drawing)
    if not drawing.pictures or run.drawn(entry, of):
        if entry.label != item.label:
            run.own(replace(entry, label=item.label))
        return
    base = run.path / item.folder
    arrays = {name: known for name, known in entry.files.items() if not name.endswith(PICTURES)}
    run.ledger.begin(f"{item.folder}/{item.name}")
    pictures = _draw(base, _reload(run, item), drawing)
    run.own(replace(entry, label=item.label, files={**arrays, **_stamps(base, pictures)}, drawn=of))


def _stamps(base: Path, names: Sequence[str]) -> dict[str, Stamp]:
    return {name: stamp(base / name) for name in names}


def _drawn(item: Explanation, drawing: Drawing) -> str:
    """A digest of all that the pictures of an explanation depend on, beside what makes it the item that it is."""
    return digest_of(
        item.image,
        item.what(),
        item.facts(),
        item.unit,
        item.names,
        drawing.smooth,
        drawing.signs,
        _ends(item),
        item.content,
    )


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


def _draw(base: Path, item: Explanation, drawing: Drawing) -> list[str]:
    """Draw the pictures of one explanation; returns their names."""
    values, picture = item.values, item.picture
    if not drawing.pictures or values is None:
        return []
    if item.sample is not None:
        return draw_features(base, item)
    if picture is None:
        return []
    names = [f"{item.name}.png", f"{item.name}.overlay.png"]
    sigma = drawing.sigma(values.shape)
    shown = render.smooth(render.reduce_channels(values), sigma)
    title = "\n".join((f"{item.method}: {item.what()}", f"{item.image} · {' · '.join(item.facts()[0:2])}"))
    dress: dict[str, Any] = {
        "title": title,
        "caption": f"{render.describe(sigma)}",
        "unit": item.unit,
        "ends": _ends(item),
    }
    render.save_png(render.map_image(shown, **dress), base / names[0])
    render.save_png(render.overlay_image(picture, shown, **dress), base / names[1])
    if drawing.signs == "apart":
        limit = render.symmetric_limit(shown)
        for sign, part in zip(SIGNS, render.by_sign(shown), strict=True):
            only = dress | {"caption": f"{sign} values only; {dress['caption']}", "limit": limit}
            names.append(f"{item.name}.{sign}.png")
            render.save_png(render.overlay_image(picture, part, **only), base / names[-1])
    if item.stderr is not None:
        del dress["ends"]
        error = render.smooth(np.sqrt((item.stderr.astype(np.float64) ** 2).sum(0)), sigma).clip(min=0)
        dress["title"] = title.replace(f"{item.method}:", f"{item.method}, standard error:", 1)
        names.append(f"{item.name}.stderr.png")
        render.save_png(render.uncertainty_image(error, **dress), base / names[-1])
    return names


def write_sheet(run: RunFolder, items: Sequence[Explanation], drawing: Drawing, heading: str) -> None:
    """Write `compare.png` of one image and target, unless it stands: all methods that succeeded, side by side."""
    done = [item for item in items if item.status == "ok"]
    if not done:
        return
    name = f"{done[0].folder}/compare{done[0].name.removeprefix(done[0].method)}.png"
    of = digest_of(heading, [(item.method, _drawn(item, drawing)) for item in done])
    if not drawing.pictures:
        if all(item.resumed for item in items):
            run.sheet_stands(name, None)
        return
    if run.sheet_stands(name, of):
        return
    ready = [_reload(run, item) for item in done]
    run.ledger.begin(name.removesuffix(".png"))
    if ready[0].sample is not None:
        write_feature_sheet(run.path / name, ready, heading)
    elif ready[0].picture is not None:
        _draw_sheet(run.path / name, ready, drawing, heading)
    else:
        return
    run.add_sheet(name, of)


def _draw_sheet(path: Path, ready: Sequence[Explanation], drawing: Drawing, heading: str) -> None:
    picture, partner = ready[0].picture, ready[0].partner
    assert picture is not None
    sigma = drawing.sigma(picture.shape[:2])
    image = render.compare_image(
        picture,
        [_panel(item, sigma) for item in ready],
        heading=heading,
        caption=render.describe(sigma)
        + f"\n{_reading(ready[0])} Panels of one unit share one scale, the median of their own.",
        picture_lines=(ready[0].image, "" if partner is not None else f"target: {ready[0].what()}"),
        second=None if partner is None else (partner, (ready[0].label, "held fixed")),
        ends=_ends(ready[0]),
        apart=drawing.signs == "apart",
    )
    render.save_png(image, path)


def _ends(item: Explanation) -> tuple[str, str]:
    """What blue and red say."""
    return ("against", "for") if item.partner is None else ("parts", "brings closer")


def _reading(item: Explanation) -> str:
    if item.partner is None:
        return "Red speaks for the target, blue against it."
    distance = item.output.removeprefix("minus ")
    return f"Red brings the pair closer, blue parts it: what is explained is minus the {distance}."


def _reload(run: RunFolder, item: Explanation) -> Explanation:
    """Read back what an earlier run left, so that the pictures of a resumed run show what those of a whole one do."""
    if item.values is not None:
        return item
    entry = run.ledger.entries[item.image, item.method, str(item.target)]
    values, stderr = (
        np.load(run.path / item.folder / name, allow_pickle=False) if name in entry.files else None
        for name in (f"{item.name}.npy", f"{item.name}.stderr.npy")
    )
    players = item.players if item.sample is not None else run.ledger.players(entry.players)
    return replace(item, values=values, stderr=stderr, players=players)


def _panel(item: Explanation, sigma: float) -> render.Panel:
    assert item.values is not None
    flat = render.reduce_channels(item.values)
    by_player: Any = None
    if item.players is not None:  # from the values as they are on disk, so that no resumption shows others
        totals = np.bincount(item.players.ravel(), item.values.astype(np.float64).sum(0).ravel())
        by_player = totals[item.players]
    return render.Panel(
        item.method, render.smooth(flat, sigma), by_player, item.facts(),
        group=item.unit, unit=item.unit, player_unit=f"{item.output}, sum per player",
    )  # fmt: skip

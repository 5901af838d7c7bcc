"""The use case behind `sig benchmark scenario expression`: do maps of an expression distance lie on what expresses?

It is [SIG]'s expression code task with drawn faces in place of private ones. Two faces of different persons are compared by
the bundled network, whose distance follows the expression; every method says which pixels of the first face brought the
pair closer or parted it. Eyes, brows and mouth are known to the pixel, and nothing else of a face tells its expression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from ...attribution.explain import prepare, stream
from ...attribution.explanation import Explanation
from ...attribution.pipeline import Session
from ...errors import UsageError
from ...metrics.statistics import SHARE, Summary, bootstrap, paired
from ...models.networks import expression as network
from ...runs.folder import output_folder, refuse_strangers, save_table, take, write_aside
from .data import NAMES, PARTS, Face, draw

DEFAULT_OUT = "sig-expression"
FILES = ("shares.csv", "summary.csv", "shares.png")
"""Tables and figures of the benchmark, beside those of the run."""
METHODS = "sig,sig-walk,sig-zero=sig,walk-zero=sig-walk,zero=ig,mean=ig,random=ig,blur=ig,eg,agn,gradient"
"""IG from [SIG]'s three baselines and from a blur, which is also the default sample of `sig` and `sig-walk` here; so that no
difference is taken for the method's that is the baseline's, both stand there with black as well."""
BASELINES = {
    "sig-zero.baseline": "black", "walk-zero.baseline": "black", "zero.baseline": "black", "mean.baseline": "mean",
    "random.baseline": "random", "blur.baseline": "blur",
}  # fmt: skip
MEASURES = {
    "share": "share of |attribution| on eyes, brows and mouth",
    "positive_share": "share of the positive attribution there",
    "outside_face": "share of |attribution| outside the head",
}
_STREAM = 2**21  # beside those that the network was trained and chosen on
_CHECKED = 200


@dataclass(frozen=True, eq=False)
class Shares:
    """Where one map lies.

    Args:
        image: of the pair.
        pair: "same" or "different" expressions.
        expressions: of the first and of the second face.
        distance: between the two, as the network sees it.
        method: that made the map.
        values: measure → share, also for each of eyes, brows and mouth; empty where the method failed.
        area: share of the pixels that eyes, brows and mouth cover: what a map without any knowledge gets.
        error: what failed.
    """

    image: str
    pair: str
    expressions: tuple[str, str]
    distance: float
    method: str
    values: Mapping[str, float]
    area: float
    error: str = ""

    def row(self) -> dict[str, Any]:
        """Its row of `shares.csv`."""
        known = {name: self.values.get(name) for name in (*MEASURES, *PARTS)}
        return {
            "image": self.image, "pair": self.pair, "first": self.expressions[0], "second": self.expressions[1],
            "distance": self.distance, "method": self.method, **known, "area": self.area, "error": self.error,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class ExpressionStudy:
    """What the benchmark finds.

    Args:
        shares: one for each pair and method.
        summary: (method, measure) → mean over pairs with its 95 % bootstrap interval.
        differences: (method, other, measure) → mean of method - other over pairs, with its interval.
        separation: share of fresh pairs whose expressions the network rightly calls the same or different.
        checked: number of these pairs.
        folder: of tables, faces, maps and figures.
    """

    shares: list[Shares]
    summary: dict[tuple[str, str], Summary]
    differences: dict[tuple[str, str, str], Summary]
    separation: float
    checked: int
    folder: Path

    @property
    def area(self) -> float:
        """Mean share of the pixels that eyes, brows and mouth cover."""
        return float(np.mean([found.area for found in self.shares]))


def prepare_expression(
    *,
    pairs: int = 24,
    method: str | Sequence[str] = METHODS,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    pictures: bool = True,
) -> Session:
    """Draw the faces of the benchmark and open its run. Arguments as in `expression`."""
    if pairs < 2:
        raise UsageError("a benchmark needs at least 2 pairs", given=pairs)
    folder = output_folder(DEFAULT_OUT if out is None else out)
    refuse_strangers(folder, FILES, overwrite=overwrite)
    first, second = folder / "faces" / "first", folder / "faces" / "second"
    for number in range(pairs):
        for place, face in zip((first, second), faces(seed, number), strict=True):
            _save(place / f"{number:03d}.png", face.image)
    text = method if isinstance(method, str) else ",".join(method)
    named = {one.partition("=")[0].strip() for one in text.split(",")}
    chosen = {key: value for key, value in BASELINES.items() if key.partition(".")[0] in named}
    return prepare(
        [first / f"{number:03d}.png" for number in range(pairs)], partner=second, model="expression", method=method,
        settings={**chosen, **(settings or {})}, seed=seed, device=device, batch_size=batch_size, out=folder,
        resume=resume, overwrite=overwrite, pictures=pictures,
    )  # fmt: skip


def expression(*, margin: int = 0, **options: Any) -> ExpressionStudy:
    """Compare methods by how much of an expression distance they find on eyes, brows and mouth.

    Args:
        margin: pixels by which the parts are widened before the shares are taken; their edges also lie beside them.
        options: `pairs` (of faces, alternately of the same and of different expressions), `method` and `settings` as in
            `explain`, `seed`, `device`, `batch_size`, `out`, `resume`, `overwrite`, `pictures`.

    Raises:
        UsageError: an option that cannot be used.
        OutputError: a run folder that cannot be written or holds another run.
    """
    return carry_out_expression(prepare_expression(**options), margin=margin)


def carry_out_expression(
    session: Session,
    *,
    margin: int = 0,
    progress: Callable[[int], None] | None = None,
    explained: Callable[[Explanation], None] | None = None,
) -> ExpressionStudy:
    """Do a prepared benchmark; tables and figures stand when it returns. See `expression`."""
    if session.run is None or session.partners is None:
        raise UsageError("the benchmark is written to its run folder and needs pairs of faces")
    if not 0 <= margin <= 10:
        raise UsageError("margin is out of range", given=margin, allowed="0 to 10 pixels")
    known = {path.name: faces(session.seed, number) for number, path in enumerate(session.paths)}
    shares = []
    for item in stream(session, progress=progress):
        shares.append(_measured(session, item, *known[Path(item.image).name], margin))
        if explained is not None:
            explained(item)
    folder = session.run.path
    take(folder, FILES)
    separation = separated(session, _CHECKED)
    study = ExpressionStudy(shares, *_summaries(shares, session.seed), separation, _CHECKED, folder)
    save_table(folder / FILES[0], [found.row() for found in shares])
    save_table(folder / FILES[1], _rows(study))
    if session.drawing.pictures:
        from .figure import draw_shares

        draw_shares(study.summary, study.area, MEASURES, folder / FILES[2])
    return study


def faces(seed: int, number: int) -> tuple[Face, Face]:
    """The two faces of a pair, of different persons; even pairs have one expression, odd ones two.

    >>> one, other = faces(0, 4)
    >>> one.label == other.label, faces(0, 5)[0].label == faces(0, 5)[1].label
    (True, False)
    """
    stream = _STREAM + 2 * seed
    first = draw(stream, number)
    if number % 2 == 0:
        return first, draw(stream + 1, number, label=first.label)
    return first, draw(stream + 1, number, label=(first.label + 1 + number // 2 % (len(NAMES) - 1)) % len(NAMES))


def separated(session: Session, count: int) -> float:
    """Share of fresh pairs that the network rightly calls the same or different, by the threshold it was bundled with."""
    _, threshold = network.load()
    right = 0
    for number in range(count):
        pair = faces(session.seed, 1_000_000 + number)
        x = torch.stack([session.model.preprocess(face.image) for face in pair]).to(session.model.device)
        with torch.no_grad():
            one, other = session.model.module(x)
        right += (float((one - other).norm()) <= threshold) == (pair[0].label == pair[1].label)
    return right / count


def shares_of(values: np.ndarray, face: Face, margin: int = 0) -> dict[str, float]:
    """Where an attribution (C, H, W) lies: every measure of `MEASURES`, and the share of |attribution| of each part.

    Parts are widened by `margin` pixels. A map without positive values has no positive share.
    """
    relevance = values.astype(np.float64).sum(0)
    size, positive = np.abs(relevance), relevance.clip(min=0)
    parts = {name: _widened(part, margin) for name, part in face.parts.items()}
    every = _widened(face.mask, margin)
    total = max(float(size.sum()), np.finfo(float).tiny)
    found = {
        "share": float(size[every].sum()) / total,
        "outside_face": float(size[~(face.face | every)].sum()) / total,
        **{name: float(size[part].sum()) / total for name, part in parts.items()},
    }
    if positive.any():
        found["positive_share"] = float(positive[every].sum() / positive.sum())
    return found


def _widened(mask: np.ndarray, margin: int) -> np.ndarray:
    return ndimage.binary_dilation(mask, iterations=margin) if margin else mask


def _measured(session: Session, item: Explanation, first: Face, second: Face, margin: int) -> Shares:
    values = item.values
    if item.status == "ok" and values is None and session.run is not None:
        values = np.load(session.run.path / item.folder / f"{item.name}.npy")
    return Shares(
        item.image,
        "same" if first.label == second.label else "different",
        (NAMES[first.label], NAMES[second.label]),
        float("nan") if item.score is None else -item.score,
        item.method,
        {} if values is None else shares_of(values, first, margin),
        float(_widened(first.mask, margin).mean()),
        item.error,
    )


def _summaries(
    shares: Sequence[Shares], seed: int
) -> tuple[dict[tuple[str, str], Summary], dict[tuple[str, str, str], Summary]]:
    by: dict[tuple[str, str], dict[str, float]] = {}
    for found in shares:
        for measure in MEASURES:
            column = by.setdefault((found.method, measure), {})
            if measure in found.values:
                column[found.image] = found.values[measure]
    summary = {key: bootstrap(list(column.values()), seed=seed, within=SHARE) for key, column in by.items()}
    methods = list(dict.fromkeys(found.method for found in shares))
    differences = {
        (one, other, measure): paired(by[one, measure], by[other, measure], seed=seed, within=SHARE)
        for measure in MEASURES
        for one in methods
        for other in methods
        if one != other
    }
    return summary, differences


def _rows(study: ExpressionStudy) -> list[dict[str, Any]]:
    """`summary.csv`: means, then paired differences, where `minus` names the other method."""
    found = [(method, "", measure, one) for (method, measure), one in study.summary.items()]
    found += [(method, other, measure, one) for (method, other, measure), one in study.differences.items()]
    return [
        {
            "method": method, "minus": other, "measure": measure,
            "mean": one.mean, "ci_low": one.low, "ci_high": one.high, "n": one.n,
        }
        for method, other, measure, one in found
    ]  # fmt: skip


def _save(path: Path, pixels: np.ndarray) -> None:
    """Write a face unless it stands there already, so that a run can be resumed."""
    if path.exists():
        with Image.open(path) as there:
            if np.array_equal(np.asarray(there.convert("RGB")), pixels):
                return
    write_aside(path, lambda aside: Image.fromarray(pixels).save(aside, format="PNG"))

"""The scenario `mnist-in-space`: [ICG] A.4.2 and Fig. 11, with scores. No printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...attribution.explain import prepare, stream
from ...attribution.pipeline import Session
from ...attribution.select import choose_device, choose_methods
from ...errors import UsageError
from ...runs.folder import save_table, take
from ...training.report import NETWORK
from ..maps import Means, correlation, failures, maps_of, means_of, percent, save_means, settings_for, written
from ..network import Prepared
from ..scenario import Progress, Verdict, drop_pictures, own_folder, unclaimed
from . import data as digits
from .data import SIDE, Digits, Split
from .network import digit_network, digit_recipe, tensors
from .study import chosen

DEFAULT_OUT = "sig-mnist-in-space"
WIDTH, AWAY = 3 * SIDE, 44
"""Pictures are 28×84, the digit of training in columns 0 to 27, the one explained in columns 44 to 71: farther from the
former, also around the edge, than any pixel reaches through the network. A multiple of 4, see `SmallCNN`."""
METHODS = "agn,icg,eg,mean=ig,zero=ig,sig,sig-walk"
DEFAULTS = {
    "agn.samples": "500", "icg.steps": "100", "eg.samples": "500", "mean.steps": "100", "mean.baseline": "mean",
    "zero.steps": "100", "zero.baseline": "black", "sig.players": "grid:28x84", "sig-walk.players": "grid:7x21",
    "sig-walk.orders": "3",
}  # fmt: skip
FILES = ("scores.csv", "summary.csv", "sheet.png", "training.png")
MEASURES = {
    "ghost": "at the left, digit far right", "home": "the same area, digit at the left",
    "excess": "ghost: the difference", "shifted": "r(moved map)",
}  # fmt: skip
GHOST, MOVES = 0.02, 0.95
_REFERENCES, _SHOWN, _CHECKED = 256, 4, 200


@dataclass(frozen=True, eq=False)
class _Shown:
    """What is explained, and what is known of it.

    Args:
        names: of the digits.
        digits: explained at both places.
        mean: uint8 (28, 84), of the training pictures that means and references are taken from.
        apart: the largest difference of a logit between both places, over some digits.
        right: share of held-out digits that are named right far from the training's place.
        checked: how many these are.
    """

    names: list[str]
    digits: Digits
    mean: np.ndarray
    apart: float
    right: float
    checked: int


def mnist_in_space(  # noqa: PLR0913 - the whole command, as keywords
    *,
    data: str | Path | None = None,
    images: int = 8,
    steps: int = 600,
    preset: str | None = None,
    method: str | Sequence[str] = METHODS,
    settings: Mapping[str, Any] | None = None,
    output: str = "logit",
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Digits trained at the left, explained far from there: which maps show a ghost of the training ([ICG] A.4.2)?

    Args:
        data: a folder with MNIST's files, see `sigcli.scenarios.mnist.data.load`; scikit-learn's digits if not given.
        images: held-out digits to explain, each at the left and far from it.
        steps: training steps of the network.
        preset: recipe of the training, "icg" for that of [ICG] A.5; our own if not given.
        method: methods, as in `explain`.
        settings: their options.
        output: "logit", "prob" or "logprob" of the class that the network names.
        seed: of training and draws.
        device: as in `explain`.
        batch_size: as in `explain`.
        out: the folder; by default sig-mnist-in-space.
        resume: go on with an interrupted run.
        overwrite: replace another run in `out`.
        pictures: draw the sheet and the training's curves.
        progress: called with the stage, what is done of it, and its length.

    Raises:
        UsageError: an option that cannot be used, or a folder without digits.
        OutputError: the folder cannot be written or holds another run.
    """
    if images < 1:
        raise UsageError("the scenario needs at least 1 digit", given=images)
    folder = own_folder(DEFAULT_OUT, FILES, (NETWORK,), out=out, overwrite=overwrite)
    options = settings_for(method, DEFAULTS, settings)
    choose_methods(method, options)  # a mistake in them must not wait for the training
    split, place = digits.load(data), choose_device(device)
    with unclaimed(folder, (NETWORK,)):
        made = trained_network(folder, split, seed=seed, steps=steps, preset=preset, device=place, progress=progress)
        here = folder / "pictures" / split.digest()
        shown, paths = _pictures(made, split, images, here)
        session = prepare(
            paths, references=here / "references", model=str(made.file), method=method, output=output, seed=seed,
            settings=options, device=device, batch_size=batch_size, out=folder,
            resume=resume, overwrite=overwrite, pictures=False,
        )  # fmt: skip
    take(folder, FILES, made=(NETWORK,))
    scores, maps = _scored(session, shown, progress)
    return _verdict(session, (made, split), shown, scores, maps, pictures=pictures)


def trained_network(
    folder: Path, split: Split, *, seed: int, steps: int, device: str, preset: str | None = None,
    progress: Progress | None = None,
) -> Prepared:  # fmt: skip
    """The translation-invariant network of the scenario, trained with digits at the left, from the seed or the cache."""
    return digit_network(
        "mnist-in-space", split, arch="small-cnn-ring", recipe=digit_recipe(preset, steps=steps, seed=seed), folder=folder,
        device=device, width=WIDTH, progress=progress,
    )  # fmt: skip


def placed(found: Digits, left: int) -> np.ndarray:
    """Digits as pictures uint8 (N, 28, 84), their left edge at column `left`."""
    return np.pad(found.images, ((0, 0), (0, 0), (left, WIDTH - SIDE - left)))


def _pictures(made: Prepared, split: Split, images: int, folder: Path) -> tuple[_Shown, list[Path]]:
    """Write references, and each digit at both places; and what the network makes of the move."""
    known = split.train.rows(np.arange(min(_REFERENCES, len(split.train))))
    seen = placed(known, 0)
    written([f"{i:03d}.png" for i in range(len(known))], seen, folder / "references")
    names, some = chosen(split.held, images)
    paths = []
    for where, left in (("left", 0), ("away", AWAY)):
        paths += written(names, placed(some, left), folder / where)
    checked = split.held.rows(np.arange(min(_CHECKED, len(split.held))))
    with torch.no_grad():
        here, there = (made.net(tensors(checked, width=WIDTH, left=left)).cpu() for left in (0, AWAY))
    right = float((there.argmax(1).numpy() == checked.labels).mean())
    mean = np.rint(seen.mean(0)).astype(np.uint8)
    return _Shown(names, some, mean, float((here - there).abs().max()), right, len(checked)), paths


def _scored(
    session: Session, shown: _Shown, progress: Progress | None
) -> tuple[list[dict[str, Any]], dict[str, list[np.ndarray]]]:
    """A row for each digit and method, and the maps (H, W) of each method far from the training's place."""
    found: dict[tuple[str, str, str], Any] = {}
    for item, values in maps_of(session, stream(session), progress):
        path = Path(item.image)
        found[path.parent.name, path.name, item.method] = item, values
    rows: list[dict[str, Any]] = []
    maps: dict[str, list[np.ndarray]] = {}
    for name, label in zip(shown.names, shown.digits.labels, strict=True):
        for method in (one.name for one in session.methods):
            (item, away), (other, home) = (found[where, name, method] for where in ("away", "left"))
            measured = dict.fromkeys(MEASURES) if away is None or home is None else score(away, home)
            rows.append({
                "image": name, "class": int(label), "target": item.target, "method": method,
                **measured, "score": item.score,
                "score_left": other.score, "error": item.error or other.error,
            })  # fmt: skip
            maps.setdefault(method, []).append(np.zeros((SIDE, WIDTH)) if away is None else away)
    return rows, maps


def score(away: np.ndarray, home: np.ndarray) -> dict[str, float | None]:
    """How far the map of a digit far from the training's place is that of the same digit at the left, moved.

    Args:
        away: (28, 84) attribution of the digit in columns 44 to 71.
        home: (28, 84) of the same digit in columns 0 to 27.

    Returns:
        `ghost`, the share of |away| in the columns of the training's digits; `home`, that of |home| in the columns that lie
        in the same way to the digit; `excess`, their difference, which the place of training alone explains; `shifted`, the
        correlation of `away` with `home` moved around by 44 columns. None where a map is zero or does not vary.
    """
    moved = np.roll(home, AWAY, axis=1)

    def left(values: np.ndarray) -> float | None:
        size = np.abs(values)
        return float(size[:, :SIDE].sum() / size.sum()) if size.any() else None

    ghost, at_home = left(away), left(moved)
    excess = None if ghost is None or at_home is None else ghost - at_home
    return {"ghost": ghost, "home": at_home, "excess": excess, "shifted": correlation(away, moved)}


def _verdict(
    session: Session, trained: tuple[Prepared, Split], shown: _Shown, scores: list[dict[str, Any]],
    maps: dict[str, list[np.ndarray]], *, pictures: bool,
) -> Verdict:  # fmt: skip
    made, split = trained
    folder = made.file.parent
    means = means_of(scores, list(MEASURES), session.seed, signed=("excess", "shifted"))
    save_table(folder / FILES[0], scores)
    save_means(folder / FILES[1], means)
    table = [
        {
            "method": name,
            **{m: percent(means[name, m].mean, digits=1) for m in ("ghost", "home", "excess")},
            "shifted": means[name, "shifted"].mean,
        }
        for name in maps
    ]
    drop_pictures(folder, FILES)
    if pictures:
        _draw(folder, made, shown, table, maps, session.scorer.output)
    return Verdict(
        f"Is there a ghost of the training where no digit is? {len(shown.names)} digits ({session.scorer.output})",
        {"method": "method", **MEASURES},
        table,
        (
            split.told,
            made.told(),
            f"In training all digits stand at the left. In columns {AWAY} to {AWAY + SIDE - 1} the network names "
            f"{shown.right:.1%} of {shown.checked} right; it is translation-invariant: no logit moves by more than "
            f"{shown.apart:.1g}.",
            "So the map must move with the digit, and leave nothing at the left. Shares are of the |attribution|; r: with "
            "the map of the same digit at the left, moved.",
        ),
        _findings(means, list(maps)),
        scores,
        failures(scores),
        folder,
    )


def _findings(means: Means, methods: Sequence[str]) -> list[str]:
    """What the table says in words, each sentence from its figures."""

    def of(name: str, measure: str) -> float:
        mean = means[name, measure].mean
        return float("nan") if mean is None else mean

    ghosts = [f"{name} ({of(name, 'excess'):.1%})" for name in methods if of(name, "excess") > GHOST]
    clean = [name for name in methods if of(name, "excess") <= GHOST]
    moves = [f"{name} ({of(name, 'shifted'):.2f})" for name in methods if of(name, "shifted") >= MOVES]
    told = [f"A ghost of the training's digits, where nothing is, is shown by {', '.join(ghosts)}."] if ghosts else []
    told += [f"No ghost: {', '.join(clean)}."] if clean else []
    told += [f"The map moves with the digit (r of {MOVES} or more): {', '.join(moves)}."] if moves else []
    return told


def _draw(
    folder: Path, made: Prepared, shown: _Shown, table: Sequence[Mapping[str, Any]],
    maps: Mapping[str, list[np.ndarray]], output: str,
) -> None:  # fmt: skip
    from ... import render
    from ...render.maps.grid import grid_image
    from ...training.curves import draw_curves

    draw_curves({"": made.points}, folder / FILES[3], title="MNIST in Space: training with damaged inputs")
    columns = range(min(_SHOWN, len(shown.names)))
    inputs = placed(shown.digits, AWAY)
    image = grid_image(
        [inputs[i] for i in columns],
        {name: [found[i] for i in columns] for name, found in maps.items()},
        headings=[f"a {shown.digits.labels[i]}" for i in columns],
        notes={str(row["method"]): f"ghost {row['excess'] or '-'}" for row in table},
        extra={"training mean": shown.mean},
        heading=f"MNIST in Space: a digit where no digit of the training was ({output} of the class that the network names)",
        caption="Red speaks for the class, blue against it; each map has its own scale, clipped at the 99.5th percentile of "
        "|value|. Ghost: share of |attribution| at the left, less what lies in the same way to a digit that stands there.",
    )
    render.save_png(image, folder / FILES[2])

"""The scenario `shap-digits`: Fig. 5 of Lundberg, Lee 2017, pixels masked to turn an 8 into a 3. No printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from ... import draws
from ...attribution.explain import prepare, stream
from ...attribution.explanation import Explanation
from ...attribution.select import Chosen, choose_device, choose_methods
from ...engine.failures import attempted
from ...errors import SigError, UsageError
from ...metrics.case import Outputs
from ...metrics.statistics import Summary, bootstrap, paired
from ...runs.folder import save_table, write_aside
from ...training.report import NETWORK
from ..maps import failures, maps_of, percent, settings_for, written
from ..mnist import data as digits
from ..mnist.data import Digits
from ..mnist.network import digit_network, digit_recipe, tensors
from ..network import Prepared
from ..scenario import Progress, Verdict, claim, drop_pictures

FROM, TO = 8, 3
MASKED = 157
"""A fifth of the 784 pixels, as many as are masked at most."""
METHODS = "deeplift,shap=kernelshap,lime,ig,icg,sig,sig-walk"
DEFAULTS = {
    "deeplift.baseline": "black", "shap.baseline": "black", "shap.budget": "4096", "lime.baseline": "black",
    "lime.samples": "4096", "ig.baseline": "black", "ig.steps": "100", "icg.steps": "100", "sig.baseline": "black",
    "sig.players": "grid:28x28", "sig-walk.baseline": "black", "sig-walk.players": "grid:14x14", "sig-walk.orders": "2",
}  # fmt: skip
PIXELS = "players.npy"
FILES = ("changes.csv", "summary.csv", "change.png", "sheet.png", PIXELS, NETWORK)
RANDOM = "(random)"
_SHOWN = 2
Maps = Mapping[tuple[str, str, int], tuple[Explanation, np.ndarray | None]]
"""(image, method, class) → the explanation and its map (28, 28)."""


def shap_digits(
    *,
    data: str | Path | None = None,
    images: int = 20,
    steps: int = 1000,
    preset: str | None = None,
    method: str | Sequence[str] = METHODS,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Which maps know the pixels that make an 8 of what would be a 3 (Lundberg, Lee 2017, Fig. 5)?

    Held-out digits that the network names 8 rightly are explained for 8 and for 3. Of the pixels that are not black, those
    that speak more for 8 than for 3 become black, the largest difference first, 157 at most. What is reported is by how much
    the log odds of 8 against 3, the difference of their logits, fall.

    Args:
        data: a folder with MNIST's files, see `sigcli.scenarios.mnist.data.load`; scikit-learn's digits if not given.
        images: digits to explain.
        steps: training steps of the network.
        preset: recipe of the training, "icg" for that of [ICG] A.5; our own if not given.
        method: methods, as in `explain`.
        settings: their options.
        seed: of training and draws.
        device: as in `explain`.
        batch_size: as in `explain`.
        out: the folder; by default sig-shap-digits, or the next free one.
        overwrite: replace another run in `out`.
        pictures: draw the changes and the sheet.
        progress: called with the stage, what is done of it, and its length.

    Raises:
        UsageError: an option that cannot be used, a folder without digits, or a network that names no 8.
        OutputError: the folder cannot be written or holds another run.
    """
    if images < 2:
        raise UsageError("the scenario needs at least 2 digits", given=images)
    options = settings_for(method, DEFAULTS, settings)
    named = choose_methods(method, options)  # a mistake in them must not wait for the training
    split, place, recipe = digits.load(data), choose_device(device), digit_recipe(preset, steps=steps, seed=seed)
    spec = {
        "methods": {one.name: {"method": one.entry.name, **one.resolved()} for one in named}, "digits": split.digest(),
        "images": images, "recipe": asdict(recipe), "seed": seed,
    }  # fmt: skip
    folder = claim("shap-digits", spec, FILES, out=out, overwrite=overwrite)
    made = digit_network(
        "mnist", split, arch="small-cnn", recipe=recipe, folder=folder, device=place, progress=progress
    )
    names, shown = named_right(made, split.held, images)
    paths = written(names, shown.images, folder / "pictures" / split.digest())
    options = {**_of_pixels(named, shown, folder / PIXELS), **options}
    found: dict[tuple[str, str, int], tuple[Explanation, np.ndarray | None]] = {}
    for label in (FROM, TO):
        session = prepare(
            paths, model=str(made.file), method=method, settings=options, target=label, seed=seed, device=device,
            batch_size=batch_size, out=folder / f"for-{label}", overwrite=overwrite, pictures=False,
        )  # fmt: skip
        for item, values in maps_of(session, stream(session), progress):
            found[Path(item.image).name, item.method, label] = item, values
    rows, masked = changed(_Judge(made), names, shown, [one.name for one in named], found, seed=seed)
    save_table(folder / FILES[0], rows)
    drop_pictures(folder, FILES)
    if pictures:
        _draw(folder, shown, names, found, rows, masked)
    return _verdict(folder, (split.told, made.told()), rows, seed)


def named_right(made: Prepared, held: Digits, images: int) -> tuple[list[str], Digits]:
    """The first held-out eights that the network calls an 8, which stand in random order, and names for them.

    Raises:
        UsageError: there are fewer than two.
    """
    eights = held.rows(np.nonzero(held.labels == FROM)[0])
    with torch.no_grad():
        right = (made.net(tensors(eights)).argmax(1) == FROM).cpu().numpy() if len(eights) else np.zeros(0, bool)
    chosen = eights.rows(np.nonzero(right)[0][:images])
    if len(chosen) < 2:
        raise UsageError(
            f"the network names fewer than two held-out digits of class {FROM} rightly",
            hint="Train it longer, with --steps.",
        )
    return [f"{number:03d}.png" for number in range(len(chosen))], chosen


def ink_players(images: UInt8[np.ndarray, "n h w"]) -> np.ndarray:
    """A label map int64 (H, W): each pixel that is not black in all pictures is a player, all others together are one.

    A pixel that is black is its own baseline, so that coalitions would be spent on it for nothing.
    """
    ink = (images > 0).any(0)
    labels = np.zeros(ink.shape, np.int64)
    labels[ink] = 1 + np.arange(ink.sum())
    return labels


def _of_pixels(named: Sequence[Chosen], shown: Digits, file: Path) -> dict[str, str]:
    """Single pixels as the players of methods for which neither the scenario nor the user named others."""
    write_aside(file, lambda aside: _save(aside, ink_players(shown.images)))
    return {
        f"{one.name}.players": str(file)
        for one in named
        if "players" in one.entry.options() and "players" not in one.options
    }


def _save(path: Path, labels: np.ndarray) -> None:
    with path.open("wb") as stream:
        np.save(stream, labels)


def to_mask(
    difference: Float[np.ndarray, "h w"], image: UInt8[np.ndarray, "h w"], most: int = MASKED
) -> Bool[np.ndarray, "h w"]:
    """Which pixels become black: of those that are not, the ones with the largest positive difference.

    Args:
        difference: what each pixel gives to the class that is, less what it gives to the class that shall be.
        image: the digit, 0 where it is black.
        most: so many at most.

    >>> to_mask(np.array([[3.0, 1.0, -1.0, 9.0]]), np.array([[5, 5, 5, 0]], np.uint8), 1).tolist()
    [[True, False, False, False]]
    """
    gain = np.where(image > 0, difference, 0.0).ravel()
    first = np.argsort(-gain, kind="stable")[:most]
    masked = np.zeros(gain.shape, bool)
    masked[first[gain[first] > 0]] = True
    return masked.reshape(image.shape)


def as_many_at_random(masked: Bool[np.ndarray, "h w"], image: UInt8[np.ndarray, "h w"], key: int) -> np.ndarray:
    """As many pixels that are not black, drawn at random (H, W)."""
    order = np.where(image > 0, draws.rows(key, 0, 1, image.size)[0].reshape(image.shape), np.inf).ravel()
    found = np.zeros(image.size, bool)
    found[np.argsort(order, kind="stable")[: masked.sum()]] = True
    return found.reshape(image.shape)


def changed(
    judge: Outputs, names: Sequence[str], shown: Digits, methods: Sequence[str], found: Maps, *, seed: int
) -> tuple[list[dict[str, Any]], dict[tuple[str, str], np.ndarray]]:
    """A row for each digit and method, and the masked digits uint8 (28, 28) by (image, method).

    The last row of a digit, "(random)", has as many masked pixels as that of the first method that did not fail.
    """
    rows: list[dict[str, Any]] = []
    pictures: dict[tuple[str, str], np.ndarray] = {}
    for number, (name, image) in enumerate(zip(names, shown.images, strict=True)):
        control: np.ndarray | None = None
        for method in (*methods, RANDOM):
            error, masked = "", None
            if method == RANDOM:
                masked = (
                    None if control is None else as_many_at_random(control, image, draws.stream(seed, RANDOM, number))
                )
            else:
                (one, of_from), (other, of_to) = (found[name, method, label] for label in (FROM, TO))
                error = one.error or other.error
                if of_from is not None and of_to is not None:
                    masked = to_mask(of_from - of_to, image)
                    control = masked if control is None else control
            row = {"image": name, "method": method, "masked": None, "change": None, "named": None, "error": error}
            if masked is not None:
                pictures[name, method] = np.where(masked, np.uint8(0), image)
                row |= {"masked": int(masked.sum()), **_change(judge, image, pictures[name, method])}
            rows.append(row)
    return rows, pictures


def _change(judge: Outputs, image: np.ndarray, masked: np.ndarray) -> dict[str, Any]:
    """By how much the log odds fall, and what the network calls the masked digit; or the error that the network raised."""
    both = tensors(Digits(np.stack([image, masked]), np.zeros(2, np.int64)))
    outputs = attempted(lambda: judge.outputs(both).double().cpu().numpy())
    if isinstance(outputs, SigError):
        return {"error": " ".join(str(outputs).split())}
    odds = outputs[:, FROM] - outputs[:, TO]
    return {"change": float(odds[0] - odds[1]), "named": int(outputs[1].argmax())}


class _Judge:
    """The network as `Outputs`."""

    def __init__(self, made: Prepared):
        self._net = made.net

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self._net(images)


def _verdict(folder: Path, facts: Sequence[str], rows: Sequence[Mapping[str, Any]], seed: int) -> Verdict:
    changes = {
        name: {row["image"]: row["change"] for row in rows if row["method"] == name and row["change"] is not None}
        for name in dict.fromkeys(row["method"] for row in rows)
    }
    means = {name: bootstrap(list(found.values()), seed=seed) for name, found in changes.items()}
    table = [_row(name, means[name], [row for row in rows if row["method"] == name]) for name in changes]
    save_table(folder / FILES[1], [
        {"method": row["method"], "mean": one.mean, "ci_low": one.low, "ci_high": one.high, "n": one.n,
         **{key: row[key] for key in ("q1", "median", "q3")}}
        for row, one in zip(table, means.values(), strict=True)
    ])  # fmt: skip
    count = len({row["image"] for row in rows})
    return Verdict(
        f"Which pixels make it an {FROM} and not a {TO}? {count} held-out digits that the network names {FROM}",
        {
            "method": "method", "mean": f"log odds of {FROM} against {TO} fall by", "interval": "95 % interval",
            "median": "median", "quartiles": "quartiles", "turned": f"named {TO} then", "masked": "pixels masked",
        },
        table,
        (
            *facts,
            f"Masked (made black) are the pixels that speak more for {FROM} than for {TO}, the largest difference first, "
            f"{MASKED} at most, a fifth of the picture. {RANDOM}: as many of the digit's pixels as the first method masks.",
        ),
        _findings(changes, seed),
        rows,
        failures(rows),
        folder,
    )  # fmt: skip


def _row(name: str, mean: Summary, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    known = [row for row in rows if row["change"] is not None]
    if not known:
        return {
            "method": name,
            **dict.fromkeys(("mean", "interval", "median", "quartiles", "q1", "q3", "turned", "masked")),
        }
    low, middle, high = (float(q) for q in np.percentile([row["change"] for row in known], [25, 50, 75]))
    return {
        "method": name, "mean": mean.mean, "median": middle, "q1": low, "q3": high, "quartiles": f"{low:.2f} to {high:.2f}",
        "interval": None if mean.low is None or mean.high is None else f"{mean.low:.2f} to {mean.high:.2f}",
        "turned": percent(float(np.mean([row["named"] == TO for row in known]))),
        "masked": f"{np.mean([row['masked'] for row in known]):.0f}",
    }  # fmt: skip


def _findings(changes: Mapping[str, Mapping[str, float]], seed: int) -> list[str]:
    """What the table says in words, each sentence from its figures."""
    means = {name: float(np.mean(list(found.values()))) for name, found in changes.items() if found and name != RANDOM}
    if not means:
        return []
    best = max(means, key=lambda name: means[name])
    told = [f"Farthest from {FROM} towards {TO} goes {best} ({means[best]:.2f} in log odds)."]
    behind = {name: paired(dict(changes[best]), dict(changes[name]), seed=seed) for name in means if name != best}
    level = [name for name, gain in behind.items() if gain.low is None or gain.low <= 0]
    less = [f"{name} (by {gain.mean:.2f})" for name, gain in behind.items() if gain.low is not None and gain.low > 0]
    if level:
        told.append(f"Not to be told from it by a paired interval: {', '.join(level)}.")
    if less:
        told.append(f"Behind it: {', '.join(less)}.")
    return told


def _draw(
    folder: Path, shown: Digits, names: Sequence[str], found: Maps, rows: Sequence[Mapping[str, Any]],
    masked: Mapping[tuple[str, str], np.ndarray],
) -> None:  # fmt: skip
    from ... import render
    from ...render.maps.grid import grid_image
    from .figure import draw_boxes

    changes: dict[str, list[float]] = {}
    for row in rows:
        changes.setdefault(row["method"], []).extend([] if row["change"] is None else [row["change"]])
    draw_boxes(
        changes, folder / FILES[2], unit=f"fall of the log odds of {FROM} against {TO}",
        title=f"Masking what speaks for {FROM} and not for {TO}: {len(shown)} digits",
    )  # fmt: skip
    columns = range(min(_SHOWN, len(shown)))
    panels: dict[str, list[np.ndarray | None]] = {}
    for method in changes:
        for name in (names[i] for i in columns):
            maps = [None, None] if method == RANDOM else [found[name, method, label][1] for label in (FROM, TO)]
            panels.setdefault(method, []).extend([*maps, masked.get((name, method))])
    image = grid_image(
        [picture for i in columns for picture in (shown.images[i], None, None)],
        panels,
        headings=[text for _ in columns for text in (f"for {FROM}", f"for {TO}", "masked")],
        notes={name: f"log odds fall by {np.mean(found):.1f}" for name, found in changes.items() if found},
        heading=f"What makes it an {FROM} and not a {TO}, and the digit without that",
        caption="Red speaks for the class, blue against it; each map has its own scale, clipped at the 99.5th percentile of "
        f"|value|. Masked: black where a pixel speaks more for {FROM} than for {TO}, {MASKED} pixels at most.",
    )
    render.save_png(image, folder / FILES[3])

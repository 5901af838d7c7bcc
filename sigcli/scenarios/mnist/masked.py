"""The scenario `mnist-masked`: [ICG] A.3.1 and Fig. 7, maps of digits of which an area is not known. No printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...attribution.explain import prepare, stream
from ...attribution.select import choose_device, choose_methods
from ...errors import UsageError
from ...runs.folder import save_table
from ...training.report import NETWORK
from ..maps import Means, correlation, failures, maps_of, means_of, percent, save_means, settings_for, written
from ..scenario import Progress, Verdict, claim, drop_pictures
from . import data as digits
from .data import SIDE
from .network import digit_network, digit_recipe
from .study import chosen

METHODS = "icg,zero=ig,one=ig"
DEFAULTS = {
    "icg.steps": "100", "zero.steps": "100", "zero.baseline": "black", "one.steps": "100", "one.baseline": "white",
}  # fmt: skip
MASKED = (0.5, 0.0, 1.0, 0.5)
"""Left, top, right and bottom of the area, as shares of the picture: the upper right quarter."""
COMBINED = "zero+one"
FILES = ("scores.csv", "summary.csv", "sheet.png", NETWORK)
MEASURES = {"masked": "in the masked area", "known": "the same area, known", "as_icg": "r(icg)"}
_SHOWN = 4


def mnist_masked(
    *,
    data: str | Path | None = None,
    images: int = 20,
    steps: int = 2500,
    preset: str | None = None,
    method: str | Sequence[str] = METHODS,
    settings: Mapping[str, Any] | None = None,
    output: str = "logit",
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Does an area that the network cannot rely on lose its attribution, from every baseline ([ICG] A.3.1, Fig. 7)?

    Digits are explained with the upper right quarter at a certainty of 0, and as they are. Beside the chosen methods stands
    the sum of `zero` and `one`, Integrated Gradients from black and from white (Fig. 7E), which the paper sets beside ICG.

    Args:
        data: a folder with MNIST's files, see `sigcli.scenarios.mnist.data.load`; scikit-learn's digits if not given.
        images: held-out digits to explain, classes in turn.
        steps: training steps of the network, the one of the scenario `mnist`.
        preset: recipe of the training, "icg" for that of [ICG] A.5; our own if not given.
        method: methods, as in `explain`.
        settings: their options.
        output: "logit", "prob" or "logprob" of the class that the network names.
        seed: of training and draws.
        device: as in `explain`.
        batch_size: as in `explain`.
        out: the folder; by default sig-mnist-masked.
        overwrite: replace another run in `out`.
        pictures: draw the sheet.
        progress: called with the stage, what is done of it, and its length.

    Raises:
        UsageError: an option that cannot be used, or a folder without digits.
        OutputError: the folder cannot be written or holds another run.
    """
    if images < 1:
        raise UsageError("the scenario needs at least 1 digit", given=images)
    options = settings_for(method, DEFAULTS, settings)
    named = choose_methods(method, options)  # a mistake in them must not wait for the training
    split, place, recipe = digits.load(data), choose_device(device), digit_recipe(preset, steps=steps, seed=seed)
    spec = {
        "methods": {one.name: {"method": one.entry.name, **one.resolved()} for one in named}, "digits": split.digest(),
        "images": images, "recipe": asdict(recipe), "output": output, "seed": seed,
    }  # fmt: skip
    folder = claim("mnist-masked", spec, FILES, out=out, overwrite=overwrite)
    made = digit_network(
        "mnist", split, arch="small-cnn", recipe=recipe, folder=folder, device=place, progress=progress,
    )  # fmt: skip
    names, shown = chosen(split.held, images)
    paths = written(names, shown.images, folder / "pictures" / split.digest())
    area = masked_area()
    scores: list[dict[str, Any]] = []
    maps: dict[str, list[np.ndarray]] = {}
    found = {}
    for kind, mask in (("masked", ",".join(map(str, MASKED))), ("known", None)):
        session = prepare(
            paths, model=str(made.file), method=method, settings=options, output=output, seed=seed, device=device,
            batch_size=batch_size, out=folder / kind, overwrite=overwrite, mask_certainty=mask, pictures=False,
        )  # fmt: skip
        found[kind] = {(Path(i.image).name, i.method): (i, v) for i, v in maps_of(session, stream(session), progress)}
    for name, label in zip(names, shown.labels, strict=True):
        rows, here = _of_digit(name, found["masked"], found["known"], area)
        scores += [{"image": name, "class": int(label), **row} for row in rows]
        for key, values in here.items():
            maps.setdefault(key, []).append(np.zeros((SIDE, SIDE)) if values is None else values)
    means = means_of(scores, list(MEASURES), seed)
    save_table(folder / FILES[0], scores)
    save_means(folder / FILES[1], means)
    drop_pictures(folder, FILES)
    if pictures:
        _draw(folder, shown, maps, means, output)
    return Verdict(
        f"Is an area that is not known left out? {len(names)} held-out digits, the upper right quarter masked ({output})",
        {"method": "method", **MEASURES},
        [
            {"method": name, "masked": percent(means[name, "masked"].mean, digits=1),
             "known": percent(means[name, "known"].mean, digits=1), "as_icg": means[name, "as_icg"].mean}
            for name in maps
        ],
        (split.told, made.told(), "Shares are of the |attribution|; r: correlation with the map of icg of the same digit."),
        _findings(means, list(maps)),
        scores,
        failures(scores),
        folder,
    )  # fmt: skip


def masked_area() -> np.ndarray:
    """Which pixels are not known, (28, 28)."""
    left, top, right, bottom = (round(SIDE * share) for share in MASKED)
    area = np.zeros((SIDE, SIDE), bool)
    area[top:bottom, left:right] = True
    return area


def share_in(values: np.ndarray | None, area: np.ndarray) -> float | None:
    """Share of the |attribution| (H, W) in an area; None for a map of zeros, or none at all."""
    return float(np.abs(values[area]).sum() / np.abs(values).sum()) if values is not None and values.any() else None


def _of_digit(
    name: str, masked: Mapping[tuple[str, str], Any], known: Mapping[tuple[str, str], Any], area: np.ndarray
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray | None]]:
    """A row for each method and for the sum, and the maps of one digit with the area masked."""
    methods = [method for image, method in masked if image == name]
    kinds = [{method: found[name, method][1] for method in methods} for found in (masked, known)]
    items = {method: masked[name, method][0] for method in methods}
    if {"zero", "one"} <= set(methods):
        for maps in kinds:
            pair = maps["zero"], maps["one"]
            maps[COMBINED] = None if pair[0] is None or pair[1] is None else pair[0] + pair[1]
    rows = []
    for method, values in kinds[0].items():
        icg = None if method == "icg" else kinds[0].get("icg")
        item = items.get(method)
        rows.append({
            "target": items[methods[0]].target, "method": method, "masked": share_in(values, area),
            "known": share_in(kinds[1][method], area),
            "as_icg": None if values is None or icg is None else correlation(values, icg),
            "score": None if item is None else item.score,
            "error": None if item is None else item.error or known[name, method][0].error,
        })  # fmt: skip
    return rows, kinds[0]


def _findings(means: Means, methods: Sequence[str]) -> list[str]:
    """What the table says in words, each sentence from its figures."""
    shares = {name: (means[name, "masked"].mean, means[name, "known"].mean) for name in methods}
    left = [name for name, (now, before) in shares.items() if now is not None and before and now <= 0.1 * before]
    kept = [name for name, (now, before) in shares.items() if now is not None and before and now > 0.1 * before]
    told = [f"A tenth of its share or less is left to the masked area by {', '.join(left)}."] if left else []
    told += [f"More than a tenth is left by {', '.join(kept)}."] if kept else []
    alike = {name: value for name in methods if (value := means[name, "as_icg"].mean) is not None}
    if len(alike) > 1:
        best = max(alike, key=lambda name: alike[name])
        told.append(f"Nearest to icg is {best} (r = {alike[best]:.2f}).")
    return told


def _draw(folder: Path, shown: digits.Digits, maps: Mapping[str, list[np.ndarray]], means: Means, output: str) -> None:
    from ... import render
    from ...render.maps.grid import grid_image

    columns = range(min(_SHOWN, len(shown)))
    inputs = np.where(masked_area(), np.uint8(127), shown.images)
    image = grid_image(
        [inputs[i] for i in columns],
        {name: [found[i] for i in columns] for name, found in maps.items()},
        headings=[f"a {shown.labels[i]}" for i in columns],
        notes={name: f"{percent(means[name, 'masked'].mean, digits=1) or '-'} in the masked area" for name in maps},
        heading=f"Digits whose upper right quarter is not known ({output} of the class that the network names)",
        caption="Grey: a certainty of 0. Red speaks for the class, blue against it; each map has its own scale, clipped at "
        f"the 99.5th percentile of |value|. {COMBINED}: the maps of Integrated Gradients from black and from white, added.",
    )
    render.save_png(image, folder / FILES[2])

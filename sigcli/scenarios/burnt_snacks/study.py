"""The scenario `burnt-snacks`: [ICG] section 5.1 and Fig. 4, with scores. No printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...attribution.explain import prepare, stream
from ...attribution.explanation import Explanation
from ...attribution.pipeline import Session
from ...attribution.select import choose_device, choose_methods
from ...errors import UsageError
from ...models.preprocess import Preprocess
from ...models.sources.trained import Trained
from ...runs.folder import save_table, take, write_aside
from ...training.loop import Held, preset_recipe
from ...training.report import NETWORK
from ..maps import means_of, settings_for
from ..network import Prepared, network
from ..scenario import Progress, Verdict, drop_pictures, own_folder, unclaimed
from . import data as scenario
from .data import DARK, LIGHT, Snacks

DEFAULT_OUT = "sig-burnt-snacks"
METHODS = "icg,icg-5=icg,zero=ig,mean=ig,max-distance=ig,eg,agn,sig,sig-walk,gradient"
DEFAULTS = {
    "icg.steps": "100", "icg-5.steps": "50", "icg-5.samples": "5", "icg-5.sigma": "0.02", "zero.steps": "100",
    "zero.baseline": "black", "mean.steps": "100", "mean.baseline": "mean", "max-distance.steps": "100",
    "max-distance.baseline": "max-distance", "eg.samples": "500", "agn.samples": "500", "sig.baseline": "black",
    "sig.players": "grid:6x6", "sig-walk.baseline": "black", "sig-walk.players": "grid:6x6",
}  # fmt: skip
"""The settings of Fig. 4 as far as they are given there; `sig` and `sig-walk` take patches of 5×5 pixels."""
FILES = ("scores.csv", "summary.csv", "sheet.png", "training.png")
MEASURES = {
    "dark_share": "positive attribution on dark squares",
    "dark_net": "the same, net per shape",
    "dark_found": "dark squares found",
    "light_blamed": "light squares blamed",
    "light_share": "class 0: attribution on light squares",
}
NAMED = 0.05
"""A square counts as named where its net attribution is at least this share of the map's |attribution|."""
_STREAMS = {"train": 0, "held": 1, "reference": 2, "explain": 3}
_HELD, _REFERENCES, _BATCH = 1000, 128, 64


def burnt_snacks(
    *,
    images: int = 24,
    steps: int = 1500,
    method: str | Sequence[str] = METHODS,
    settings: Mapping[str, Any] | None = None,
    output: str = "logit",
    seed: int = 0,
    preset: str | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Is there a dark square? Which method points at the dark squares, and which at the light ones ([ICG] section 5.1)?

    Args:
        images: pictures to explain, half of them with dark squares.
        steps: training steps of the network.
        method: methods, as in `explain`.
        settings: their options.
        output: "logit", "prob" or "logprob" of the class with dark squares.
        seed: of pictures, training and draws.
        preset: recipe of the training, "icg" for that of [ICG] A.5; our own if not given.
        device: as in `explain`.
        batch_size: as in `explain`.
        out: the folder; by default sig-burnt-snacks.
        resume: go on with an interrupted run.
        overwrite: replace another run in `out`.
        pictures: draw the sheet and the training's curves.
        progress: called with the stage, what is done of it, and its length.

    Raises:
        UsageError: an option that cannot be used.
        OutputError: the folder cannot be written or holds another run.
    """
    if images < 2:
        raise UsageError("the scenario needs at least 2 images, one of each class", given=images)
    folder = own_folder(DEFAULT_OUT, FILES, (NETWORK,), out=out, overwrite=overwrite)
    options = settings_for(method, DEFAULTS, settings)
    choose_methods(method, options)  # a mistake in them must not wait for the training
    place = choose_device(device)
    with unclaimed(folder, (NETWORK,)):
        made = trained_network(folder, seed=seed, steps=steps, preset=preset, device=place, progress=progress)
        chosen, known = _chosen(seed, images)
        session = prepare(
            _written(chosen, known, folder / "pictures" / f"seed-{seed}"),
            references=folder / "pictures" / f"references-{seed}" if _references(folder, seed) else None,
            model=str(made.file), method=method, output=output, target=1, seed=seed, device=device,
            batch_size=batch_size, settings=options, out=folder, resume=resume, overwrite=overwrite, pictures=False,
        )  # fmt: skip
    take(folder, FILES, made=(NETWORK,))
    scores, maps = _scored(session, known, progress)
    return _verdict(session, made, known, scores, maps, pictures=pictures)


def trained_network(
    folder: Path, *, seed: int, steps: int, device: str, preset: str | None = None, progress: Progress | None = None
) -> Prepared:
    """The certainty-aware network of the scenario, trained from the seed or from the cache."""
    made = Trained("pixel-cnn", scenario.CLASSES, True, Preprocess(None, scenario.SIZE, (0.0,), (1.0,)))
    base = 16 * seed

    def batches(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return tensors(scenario.batch(base + _STREAMS["train"], step * _BATCH, _BATCH))

    held = Held(*tensors(scenario.batch(base + _STREAMS["held"], 0, _HELD)))
    own = {"rate": 4e-3, "decay": 0.05} if preset is None else {}
    recipe = preset_recipe(preset, steps=steps, seed=seed, **own)
    return network(
        "burnt-snacks",
        made,
        batches,
        held,
        recipe,
        folder=folder,
        device=device,
        sources=(scenario,),
        progress=progress,
    )


def tensors(found: Snacks) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (N, 1, H, W) in 0..1 and classes (N,)."""
    return torch.from_numpy(found.images)[:, None], torch.from_numpy(found.labels)


def _chosen(seed: int, images: int) -> tuple[list[str], Snacks]:
    """The first pictures of each class of a stream, alternately, and their names."""
    found = scenario.batch(16 * seed + _STREAMS["explain"], 0, 8 * images + 32)
    one, other = (np.nonzero(found.labels == label)[0] for label in (1, 0))
    rows = [int((one if i % 2 == 0 else other)[i // 2]) for i in range(images)]
    names = [f"{i:03d}-class{found.labels[row]}.png" for i, row in enumerate(rows)]
    return names, Snacks(found.images[rows], found.labels[rows], found.objects[rows], found.kinds[rows])


def _references(folder: Path, seed: int) -> list[Path]:
    """Pictures for means, references and Expected Gradients."""
    found = scenario.batch(16 * seed + _STREAMS["reference"], 0, _REFERENCES)
    return _written([f"{i:03d}.png" for i in range(_REFERENCES)], found, folder / "pictures" / f"references-{seed}")


def _written(names: Sequence[str], found: Snacks, folder: Path) -> list[Path]:
    """The pictures as PNG, those that do not stand there already."""
    paths = [folder / name for name in names]
    for path, image in zip(paths, found.images, strict=True):
        if not path.exists():
            grey = Image.fromarray(np.rint(image * 255).astype(np.uint8))
            write_aside(path, lambda aside, grey=grey: grey.save(aside, format="PNG"))
    return paths


def score(values: np.ndarray, objects: np.ndarray, kinds: np.ndarray) -> dict[str, float]:
    """Where the attribution (C, H, W) of one picture lies.

    Args:
        values: towards "there is a dark square".
        objects: (H, W), see `Snacks`.
        kinds: (9,), see `Snacks`.

    Returns:
        of a picture with dark squares: `dark_share`, the share of the positive attribution on dark squares, pixel by pixel;
        `dark_net`, the same after summing over each shape and over the ground of each place; `dark_found`, the share of dark
        squares that are named (see `NAMED`), and `light_blamed`, the share of light squares named; of one without:
        `light_share`, the share of |attribution| on light squares. What has no meaning is left out.
    """
    relevance = values.astype(np.float64).sum(0)
    size, positive = np.abs(relevance), relevance.clip(min=0)
    net = {kind: [relevance[objects == 1 + p].sum() for p in np.nonzero(kinds == kind)[0]] for kind in (DARK, LIGHT)}
    found: dict[str, float] = {}
    least = NAMED * max(size.sum(), np.finfo(float).tiny)
    if net[DARK]:
        dark = np.isin(objects, 1 + np.nonzero(kinds == DARK)[0])
        if positive.any():
            found["dark_share"] = float(positive[dark].sum() / positive.sum())
        gains = _sums(relevance, objects).clip(min=0)
        if gains.any():
            found["dark_net"] = float(gains[: len(kinds)][kinds == DARK].sum() / gains.sum())
        found["dark_found"] = float(np.mean([value >= least for value in net[DARK]]))
        if net[LIGHT]:
            found["light_blamed"] = float(np.mean([value >= least for value in net[LIGHT]]))
    elif net[LIGHT] and size.any():
        light = np.isin(objects, 1 + np.nonzero(kinds == LIGHT)[0])
        found["light_share"] = float(size[light].sum() / size.sum())
    return found


def _sums(relevance: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Attribution summed over the shape at each of the nine places, then over the ground of each, (18,)."""
    y, x = np.mgrid[: scenario.SIZE, : scenario.SIZE] // scenario.CELL
    part = scenario.ACROSS * y + x + np.where(objects > 0, 0, scenario.ACROSS**2)
    return np.bincount(part.ravel(), relevance.ravel(), 2 * scenario.ACROSS**2)


def _scored(
    session: Session, known: Snacks, progress: Progress | None
) -> tuple[list[dict[str, Any]], dict[str, list[np.ndarray]]]:
    """A row for each picture and method, and the maps (H, W) of each method."""
    place = {path.name: row for row, path in enumerate(session.paths)}
    rows: list[dict[str, Any]] = []
    maps: dict[str, list[np.ndarray]] = {}
    for item in stream(session):
        row = place[Path(item.image).name]
        values = _values(session, item)
        found = {} if values is None else score(values, known.objects[row], known.kinds[row])
        rows.append({
            "image": item.image, "class": int(known.labels[row]), "method": item.method,
            **{name: found.get(name) for name in MEASURES}, "score": item.score, "relative_gap": item.relative_gap,
            "gradient_evaluations": item.gradient_evaluations, "error": item.error,
        })  # fmt: skip
        shape = known.objects[row].shape
        maps.setdefault(item.method, []).append(np.zeros(shape) if values is None else values.sum(0))
        if progress is not None:
            progress("explaining", len(rows), session.items)
    return rows, maps


def _values(session: Session, item: Explanation) -> np.ndarray | None:
    if item.status != "ok" or item.values is not None or session.run is None:
        return item.values
    return np.load(session.run.path / item.folder / f"{item.name}.npy")


def _verdict(
    session: Session, made: Prepared, known: Snacks, scores: list[dict[str, Any]], maps: dict[str, list[np.ndarray]],
    *, pictures: bool,
) -> Verdict:  # fmt: skip
    folder = made.file.parent
    means = means_of(scores, list(MEASURES), session.seed)
    save_table(folder / FILES[0], scores)
    save_table(folder / FILES[1], [
        {"method": method, "measure": measure, "mean": one.mean, "ci_low": one.low, "ci_high": one.high, "n": one.n}
        for (method, measure), one in means.items()
    ])  # fmt: skip
    table = [{"method": name, **{m: _percent(means[name, m].mean) for m in MEASURES}} for name in maps]
    areas = {kind: _area(known, kind) for kind in (DARK, LIGHT)}
    drop_pictures(folder, FILES)
    if pictures:
        _draw(session, made, known, table, maps)
    return Verdict(
        f'Is there a dark square? {len(known.images)} pictures, explained towards "yes" ({session.scorer.output})',
        {"method": "method", **MEASURES},
        [
            *table,
            {
                "method": "(area)",
                "dark_share": _percent(float(areas[DARK])),
                "light_share": _percent(float(areas[LIGHT])),
            },
        ],
        (
            made.told(),
            f"A square is found, or blamed, where at least {NAMED:.0%} of the map's |attribution| lies on it, net.",
        ),
        _findings(means, list(maps)),
        scores,
        [f"{row['image']} {row['method']}: {row['error']}" for row in scores if row["error"]],
        folder,
    )


def _area(known: Snacks, kind: int) -> float:
    """Mean share of the pixels that squares of a kind cover: dark ones in class 1, light ones in class 0."""
    rows = [row for row, label in enumerate(known.labels) if bool(label) == (kind == DARK)]
    covered = [np.isin(known.objects[row], 1 + np.nonzero(known.kinds[row] == kind)[0]).mean() for row in rows]
    return float(np.mean(covered))


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"


def _findings(means: Mapping[tuple[str, str], Any], methods: Sequence[str]) -> list[str]:
    """What the table says in words, each sentence from its figures."""

    def of(name: str, measure: str) -> float:
        mean = means[name, measure].mean
        return float("nan") if mean is None else mean

    right = [name for name in methods if of(name, "dark_found") >= 0.8 and not of(name, "light_blamed") > 0.1]
    blame = [f"{name} ({of(name, 'light_blamed'):.0%})" for name in methods if of(name, "light_blamed") > 0.1]
    miss = [f"{name} ({of(name, 'dark_found'):.0%})" for name in methods if of(name, "dark_found") < 0.5]
    told = []
    if right:
        told.append(
            f"At least 80% of the dark squares found, at most 10% of the light ones blamed: {', '.join(right)}."
        )
    if blame:
        told.append(f"Attribution transfer: light squares, which mean nothing, are blamed by {', '.join(blame)}.")
    if miss:
        told.append(f"Most dark squares are missed by {', '.join(miss)}.")
    return told


def _draw(
    session: Session,
    made: Prepared,
    known: Snacks,
    table: Sequence[Mapping[str, Any]],
    maps: Mapping[str, list[np.ndarray]],
) -> None:
    from ... import render
    from ...render.maps.grid import grid_image
    from ...training.curves import draw_curves

    folder = made.file.parent
    draw_curves({"": made.points}, folder / FILES[3], title="Burnt Snacks: training with damaged inputs")
    first = [i for label in (1, 0) for i in np.nonzero(known.labels == label)[0][: 4 if label else 3]]
    dots = [_centres(known.objects[i], known.kinds[i]) for i in first]
    notes = {
        str(row["method"]): f"{row['dark_share'] or '-'} on dark squares, {row['dark_found'] or '-'} of them found"
        for row in table
    }
    image = grid_image(
        [np.rint(known.images[i] * 255).astype(np.uint8) for i in first],
        {name: [found[i] for i in first] for name, found in maps.items()},
        headings=[f"class {known.labels[i]}" for i in first],
        notes=notes,
        dots=dots,
        heading=f'Burnt Snacks: is there a dark square? ({session.scorer.output} of "yes")',
        caption="Green dots mark dark squares, the only reason for class 1 (they are not in the input). Red speaks for a "
        "dark square, blue against it; each map has its own scale, clipped at the 99.5th percentile of |value|.",
    )
    render.save_png(image, folder / FILES[2])


def _centres(objects: np.ndarray, kinds: np.ndarray) -> list[tuple[float, float]]:
    """Centres (y, x) of the dark squares, in shares of the picture."""
    places = [np.argwhere(objects == 1 + place).mean(0) / scenario.SIZE for place in np.nonzero(kinds == DARK)[0]]
    return [(float(y), float(x)) for y, x in places]

"""The scenario `mnist`: [ICG] A.3.3 and A.4.2, Figs 8 and 10, with scores. No printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...attribution.explain import prepare, stream
from ...attribution.explanation import Explanation
from ...attribution.pipeline import Session
from ...attribution.select import choose_device, choose_methods
from ...engine.failures import attempted
from ...errors import SigError, UsageError
from ...metrics.case import Outputs
from ...metrics.removal import Removal, follow
from ...runs.folder import save_table, take
from ...training.loop import Point
from ...training.report import NETWORK, checks_told
from ..maps import Means, correlation, failures, maps_of, means_of, percent, save_means, settings_for, written
from ..network import Prepared
from ..scenario import Progress, Verdict, drop_pictures, own_folder, unclaimed
from . import data as digits
from .data import Digits, Split
from .network import digit_network, digit_recipe, tensors

DEFAULT_OUT = "sig-mnist"
METHODS = "zero=ig,middle=ig,agn,icg,mean=ig,eg,sig,sig-walk"
DEFAULTS = {
    "zero.steps": "100", "zero.baseline": "black", "middle.steps": "100", "middle.baseline": "constant:0.5",
    "agn.samples": "500", "icg.steps": "100", "mean.steps": "100", "mean.baseline": "mean", "eg.samples": "500",
}  # fmt: skip
FILES = ("scores.csv", "summary.csv", "training.csv", "sheet.png", "training.png")
UNDAMAGED = "undamaged.safetensors"
MEASURES = {
    "ground": "on the ground", "deletion": "deletion ↓", "insertion": "insertion ↑", "as_agn": "r(agn)", "as_eg": "r(eg)",
}  # fmt: skip
BLIND = 0.01
"""A method is blind to the ground where this share of its |attribution| or less lies there."""
WITHIN = 0.01
_REFERENCES, _REMOVALS, _SHOWN, _REACHED = 256, 28, 8, 0.9
_ORDER = (5, 0, 1, 2, 3, 4, 6, 7, 8, 9)  # the paper's example is a 5


@dataclass(frozen=True, eq=False)
class _Nets:
    """The same network, trained with damaged inputs and without."""

    aware: Prepared
    plain: Prepared

    def apart(self) -> float:
        """Accuracy with damage less that without, on undamaged digits."""
        return self.aware.figures["accuracy"] - self.plain.figures["accuracy"]


def mnist(  # noqa: PLR0913 - the whole command, as keywords
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
    resume: bool = False,
    overwrite: bool = False,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """What does damage cost in training, and which method is blind to the ground of a digit ([ICG] A.3.3, A.4.2)?

    Args:
        data: a folder with MNIST's files, see `sigcli.scenarios.mnist.data.load`; scikit-learn's digits if not given.
        images: held-out digits to explain, classes in turn.
        steps: training steps of each network, with damage and without.
        preset: recipe of the training, "icg" for that of [ICG] A.5; our own if not given.
        method: methods, as in `explain`.
        settings: their options.
        output: "logit", "prob" or "logprob" of the class that the network names.
        seed: of training and draws.
        device: as in `explain`.
        batch_size: as in `explain`.
        out: the folder; by default sig-mnist.
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
    folder = own_folder(DEFAULT_OUT, FILES, (NETWORK, UNDAMAGED), out=out, overwrite=overwrite)
    options = settings_for(method, DEFAULTS, settings)
    choose_methods(method, options)  # a mistake in them must not wait for the training
    split, place = digits.load(data), choose_device(device)
    with unclaimed(folder, (NETWORK, UNDAMAGED)):
        nets = trained_networks(folder, split, seed=seed, steps=steps, preset=preset, device=place, progress=progress)
        names, shown = chosen(split.held, images)
        here = folder / "pictures" / split.digest()
        known = split.train.rows(np.arange(min(_REFERENCES, len(split.train))))
        written([f"{i:03d}.png" for i in range(len(known))], known.images, here / "references")
        session = prepare(
            written(names, shown.images, here / "digits"), references=here / "references", model=str(nets.aware.file),
            method=method, settings=options, output=output, seed=seed, device=device,
            batch_size=batch_size, out=folder, resume=resume, overwrite=overwrite, pictures=False,
        )  # fmt: skip
    take(folder, FILES, made=(NETWORK, UNDAMAGED))
    scores, maps = _scored(session, shown, progress)
    return _verdict(session, nets, split, (shown, known), scores, maps, pictures=pictures)


def trained_networks(
    folder: Path, split: Split, *, seed: int, steps: int, device: str, preset: str | None = None,
    progress: Progress | None = None,
) -> _Nets:  # fmt: skip
    """The same network trained on the same batches of digits, damaged and undamaged; from the seed or from the cache."""
    damaged, plain = (digit_recipe(preset, steps=steps, seed=seed, damage=damage) for damage in (True, False))
    nets = [
        digit_network(
            "mnist", split, arch="small-cnn", recipe=recipe, folder=folder, device=device, file=file,
            progress=_stage(progress, stage),
        )
        for recipe, stage, file in (
            (damaged, "training with damage", NETWORK),
            (plain, "training without damage", UNDAMAGED),
        )
    ]  # fmt: skip
    return _Nets(*nets)


def _stage(progress: Progress | None, stage: str) -> Progress | None:
    return None if progress is None else lambda _, done, total: progress(stage, done, total)


def chosen(held: Digits, images: int) -> tuple[list[str], Digits]:
    """The first held-out digits of each class, classes in turn, and names for them."""
    by = [list(np.nonzero(held.labels == label)[0]) for label in _ORDER]
    turns = [rows[turn] for turn in range(len(held)) for rows in by if turn < len(rows)][:images]
    rows = np.array(turns, int)
    return [f"{i:03d}-class{held.labels[row]}.png" for i, row in enumerate(rows)], held.rows(rows)


def _scored(
    session: Session, shown: Digits, progress: Progress | None
) -> tuple[list[dict[str, Any]], dict[str, list[np.ndarray]]]:
    """A row for each digit and method, and the maps (H, W) of each method."""
    place = {path.name: row for row, path in enumerate(session.paths)}
    rows: list[dict[str, Any]] = []
    maps: dict[str, list[np.ndarray]] = {}
    for item, values in maps_of(session, stream(session), progress):
        row = place[Path(item.image).name]
        image = shown.images[row]
        ground = None if values is None else ground_share(values, image)
        x = tensors(shown.rows(np.array([row])))[0].to(session.model.device)
        removed, error = _removed(session, item, values, x)
        rows.append({
            "image": item.image, "class": int(shown.labels[row]), "target": item.target, "method": item.method,
            **dict.fromkeys(MEASURES), "ground": ground, **removed, "score": item.score, "relative_gap": item.relative_gap,
            "gradient_evaluations": item.gradient_evaluations, "error": error,
        })  # fmt: skip
        maps.setdefault(item.method, []).append(np.zeros(image.shape) if values is None else values)
    for measure, other in (("as_agn", "agn"), ("as_eg", "eg")):
        for name in [name for name in maps if other in maps and name != other]:
            both = zip([row for row in rows if row["method"] == name], maps[name], maps[other], strict=True)
            for row, one, two in both:
                row[measure] = correlation(one, two)
    return rows, maps


def _removed(
    session: Session, item: Explanation, values: np.ndarray | None, x: torch.Tensor
) -> tuple[dict[str, float], str]:
    """`removal` of one map, nothing where it failed, and what failed: the network may raise for a damaged picture alone."""
    if values is None or item.target is None:
        return {}, item.error
    target = item.target
    found = attempted(lambda: removal(session.classifier, values, x, target))
    return ({}, str(found)) if isinstance(found, SigError) else (found, item.error)


def ground_share(values: np.ndarray, image: np.ndarray) -> float | None:
    """Share of the |attribution| (H, W) on pixels that are wholly black; None for a map of zeros."""
    size = np.abs(values)
    return float(size[image == 0].sum() / size.sum()) if size.any() else None


def removal(model: Outputs, values: np.ndarray, x: torch.Tensor, target: int) -> dict[str, float]:
    """Deletion and insertion where a removed pixel is one of which the network is told that it knows nothing.

    The certainty is one more channel of the picture, and 0 where a pixel is removed; so nothing has to stand in for it.

    Args:
        model: takes pictures with their certainty as the last channel, (N, C+1, H, W).
        values: (H, W) attribution.
        x: (C, H, W) as the network takes it.
        target: the class whose probability is followed.

    Returns:
        `deletion` and `insertion`: mean probability of the class while the pixels go, or come in, in the map's order.
    """
    known, unknown = (torch.cat((x, torch.full_like(x[:1], level))) for level in (1.0, 0.0))
    order = torch.from_numpy(np.argsort(-values.ravel(), kind="stable"))
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    rank = rank.reshape(values.shape).to(x.device)
    counts = torch.linspace(0, values.size, _REMOVALS + 1, dtype=torch.float64).round().long().to(x.device)
    both = [Removal(known, target, rank, counts, unknown, insert=insert) for insert in (False, True)]
    found = [steps.probability.cpu().numpy() for steps in follow(model, iter(both), batch_size=64)]
    return dict(zip(("deletion", "insertion"), (float(np.trapezoid(c) / _REMOVALS) for c in found), strict=True))


def reached(points: Sequence[Point], accuracy: float) -> int | None:
    """Batches from which on the curve is at an accuracy or above it; None where it is not in the end."""
    below = [number for number, point in enumerate(points) if point.accuracy < accuracy]
    first = below[-1] + 1 if below else 0
    return points[first].step if first < len(points) else None


def _verdict(
    session: Session, nets: _Nets, split: Split, pictured: tuple[Digits, Digits], scores: list[dict[str, Any]],
    maps: dict[str, list[np.ndarray]], *, pictures: bool,
) -> Verdict:  # fmt: skip
    folder, shown = nets.aware.file.parent, pictured[0]
    means = means_of(scores, list(MEASURES), session.seed, signed=("as_agn", "as_eg"))
    save_table(folder / FILES[0], scores)
    save_means(folder / FILES[1], means)
    save_table(folder / FILES[2], [
        {"trained": how, **vars(point)}
        for how, net in (("with damage", nets.aware), ("without damage", nets.plain))
        for point in net.points
    ])  # fmt: skip
    area = float((shown.images == 0).mean())
    table: list[dict[str, Any]] = [
        {
            "method": name,
            "ground": percent(means[name, "ground"].mean),
            **{m: means[name, m].mean for m in list(MEASURES)[1:]},
        }
        for name in maps
    ]
    drop_pictures(folder, FILES)
    if pictures:
        _draw(folder, nets, pictured, table, maps, session.scorer.output)
    return Verdict(
        f"Which pixels make a digit what it is? {len(shown)} held-out digits ({session.scorer.output})",
        {"method": "method", **MEASURES},
        [*table, {"method": "(area)", "ground": percent(area)}],
        _facts(nets, split),
        [*_training_told(nets), *_findings(means, list(maps), area)],
        scores,
        failures(scores),
        folder,
    )


def _facts(nets: _Nets, split: Split) -> tuple[str, ...]:
    aware, plain = nets.aware.figures, nets.plain.figures
    return (
        split.told,
        f"Undamaged held-out digits named right after {aware['steps']:.0f} batches: with damage in training "
        f"{aware['accuracy']:.1%}, without {plain['accuracy']:.1%}. "
        f"Damaged ones, with damage in training: {aware['damaged']:.1%}.",
        checks_told(aware),
        "On the ground: share of the |attribution| on black pixels. Deletion and insertion: mean probability of the class "
        "while pixels become unknown, or known, in the map's order (by their certainty). r: correlation with that map.",
    )


def _training_told(nets: _Nets) -> list[str]:
    apart, both = nets.apart(), [reached(net.points, _REACHED) for net in (nets.aware, nets.plain)]
    ends = f"end {abs(apart) * 100:.1f} points of accuracy apart"
    within = "within" if abs(apart) <= WITHIN + 1e-9 else "not within"
    told = [f"With damage and without, the trainings {ends}: {within} one point."]
    if both[0] and both[1]:
        told.append(f"{_REACHED:.0%} or more it stays from batch {both[0]} on with damage, {both[1]} without.")
    return told


def _findings(means: Means, methods: Sequence[str], area: float) -> list[str]:
    """What the table says in words, each sentence from its figures."""

    def known(measure: str) -> dict[str, float]:
        return {name: value for name in methods if (value := means[name, measure].mean) is not None}

    blind = [f"{name} ({share:.1%})" for name, share in known("ground").items() if share <= BLIND]
    told = [f"Blind to the ground, which is {area:.0%} of the picture: {', '.join(blind)}."] if blind else []
    for measure, better, what in (("deletion", min, "most needed"), ("insertion", max, "most sufficient")):
        found = known(measure)
        if len(found) > 1:
            best = better(found, key=lambda name: found[name])
            told.append(f"The {what} pixels come first by {best} ({measure} {found[best]:.2f}).")
    agn, eg = known("as_agn").get("icg"), known("as_eg").get("icg")
    if agn is not None and eg is not None:
        nearer, other = ("agn", "eg") if agn >= eg else ("eg", "agn")
        kind = "does not know" if nearer == "agn" else "knows"
        told.append(
            f"icg is nearer to {nearer}, which {kind} the other digits, than to {other} "
            f"(r = {max(agn, eg):.2f} and {min(agn, eg):.2f})."
        )
    return told


def _draw(
    folder: Path, nets: _Nets, pictured: tuple[Digits, Digits], table: Sequence[Mapping[str, Any]],
    maps: Mapping[str, list[np.ndarray]], output: str,
) -> None:  # fmt: skip
    from ... import render
    from ...render.maps.grid import grid_image
    from ...training.curves import draw_curves

    shown, known = pictured
    draw_curves(
        {"with damage": nets.aware.points, "without damage": nets.plain.points}, folder / FILES[4],
        title="Digits: the same network trained with and without damaged inputs",
    )  # fmt: skip
    columns = range(min(_SHOWN, len(shown)))
    image = grid_image(
        [shown.images[i] for i in columns],
        {name: [found[i] for i in columns] for name, found in maps.items()},
        headings=[f"a {shown.labels[i]}" for i in columns],
        notes={str(row["method"]): f"{row['ground'] or '-'} on the ground" for row in table},
        extra={"mean digit": np.rint(known.images.mean(0)).astype(np.uint8)},
        heading=f"Digits: what speaks for the class that the network names ({output})",
        caption="Red speaks for the class, blue against it; each map has its own scale, clipped at the 99.5th percentile of "
        "|value|. The mean digit is that of the training digits that mean and eg start from.",
    )
    render.save_png(image, folder / FILES[3])

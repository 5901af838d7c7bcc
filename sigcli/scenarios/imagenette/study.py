"""The scenario `imagenette`: [ICG] A.4.1 and Fig. 9 on any folder of photographs by class, with scores. No printing."""

from __future__ import annotations

import hashlib
import inspect
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import draws
from ...attribution.explanation import Explanation
from ...attribution.select import choose_device, choose_methods, split_settings
from ...errors import ImageError, UsageError
from ...evaluation.evaluate import Evaluation, carry_out, prepare_evaluation
from ...inputs.images import read_image
from ...listener import Listener
from ...models.loading import load_model
from ...models.networks import certainty as networks
from ...models.sources import trained
from ...runs.folder import save_table, take, write_aside
from ...training import damage, folders, train
from ...training import loop as training
from ...training.folders import Folders, find_classes
from ...training.options import TrainOptions
from ...training.report import NETWORK, checks_told
from ...training.train import train as train_folder
from ..maps import failures, percent, settings_for
from ..network import cache_folder
from ..scenario import Progress, Verdict, drop_pictures, own_folder, unclaimed

DEFAULT_OUT = "sig-imagenette"
METHODS = "icg,eg,zero=ig,agn,sig,sig-walk,gradient"
DEFAULTS = {
    "icg.samples": "5", "icg.steps": "50", "eg.samples": "200", "zero.steps": "100", "zero.baseline": "black",
    "agn.samples": "200",
}  # fmt: skip
"""As the paper, `icg` averages 5 paths of the image under low noise."""
METRICS = ("deletion", "insertion", "sparseness")
FILES = ("scores.csv", "training.csv", "sheet.png", "training.png")
_HEADINGS = {
    "deletion": "deletion ↓", "insertion": "insertion ↑", "sparseness": "sparseness ↑", "frame": "on the frame",
}  # fmt: skip
LEARNT = 0.25
"""A network that gained less than this share of the way from chance to always right has learnt too little to explain."""
FRAME = 16
"""The frame of a picture is a sixteenth of its side wide."""
_REFERENCES, _SHOWN, _PAIRED = 64, 6, 2


@dataclass(frozen=True, eq=False)
class _Trained:
    """The network and what was measured of it.

    Args:
        file: that `--model` takes.
        kept: the folder of its training, in the cache.
        classes: their names.
        figures: accuracy and the checks.
        cached: whether an earlier run trained it.
    """

    file: Path
    kept: Path
    classes: tuple[str, ...]
    figures: Mapping[str, float]
    cached: bool

    def told(self) -> str:
        """The network in a sentence."""
        f = self.figures
        how = "taken from the cache" if self.cached else "trained for this"
        accuracy = f"is right in {f['accuracy']:.1%} of the held-out images, damaged ones {f['damaged']:.1%}"
        return f"The network ({how}, {len(self.classes)} classes) {accuracy}. {checks_told(f)}"

    def doubts(self) -> list[str]:
        """A warning where it has learnt so little that its maps mean nothing."""
        chance = 1 / len(self.classes)
        if self.figures["accuracy"] >= chance + LEARNT * (1 - chance):
            return []
        told = (
            f"It is hardly better than chance ({chance:.0%}), so its maps say little: train it longer, with --epochs."
        )
        return [told]


def imagenette(  # noqa: PLR0913 - the whole command, as keywords
    *,
    data: str | Path | None = None,
    arch: str = "resnet18",
    size: int = 128,
    epochs: float = 20,
    images: int = 8,
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
    """Train a classifier of photographs with certainty, and compare the maps of held-out ones ([ICG] A.4.1, Fig. 9).

    Args:
        data: the folder: a subfolder of images for each class, or train/ and val/ that have them. Imagenette or any other.
        arch: as in `sigcli.training.train.train_folder`; the paper's is resnet50, which wants a GPU.
        size: side of the pictures in pixels.
        epochs: how often each image is seen.
        images: held-out images to explain, chosen at random among those that the network names right.
        method: methods, as in `explain`.
        settings: their options, and those of the metrics.
        output: "logit", "prob" or "logprob" of the image's class.
        seed: of the split, training and draws.
        device: as in `explain`.
        batch_size: as in `explain`.
        out: the folder; by default sig-imagenette.
        resume: go on with an interrupted run.
        overwrite: replace another run in `out`.
        pictures: draw the sheet and the training's curves.
        progress: called with the stage, what is done of it, and its length.

    Raises:
        UsageError: no folder, one without classes, an option that cannot be used, or a network that names nothing right.
        OutputError: the folder cannot be written or holds another run.
    """
    if data is None:
        raise UsageError(
            "the scenario imagenette needs a folder of images, and downloads none", given="no --data",
            allowed="--data FOLDER with a subfolder of images for each class, or with train/ and val/ that have them",
            hint="Imagenette (fast.ai, 1.5 GB) or any photographs of yours, two classes or more.",
        )  # fmt: skip
    if images < 1:
        raise UsageError("the scenario needs at least 1 image", given=images)
    folder = own_folder(DEFAULT_OUT, FILES, (NETWORK,), out=out, overwrite=overwrite)
    options = settings_for(method, DEFAULTS, settings)
    choose_methods(method, split_settings(options, METRICS)[0])  # a mistake in them must not wait for the training
    found = find_classes(data, seed=seed)
    place = choose_device(device)
    with unclaimed(folder, (NETWORK,)):
        made = trained_network(
            folder, Path(data), found, arch=arch, size=size, epochs=epochs, seed=seed, device=place, progress=progress
        )
        prepared = prepare_evaluation(
            named_right(made.file, found, images, seed=seed, device=place), metric=",".join(METRICS),
            references=_references(found, seed), model=str(made.file), method=method, output=output, seed=seed,
            device=device, settings=options, batch_size=batch_size, out=folder, resume=resume,
            overwrite=overwrite, pictures=False,
        )  # fmt: skip
    take(folder, FILES, made=(NETWORK,))
    items: list[Explanation] = []

    def explained(item: Explanation) -> None:
        items.append(item)
        if progress is not None:
            progress("explaining", len(items), prepared.items)

    measured = carry_out(prepared, explained=explained)
    return _verdict(made, measured, items, pictures=pictures)


def trained_network(
    folder: Path, data: Path, found: Folders, *, arch: str, size: int, epochs: float, seed: int, device: str,
    progress: Progress | None = None,
) -> _Trained:  # fmt: skip
    """Train with certainty as `sig train` does, or go on with it, or take it from the cache; copies lie in `folder`."""
    code = "".join(inspect.getsource(module) for module in (train, folders, networks, training, damage))
    listing = [(str(path), path.stat().st_size, label) for path, label in (*found.train, *found.held)]
    known = repr((str(data.resolve()), listing, arch, size, epochs, seed, code))
    kept = cache_folder() / f"imagenette-{hashlib.blake2b(known.encode(), digest_size=8).hexdigest()}"
    cached = (kept / NETWORK).exists()
    if not cached:
        options = TrainOptions(
            folder=data.resolve(), arch=arch, certainty=True, image_size=size, epochs=epochs, seed=seed, device=device,
            out=kept, resume=kept.exists(),
        )  # fmt: skip
        train_folder(options, _Stages(progress))
    folder.mkdir(parents=True, exist_ok=True)
    _copy(kept, folder, NETWORK)
    header = trained.read_header(kept / NETWORK)
    if header is None:
        raise RuntimeError(f"{kept / NETWORK} has no header")
    return _Trained(folder / NETWORK, kept, header.classes, header.figures, cached)


class _Stages(Listener):
    def __init__(self, progress: Progress | None):
        self._progress = progress

    def stage(self, stage: str, done: int, total: int, point: Any = None) -> None:
        del point
        if self._progress is not None:
            self._progress(stage, done, total)


def _copy(kept: Path, folder: Path, name: str) -> None:
    """Copy a file of the training, which stands in the cache, into the scenario's folder."""
    write_aside(folder / name, lambda aside: shutil.copyfile(kept / name, aside))


def named_right(file: Path, found: Folders, images: int, *, seed: int, device: str) -> list[Path]:
    """Held-out images whose class the network names, in a random order that the seed fixes; at most `images`.

    Raises:
        UsageError: it names none of them.
    """
    model = load_model(str(file), device=device)
    chosen: list[Path] = []
    for path, label in sorted(found.held, key=lambda item: draws.stream(seed, "chosen", item[0].name)):
        try:
            x = model.preprocess(read_image(path).pixels)
        except ImageError:
            continue  # training and held-out images that cannot be read are left out alike
        with torch.no_grad():
            if int(model.module(x[None].to(model.device)).argmax()) == label:
                chosen.append(path)
        if len(chosen) == images:
            break
    if not chosen:
        raise UsageError("the network names no held-out image right", hint="Train it longer, with --epochs.")
    return chosen


def _references(found: Folders, seed: int) -> list[Path]:
    """Training images for means, references and Expected Gradients."""
    order = sorted((path for path, _ in found.train), key=lambda path: draws.stream(seed, "reference", path.name))
    return order[:_REFERENCES]


def frame_share(values: np.ndarray) -> float | None:
    """Share of the |attribution| (H, W) within a sixteenth of the side from the edge; None for a map of zeros."""
    size = np.abs(values)
    inside = frame(size.shape)
    return float(size[~inside].sum() / size.sum()) if size.any() else None


def frame(shape: tuple[int, ...]) -> np.ndarray:
    """Where a picture (H, W) is not frame, bool (H, W)."""
    inside = np.zeros(shape, bool)
    edge = [max(1, side // FRAME) for side in shape]
    inside[edge[0] : shape[0] - edge[0], edge[1] : shape[1] - edge[1]] = True
    return inside


def _verdict(made: _Trained, found: Evaluation, items: Sequence[Explanation], *, pictures: bool) -> Verdict:
    session, folder = found.session, found.folder
    maps: dict[str, list[np.ndarray]] = {}
    scores: list[dict[str, Any]] = []
    measured = {(figure.image, figure.method, figure.metric): figure for figure in found.figures}
    for item in items:
        values = _map(found, item)
        maps.setdefault(item.method, []).append(values)
        figures = [measured[item.image, item.method, name] for name in METRICS]
        scores.append({
            "image": item.image, "method": item.method, "label": item.label,
            **{figure.metric: figure.value for figure in figures},
            "frame": frame_share(values), "score": item.score,
            "error": item.error or "; ".join(figure.error for figure in figures if figure.error),
        })  # fmt: skip
    save_table(folder / FILES[0], scores)
    _copy(made.kept, folder, FILES[1])
    means = {
        (name, measure): [row[measure] for row in scores if row["method"] == name and row[measure] is not None]
        for name in maps
        for measure in _HEADINGS
    }
    mean = {key: float(np.mean(values)) if values else None for key, values in means.items()}
    area = 1 - float(frame(next(iter(maps.values()))[0].shape).mean())
    table: list[dict[str, Any]] = [
        {"method": name, **{m: mean[name, m] for m in METRICS}, "frame": percent(mean[name, "frame"])} for name in maps
    ]
    drop_pictures(folder, FILES)
    if pictures:
        _copy(made.kept, folder, FILES[3])
        _draw(folder, items, maps, table, session.scorer.output)
    count = len({item.image for item in items})
    return Verdict(
        f"What does a classifier look at? {count} held-out images that it names right ({session.scorer.output})",
        {"method": "method", **_HEADINGS},
        [*table, {"method": "(area)", "frame": percent(area)}],
        (
            made.told(),
            "Deletion and insertion: mean probability of the class while pixels go into a blur, or come out of it, in the "
            f"map's order. Sparseness: Gini index. Frame: share of |attribution| within 1/{FRAME} of the side.",
        ),
        [*made.doubts(), *_findings(mean, list(maps), area)],
        scores,
        failures(scores),
        folder,
    )


def _map(found: Evaluation, item: Explanation) -> np.ndarray:
    """The map (H, W) of an explanation, zeros where it failed."""
    run, values = found.session.run, item.values
    if values is None and item.status == "ok" and run is not None:  # done by an earlier run
        values = np.load(run.path / item.folder / f"{item.name}.npy")
    size = found.session.model.preprocess.size or (1, 1)
    return np.zeros(size) if values is None else values.astype(np.float64).sum(0)


def _findings(mean: Mapping[tuple[str, str], float | None], methods: Sequence[str], area: float) -> list[str]:
    """What the table says in words, each sentence from its figures."""
    told = []
    for measure, better, what in (
        ("deletion", min, "The pixels that the class needs most come first by"),
        ("insertion", max, "The pixels that bring the class most come first by"),
        ("frame", min, f"Least on the frame, which is {area:.0%} of the picture, puts"),
    ):
        known = {name: value for name in methods if (value := mean[name, measure]) is not None}
        if len(known) > 1:
            best = better(known, key=lambda name: known[name])
            figure = percent(known[best]) if measure == "frame" else f"{measure} {known[best]:.2f}"
            told.append(f"{what} {best} ({figure}).")
    icg, eg = (mean.get((name, "sparseness")) for name in ("icg", "eg"))
    if icg is not None and eg is not None:
        how = "more" if icg > eg else "not more"
        told.append(f"icg's maps are {how} tightly localised than eg's (sparseness {icg:.2f} and {eg:.2f}).")
    return told


def _draw(
    folder: Path, items: Sequence[Explanation], maps: Mapping[str, list[np.ndarray]],
    table: Sequence[Mapping[str, Any]], output: str,
) -> None:  # fmt: skip
    from ... import render
    from ...render.maps.grid import grid_image
    from ...render.maps.paint import default_sigma

    first = next(iter(maps))
    of_first = enumerate(item for item in items if item.method == first)
    seen = [(i, item) for i, item in of_first if item.picture is not None][:_SHOWN]
    if not seen:
        return
    sigma = max(1.0, default_sigma(maps[first][0].shape))
    rows, notes = dict[str, list[np.ndarray]](), dict[str, str]()
    for number, (name, found) in enumerate(maps.items()):
        if number < _PAIRED:
            rows[name] = [found[i] for i, _ in seen]
        rows[f"{name}, blur"] = [render.smooth(found[i], sigma) for i, _ in seen]
        of = next(row for row in table if row["method"] == name)
        notes[name if number < _PAIRED else f"{name}, blur"] = (
            f"deletion {of['deletion']:.2f}, insertion {of['insertion']:.2f}" if of["deletion"] is not None else ""
        )
    image = grid_image(
        [item.picture for _, item in seen if item.picture is not None], rows,
        headings=[item.label for _, item in seen], notes=notes,
        heading=f"What speaks for the class of each image ({output})",
        caption="Red speaks for the class, blue against it; each map has its own scale, clipped at the 99.5th percentile of "
        f"|value|. Blurred: by a Gaussian of {sigma:g} pixels.",
    )  # fmt: skip
    render.save_png(image, folder / FILES[2])

"""The scenario `shapes`: drawn objects whose exact place is known; where do the maps of each method lie? No printing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...attribution.explanation import Explanation
from ...errors import UsageError
from ...evaluation.evaluate import FILES, Evaluation, carry_out, prepare_evaluation
from ...evaluation.value import Figure
from ...metrics import certainty as checks
from ...metrics.statistics import paired
from ...models.model import Model
from ...models.networks.shapes import SIZE
from ...models.wrappers.certainty import looked_into
from ...render import default_sigma
from ...runs.folder import output_folder, refuse_strangers, write_aside
from ...training.report import checks_told
from ..maps import settings_for
from ..scenario import Progress, Verdict
from .data import CLASSES, ShapesPicture, draw

DEFAULT_OUT = "sig-shapes"
METHODS = (
    "sig,sig-walk,icg,black=ig,mean=ig,blur=ig,eg,agn,gradient,input-x-gradient,smoothgrad,gradient-shap,blur-ig,guided-ig,"
    "idgi,gradcam,guided-backprop,deconvolution,guided-gradcam,deeplift,deepshap,lrp,occlusion,rise,lime,kernelshap,"
    "shapley-sampling"
)
DEFAULTS = {
    "black.baseline": "black", "mean.baseline": "mean", "blur.baseline": "blur", "rise.samples": "1000",
    "lime.samples": "500", "kernelshap.budget": "500", "shapley-sampling.orders": "8",
}  # fmt: skip
"""As far as the methods' own defaults leave a choice, or would take longer than all others together."""
MEASURES = {
    "pointing-game": "pointing game", "roc-auc": "ROC AUC", "relevance-mass": "mass", "relevance-rank": "rank",
    "top-intersection": "top 5%",
}  # fmt: skip
_SMOOTH = default_sigma((SIZE, SIZE))
_STREAM = 20_000  # first of this scenario's pictures; those of the training and its tests are far below


def shapes_verdict(
    *,
    images: int = 24,
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
    """Do the maps lie on the object that the class can be told from, and nothing else can?

    The pictures are drawn anew; the bundled network has not seen them. Maps are smoothed as the pictures of maps are.

    Args:
        images: pictures to explain.
        method: methods, as in `explain`.
        settings: their options.
        output: "logit", "prob" or "logprob" of the predicted class.
        seed: of pictures and draws.
        device: as in `explain`.
        batch_size: as in `explain`.
        out: the folder; by default sig-shapes.
        resume: go on with an interrupted run.
        overwrite: replace another run in `out`.
        pictures: draw the maps and the figures.
        progress: called with the stage, what is done of it, and its length.

    Raises:
        UsageError: an option that cannot be used.
        OutputError: the folder cannot be written or holds another run.
    """
    if images < 1:
        raise UsageError("the scenario needs at least 1 of its images", given=images)
    folder = output_folder(DEFAULT_OUT if out is None else out)
    refuse_strangers(folder, FILES, overwrite=overwrite)
    drawn = [draw(_STREAM + seed, index) for index in range(images)]
    prepared = prepare_evaluation(
        [str(path) for path in _written(drawn, folder / "drawn" / f"seed-{seed}")], model="shapes", method=method,
        masks=folder / "drawn" / f"seed-{seed}" / "masks", metric=",".join(MEASURES), output=output, seed=seed,
        settings=settings_for(method, DEFAULTS, settings),
        smooth=_SMOOTH, device=device, batch_size=batch_size, out=folder, resume=resume,
        overwrite=overwrite, pictures=pictures,
    )  # fmt: skip
    done = 0

    def explained(_: Explanation) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress("maps", done, prepared.items)

    return _verdict(carry_out(prepared, explained=explained), drawn)


def _written(drawn: Sequence[ShapesPicture], folder: Path) -> list[Path]:
    """Pictures and masks as PNG; the pictures' paths."""
    paths = []
    for index, picture in enumerate(drawn):
        name = f"{index:03d}-{CLASSES[picture.label]}.png"
        mask = np.where(picture.mask, np.uint8(255), np.uint8(0))
        for path, pixels in ((folder / name, picture.image), (folder / "masks" / name, mask)):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_aside(path, partial(Image.fromarray(pixels).save, format="PNG"))
        paths.append(folder / name)
    return paths


def _verdict(found: Evaluation, drawn: Sequence[ShapesPicture]) -> Verdict:
    methods = list(dict.fromkeys(figure.method for figure in found.figures))
    rows: list[dict[str, Any]] = [{"method": name, **_means(found, name)} for name in methods]
    area = float(np.mean([picture.mask.mean() for picture in drawn]))
    chance = {name: f"{0.5 if name == 'roc-auc' else area:.2f}" for name in MEASURES}
    rows.sort(key=lambda row: -_number(found, str(row["method"]), "roc-auc"))
    session = found.session
    return Verdict(
        f"Do the maps lie on the drawn object? {len(drawn)} pictures, {session.scorer.output} of the predicted class",
        {"method": "method", **MEASURES},
        [*rows, {"method": "(chance)", **chance}],
        (
            _checked(session.model, drawn),
            f"Means over the pictures with 95 % intervals, higher is better; maps smoothed by {_SMOOTH:g} pixels. "
            f"The object covers {area:.0%} of a picture.",
        ),
        _findings(found, methods),
        [
            {"image": f.image, "method": f.method, "metric": f.metric, "value": f.value, "error": f.error}
            for f in found.figures
        ],
        sorted({f"{f.image} {f.method}: {f.error}" for f in found.figures if f.error}),
        found.folder,
    )


def _checked(model: Model, drawn: Sequence[ShapesPicture]) -> str:
    """Accuracy on the pictures, and whether the network has understood certainty, in a sentence."""
    x = torch.stack([model.preprocess(picture.image) for picture in drawn]).to(model.device)
    network = looked_into(model)
    with torch.no_grad():
        right = network(x).argmax(1).cpu() == torch.tensor([picture.label for picture in drawn])
    shares = torch.full((len(CLASSES),), 1 / len(CLASSES), device=model.device)
    figures = {
        "information_absence": checks.information_absence(network, x),
        "neutrality": checks.neutrality(network, x, shares),
    }
    return f"The bundled network is right in {int(right.sum())} of them. {checks_told(figures)}"


def _number(found: Evaluation, method: str, metric: str) -> float:
    summary = next((s for (name, kind, _), s in found.summary.items() if (name, kind) == (method, metric)), None)
    return float("-inf") if summary is None or summary.mean is None else summary.mean


def _means(found: Evaluation, method: str) -> dict[str, str | None]:
    row: dict[str, str | None] = {}
    for (name, metric, _), one in found.summary.items():
        if name == method and one.mean is not None:
            span = "" if one.low is None or one.high is None else f" ({one.low:.2f}–{one.high:.2f})"
            row[metric] = f"{one.mean:.2f}{span}"
    return row


def _findings(found: Evaluation, methods: Sequence[str]) -> list[str]:
    """For each measure the methods that no other one beats by a paired interval that leaves out zero."""
    told = []
    for metric, heading in MEASURES.items():
        values = {name: _by_image(found.figures, name, metric) for name in methods}
        best = [
            name for name in methods
            if values[name] and not any(_beats(values[other], values[name]) for other in methods if other != name)
        ]  # fmt: skip
        told.append(f"{heading}: best, or not to be told from the best by a paired interval: {', '.join(best)}.")
    return told


def _beats(one: dict[str, float], other: dict[str, float]) -> bool:
    gain = paired(one, other, seed=0)
    return gain.low is not None and gain.low > 0


def _by_image(figures: Sequence[Figure], method: str, metric: str) -> dict[str, float]:
    return {f.image: f.value for f in figures if (f.method, f.metric) == (method, metric) and f.value is not None}

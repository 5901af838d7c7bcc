"""The scenario `local-minimum`: [ICG] section 5.2, Fig. 5 and table 2, with scores over many inputs. No printing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...attribution.select import Chosen, choose_device
from ...engine.failures import attempted
from ...engine.integrate import Task, outcomes
from ...errors import SigError, UsageError
from ...methods.deferred import task
from ...models.loading import load_model
from ...models.model import Model
from ...models.preprocess import Preprocess
from ...models.sources.trained import Trained
from ...runs.folder import save_table
from ...scores.classifier import ClassScore
from ...shapley.exact import exact
from ...shapley.game import table
from ...training.loop import Held, Recipe
from ...types import Subject
from ..maps import means_of
from ..network import Prepared, network
from ..scenario import Progress, Verdict, claim, path_methods
from . import data as scenario
from .data import EXAMPLE, component_score

METHODS = "icg,zero=ig,mean=ig,eg,agn,sig,sig-walk,gradient"
DEFAULTS = {
    "icg.steps": "100", "zero.steps": "100", "zero.baseline": "black", "mean.steps": "100", "mean.baseline": "mean",
    "eg.samples": "500", "agn.samples": "500", "agn.sigma": "0.1", "sig.players": "pixels", "sig.baseline": "constant:0.5",
    "sig.samples": "2016",
    "sig-walk.players": "pixels", "sig-walk.baseline": "constant:0.5",
}  # fmt: skip
FILES = ("values.csv", "scores.csv", "summary.csv", "example.png", "training.png", "network.safetensors")
MEASURES = {
    "score_correlation": "r(scores)",
    "bshap_correlation": "r(bshap)",
    "wrong_sign": "wrong sign",
    "blind": "blind",
}
SMALL = 0.05
"""A value below this share of the largest says nothing: the method is blind to the component."""
_HELD, _REFERENCES, _BATCH = 4000, 256, 256


def local_minimum(
    *,
    images: int = 100,
    steps: int = 1200,
    method: str | Sequence[str] = METHODS,
    settings: Mapping[str, Any] | None = None,
    output: str = "prob",
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    overwrite: bool = False,
    pictures: bool = True,
    progress: Progress | None = None,
) -> Verdict:
    """Which method agrees with what each of six components is known to contribute ([ICG] section 5.2)?

    Args:
        images: inputs to explain, besides the one of table 2.
        steps: training steps of the network. At 1200 it is right in 95 of 100 inputs, about as [ICG]'s (93); at 6000, in 99,
            and then knows so well which side of the boundary an input is on that certainty itself, whosever, decides.
        method: path methods to set beside BShap.
        settings: their options.
        output: "logit", "prob" or "logprob" of class 1.
        seed: of inputs, training and draws.
        device: where the network is trained; auto is the CPU, for it is tiny.
        out: the folder; by default sig-local-minimum, or the next free one.
        overwrite: replace another run in `out`.
        pictures: draw the example and the training's curves.
        progress: called with the stage, what is done of it, and its length.

    Raises:
        UsageError: an option that cannot be used.
        OutputError: the folder cannot be written or holds another run.
    """
    if images < 2:
        raise UsageError("the scenario needs at least 2 inputs", given=images)
    text = method if isinstance(method, str) else ",".join(method)
    named = {one.partition("=")[0].strip() for one in text.split(",")}
    given = {key: value for key, value in DEFAULTS.items() if key.rpartition(".")[0] in named}
    chosen = path_methods(method, {**given, **(settings or {})})
    spec = {
        "methods": {one.name: one.resolved() for one in chosen}, "seed": seed, "images": images, "steps": steps,
        "output": output,
    }  # fmt: skip
    folder = claim("local-minimum", spec, FILES, out=out, overwrite=overwrite)
    place = choose_device("cpu" if device == "auto" else device)
    made = trained_network(folder, seed=seed, steps=steps, device=place, progress=progress)
    model = load_model(str(made.file), device=place)
    x = np.concatenate([np.array(EXAMPLE, np.float32).reshape(1, 1, 1, -1), scenario.batch(4 * seed + 3, 0, images)[0]])
    scorer = ClassScore(model.module, output)
    base = boundary(scorer, model.device)
    found = {"bshap": np.stack([baseline_shap(scorer, one, base) for one in torch.from_numpy(x).to(model.device)])}
    peers = _Vectors(torch.from_numpy(scenario.batch(4 * seed + 2, 0, _REFERENCES)[0]).to(model.device))
    errors: dict[str, np.ndarray] = {}
    failed: list[str] = []
    for number, one in enumerate(chosen):
        found[one.name], error, told = _values(model, scorer, x, one, seed, peers)
        failed += told
        if error is not None:
            errors[one.name] = error
        if progress is not None:
            progress("explaining", number + 1, len(chosen))
    return _verdict(
        made, folder, x.reshape(len(x), -1), found, errors, failed,
        seed=seed, base=base, output=output, pictures=pictures,
    )  # fmt: skip


def trained_network(folder: Path, *, seed: int, steps: int, device: str, progress: Progress | None = None) -> Prepared:
    """The certainty-aware network of the scenario, trained from the seed or from the cache."""
    made = Trained("components", scenario.CLASSES, True, Preprocess(None, (1, scenario.COMPONENTS), (0.0,), (1.0,)))

    def batches(step: int) -> tuple[Tensor, Tensor]:
        x, labels = scenario.batch(4 * seed, step * _BATCH, _BATCH)
        return torch.from_numpy(x), torch.from_numpy(labels)

    x, labels = scenario.batch(4 * seed + 1, 0, _HELD)
    held = Held(torch.from_numpy(x), torch.from_numpy(labels))
    recipe = Recipe(steps=steps, rate=4e-3, whole=0.1, seed=seed)
    return network(
        "local-minimum",
        made,
        batches,
        held,
        recipe,
        folder=folder,
        device=device,
        sources=(scenario,),
        progress=progress,
    )


class _Vectors:
    """Inputs for means and random references; fulfils `sigcli.types.Peers`."""

    def __init__(self, inputs: Tensor):
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def image(self, index: int) -> Tensor:
        return self.inputs[index]

    def mean(self) -> Tensor:
        return self.inputs.mean(0)

    def keys(self) -> list[int]:
        return [-1 - index for index in range(len(self.inputs))]


def boundary(scorer: ClassScore, device: torch.device | str = "cpu") -> float:
    """The value near 0.5 at which six equal components leave the network undecided: BShap's baseline (0.50546 in [ICG])."""
    low, high = 0.4, 0.6
    for _ in range(30):
        middle = (low + high) / 2
        outputs = scorer.outputs(torch.full((1, 1, 1, scenario.COMPONENTS), middle, device=device))[0]
        low, high = (middle, high) if outputs[1] < outputs[0] else (low, middle)
    return (low + high) / 2


def baseline_shap(scorer: ClassScore, x: Tensor, base: float) -> np.ndarray:
    """Exact Shapley values of one input (1, 1, 6) where absent components have the value `base`, (6,)."""

    def game(members: np.ndarray) -> np.ndarray:
        there = torch.from_numpy(members)[:, None, None].to(x.device)
        inputs = torch.where(there, x, torch.tensor(base, device=x.device))
        return scorer.scores(inputs, torch.ones(len(inputs), dtype=torch.long, device=x.device)).double().cpu().numpy()

    return exact(table(game, scenario.COMPONENTS))


def _values(
    model: Model, scorer: ClassScore, x: np.ndarray, method: Chosen, seed: int, peers: _Vectors
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Values of all inputs by one method, (N, 6), the standard errors of the first input's where it has draws, (6,), and
    what failed, a sentence each: the values of that input are NaN.
    """
    level = torch.zeros(1, 1, 1, device=model.device)
    subjects = [
        Subject(torch.from_numpy(one).to(model.device), 1, level, level + 1, key, seed, peers)
        for key, one in enumerate(x)
    ]
    tasks = [
        attempted(lambda subject=subject: task(method.entry, method.options, scorer, subject, batch_size=512))
        for subject in subjects
    ]
    wrong = next((one for one in tasks if isinstance(one, UsageError)), None)
    if wrong is not None:
        raise wrong
    made = outcomes(scorer, (one for one in tasks if isinstance(one, Task)), batch_size=512, check=0)
    found = [one if isinstance(one, SigError) else next(made) for one in tasks]
    nothing = np.full(scenario.COMPONENTS, np.nan)
    values = [nothing if isinstance(a, SigError) else a.values.flatten().cpu().double().numpy() for a in found]
    error = None if isinstance(found[0], SigError) else found[0].stderr
    told = [
        f"input {number} {method.name}: {' '.join(str(one).split())}"
        for number, one in enumerate(found)
        if isinstance(one, SigError)
    ]
    return np.stack(values), None if error is None else error.flatten().cpu().double().numpy(), told


def measures(values: np.ndarray, x: np.ndarray, bshap: np.ndarray) -> dict[str, float | None]:
    """How near the values (6,) of one input are to what its components contribute.

    Returns:
        `score_correlation` and `bshap_correlation`, Pearson's, None where the values do not vary; `wrong_sign`, the share of
        components with the other sign than their score; `blind`, the share below 5 % of the largest value. Values that
        small count as blind and not as wrong.
    """
    if not np.isfinite(values).all():  # the method failed
        return dict.fromkeys(MEASURES)
    scores = component_score(x)
    largest = np.abs(values).max()
    blind = np.abs(values) < SMALL * largest if largest > 0 else np.ones(len(values), bool)
    wrong = ~blind & (np.sign(values) != np.sign(scores))

    def correlation(other: np.ndarray) -> float | None:
        return None if np.ptp(values) == 0 or np.ptp(other) == 0 else float(np.corrcoef(values, other)[0, 1])

    return {
        "score_correlation": correlation(scores), "bshap_correlation": correlation(bshap),
        "wrong_sign": float(wrong.mean()), "blind": float(blind.mean()),
    }  # fmt: skip


def scaled(values: np.ndarray) -> np.ndarray:
    """Values over the largest one, as table 2 shows them; over the largest |value| where none is above 0."""
    top = values.max() if values.max() > 0 else np.abs(values).max()
    return values / top if top > 0 else values


def _verdict(
    made: Prepared, folder: Path, x: np.ndarray, found: Mapping[str, np.ndarray], errors: Mapping[str, np.ndarray],
    failed: Sequence[str], *, seed: int, base: float, output: str, pictures: bool,
) -> Verdict:  # fmt: skip
    scores = [
        {"input": number, "method": name, **measures(values[number], x[number], found["bshap"][number])}
        for name, values in found.items()
        for number in range(1, len(x))
    ]
    signed = ("score_correlation", "bshap_correlation")
    means = means_of([row for row in scores if row["method"] in found], list(MEASURES), seed, signed=signed)
    example = {"scores": component_score(x[0]), **{name: values[0] for name, values in found.items()}}
    save_table(folder / FILES[0], [
        {
            "method": name, "component": i, "x": float(x[0, i]), "value": _known(v), "scaled": _known(scaled(values)[i]),
            "stderr": float(errors[name][i]) if name in errors else None,
        }
        for name, values in example.items()
        for i, v in enumerate(values)
    ])  # fmt: skip
    save_table(folder / FILES[1], scores)
    save_table(folder / FILES[2], [
        {"method": name, "measure": measure, "mean": one.mean, "ci_low": one.low, "ci_high": one.high, "n": one.n}
        for (name, measure), one in means.items()
    ])  # fmt: skip
    if pictures:
        from ...training.curves import draw_curves
        from .figure import draw_components

        draw_components(x[0], {name: scaled(values) for name, values in example.items()}, folder / FILES[3])
        draw_curves({"": made.points}, folder / FILES[4], title="Local Minimum: training with damaged inputs")
    columns = {f"x{i + 1}": f"{value:g}" for i, value in enumerate(EXAMPLE)}
    rows = [
        {
            "method": name,
            **dict(zip(columns, map(_known, scaled(values)), strict=True)),
            "error": _error(values, errors.get(name)),
            **_cells(name, means),
        }
        for name, values in example.items()
    ]
    return Verdict(
        f"What does each of six components contribute to class 1 ({output})?",
        {"method": "method", **columns, "error": "±", **MEASURES},
        rows,
        (
            made.told(),
            "The first columns are table 2's input, values over the largest (±: the largest standard error of those "
            f"drawn at random); the last ones means over {len(x) - 1} inputs: "
            "correlation with the scores and with bshap. "
            f"bshap is exact, from the network's boundary at {base:.3f}.",
            f"Blind: below {SMALL:.0%} of the largest value. Wrong sign: not that of the component's score.",
        ),
        _findings(means, list(found)),
        scores,
        failed,
        folder,
    )


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _error(values: np.ndarray, error: np.ndarray | None) -> str | None:
    """The largest standard error among scaled values, rounded up; None where nothing was drawn at random."""
    if error is None:
        return None
    top = np.abs(values).max() / np.abs(scaled(values)).max() if values.any() else 1.0
    return f"{math.ceil(100 * float(error.max()) / top) / 100:.2f}"


def _cells(name: str, means: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    if name == "scores":
        return {}
    cells: dict[str, Any] = {}
    for measure in MEASURES:
        mean = means[name, measure].mean
        share = measure in ("wrong_sign", "blind")
        cells[measure] = None if mean is None else f"{mean:.0%}" if share else float(mean)
    return cells


def _findings(means: Mapping[tuple[str, str], Any], methods: Sequence[str]) -> list[str]:
    def of(name: str, measure: str) -> float:
        mean = means[name, measure].mean
        return 0.0 if mean is None else mean

    agree = [name for name in methods if of(name, "bshap_correlation") >= 0.95 and name != "bshap"]
    wrong = [f"{name} ({of(name, 'wrong_sign'):.0%})" for name in methods if of(name, "wrong_sign") > 0.1]
    blind = [f"{name} ({of(name, 'blind'):.0%})" for name in methods if of(name, "blind") > 0.2]
    told = [f"In agreement with exact BShap (correlation of 0.95 or more): {', '.join(agree)}."] if agree else []
    told += [f"Components of the wrong sign: {', '.join(wrong)}."] if wrong else []
    told += [f"Blind to components: {', '.join(blind)}."] if blind else []
    return told

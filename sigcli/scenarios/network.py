"""Networks of the scenarios: trained on the spot from a seed, or taken from the cache of an earlier time. No printing."""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ..listener import SILENT, Listener
from ..models.networks import certainty as networks
from ..models.sources import trained
from ..models.sources.trained import Trained
from ..runs.folder import write_aside
from ..training import damage
from ..training import loop as training
from ..training.loop import Batches, Held, Net, Point, Recipe, net_of, train
from ..training.report import NETWORK, certainty_figures, checks_told


@dataclass(frozen=True, eq=False)
class Prepared:
    """A trained network.

    Args:
        file: that `--model` takes.
        net: the same, loaded.
        figures: accuracy, damaged accuracy, information absence, neutrality, seconds and steps of its training.
        points: of its curves.
        cached: whether an earlier run trained it.
    """

    file: Path
    net: Net
    figures: dict[str, float]
    points: list[Point]
    cached: bool

    def draw_curves(self, path: Path, title: str) -> None:
        """Write the curves of its training."""
        from ..training.curves import draw_curves

        draw_curves({"": self.points}, path, title=title)

    def told(self) -> str:
        """The network in a sentence."""
        f = self.figures
        how = "taken from the cache" if self.cached else f"trained in {f['seconds']:.0f} s"
        text = f"The network ({how}, {f['steps']:.0f} steps) is right in {f['accuracy']:.1%} of {f['held']:.0f} fresh inputs"
        if "damaged" not in f:
            return f"{text}."
        return f"{text}, damaged ones {f['damaged']:.1%}. {checks_told(f)}"


def cache_folder() -> Path:
    """Where networks are kept: $SIG_CACHE, else `sig` in the user's cache folder."""
    if os.environ.get("SIG_CACHE"):
        return Path(os.environ["SIG_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sig"


def network(
    name: str,
    made: Trained,
    batches: Batches,
    held: Held,
    recipe: Recipe,
    *,
    folder: Path,
    device: str,
    sources: tuple[ModuleType, ...],
    shares: torch.Tensor | None = None,
    file: str = NETWORK,
    listener: Listener = SILENT,
    stage: str = "training",
) -> Prepared:
    """Train a scenario's network, or take it from the cache; a copy lies in the scenario's folder.

    Args:
        name: of the scenario, for the cache.
        made: what is built.
        batches: training data.
        held: pictures to measure on.
        recipe: of the training.
        folder: of the scenario.
        device: where it is trained.
        sources: modules that its data come from: where these change, it is trained anew.
        shares: of each class in the training data, for neutrality; those of the held-out pictures if not given.
        file: name of the copy.
        listener: hears how the training goes on.
        stage: what the training is called there.
    """
    code = "".join(inspect.getsource(module) for module in (*sources, networks, training, damage))
    digest = hashlib.blake2b(repr((name, made, recipe, code)).encode(), digest_size=8).hexdigest()
    kept = cache_folder() / f"{name}-{digest}.safetensors"
    cached = kept.exists()
    if not cached:
        _train(made, batches, held, recipe, kept, shares=shares, device=device, progress=partial(listener.stage, stage))
    folder.mkdir(parents=True, exist_ok=True)
    write_aside(folder / file, lambda aside: shutil.copyfile(kept, aside))
    found = trained.read_header(kept)
    if found is None:
        raise RuntimeError(f"{kept} has no header")
    source = trained.load(str(kept), None, torch.device(device))
    net = net_of(
        source.module.eval(), found.preprocess.mean, found.preprocess.std, certainty=made.certainty, device=device
    )
    points = [Point(**point) for point in found.figures["points"]]
    figures = {key: value for key, value in found.figures.items() if key != "points"}
    return Prepared(folder / file, net, figures, points, cached)


def _train(
    made: Trained, batches: Batches, held: Held, recipe: Recipe, path: Path, *,
    shares: torch.Tensor | None, device: str, progress: Callable[..., None],
) -> None:  # fmt: skip
    begun = time.perf_counter()
    preprocess = made.preprocess
    net = net_of(
        trained.build(made, seed=recipe.seed), preprocess.mean, preprocess.std, certainty=made.certainty, device=device
    )

    points = train(net, batches, held, recipe, progress=progress)
    if shares is None:
        shares = torch.bincount(held.labels, minlength=len(made.classes)) / len(held.labels)
    figures: dict[str, Any] = {
        "accuracy": points[-1].accuracy, "held": len(held.labels), "steps": recipe.steps,
        "seconds": time.perf_counter() - begun, **certainty_figures(net, held, shares, points[-1].damaged),
        "points": [vars(point) for point in points],
    }  # fmt: skip
    trained.save(path, net.module, replace(made, figures=figures))

"""The same model, images and maps measured by `sig` and by Quantus: how far apart, and how long each takes on this machine.

Each comparison gives both tools one definition: where theirs cannot be asked for, the figure is converted and the note says
how. Several of Quantus 0.6.0's metrics fail on colour images as they are; what stands in for the part that fails is
here, and docs/quantus.md lists it. Needs `pip install "quantus[torch]" captum "numpy<2.4"` in an environment of its own.

python benchmarks/quantus_peer.py --out benchmarks/results/quantus-cpu.csv
python benchmarks/quantus_peer.py --images ../shared/real/images --weights ../shared/real/weights/squeezenet1_1_imagenet.pt
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import quantus  # pyright: ignore[reportMissingImports]
import torch
from captum.attr import IntegratedGradients
from common import ROOT, machine, report
from torch import Tensor, nn

from sigcli import draws
from sigcli.batching import auto_batch_size
from sigcli.cli.memory import keep_freed_memory
from sigcli.engine import Task, integrate
from sigcli.images import find_images, read_image
from sigcli.methods import METHODS
from sigcli.metrics import complexity, faithfulness, localisation, robustness, subsets
from sigcli.metrics.case import Case
from sigcli.metrics.faithfulness import Plan
from sigcli.metrics.imputation import ROAD
from sigcli.metrics.removal import Steps, follow
from sigcli.models.loading import load_model
from sigcli.players import parse
from sigcli.scorer import Scorer
from sigcli.types import Subject

BATCH = 64
"""Of the removal loop, as in `sig evaluate`."""
PLAIN = {"normalise": False, "abs": False, "disable_warnings": True}
SEGMENTS = 60


@dataclass(frozen=True, eq=False)
class Material:
    """What both tools are given: a model and cases whose maps are scaled to a maximum of 1 and have no ties."""

    name: str
    module: nn.Module
    cases: list[Case]
    rounds: int = 1

    def one(self, index: int) -> Material:
        return replace(self, cases=[self.cases[index]])

    @property
    def x(self) -> np.ndarray:
        return torch.stack([case.subject.x for case in self.cases]).numpy()

    @property
    def maps(self) -> np.ndarray:
        return torch.stack([case.relevance for case in self.cases]).numpy()

    def measured(self, plans: Sequence[Plan]) -> list[tuple[Steps, Any]]:
        """Our removal metrics in our one loop: what the model said, and the figure."""
        found = follow(Scorer(self.module), [plan.removal for plan in plans], batch_size=BATCH)
        return [(steps, plan.finish(steps)) for plan, steps in zip(plans, found, strict=True)]

    def ask(self, metric: Any, **more: Any) -> Any:
        """Quantus's metric of the same arrays, all images in one batch unless told otherwise."""
        given = {"x_batch": self.x, "a_batch": self.maps.copy(), "batch_size": max(BATCH, len(self.cases)), **more}
        targets = np.array([case.subject.target for case in self.cases])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return metric(model=self.module, y_batch=targets, channel_first=True, device="cpu", **given)


def timed(work: Callable[[], Any], rounds: int) -> tuple[Any, float]:
    """The result, and the least of so many times: the machine may be doing other things as well."""
    times = []
    result = None
    for _ in range(rounds):
        begun = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - begun)
    return result, min(times)


def row(
    material: Material, metric: str, ours: Any, theirs: Any, note: str, seconds: tuple[float, float] | None = None
) -> dict[str, object]:
    """A line of the table; `ours` and `theirs` begin with the images, and the difference is the largest anywhere."""
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    side = material.x.shape[-1]
    return {
        "metric": metric,
        "images": f"{len(material.cases)} of {material.name} at {side} px",
        "ours": f"{a.mean():.6f}" if a.size else "",
        "quantus": f"{b.mean():.6f}" if b.size else "",
        "largest_difference": f"{np.abs(a - b).max():.1e}" if a.size and a.shape == b.shape else "",
        "our_seconds": f"{seconds[0]:.3f}" if seconds else "",
        "quantus_seconds": f"{seconds[1]:.3f}" if seconds else "",
        "ratio": f"{seconds[1] / seconds[0]:.2f}" if seconds else "",
        "note": note,
        "machine": f"{machine('cpu')}, Quantus {quantus.__version__}",
    }


def pixel_flipping(material: Material, steps: int, *, least_first: bool = False) -> dict[str, object]:
    """AOPC and its curve. Quantus gives the probabilities at steps 1 to L; the whole image's is the mean's step 0.

    Quantus ranks channels of pixels; those of one pixel are equal and so go together. Its check that the step divides
    height times width, and not the number of its features, would forbid whole pixels in colour, so it is passed over.
    """
    channels, height, width = material.x.shape[1:]
    function = faithfulness.lerf if least_first else faithfulness.morf
    metric = quantus.PixelFlipping(features_in_step=channels * height * width // steps, perturb_baseline=0.0, **PLAIN)
    metric.custom_preprocess = lambda **_: None
    maps = -material.maps if least_first else material.maps
    found, ours = timed(
        lambda: material.measured([function(case, imputation="zero", steps=steps) for case in material.cases]),
        material.rounds,
    )
    curves, theirs = timed(lambda: material.ask(metric, a_batch=maps.copy(), softmax=True), material.rounds)
    whole = probabilities(material)
    drops = whole[:, None] - np.concatenate([whole[:, None], np.array(curves)], axis=1)
    figures = [figure.value for _, figure in found]
    apart = np.abs(np.array([figure.curve for _, figure in found]) - drops).max()
    note = f"AOPC over {steps} steps, zeros; curves within {apart:.0e}; forward passes {steps + 1} and {steps} an image"
    name = f"pixel-flipping, {'least' if least_first else 'most'} relevant first"
    return row(material, name, figures, drops.mean(1), note, (ours, theirs))


def probabilities(material: Material) -> np.ndarray:
    """The target's probability of each whole image, float64."""
    targets = torch.tensor([[case.subject.target] for case in material.cases])
    with torch.no_grad():
        outputs = material.module(torch.from_numpy(material.x)).double().softmax(1)
    return outputs.gather(1, targets)[:, 0].numpy()


def irof(material: Material) -> dict[str, object]:
    """Quantus's area over the curve, from both curves, divided by the number of superpixels.

    Both get our superpixels and the mean colour of the whole image. One image a call: Quantus pads shorter curves of a
    batch with zeros, over which its area goes on. Its own replacement fails on colour images.
    """
    ours, theirs, values = [], [], []
    for index, case in enumerate(material.cases):
        single = material.one(index)
        fill = case.subject.x.mean((1, 2)).numpy()[None, :, None, None]
        metric = quantus.IROF(
            perturb_func=lambda arr, mask, fill=fill, **_: np.where(mask, fill, arr), return_aggregate=False, **PLAIN
        )
        labels = parse(f"superpixels:{SEGMENTS}", case.subject.picture).labels.numpy()
        with mock.patch.object(quantus.helpers.utils, "get_superpixel_segments", lambda **_: labels):  # noqa: B023
            found = single.ask(metric, softmax=True)
        n = labels.max() + 1
        ((_, figure),) = single.measured([subsets.irof(case, segments=SEGMENTS)])
        assert len(figure.curve) == n + 1
        ours.append((n - np.trapezoid(figure.curve[1:])) / n)
        theirs.append(found[0] / n)
        values.append(figure.value)
    note = f"(n - area from 1 to n) / n, Quantus's over n; our own figure, 1 - mean from 0 to n, is {np.mean(values):.6f}"
    return row(material, "irof", ours, theirs, note)


def road(material: Material, *, steps: int = 6, share: float = 0.9) -> list[dict[str, object]]:
    """Share of steps at which the prediction survives ROAD's removal, and the imputed pixels themselves.

    Quantus's own removal fails on colour images, since it takes ranks of channels for pixels: here it is given pixels, and
    our noise. It averages over images, so it is given them one by one.
    """
    size = material.maps[0].size
    count = round(size * share)
    survived, theirs, pixels = [], [], []
    for index, case in enumerate(material.cases):
        single, fills = material.one(index), []
        plan = faithfulness.iaccuracy(case, imputation=ROAD, largest=count, steps=steps)
        ((_, figure),) = single.measured([plan])
        at = figure.at[1:].astype(int)
        percentages = [100 * (case.subject.x.shape[0] * k + 0.5) / size for k in at]  # rounded down to features
        metric = quantus.ROAD(percentages=percentages, perturb_func=road_removal(case.subject, fills), **PLAIN)
        found = single.ask(metric, softmax=True)
        survived.append(figure.curve[1:])
        theirs.append(list(found.values()))
        own = plan.removal.images(slice(1, len(at) + 1)).numpy()
        pixels.append((own, np.stack(fills)))
    note = f"share of {steps} steps up to {share:.0%} at which the class stays; difference over single steps"
    mine, peers = (np.stack(part) for part in zip(*pixels, strict=True))
    return [
        row(material, "road", survived, theirs, note),
        row(material, "road, imputed images", mine, peers, "values of the images at those steps, in the model's input space"),
    ]


def road_removal(subject: Subject, kept: list[np.ndarray]) -> Callable[..., np.ndarray]:
    """Quantus's linear imputation of whole pixels with our noise; keeps what it makes."""
    key = draws.stream(subject.seed, subject.key, ROAD)
    normal = draws.normal16(key, torch.zeros(1, dtype=torch.long), subject.x.numel())[0].reshape(subject.x.shape)
    noise = (0.01 * normal.double() * (subject.high - subject.low)).numpy()

    def remove(arr: np.ndarray, indices: np.ndarray, **_: object) -> np.ndarray:
        pixels = np.unique(indices % arr[0].size)
        filled = quantus.noisy_linear_imputation(arr=arr.astype(float), indices=pixels, noise=0.0)
        removed = np.zeros(arr[0].size, bool)
        removed[pixels] = True
        kept.append(np.where(removed.reshape(arr[0].shape), filled + noise, arr).astype(arr.dtype))
        return kept[-1]

    return remove


def max_sensitivity(
    material: Material, method: str, *, samples: int = 10, radius: float = 0.02, **options: Any
) -> dict[str, object]:
    """The same images near by for both: Quantus's perturbation is handed the ones that we drew."""
    scorer = Scorer(material.module)
    batch_size = auto_batch_size(scorer, material.x.shape[1:], torch.device("cpu"))
    near: list[np.ndarray] = []

    def explainer(subject: Subject) -> Callable[..., Tensor]:
        def explain(images: Tensor, target: int, model: nn.Module | None = None) -> Tensor:  # noqa: ARG001
            near.append(images[1:].numpy())
            load = METHODS[method].load()
            who = (replace(subject, x=x, target=target) for x in images)
            tasks = (Task(one, load(one, **options)) for one in who)
            return torch.stack([a.values for a in integrate(scorer, tasks, batch_size=batch_size)])

        return explain

    def own() -> list[float]:
        near.clear()
        return [
            robustness.max_sensitivity(case, explainer(case.subject), samples=samples, radius=radius).value
            for case in material.cases
        ]

    calls = itertools.count()

    def replay(arr: np.ndarray, **_: object) -> np.ndarray:
        sample = next(calls) % samples
        return np.stack([images[sample] for images in near]).reshape(arr.shape)

    metric = quantus.MaxSensitivity(nr_samples=samples, perturb_func=replay, **PLAIN)
    theirs_explain = peer_method(method, material.cases[0].subject.low, options)
    figures, ours = timed(own, material.rounds)
    peers, theirs = timed(
        lambda: material.ask(metric, a_batch=None, explain_func=theirs_explain), material.rounds
    )
    note = f"{samples} images near by each, {options.get('steps', 1)} gradient evaluations a map"
    return row(material, f"max-sensitivity, {method}", figures, peers, note, (ours, theirs))


def peer_method(method: str, low: Tensor, options: dict[str, Any]) -> Callable[..., np.ndarray]:
    """The method as a user of Quantus has it: plain autograd, and captum's Integrated Gradients with our nodes."""

    def explain(model: nn.Module, inputs: Any, targets: Any, **_: object) -> np.ndarray:
        x = torch.as_tensor(np.asarray(inputs), dtype=torch.float32).requires_grad_()
        target = torch.as_tensor(np.asarray(targets))
        if method == "gradient":
            return torch.autograd.grad(model(x).gather(1, target[:, None]).sum(), x)[0].numpy()
        found: Any = IntegratedGradients(model).attribute(
            x, low.expand_as(x), target=target, n_steps=options["steps"], method="gausslegendre"
        )
        return found.detach().numpy()

    return explain


def maps_alone(material: Material) -> list[dict[str, object]]:
    """Sparseness and localisation: no model, and where the definitions differ one line more that shows it."""
    positive = np.maximum(material.maps, 0)
    masks = np.stack([case.located().numpy() for case in material.cases])[:, None]
    sparse = quantus.Sparseness(**{**PLAIN, "abs": True})
    mass, rank = quantus.RelevanceMassAccuracy(**PLAIN), quantus.RelevanceRankAccuracy(**PLAIN)
    gini = [complexity.sparseness(case).value for case in material.cases]
    share = [localisation.relevance_mass(case).value for case in material.cases]
    top = [localisation.relevance_rank(case).value for case in material.cases]
    differ = "definitions differ, see docs/quantus.md: "
    return [
        row(material, "sparseness", gini, material.ask(sparse), "maps scaled to a maximum of 1"),
        row(material, "sparseness, map / 1e6", gini, material.ask(sparse, a_batch=material.maps / 1e6),
            differ + "Quantus adds 1e-7 to every value"),
        row(material, "relevance-mass", share, material.ask(mass, a_batch=positive, s_batch=masks),
            "positive values, given to both"),
        row(material, "relevance-mass, signed map", share, material.ask(mass, s_batch=masks),
            differ + "Quantus sums negative values too"),
        row(material, "relevance-rank", top, material.ask(rank, s_batch=masks), "maps without ties"),
    ]  # fmt: skip


def gather(args: argparse.Namespace) -> Material:
    """Images with masks, the class that the model gives them, and their Integrated Gradients."""
    images = args.images or ROOT / "sample_images"
    masks = images.parent / "masks" if args.images else images / "masks"
    spec, weights = ("squeezenet1_1", str(args.weights)) if args.weights else ("shapes", None)
    model = load_model(spec, weights=weights)
    found = {path: sorted(masks.glob(f"{path.stem}*.png")) for path in find_images([images]) if path.parent == images}
    chosen = [(path, files[0]) for path, files in found.items() if files][: args.count]
    scorer, cases = Scorer(model.module), []
    for path, file in chosen:
        picture = read_image(path)
        x = model.preprocess(picture.pixels)
        target = int(scorer.outputs(x[None]).argmax())
        subject = Subject(x, target, model.preprocess.low, model.preprocess.high, picture.key)
        (made,) = integrate(scorer, [Task(subject, METHODS["ig"].load()(subject, steps=16))], batch_size=16)
        mask = torch.from_numpy(model.preprocess.display(read_image(file).pixels)[..., 0] > 127)
        cases.append(Case(subject, untied(made.values), mask))
    return Material(spec, model.module, cases, args.rounds)


def untied(values: Tensor) -> Tensor:
    """A map (H, W) with a maximum of 1 and no ties, which the two tools' sorts would break differently."""
    relevance = values.double().sum(0)
    relevance = relevance / relevance.abs().max()
    order = torch.arange(relevance.numel(), dtype=torch.float64).reshape(relevance.shape)
    return relevance - 1e-12 * order


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, help="folder beside a folder of masks; the bundled shapes without it")
    parser.add_argument("--weights", type=Path, help="of torchvision's SqueezeNet 1.1; the bundled model without it")
    parser.add_argument("--count", type=int, default=4, help="images")
    parser.add_argument("--steps", type=int, default=64, help="of pixel-flipping; must divide the number of pixels")
    parser.add_argument("--rounds", type=int, default=2, help="of the timed metrics; the least time counts")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    keep_freed_memory()  # as the command line does; it speeds up the peer as well
    material = gather(args)
    single = material.one(0)
    report(args.out, [pixel_flipping(each, args.steps) for each in (material, single)])
    report(args.out, [max_sensitivity(each, "gradient") for each in (material, single)])
    report(args.out, [max_sensitivity(each, "ig", steps=8) for each in (material, single)])
    report(args.out, [pixel_flipping(material, args.steps, least_first=True), irof(material), *road(material)])
    report(args.out, maps_alone(material))


if __name__ == "__main__":
    main()

"""The same model, images and maps measured by `sig` and by Quantus: how far apart, and how long each takes on this machine.

Each comparison gives both tools one definition: where theirs cannot be asked for, the figure is converted and the note says
how. Several of Quantus 0.6.0's metrics fail on colour images as they are; what stands in for the part that fails is
here, and docs/quantus.md lists it, with the environment that this needs.

python benchmarks/quantus_peer.py --out benchmarks/results/quantus-cpu.csv
python benchmarks/quantus_peer.py --images ../shared/real/images --weights ../shared/real/weights/squeezenet1_1_imagenet.pt
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import quantus  # pyright: ignore[reportMissingImports]
import torch
from captum.attr import IntegratedGradients
from common import report
from quantus_material import Material, alternating, gather, row
from torch import Tensor, nn

from sigcli import draws
from sigcli.engine.allocator import keep_freed_memory
from sigcli.engine.batch_size import auto_batch_size
from sigcli.methods import METHODS
from sigcli.methods.run import attributions
from sigcli.metrics import complexity, faithfulness, localisation, robustness, subsets
from sigcli.metrics.imputation import ROAD
from sigcli.metrics.robustness import Explain
from sigcli.players import parse
from sigcli.scores.classifier import ClassScore
from sigcli.types import Subject

PLAIN = {"normalise": False, "abs": False, "disable_warnings": True}
SEGMENTS = 60
OTHER = "definitions differ, see docs/quantus.md: "
RANKS_CHANNELS = int(quantus.__version__.split(".")[1]) > 5
"""Quantus 0.6 works on batches, whose features are channels of pixels; 0.5 went image by image and pixel by pixel."""


def pixel_flipping(
    material: Material, steps: int, *, least_first: bool = False, unmodified: bool = False
) -> dict[str, object]:
    """AOPC and its curve. Quantus gives the probabilities at steps 1 to L; the whole image's is the mean's step 0.

    Quantus 0.6 ranks channels of pixels; those of one pixel are equal and so go together. Its check that the step divides
    height times width, and not the number of its features, forbids whole pixels in colour: either it is passed over, or
    each of our steps is as many of Quantus's as there are channels (`unmodified`).
    """
    channels, height, width = material.x.shape[1:]
    inner = channels if unmodified else 1
    features = (channels if RANKS_CHANNELS else 1) * height * width // steps // inner
    metric = quantus.PixelFlipping(features_in_step=features, perturb_baseline=0.0, **PLAIN)
    if not unmodified:
        metric.custom_preprocess = lambda **_: None
    maps = -material.maps if least_first else material.maps
    function = faithfulness.lerf if least_first else faithfulness.morf
    found, curves, seconds = alternating(
        lambda: material.measured([function(case, imputation="zero", steps=steps) for case in material.cases]),
        lambda: material.ask(metric, a_batch=maps.copy(), softmax=True),
        material.rounds,
    )
    whole = np.array([float(answers.probability[0]) for answers, _ in found])
    drops = whole[:, None] - np.concatenate([whole[:, None], np.array(curves)[:, inner - 1 :: inner]], axis=1)
    apart = np.abs(np.array([figure.curve for _, figure in found]) - drops).max()
    note = (
        f"AOPC over {steps} steps, zeros; curves within {apart:.0e}; "
        f"{steps + 1} and {steps * inner} forward passes an image"
    )
    name = f"pixel-flipping, {'least' if least_first else 'most'} relevant first{', unmodified' * unmodified}"
    return row(material, name, [figure.value for _, figure in found], drops.mean(1), note, seconds)


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
        with mock.patch.object(quantus.helpers.utils, "get_superpixel_segments", return_value=labels):
            found = single.ask(metric, softmax=True)
        n = labels.max() + 1
        ((_, figure),) = single.measured([subsets.irof(case, segments=SEGMENTS)])
        assert len(figure.curve) == n + 1
        ours.append((n - np.trapezoid(figure.curve[1:])) / n)
        theirs.append(found[0] / n)
        values.append(figure.value)
    note = (
        f"(n - area from 1 to n) / n, Quantus's over n; our own figure, 1 - mean from 0 to n, is {np.mean(values):.6f}"
    )
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
        whole = figure.curve * (figure.at + 1)  # the curve is a running mean
        survived.append(_undone(figure.at, whole)[1:])
        theirs.append(list(found.values()))
        own = plan.removal.images(slice(1, len(at) + 1)).numpy()
        pixels.append((own, np.stack(fills)))
    note = f"share of {steps} steps up to {share:.0%} at which the class stays; difference over single steps"
    mine, peers = (np.stack(part) for part in zip(*pixels, strict=True))
    return [
        row(material, "road", survived, theirs, note),
        row(
            material,
            "road, imputed images",
            mine,
            peers,
            "values of the images at those steps, in the model's input space",
        ),
    ]


def _undone(at: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Whether the class stayed at each place, from the sums of which iAccuracy's curve is made."""
    halfway = np.concatenate([[-0.5], (at[1:] + at[:-1]) / 2])
    stayed, before = [], 0.0
    for j in range(len(at)):
        stayed.append(round((sums[j] - before) / (at[j] + 0.5 - halfway[j])))
        if j + 1 < len(at):
            before += (halfway[j + 1] - halfway[j]) * stayed[-1]
    return np.array(stayed, float)


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
    scorer = ClassScore(material.module)
    near: list[np.ndarray] = []

    def own() -> list[float]:
        near.clear()
        maps = [explainer(scorer, case.subject, method, options, near) for case in material.cases]
        found = (
            robustness.max_sensitivity(case, explain, samples=samples, radius=radius)
            for case, explain in zip(material.cases, maps, strict=True)
        )
        return [figure.value for figure in found]

    calls = itertools.count()

    def replay(arr: np.ndarray, **_: object) -> np.ndarray:
        turn = next(calls)
        if RANKS_CHANNELS:  # whole batches, flattened
            return np.stack([images[turn % samples] for images in near]).reshape(arr.shape)
        return near[turn % len(near)][turn // len(near) % samples]

    metric = quantus.MaxSensitivity(nr_samples=samples, perturb_func=replay, **PLAIN)
    theirs_explain = peer_method(method, material.cases[0].subject.low, options)
    own()  # for the images near by
    figures, peers, seconds = alternating(
        own, lambda: material.ask(metric, a_batch=None, explain_func=theirs_explain), material.rounds
    )
    note = f"{samples} images near by each, {(samples + 1) * options.get('steps', 1)} gradient evaluations an image in both"
    return row(material, f"max-sensitivity, {method}", figures, peers, note, seconds)


def explainer(
    scorer: ClassScore, subject: Subject, method: str, options: dict[str, Any], near: list[np.ndarray]
) -> Explain:
    """The method as `sig evaluate` runs it again, batches across the images near by; keeps those images."""
    channels, height, width = subject.x.shape
    batch_size = auto_batch_size(scorer, (channels, height, width), subject.x.device)

    def explain(images: Tensor, target: int, model: nn.Module | None = None) -> Tensor:  # noqa: ARG001
        near.append(images[1:].numpy())
        who = (replace(subject, x=x, target=target) for x in images)
        found = attributions(METHODS[method], options, scorer, who, batch_size=batch_size, check=0)
        return torch.stack([a.values for a in found])

    return explain


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


def each_at_its_defaults(material: Material) -> list[dict[str, object]]:
    """Both tools with the settings that they have where the user gives none: not equal work, but what a user waits for.

    Quantus 0.6 flips one channel of one pixel a step, and takes 200 images near by; `sig` makes 50 steps, and takes 10.
    """
    flipping = quantus.PixelFlipping(perturb_baseline=0.0, **PLAIN)
    ours, theirs, seconds = alternating(
        lambda: material.measured([faithfulness.morf(case, imputation="zero") for case in material.cases]),
        lambda: material.ask(flipping, a_batch=material.maps.copy(), softmax=True),
        1,
    )
    drop = [float(np.mean(curve[0] - np.array(curve))) for curve in theirs]
    passes = f"{len(ours[0][1].curve)} and {len(theirs[0])} forward passes an image"
    rows = [
        row(material, "pixel-flipping, each at its defaults", [f.value for _, f in ours], drop, OTHER + passes, seconds)
    ]
    scorer, (case, *_) = ClassScore(material.module), material.cases
    own = explainer(scorer, case.subject, "gradient", {}, [])
    explain = peer_method("gradient", case.subject.low, {})
    figures, peers, seconds = alternating(
        lambda: [robustness.max_sensitivity(one, own).value for one in material.cases],
        lambda: material.ask(quantus.MaxSensitivity(**PLAIN), a_batch=None, explain_func=explain),
        1,
    )
    note = OTHER + "10 images near by and 200, within 0.02 of the range and 0.2"
    return [*rows, row(material, "max-sensitivity, each at its defaults", figures, peers, note, seconds)]


def maps_alone(material: Material) -> list[dict[str, object]]:
    """Sparseness and localisation: no model, and where the definitions differ one line more that shows it."""
    positive = np.maximum(material.maps, 0)
    masks = np.stack([case.located().numpy() for case in material.cases])[:, None]
    sparse = quantus.Sparseness(**{**PLAIN, "abs": True})
    mass, rank = quantus.RelevanceMassAccuracy(**PLAIN), quantus.RelevanceRankAccuracy(**PLAIN)
    gini = [complexity.sparseness(case).value for case in material.cases]
    share = [localisation.relevance_mass(case).value for case in material.cases]
    top = [localisation.relevance_rank(case).value for case in material.cases]
    differ = OTHER
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, help="folder beside a folder of masks; the bundled shapes without it")
    parser.add_argument("--weights", type=Path, help="of torchvision's SqueezeNet 1.1; the bundled model without it")
    parser.add_argument("--count", type=int, default=4, help="images")
    parser.add_argument("--steps", type=int, default=64, help="of pixel-flipping; must divide the number of pixels")
    parser.add_argument("--rounds", type=int, default=3, help="of the timed metrics; the least time counts")
    parser.add_argument("--timing", action="store_true", help="timed metrics alone, which Quantus 0.5.3 has as well")
    parser.add_argument("--defaults", action="store_true", help="one image with each tool's own settings too: minutes")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    keep_freed_memory()  # as the command line does; it speeds up the peer as well
    material = gather(args.images, args.weights, args.count, args.rounds)
    one = material.one(0)
    for each in (material, one):
        report(args.out, [pixel_flipping(each, args.steps), max_sensitivity(each, "gradient")])
        report(args.out, [max_sensitivity(each, "ig", steps=8)])
    if RANKS_CHANNELS:
        report(args.out, [pixel_flipping(one, args.steps, unmodified=True)])
    if args.defaults:
        report(args.out, each_at_its_defaults(one))
    if not args.timing:
        report(args.out, agreement(replace(material, rounds=1), args.steps))


def agreement(material: Material, steps: int) -> list[dict[str, object]]:
    """What is compared for its figures alone."""
    least = pixel_flipping(material, steps, least_first=True)
    return [
        {**least, "our_seconds": "", "quantus_seconds": "", "ratio": ""},
        irof(material),
        *road(material),
        *maps_alone(material),
    ]


if __name__ == "__main__":
    main()

"""Train a segmentation network and a detector of drawn objects, on the layers of the bundled network, in two minutes.

    python scripts/train_shapes_scenes.py OUT [--seed 0] [--scenes 700] [--steps 500]

Both are torchvision's (FCN, FCOS) over the frozen layers of `shapes`, so only their heads are trained: on scenes of two
drawn objects (sigcli/scenarios/shapes/scenes.py). OUT gets the weights of both, `classes.txt`, and a few scenes that
neither has seen. Then, with this folder importable:

    sig explain OUT/scene-0.png --model train_shapes_scenes:segmentation --weights OUT/segmentation.safetensors \
        --class-names OUT/classes.txt --image-size 192 --mean 0.5 --std 0.25 --target star
    sig explain OUT/scene-0.png --model train_shapes_scenes:detector --weights OUT/detection.safetensors \
        --class-names OUT/classes.txt --target star:1
"""

# ruff: noqa: E402  (the path must be set before the imports that need it)

from __future__ import annotations

import argparse
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOS, FCOSHead
from torchvision.models.segmentation.fcn import FCN
from torchvision.ops import box_iou

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sigcli.models.networks.shapes import MEAN, STD, ShapesNet, load
from sigcli.scenarios.shapes.data import CLASSES
from sigcli.scenarios.shapes.scenes import Scene, scene

SIDE, STRIDE, WIDTH = 192, 8, 224
NAMES = ("background", *CLASSES)
BATCH, RATE = 16, 2e-3


class Trunk(nn.Module):
    """The layers of `shapes` at strides 8 and 16, together at stride 8: (N, 3, H, W) → {"out": (N, 224, H/8, W/8)}."""

    out_channels = WIDTH

    def __init__(self) -> None:
        super().__init__()
        net = ShapesNet(len(CLASSES))
        self.certain, self.fine, self.coarse = net.certain, net.features[:13], net.features[13:19]

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """Feature maps by name, as torchvision's backbones give them."""
        fine = self.fine(self.certain(torch.cat((x, torch.ones_like(x[:, :1])), 1)))
        coarse = interpolate(self.coarse(fine), fine.shape[-2:], mode="bilinear", align_corners=False)
        return OrderedDict(out=torch.cat((fine, coarse), 1))


def segmentation() -> nn.Module:
    """torchvision's FCN over the trunk: normalised pictures → {"out": (N, 13, H, W)}."""
    head = nn.Sequential(nn.Conv2d(WIDTH, 96, 3, padding=1), nn.ReLU(), nn.Conv2d(96, len(NAMES), 1))
    return FCN(Trunk(), head)


def detector() -> nn.Module:
    """torchvision's FCOS over the trunk: a list of pictures in 0..1 → boxes, labels and scores of each.

    Its head has no group norm, whose statistics are of the whole image: with it each box depends on all other objects.
    """
    head = FCOSHead(WIDTH, 1, len(NAMES), num_convs=1)
    for branch in (head.classification_head, head.regression_head):
        branch.conv = nn.Sequential(*(layer for layer in branch.conv if not isinstance(layer, nn.GroupNorm)))
    return FCOS(
        Trunk(), len(NAMES), min_size=SIDE, max_size=SIDE, image_mean=list(MEAN), image_std=list(STD),
        anchor_generator=AnchorGenerator(sizes=((STRIDE,),), aspect_ratios=((1.0,),)),
        head=head, detections_per_img=20, score_thresh=0.2, nms_thresh=0.4,
        center_sampling_radius=1.5,
    )  # fmt: skip


class Known(nn.Module):
    """Stands for the trunk while a head is trained: gives the features that were computed before."""

    out_channels = WIDTH

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.empty(0)

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """The features of the batch at hand."""
        del x
        return OrderedDict(out=self.features)


def pixels(drawn: Scene) -> Tensor:
    """The picture of a scene in 0..1, (3, H, W)."""
    return torch.from_numpy(drawn.image.transpose(2, 0, 1).copy()).float() / 255


def batches(count: int, steps: int, seed: int) -> Iterator[list[int]]:
    """Numbers of scenes, drawn anew each time all have been seen."""
    generator, order = torch.Generator().manual_seed(seed), list[int]()
    for _ in range(steps):
        if len(order) < BATCH:
            order += torch.randperm(count, generator=generator).tolist()
        taken, order = order[:BATCH], order[BATCH:]
        yield taken


def trained(net: Any, features: Tensor, steps: int, seed: int, loss: Any) -> None:
    """Train a network's head on features that are known; the trunk stays as it is."""
    trunk, known = net.backbone, Known()
    net.backbone = known
    weights = list(net.parameters())
    optimiser = torch.optim.AdamW(weights, RATE, weight_decay=1e-4)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    net.train()
    for step, numbers in enumerate(batches(len(features), steps, seed)):
        known.features = features[numbers].float()
        found = loss(net, numbers)
        optimiser.zero_grad()
        found.backward()
        nn.utils.clip_grad_norm_(weights, 5.0)
        optimiser.step()
        rate.step()
        if step % 100 == 0:
            print(f"  step {step}: loss {found.item():.3f}", flush=True)
    net.backbone = trunk
    net.eval()


def filled(net: Any) -> Any:
    """The network with the bundled weights in its trunk."""
    known, _ = load()
    net.backbone.certain, net.backbone.fine = known.certain, known.features[:13]
    net.backbone.coarse = known.features[13:19]
    return net.eval()


def train(seed: int, count: int, steps: int) -> tuple[nn.Module, nn.Module]:
    """Both networks, trained on `count` scenes."""
    drawn = [scene(seed, number, size=SIDE) for number in range(count)]
    torch.manual_seed(seed)
    segmenter, finder = filled(segmentation()), filled(detector())
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        parts = [
            torch.stack([(pixels(one) - mean) / std for one in drawn[i : i + BATCH]]) for i in range(0, count, BATCH)
        ]
        features = torch.cat([segmenter.backbone(part)["out"].half() for part in parts])
    labels = np.zeros((count, SIDE, SIDE), np.uint8)
    for number, one in enumerate(drawn):
        for label, mask in zip(one.labels, one.masks, strict=True):
            labels[number][mask] = label + 1
    weights = torch.full((len(NAMES),), 4.0)
    weights[0] = 1.0

    def by_pixel(net: Any, numbers: list[int]) -> Tensor:
        found = interpolate(net.classifier(net.backbone(None)["out"]), (SIDE // 2, SIDE // 2), mode="bilinear")
        return cross_entropy(found, torch.from_numpy(labels[numbers, 1::2, 1::2]).long(), weights)

    def by_box(net: Any, numbers: list[int]) -> Tensor:
        truth = [
            {"boxes": torch.from_numpy(drawn[i].boxes).float(), "labels": torch.tensor(drawn[i].labels) + 1} for i in numbers
        ]  # fmt: skip
        losses = net([torch.zeros(3, SIDE, SIDE)] * len(numbers), truth)
        return torch.stack(list(losses.values())).sum()

    trained(segmenter, features, steps, seed, by_pixel)
    trained(finder, features, steps, seed, by_box)
    return segmenter, finder


def measured(segmenter: nn.Module, finder: nn.Module, seed: int, count: int = 50) -> tuple[float, float]:
    """Mean intersection over union of the objects' pixels; fraction of objects found with their class and IoU ≥ 0.5."""
    overlaps, hits = [], []
    for number in range(count):
        one = scene(seed, number, size=SIDE)
        with torch.no_grad():
            seen = segmenter((pixels(one) - 0.5)[None] / 0.25)["out"][0].argmax(0).numpy()
            found = finder([pixels(one)])[0]
        for label, mask, box in zip(one.labels, one.masks, one.boxes, strict=True):
            near = seen == label + 1
            half = np.arange(SIDE) >= SIDE // 2
            near &= half if mask[:, SIDE // 2 :].any() else ~half
            overlaps.append((near & mask).sum() / max(1, (near | mask).sum()))
            own = found["boxes"][found["labels"] == label + 1]
            hits.append(bool((box_iou(own, torch.from_numpy(box[None]).float()) >= 0.5).any()) if len(own) else False)
    return float(np.mean(overlaps)), float(np.mean(hits))


def main() -> None:
    """Train, measure on scenes of another stream, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=700)
    parser.add_argument("--steps", type=int, default=500)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    segmenter, finder = train(given.seed, given.scenes, given.steps)
    print(f"trained in {time.perf_counter() - start:.0f} s")
    overlap, hits = measured(segmenter, finder, given.seed + 1)
    print(f"mean IoU of the objects' pixels {overlap:.3f}; objects found {hits:.3f}")
    for name, net in (("segmentation", segmenter), ("detection", finder)):
        save_file(
            {key: value.contiguous() for key, value in net.state_dict().items()}, given.out / f"{name}.safetensors"
        )
    (given.out / "classes.txt").write_text("\n".join(NAMES) + "\n")
    for number in range(8):
        Image.fromarray(scene(given.seed + 2, number, size=SIDE).image).save(given.out / f"scene-{number}.png")


if __name__ == "__main__":
    main()

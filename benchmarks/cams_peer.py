"""The CAM family and FullGrad beside pytorch-grad-cam and captum: the same network, photographs, layer and class.

Their maps are taken at the layer's grid, before they are brought to 0..1, and scaled to the image as `sig` does. `as_is` is
the relative difference |ours - theirs| / |theirs| of what comes out of the box; `alike` that with what is defined otherwise,
which `why` names, made the same. `ours` and `theirs` are the values at the place of their largest.

pip install grad-cam   # 1.5.7
python benchmarks/cams_peer.py --out benchmarks/results/cams-peer-cpu.csv
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytorch_grad_cam as peer  # pyright: ignore[reportMissingImports]
import torch
from captum.attr import LayerGradCam
from common import REAL, model, report
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn
from torch.nn import functional

from sigcli.inputs.images import read_image
from sigcli.methods import METHODS
from sigcli.methods.run import attributions
from sigcli.scores.classifier import ClassScore
from sigcli.types import Subject

PHOTOGRAPHS = "beagle.jpg,unicycle.jpg,marmoset.jpg"
PEERS = {
    "gradcam": (peer.GradCAM, ""),
    "gradcam++": (peer.GradCAMPlusPlus, "they add 1e-6 to 2g² + ΣA·g³, which is of that size"),
    "layercam": (peer.LayerCAM, ""),
    "xgradcam": (peer.XGradCAM, ""),
    "hirescam": (peer.HiResCAM, ""),
    "scorecam": (peer.ScoreCAM, "their masks are scaled with align_corners=True"),
    "ablationcam": (peer.AblationCAM, ""),
    "eigencam": (peer.EigenCAM, "they centre the channels, and the sign is as the SVD gives it"),
    "fullgrad": (peer.FullGrad, "they bring each channel to 0..1, the paper each layer"),
}
"""Method → their class, and what is defined otherwise."""


def plain(cam: np.ndarray, _: object = None) -> np.ndarray:
    """In place of their scaling to 0..1 and to the image."""
    return np.float32(cam)


def theirs(kind: type, net: nn.Module, who: Subject) -> Tensor:
    """Their map on the image's pixels, (H, W)."""
    size = tuple(who.x.shape[-2:])
    net = copy.deepcopy(net).requires_grad_()  # they go backward to the parameters
    places = ("base_cam", "fullgrad_cam")
    one, other = (mock.patch(f"pytorch_grad_cam.{place}.scale_cam_image", plain) for place in places)
    with one, other, kind(model=net, target_layers=[] if kind is peer.FullGrad else [net.features]) as cam:
        cam.batch_size = 16
        found = torch.from_numpy(cam(who.x[None].clone(), [ClassifierOutputTarget(who.target)]))[None]
    return functional.interpolate(found, size, mode="bilinear")[0, 0]


def ours(name: str, net: nn.Module, who: Subject, **options: object) -> Tensor:
    """The map of a method, (H, W)."""
    (found,) = attributions(METHODS[name], options, ClassScore(net), [who])
    return found.values.sum(0)


def plus_plus(*given: np.ndarray) -> np.ndarray:
    """Their weights of Grad-CAM++ without what they add."""
    a, g = given[-2:]
    below = 2 * g**2 + a.sum((2, 3), keepdims=True) * g**3
    return (np.maximum(g, 0) * np.divide(g**2, below, out=np.zeros_like(g), where=g != 0)).sum((2, 3))


class AtCentres(nn.Upsample):
    """Bilinear scaling with pixel centres aligned."""

    def __init__(self, size: tuple[int, int]):
        super().__init__(size, mode="bilinear", align_corners=False)


def by_layer(tensor: np.ndarray, target: tuple[int, int]) -> np.ndarray:
    """A layer's channels to 0..1 together, scaled as `sig` does."""
    found = torch.from_numpy(np.float32(tensor))
    found = (found - found.min()) / (found.max() - found.min())
    return functional.interpolate(found, target[::-1], mode="bilinear").numpy()


ALIKE: dict[str, Callable[[], object]] = {
    "gradcam++": lambda: mock.patch.object(peer.GradCAMPlusPlus, "get_cam_weights", plus_plus),
    "scorecam": lambda: mock.patch("torch.nn.UpsamplingBilinear2d", AtCentres),
    "fullgrad": lambda: mock.patch("pytorch_grad_cam.fullgrad_cam.scale_accross_batch_and_channels", by_layer),
}


def apart(mine: Tensor, other: Tensor) -> float:
    return float((mine - other).norm() / other.norm())


def compared(name: str, net: nn.Module, who: Subject) -> dict[str, object]:
    """One row."""
    kind, why = PEERS[name]
    mine, other = ours(name, net, who), theirs(kind, net, who)
    place = int(other.argmax())
    same = other
    if name in ALIKE:
        with ALIKE[name]():  # type: ignore[attr-defined]
            same = theirs(kind, net, who)
    adapted = ours(name, net, who, centre=True, relu=False) if name == "eigencam" else mine
    if name == "eigencam":  # as they are before ReLU, and up to the sign
        with mock.patch.object(np, "maximum", lambda a, _: a):
            same = theirs(kind, net, who)
        same = same * torch.sign((same * adapted).sum())
    return {
        "method": name, "peer": f"pytorch-grad-cam {kind.__name__}", "ours": f"{float(mine.flatten()[place]):.7g}",
        "theirs": f"{float(other.flatten()[place]):.7g}", "as_is": f"{apart(mine, other):.1e}",
        "alike": f"{apart(adapted, same):.1e}", "why": why,
    }  # fmt: skip


def captum(net: nn.Module, who: Subject) -> dict[str, object]:
    """Grad-CAM by captum."""
    found = LayerGradCam(net, net.features).attribute(who.x[None], target=who.target, relu_attributions=True)  # type: ignore[arg-type]
    other = functional.interpolate(found.detach(), tuple(who.x.shape[-2:]), mode="bilinear")[0, 0]  # type: ignore[union-attr]
    mine, place = ours("gradcam", net, who), int(other.argmax())
    return {
        "method": "gradcam", "peer": "captum LayerGradCam", "ours": f"{float(mine.flatten()[place]):.7g}",
        "theirs": f"{float(other.flatten()[place]):.7g}", "as_is": f"{apart(mine, other):.1e}",
        "alike": f"{apart(mine, other):.1e}", "why": "",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=REAL / "images")
    parser.add_argument("--names", default=PHOTOGRAPHS, help="photographs of the folder, with commas")
    parser.add_argument("--methods", default=",".join(PEERS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    opened = model("squeezenet1_1", "cpu")
    net, preprocess = opened.module, opened.preprocess
    for name in arguments.names.split(","):
        x = preprocess(read_image(arguments.images / name).pixels)
        target = int(net(x[None])[0].argmax())
        who = Subject(x, target, preprocess.low, preprocess.high, key=1)
        rows = [captum(net, who)] + [compared(method, net, who) for method in arguments.methods.split(",")]
        report(arguments.out, [{"image": name, "target": opened.label(target), **row} for row in rows])


if __name__ == "__main__":
    main()

"""Where the CAM family looks in a whole zoo: the default place, its grid, and Grad-CAM beside CAM worked out by hand.

Every network has random weights, and batch norms with the statistics of noise. "By hand" is apart from `sigcli`: a forward
hook takes what the pooling is given, and the linear layer's row of the class weighs its channels. `of_gradcam` and `of_cam`
are the correlations of that map with `gradcam` (relu=false) and `cam`. In SqueezeNet, whose class maps pass a ReLU before
they are averaged, the map by hand for `gradcam` is the one before the ReLU, that for `cam` the one after.

With `--timm`, networks of timm are asked instead: `forward_features` gives the places by hand, and `forward_head` is tried
for being pooling + linear. `locality` says whether the grid is the right way up: the correlation of a place's row and column
with the centre of mass of its gradient in the image (the smaller of the two).

python benchmarks/cam_layers.py --out benchmarks/results/cam-layers-cpu.csv
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
import torchvision
from common import machine, report
from torch import Tensor, nn
from torch.nn import functional

from sigcli.errors import SigError
from sigcli.methods import METHODS
from sigcli.methods.places import last_layer
from sigcli.methods.run import attributions
from sigcli.methods.trace import Trace
from sigcli.models.fold import prepare
from sigcli.scores.classifier import ClassScore
from sigcli.types import Subject

SIDES = {"vit_*": 224, "maxvit*": 224, "inception*": 160}
"""Of networks that take one size only, or smaller maps than two places; others are asked at `SIDE`."""
SIDE = 96
POOLED = {  # what the pooling reads: given to a layer, or what a layer gives; and a function after that
    "resnet*": ("given", "avgpool"), "resnext*": ("given", "avgpool"), "wide_resnet*": ("given", "avgpool"),
    "regnet*": ("given", "avgpool"), "googlenet": ("given", "avgpool"), "inception_v3": ("given", "avgpool"),
    "efficientnet*": ("given", "avgpool"), "swin*": ("given", "avgpool"), "mobilenet_v2": ("gives", "features"),
    "mnasnet*": ("gives", "layers"), "shufflenet*": ("gives", "conv5"), "densenet*": ("rectified", "features"),
    "squeezenet*": ("given", "classifier.3"),
}  # fmt: skip
TIMM = (
    "levit_128s", "levit_conv_128s", "coat_tiny", "coat_lite_tiny", "crossvit_tiny_240", "pit_ti_224",
    "pit_ti_distilled_224",
    "vit_small_r26_s32_224", "cait_xxs24_224", "xcit_nano_12_p16_224", "mobilevit_xxs", "mobilevitv2_050", "fastvit_t8",
    "efficientformer_l1", "efficientformerv2_s0", "hrnet_w18_small", "densenet121", "resnetv2_18", "resnetv2_50x1_bit",
    "convnextv2_atto", "poolformer_s12", "poolformerv2_s12", "swinv2_tiny_window8_256", "convmixer_768_32",
    "beit_base_patch16_224", "vit_dwee_patch16_reg1_gap_256", "maxvit_tiny_tf_224",
)  # fmt: skip


def torchvision_network(name: str) -> tuple[nn.Module, int]:
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    net = torchvision.models.get_model(name, weights=None, **options).eval()
    return net, next((side for pattern, side in SIDES.items() if fnmatch(name, pattern)), SIDE)


def timm_network(name: str) -> tuple[nn.Module, int]:
    import timm

    net = timm.create_model(name, pretrained=False).eval()
    return net, int(net.pretrained_cfg["input_size"][-1])


def settled(net: nn.Module, side: int) -> nn.Module:
    """With the batch norms' statistics of noise, as training would give them, and a head that is not zero."""
    norms = [part for part in net.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train()
        norm.momentum = None
    with torch.no_grad():
        net(torch.randn(4, 3, side, side))
        for part in [part for part in net.modules() if isinstance(part, nn.Linear)][-2:]:
            if not part.weight.any():
                nn.init.normal_(part.weight, std=0.05)
    return prepare(net.eval(), torch.randn(2, 3, side, side))


def by_hand(name: str, net: nn.Module, who: Subject) -> tuple[Tensor, Tensor] | None:
    """The maps (h, w) that Grad-CAM and CAM should give, up to a factor; None where a network is not of the kind."""
    way, place = next((found for pattern, found in POOLED.items() if fnmatch(name, pattern)), ("", ""))
    if not way:
        return None
    seen: list[Tensor] = []
    part = net.get_submodule(place)
    hook = part.register_forward_hook(
        lambda _, given, gives: seen.append((given[0] if way == "given" else gives).clone())
    )
    if name.startswith("squeezenet"):
        final = net.get_submodule("classifier.1")
        before = final.register_forward_hook(lambda _, __, gives: seen.append(gives.clone()))
    with torch.no_grad():
        net(who.x[None])
    hook.remove()
    if name.startswith("squeezenet"):
        before.remove()
        return seen[0][0, who.target], seen[1][0, who.target]
    read = seen[0].relu() if way == "rectified" else seen[0]
    head = [part for part in net.modules() if isinstance(part, nn.Linear)][-1]
    places = (head.weight[who.target][:, None, None] * read[0]).sum(0)
    return places, places


def timm_by_hand(_: str, net: Any, who: Subject) -> tuple[Tensor, Tensor] | None:
    """As above with timm's own two halves; where the second is not pooling + linear, or there are none, None."""
    if not hasattr(net, "forward_head"):
        return None
    with torch.no_grad():
        features = net.forward_features(who.x[None])
    if not isinstance(features, Tensor) or features.ndim not in (3, 4):
        return None
    leaf = features.detach().requires_grad_()
    with torch.enable_grad():
        score = net.forward_head(leaf)[0, who.target]
        (gradient,) = torch.autograd.grad(score, leaf)
    other = features + features.std() * torch.randn_like(features)
    with torch.no_grad():
        change = float(net.forward_head(other)[0, who.target] - score)
    expected = float((gradient * (other - features)).sum())
    scale = float((gradient * (other - features)).norm())
    last = features.ndim == 3 or int(net.num_features) == features.shape[-1]  # channels last
    axes = (1, 2)[: features.ndim - 2] if last else (2, 3)
    even = float((gradient - gradient.mean(axes, keepdim=True)).norm()) <= 1e-4 * float(gradient.norm())
    if not even or abs(change - expected) > 1e-2 * scale:
        return None
    places = (gradient * features).sum(-1 if last else 1)[0]
    if places.ndim == 1:  # tokens of a square, row by row
        side = round(len(places) ** 0.5)
        places = places.view(side, side)
    return places, places


def correlation(values: Tensor, places: Tensor) -> float:
    """Of an attribution (C, H, W) with a map (h, w) scaled to its size."""
    scaled = functional.interpolate(places[None, None], tuple(values.shape[-2:]), mode="bilinear")
    return float(torch.corrcoef(torch.stack([values.sum(0).flatten(), scaled.flatten()]).double())[0, 1])


def locality(net: nn.Module, who: Subject) -> float:
    """Correlation of a place's row and column with the centre of mass of its squared gradient: the smaller of the two."""
    layer = last_layer(net, tuple(who.x.shape))
    assert layer.grid is not None
    leaf, trace = who.x[None].clone().requires_grad_(), Trace(net, keep=[layer.key])
    with torch.enable_grad():
        trace.run(leaf.clone())
    entries = torch.arange(trace.values[layer.key].numel(), dtype=torch.float64).view_as(trace.values[layer.key])
    entries = layer.grid.map(entries)[0].long()  # where the entries of each place stand
    rows, columns = (torch.linspace(0, n - 1, min(n, 4)).round().long().tolist() for n in layer.grid.size)
    found: list[list[float]] = []
    for i in rows:
        for j in columns:
            sent = torch.zeros(trace.values[layer.key].numel())
            sent[entries[:, i, j]] = torch.randn(len(entries), generator=torch.Generator().manual_seed(5))
            sent = sent.view_as(trace.values[layer.key])
            (gradient,) = torch.autograd.grad(trace.edges[layer.key], leaf, sent, retain_graph=True)
            mass = gradient[0].double().square().sum(0)
            y, x = (mass.sum(axis) @ torch.arange(mass.shape[1 - axis]).double() / mass.sum() for axis in (1, 0))
            found.append([float(i), float(j), float(y), float(x)])
    i, j, y, x = torch.tensor(found, dtype=torch.float64).T
    pairs = [pair for pair in ((i, y), (j, x)) if pair[0].std() > 0]
    return min(float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in pairs)


def row(
    name: str, build: Callable[[str], tuple[nn.Module, int]], hand: Callable[..., Any], tried: bool
) -> dict[str, object]:
    torch.manual_seed(0)
    net, side = build(name)
    net = settled(net, side)
    x = torch.randn(3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        target = int(net(x[None])[0].argmax())
    level = torch.zeros(3, 1, 1)
    who = Subject(x, target, level - 2, level + 2, 7, 0)
    found: dict[str, object] = {
        "network": name,
        "side": side,
        "layer": "",
        "kind": "",
        "shape": "",
        "grid": "",
        "form": "",
    }
    found |= {"of_gradcam": "", "of_cam": "", "seconds": ""} | ({"locality": ""} if tried else {})
    expected = hand(name, net, who)
    kind = "class map" if name.startswith("squeezenet") else "pooling + linear"
    found["kind"] = kind if expected else "other"
    started = time.perf_counter()
    try:
        (map_,) = attributions(METHODS["gradcam"], {"relu": False}, ClassScore(net), [who])
    except SigError as error:
        return found | {"layer": f"refused: {error.what}"}
    found["seconds"] = f"{time.perf_counter() - started:.2f}"
    layer = last_layer(net, tuple(x.shape))
    assert layer.grid is not None
    found |= {"layer": layer.name, "shape": "x".join(map(str, layer.shape)), "form": layer.grid.form}
    found["grid"] = "{}x{}".format(*layer.grid.size)
    if expected:
        found["of_gradcam"] = f"{correlation(map_.values, expected[0]):.6f}"
    try:
        (cam,) = attributions(METHODS["cam"], {}, ClassScore(net), [who])
        found["of_cam"] = f"{correlation(cam.values, expected[1]):.6f}" if expected else "runs"
    except SigError:
        found["of_cam"] = "refused"
    if tried:
        found["locality"] = f"{locality(net, who):.3f}"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timm", action="store_true", help="networks of timm instead of torchvision's")
    parser.add_argument("--only", default="*", help="patterns of names, with commas")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    names = TIMM if args.timm else torchvision.models.list_models(torchvision.models)
    patterns = args.only.split(",")
    build, hand = (timm_network, timm_by_hand) if args.timm else (torchvision_network, by_hand)
    for name in names:
        if not any(fnmatch(name, pattern) for pattern in patterns):
            continue
        try:
            found = row(name, build, hand, args.timm)
        except Exception as error:  # noqa: BLE001  networks of others fail in many ways; the next is asked
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            continue
        report(args.out, [found | {"machine": machine("cpu")}])
        gc.collect()


if __name__ == "__main__":
    main()

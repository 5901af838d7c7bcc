"""A network's layers with places in the image, and the one that the CAM family takes by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from ..errors import AttributionError, MisfitError, UsageError, unknown
from .coordinates import Grid, forms
from .network_layers import check_layers, kept
from .trace import Cut, Key, Result, Trace, cuts

_WORKS = re.compile(
    r":(conv\w*|linear|r?matmul|b?mm|einsum|scaled_dot_product_attention|multi_head_attention_forward)(\.\d+)?$"
)
_NOISE = ((0, 1.0), (4, 1.0), (5, 4.0))
"""Seeds and standard deviations of images to ask what the scores depend on."""
_AVERAGES = ("AvgPool2D", "AdaptiveAvgPool2D", "MkldnnAdaptiveAvgPool2D")
_MOVED = re.compile(r"(Permute|Transpose|T0|T?View|Unsafe|Reshape|Slice|Clone|Select|(Uns|S)queeze|Alias)")


@dataclass(frozen=True)
class Layer:
    """What a layer, or a function in one, gives for one image.

    Args:
        name: as `--set layer=NAME` wants it: dotted, and `layer:function` for what is no layer's.
        kind: its class, or "function".
        shape: of its output for one image, without the batch.
        run: its number among the runs of a layer that runs several times.
        grid: of its places; None where it has none, or where they were not asked for.
        everywhere: everything that the scores depend on passes it.
        after: of the default place the share of the network's convolutions, linear layers and products on several places
            that run after it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    run: int = 1
    grid: Grid | None = None
    everywhere: bool = False
    after: float = 0.0

    @property
    def key(self) -> Key:
        """What finds it in a pass."""
        return self.name, self.run


@dataclass(eq=False)
class _Search:
    """One pass on noise with autograd's graph, and what was found in it."""

    module: nn.Module
    image: Tensor
    outputs: Tensor
    results: list[Result]
    cuts: list[tuple[Cut, Result]]
    masks: list[dict[Key, Tensor]] = field(default_factory=list)

    @classmethod
    def of(cls, module: nn.Module, shape: tuple[int, ...]) -> _Search:
        check_layers(module)
        some = next(module.parameters(), torch.empty(0))
        image = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)).to(some)
        trace = Trace(module, record=True)
        with torch.enable_grad():
            given = image.clone().requires_grad_().clone()  # a clone, since a network may overwrite what it is given
            source = given.grad_fn
            outputs = trace.run(given)
        found = [(cut, named) for cut in cuts(outputs, source) if (named := _named(trace.results, cut.edge))]
        return cls(module, image, outputs, trace.results, found)

    def after(self, result: Result) -> float:
        """The share of the convolutions, linear layers and products on several places that run after a result."""
        working = [bool(_WORKS.search(one.name)) and bool(forms(one.shape)) for one in self.results]
        return sum(working[self.results.index(result) + 1 :]) / max(1, sum(working))

    def reached(self) -> Iterator[dict[Key, Tensor]]:
        """Of the results that everything passes, which entries the outputs depend on: True where they do.

        NaN, sent backward, spreads to all that the outputs depend on, also through weights that are zero, but not through
        units that are inactive. So images of noise are asked one after another, as far as the caller reads on, and each
        answer holds what all of them so far depend on.
        """
        keys = [result.key for _, result in self.cuts if forms(result.shape)]
        for number, (seed, scale) in enumerate(_NOISE):
            if number == len(self.masks):
                self.masks.append(self._reached(keys, seed, scale, self.masks[-1] if self.masks else {}))
            yield self.masks[number]

    def _reached(self, keys: list[Key], seed: int, scale: float, before: dict[Key, Tensor]) -> dict[Key, Tensor]:
        noise = torch.randn(self.image.shape, generator=torch.Generator().manual_seed(seed)).to(self.image) * scale
        trace = Trace(self.module, keep=keys)
        with torch.enable_grad(), torch.autograd.set_detect_anomaly(False):  # NaN is meant here
            outputs = trace.run(noise.requires_grad_().clone())
            there = [key for key in keys if key in trace.edges]
            nan, wanted = torch.full_like(outputs, torch.nan), [trace.edges[key] for key in there]
            found = (
                torch.autograd.grad(outputs, wanted, nan, allow_unused=True) if wanted and outputs.requires_grad else ()
            )
        masks = {key: gradient.isnan() for key, gradient in zip(there, found, strict=False) if gradient is not None}
        return before | {key: mask | before[key] if key in before else mask for key, mask in masks.items()}


def _named(results: list[Result], edge: Any) -> Result | None:
    """The result at an edge, under the outermost layer's name, or the first function's where it is no layer's."""
    there = [result for result in results if result.edge == edge]
    named = sorted((r for r in there if not r.function), key=lambda r: r.name.count("."))
    return next(iter(named or there), None)


def last_layer(module: nn.Module, shape: tuple[int, ...], *, class_maps: bool = False) -> Layer:
    """The place whose map the CAM family takes, where none is named: the last one that everything passes.

    It is the last result of a layer or function, with more than one place in the image, that all dependence of the scores
    on the image goes through: with it held, the scores no longer change with the image (that is tried). So it is after
    the block's addition and its ReLU (ResNet), after the branches are joined (Inception), and what a pooling reads.
    Passed over is what only averages or rearranges an earlier place: that has the same map, at more resolution or under a
    better name; and a class map, with a channel for each class and no mixing of channels after it (SqueezeNet), since one
    channel leaves nothing to weigh. Where the scores depend on a class token only (ViT), it is what the last block is
    given, since after that block the patches do not count.

    Args:
        module: the network.
        shape: of an image, (C, H, W).
        class_maps: take class maps as well.

    Raises:
        MisfitError: the network has no such place.
    """
    return kept(module, f"last layer {tuple(shape)} {class_maps}", lambda: _last(module, shape, class_maps=class_maps))


def _last(module: nn.Module, shape: tuple[int, ...], *, class_maps: bool) -> Layer:
    search = _Search.of(module, shape)
    classes = search.outputs.shape[1]
    class_map = same = None  # what was passed over: the second as the same in another order, or averaged
    for cut, result in search.cuts:
        rearranges = bool(_MOVED.match(cut.operation)) or cut.operation.startswith(_AVERAGES)
        grid = _spread(search, result)
        if grid is None:
            if same and not rearranges:
                return same
            continue
        layer = replace(_layer(result, grid, everywhere=True), after=search.after(result))
        if not class_maps and not cut.mixed and grid.channels(result.shape) == classes:
            class_map = class_map or layer
        elif not rearranges:
            return layer
        else:
            same = same or layer
    if found := same or class_map:
        return found
    raise MisfitError(
        "the network has no layer with places in the image that everything passes",
        hint="Name one with a map: sig list layers, --set layer=NAME.",
    )


def _spread(search: _Search, result: Result) -> Grid | None:
    """The grid of a result, if the scores depend on it at several places and on nothing beside it."""
    grid = result.grid if forms(result.shape) else None
    if grid is None:
        return None
    masks = (found[result.key] for found in search.reached() if result.key in found)
    several = any(int(grid.map(mask).any(1).sum()) > 1 for mask in masks)
    return grid if several and _decides(search, result) else None


def _decides(search: _Search, result: Result) -> bool:
    """Whether the scores of another image are those of this one, once the result is held."""
    with torch.no_grad():
        other = torch.randn(search.image.shape, generator=torch.Generator().manual_seed(2)).to(search.image)
        trace = Trace(search.module, keep=[result.key])
        scores = trace.run(search.image.clone())
        free = search.module(other.clone())
        held = Trace(search.module, hold=trace.values).run(other.clone())
    return float((held - scores).norm()) <= 1e-3 * float((free - scores).norm()) + 1e-5 * float(scores.norm())


def _layer(result: Result, grid: Grid | None = None, *, everywhere: bool = False) -> Layer:
    shape = result.shape[1:] if result.shape[:1] == (1,) else result.shape
    return Layer(result.name, result.kind, shape, result.run, grid, everywhere)


def layers(module: nn.Module, shape: tuple[int, ...]) -> list[Layer]:
    """The layers of a network that return one tensor, in the order in which they finish on one image (C, H, W).

    A layer that runs several times stands where it ran last. Among them, by `layer:function`, stand the results of functions
    that everything passes and that have places in the image, where they are no layer's result as well.

    Raises:
        AttributionError: a program without layers.
    """
    return kept(module, f"layers {tuple(shape)}", lambda: _listed(_Search.of(module, shape)))


def _listed(search: _Search) -> list[Layer]:
    passed = {result.edge for _, result in search.cuts}
    between = {result.key for _, result in search.cuts if result.function and result.grid}
    found: dict[str, Layer] = {}
    for result in search.results:
        if result.key in between or (not result.function and len(result.shape) >= 2):
            found.pop(result.name, None)
            found[result.name] = _layer(result, result.grid, everywhere=result.edge in passed)
    return list(found.values())


def recorded(module: nn.Module, shape: tuple[int, ...]) -> list[Result]:
    """All that a network's layers and functions give for one image (C, H, W), in order; not to be kept, for its graph.

    Raises:
        AttributionError: a program without layers.
    """
    return _Search.of(module, shape).results


def named_layer(module: nn.Module, name: str | None, shape: tuple[int, ...]) -> Layer:
    """The layer or function of that name, or the place found by itself where there is no name.

    Raises:
        UsageError: no such layer, or one without places in the image.
        AttributionError: nothing to be found.
    """
    if name is None:
        return last_layer(module, shape)
    found = {layer.name: layer for layer in layers(module, shape)}
    if name not in found and ":" in name:  # of functions only those that everything passes are listed
        found |= kept(module, f"functions {tuple(shape)}", lambda: _functions(module, shape))
    if name not in found:
        raise unknown("layer", name, found)
    if found[name].grid is None:
        raise UsageError(
            f"the layer '{name}' has no places in the image that can be told: its output is {found[name].shape}",
            hint="The layers and their outputs: sig list layers --model MODEL.",
        )
    return found[name]


def _functions(module: nn.Module, shape: tuple[int, ...]) -> dict[str, Layer]:
    return {
        result.name: _layer(result, result.grid)
        for result in recorded(module, shape)
        if result.function and result.grid
    }


def activations(module: nn.Module, layer: Layer, images: Tensor) -> tuple[Tensor, GradientEdge, Tensor]:
    """What a layer gives for an image (1, C, H, W), its edge in autograd's graph, and the network's outputs.

    Raises:
        AttributionError: the layer did not run, or nothing that it gives depends on the image.
    """
    trace = Trace(module, keep=[layer.key])
    outputs = trace.run(images.detach().requires_grad_().clone())
    if layer.key not in trace.edges:
        raise AttributionError(f"the layer '{layer.name}' gives nothing that depends on this image")
    return trace.values[layer.key], trace.edges[layer.key], outputs


def pooled_linearly(module: nn.Module, shape: tuple[int, ...]) -> Layer | None:
    """The place whose average over the image is all that the scores depend on, and linearly; None where there is none.

    It is tried: at the place the gradient of a random sum of the scores is the same everywhere, and other values, held
    there, change that sum by gradient times difference.
    """
    return kept(module, f"pooled {tuple(shape)}", lambda: _pooled(module, shape))


def _pooled(module: nn.Module, shape: tuple[int, ...]) -> Layer | None:
    tried: set[Key] = set()
    for class_maps in (False, True):
        try:
            layer = last_layer(module, shape, class_maps=class_maps)
        except AttributionError:
            return None
        if layer.key not in tried and _linear(module, layer, shape):
            return layer
        tried.add(layer.key)
    return None


def _linear(module: nn.Module, layer: Layer, shape: tuple[int, ...]) -> bool:
    grid, generator = layer.grid, torch.Generator().manual_seed(3)
    some = next(module.parameters(), torch.empty(0))
    image = torch.randn(1, *shape, generator=generator).to(some)
    with torch.enable_grad():
        value, edge, outputs = activations(module, layer, image)
        weights = torch.randn(outputs.shape, generator=generator).to(outputs)
        (gradient,) = torch.autograd.grad((outputs * weights).sum(), edge, allow_unused=True)
    outputs = outputs.detach()
    if gradient is None or grid is None or not uniform(grid.map(gradient)):
        return False
    beside = float(gradient.norm()) ** 2 - float(grid.map(gradient).norm()) ** 2  # a class token that is read as well
    if beside > 1e-5 * float(gradient.norm()) ** 2:
        return False
    size = float(value.std()) or 1.0
    other = value + size * torch.randn(value.shape, generator=generator).to(value)
    with torch.no_grad():
        held = Trace(module, hold={layer.key: other}).run(image.clone())
    expected = float((gradient * (other - value)).sum())
    scale = float((gradient * (other - value)).norm()) + 1e-3 * float((outputs * weights).abs().sum())
    return abs(float(((held - outputs) * weights).sum()) - expected) <= 1e-3 * scale


def uniform(gradient: Tensor) -> bool:
    """Whether a gradient (1, C, h, w) is the same at every place."""
    middle = gradient.mean((2, 3), keepdim=True)
    return float((gradient - middle).norm()) <= 1e-3 * float(gradient.norm())

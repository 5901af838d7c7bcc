"""Looking into a network: working copies without in-place layers, and its layers in the order in which they run."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn

from ..errors import AttributionError, UsageError, unknown

_Made = TypeVar("_Made")
_KEPT: weakref.WeakKeyDictionary[nn.Module, dict[str, tuple[Any, Any]]] = weakref.WeakKeyDictionary()


def kept(module: nn.Module, name: str, make: Callable[[], _Made]) -> _Made:
    """Make something of a network once, and again only when its weights have changed; forgotten with the network."""
    state = tuple((id(t), t._version) for t in (*module.parameters(), *module.buffers()))
    found = _KEPT.setdefault(module, {})
    if name not in found or found[name][0] != state:
        found[name] = state, make()
    return found[name][1]


def check_layers(module: nn.Module) -> None:
    """Raise AttributionError for a program whose layers cannot be looked into: TorchScript, or an exported one."""
    for part in module.modules():
        script = isinstance(part, torch.jit.ScriptModule)
        if script or (isinstance(part, fx.GraphModule) and _is_exported(part)):
            raise AttributionError(
                f"{'a TorchScript' if script else 'an exported'} program has no layers to hook into",
                hint=f"Methods that work with it: {', '.join(without_hooks())}.",
            )


def _is_exported(program: fx.GraphModule) -> bool:
    """Whether a graph calls operators where a traced network calls its layers."""
    return any(isinstance(node.target, torch._ops.OpOverload) for node in program.graph.nodes)


def without_hooks() -> list[str]:
    """The methods that need no look into the network, nor a network of a kind of its own."""
    from . import METHODS

    own = {name: entry.properties for name, entry in METHODS.items() if entry.properties["needs"] != "hooks"}
    return [name for name, properties in own.items() if not properties.get("only") and not properties.get("certainty")]


def working_copy(module: nn.Module) -> nn.Module:
    """A copy, made once per network, whose layers leave their inputs as they are (`inplace` off).

    Raises:
        AttributionError: the network is a program without layers, or cannot be copied.
    """
    check_layers(module)
    return kept(module, "copy", lambda: out_of_place(module))


def out_of_place(module: nn.Module) -> nn.Module:
    """A fresh copy without in-place layers."""
    try:
        made = copy.deepcopy(module)
    except Exception as error:  # foreign modules may not be copied
        raise AttributionError(f"the network cannot be copied: {error}") from error
    for part in made.modules():
        if getattr(part, "inplace", False) is True:
            part.inplace = False  # type: ignore[assignment]
    return made.requires_grad_(False).eval()


@dataclass(frozen=True)
class Layer:
    """What a layer gave for one image.

    Args:
        name: dotted, as `--set layer=NAME` wants it.
        kind: its class.
        shape: of its output for one image, without the batch.
        form: "map" (C, h, w), "last" (h, w, C), "tokens" (prefix + h·w, C); empty where it has no places in the image.
        grid: (h, w) of its places.
        convolution: whether it is one.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    form: str = ""
    grid: tuple[int, int] = (0, 0)
    convolution: bool = False


def layers(module: nn.Module, shape: tuple[int, ...]) -> list[Layer]:
    """The layers of a network that return one tensor, in the order in which they finish on one image (C, H, W).

    Raises:
        AttributionError: a program without layers.
    """
    return kept(module, f"layers {tuple(shape)}", lambda: _probed(working_copy(module), shape))


def _probed(module: nn.Module, shape: tuple[int, ...]) -> list[Layer]:
    names = {part: name for name, part in module.named_modules() if name}
    found: dict[str, tuple[nn.Module, Tensor]] = {}

    def note(part: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim >= 2 and len(output) == 1:
            found.pop(names[part], None)  # a layer that runs twice stands where it ran last
            found[names[part]] = part, output

    hooks = [part.register_forward_hook(note) for part in names]
    try:
        with torch.no_grad():
            some = next(module.parameters(), torch.empty(0))
            module(torch.zeros(1, *shape, device=some.device, dtype=some.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    grids = [tuple(o.shape[-2:]) for p, o in found.values() if isinstance(p, nn.Conv2d)]
    return [_layer(name, part, output, grids) for name, (part, output) in found.items()]


def _layer(name: str, part: nn.Module, output: Tensor, grids: list[tuple[int, ...]]) -> Layer:
    shape = tuple(output.shape[1:])
    form, grid = "", (0, 0)
    if len(shape) == 3:
        # Transformers keep channels last in all but convolutions: the width of a LayerNorm or Linear layer says so.
        widths = getattr(part, "normalized_shape", None) or (getattr(part, "out_features", None),)
        last = not isinstance(part, nn.Conv2d) and widths[-1] == shape[-1] and not _changes_order(part)
        form, grid = ("last", shape[:2]) if last else ("map", shape[1:])
    elif len(shape) == 2:
        fitting = [g for g in grids if 1 < g[0] * g[1] <= shape[0] < g[0] * g[1] + 16]
        form, grid = ("tokens", fitting[0]) if fitting else ("", (0, 0))
    return Layer(name, type(part).__name__, shape, form, (grid[0], grid[1]), isinstance(part, nn.Conv2d))


def _changes_order(part: nn.Module) -> bool:
    return type(part).__name__ == "LayerNorm2d"  # torchvision's and timm's: channels first in and out


def last_layer(module: nn.Module, shape: tuple[int, ...]) -> Layer:
    """The layer whose map the CAM family takes, where none is named.

    The last convolution that has more than one place. A network with a single convolution and LayerNorms after it is a
    transformer and that convolution its patch embedding: there it is the last LayerNorm with a place for each patch whose
    output at the patches reaches the class scores, as the last block's first norm of a ViT (after it only the class token
    counts) and the final norm of a Swin.

    Raises:
        AttributionError: the network has no such layer.
    """
    return kept(module, f"last layer {tuple(shape)}", lambda: _last(module, shape))


def _last(module: nn.Module, shape: tuple[int, ...]) -> Layer:
    found = layers(module, shape)
    convolutions = [layer for layer in found if layer.convolution]
    norms = [layer for layer in found if layer.kind == "LayerNorm" and layer.form in ("tokens", "last")]
    if len(convolutions) == 1 and norms:
        for layer in reversed(norms):
            if _reaches(working_copy(module), layer, shape):
                return layer
    spread = [layer for layer in convolutions if layer.grid[0] * layer.grid[1] > 1] or convolutions
    if not spread:
        raise AttributionError(
            "the network has no convolutional layer", hint="Name one with a map: sig list layers, --set layer=NAME."
        )
    return spread[-1]


def _reaches(module: nn.Module, layer: Layer, shape: tuple[int, ...]) -> bool:
    """Whether the scores depend on the layer's output at more than one place."""
    some = next(module.parameters(), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, *shape, generator=generator).to(some)
    with torch.enable_grad():
        activation, outputs = activations(module, layer, x)
        gradient = torch.autograd.grad(outputs.square().sum(), activation, allow_unused=True)[0]
    return gradient is not None and int((as_map(gradient, layer).abs().sum(1) > 0).sum()) > 1


def named_layer(module: nn.Module, name: str | None, shape: tuple[int, ...]) -> Layer:
    """The layer of that dotted name, or the one found by itself where there is no name.

    Raises:
        UsageError: no such layer, or one without a map.
        AttributionError: nothing to be found.
    """
    if name is None:
        return last_layer(module, shape)
    found = {layer.name: layer for layer in layers(module, shape)}
    if name not in found:
        raise unknown("layer", name, found)
    if not found[name].form:
        raise UsageError(
            f"the layer '{name}' has no places in the image: its output is {found[name].shape}",
            hint="The layers and their outputs: sig list layers --model MODEL.",
        )
    return found[name]


def activations(module: nn.Module, layer: Layer, images: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer gives for images, as the rest of the network depends on it, and the network's outputs."""
    caught: list[Tensor] = []

    def catch(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        output = output if output.requires_grad else output.detach().requires_grad_()
        caught.append(output)
        return output.clone()  # so that what follows in place leaves it as it is

    hook = module.get_submodule(layer.name).register_forward_hook(catch)
    try:
        outputs = module(images)
    finally:
        hook.remove()
    return caught[-1], outputs


def as_map(activation: Tensor, layer: Layer) -> Tensor:
    """(N, …) as the layer gives it → (N, C, h, w); tokens before those of the patches (class token, registers) go."""
    if layer.form == "map":
        return activation
    if layer.form == "last":
        return activation.permute(0, 3, 1, 2)
    h, w = layer.grid
    return activation[:, -h * w :].transpose(1, 2).unflatten(2, (h, w))

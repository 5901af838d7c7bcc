"""One pass through a network, watched from outside: what its layers and functions give, and how the scores depend on it.

The network itself runs, neither copied nor rewritten, so that outputs and gradients are its own whatever its layers
overwrite in place. A result is known by its edge in autograd's graph, which stays the same when the tensor is overwritten
later; its values are copied at the moment at which it is given.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from ..scores.evened import Evened
from ..wrapping import own_layers
from .coordinates import Call, Coordinates, Edge, Grid, grid

Key = tuple[str, int]
"""A result's name and its number among those of the same name in one pass, from 1."""
_GIVE_ONE = frozenset(["setitem", "max", "min"])
"""Functions that give no tensor alone, but one of values: what is written into; a maximum, beside its places."""
_MIXES = re.compile(r"(Addmm|Mm|Bmm|Baddbmm|Mv|Dot|Linear|Convolution|Attention|Lstm|Gru)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Result:
    """A tensor that a layer or a function gave in a pass.

    Args:
        name: of the layer, dotted; of a function `layer:function` (`forward:function` in the network's own forward), with
            `.2` and so on where the layer calls it several times; with `.whole` what it wrote into through a view.
        run: its number among those of the same name.
        kind: the layer's class, or "function".
        shape: with the batch.
        edge: in autograd's graph; None where it does not depend on the image.
        coordinates: where its entries lie, as in `coordinates`; None where that is not known.
    """

    name: str
    run: int
    kind: str
    shape: tuple[int, ...]
    edge: Edge | None
    coordinates: Tensor | None = None

    @cached_property
    def key(self) -> Key:
        """What finds it again in another pass."""
        return self.name, self.run

    @cached_property
    def grid(self) -> Grid | None:
        """How the places of the image lie in it, where they can be told."""
        return grid(self.coordinates, self.shape)

    @cached_property
    def function(self) -> bool:
        """Whether it is no layer's."""
        return ":" in self.name


class Trace(TorchFunctionMode):
    """A pass that can be asked afterwards.

    Args:
        module: (N, C, H, W) → (N, classes).
        keep: results to keep the values of, as they are when given, and the gradient edges where there are any.
        hold: results to replace by other values, in place, so that whatever reads them reads those.
        record: list all results.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        keep: Collection[Key] = (),
        hold: Mapping[Key, Tensor] | None = None,
        record: bool = False,
    ) -> None:
        super().__init__()
        self.values: dict[Key, Tensor] = {}
        self.edges: dict[Key, GradientEdge] = {}
        self.results: list[Result] = []
        self._module, self._keep, self._hold, self._record = module, frozenset(keep), hold or {}, record
        own = own_layers(module)
        self._names: dict[nn.Module, str | None] = dict.fromkeys(module.modules())  # wrappers have no name
        self._names.update({part: name for name, part in own.items()})
        self._running: list[tuple[str | None, Counter[str]]] = []
        self._runs: Counter[str] = Counter()
        self._coordinates = Coordinates()
        self._busy = False

    def run(self, images: Tensor) -> Tensor:
        """The network's outputs for images."""
        edge = edge_of(images) if self._record else None
        if edge:
            self._coordinates.start(edge, images)
        hooks = []
        try:
            for part in self._names:
                hooks.append(part.register_forward_pre_hook(self._entered, prepend=True, with_kwargs=True))
                hooks.append(part.register_forward_hook(self._left, prepend=True, with_kwargs=True, always_call=True))
            with Evened(), self:
                return self._module(images)
        finally:
            for hook in hooks:
                hook.remove()

    def _entered(self, part: nn.Module, _: Any, __: Any) -> None:
        self._running.append((self._names[part], Counter()))

    def _left(self, part: nn.Module, given: Any, __: Any, output: Any) -> None:
        self._running.pop()
        name = self._names[part]
        if not isinstance(output, Tensor) or not name:
            return
        if self._record and not list(part.children()) and given and isinstance(given[0], Tensor):
            known = self._coordinates.get(edge_of(given[0])) if given[0].shape == output.shape else None
            if known is not None and (edge := edge_of(output)):  # of what could not be followed
                self._coordinates.setdefault(edge, known)
        self._given(name, type(part).__name__, output)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._busy:
            return func(*args, **kwargs)
        given = tensors((args, kwargs))
        views = [(t, t._base, t._base._version) for t in given if t._base is not None and not t.is_inference()]
        edges = {id(t): edge_of(t) for t in given} if self._record else {}
        bases = [edge_of(base) for _, base, _ in views] if self._record else []
        for (view, base, _), before in zip(views, bases, strict=False):
            self._coordinates.seen_through(view, edges[id(view)], base, before)
        found = func(*args, **kwargs)
        called = getattr(func, "__name__", type(func).__name__).strip("_")
        gave = [args[0]] if called == "setitem" else tensors(found)
        if edges and gave:
            call = Call(called, func, args, kwargs, given, edges)
            self._coordinates.follow(call, gave, [edge_of(t) for t in gave])
        for (view, base, _), before in zip(views, bases, strict=False):
            self._coordinates.written(view, edge_of(view), base, before, edge_of(base))
        one = [t for t in gave if t.is_floating_point()] if called in _GIVE_ONE else []
        if isinstance(found, Tensor) or len(one) == 1:
            written = next((base for _, base, version in views if base._version != version), None)
            self._called(called, found if isinstance(found, Tensor) else one[0], written)
        return found

    def _called(self, called: str, found: Tensor, written: Tensor | None) -> None:
        """Note what a function gave, and the tensor into a view of which it wrote."""
        where, times = self._running[-1] if self._running else ("", Counter())
        if where is None:
            return
        times[called] += 1
        number = f".{times[called]}" if times[called] > 1 else ""
        name = f"{where or 'forward'}:{called}{number}"
        self._given(name, "function", found)
        if written is not None:
            self._given(f"{name}.whole", "function", written)

    def _given(self, name: str, kind: str, output: Tensor) -> None:
        self._busy = True
        try:
            self._runs[name] += 1
            key = name, self._runs[name]
            if key in self._hold:
                output.copy_(self._hold[key])
            if key in self._keep:
                self.values[key] = output.detach().clone()
                if output.requires_grad:
                    self.edges[key] = get_gradient_edge(output)
            if self._record:
                edge = edge_of(output)
                self.results.append(Result(*key, kind, tuple(output.shape), edge, self._coordinates.get(edge)))
        finally:
            self._busy = False


def tensors(given: Any) -> list[Tensor]:
    """The tensors in arguments or results."""
    if isinstance(given, Tensor):
        return [given]
    if isinstance(given, Mapping):
        given = list(given.values())
    return [t for part in given for t in tensors(part)] if isinstance(given, (list, tuple)) else []


def edge_of(tensor: Tensor) -> Edge | None:
    """A tensor's edge; None where it does not depend on the image."""
    with torch._C.DisableTorchFunction():
        return None if tensor.grad_fn is None else (tensor.grad_fn, tensor.output_nr)


@dataclass(frozen=True, eq=False)
class Cut:
    """An edge of the graph through which all dependence of the outputs on the image goes.

    Args:
        edge: of the graph.
        operation: autograd's name of what gives it, such as "ReluBackward0".
        mixed: between it and the outputs channels are mixed: by a linear layer, a convolution or attention.
    """

    edge: Edge
    operation: str
    mixed: bool


def cuts(outputs: Tensor, source: Any) -> list[Cut]:
    """The edges that every path from the outputs to the source goes through, from the outputs on.

    In a topological order a node is on every path exactly if nothing else is waiting when its turn comes.

    Args:
        outputs: of the network.
        source: the node of autograd's graph that gave the image.
    """
    root: Any = outputs.grad_fn
    leading = _leading(root, source)
    waiting: Counter[Any] = Counter()
    numbers: defaultdict[Any, set[int]] = defaultdict(set, {root: {outputs.output_nr}})
    for node in leading:
        for following, number in node.next_functions:
            if following in leading:
                waiting[following] += 1
                numbers[following].add(number)
    found: list[Cut] = []
    ready: list[Any] = [root] if leading else []
    pending, mixed = {root}, False
    while ready:
        node = ready.pop()
        if len(pending) == 1 and len(numbers[node]) == 1:
            found.append(Cut((node, next(iter(numbers[node]))), node.name(), mixed))
        pending.discard(node)
        mixed = mixed or bool(_MIXES.match(node.name()))
        for following, _ in node.next_functions:
            if following in leading:
                pending.add(following)
                waiting[following] -= 1
                if not waiting[following]:
                    ready.append(following)
    return found


def _leading(root: Any, source: Any) -> set[Any]:
    """The nodes on paths from the root to the source."""
    before: defaultdict[Any, list[Any]] = defaultdict(list)
    seen, stack = {root}, [root]
    while stack:
        node = stack.pop()
        for following, _ in node.next_functions if node is not None and node is not source else ():
            if following is not None:
                before[following].append(node)
                if following not in seen:
                    seen.add(following)
                    stack.append(following)
    found, stack = ({source}, [source]) if source in seen else (set(), [])
    while stack:
        for node in before[stack.pop()]:
            if node not in found:
                found.add(node)
                stack.append(node)
    return found

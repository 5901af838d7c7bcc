"""What all classes of `sigcli.captum` share: captum's `Attribution` interface over one method of the catalogue."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..catalog import Entry
from ..errors import UsageError
from ..methods import METHODS
from ..methods.run import Job, explain_all
from ..types import Attribution, Peers, Subject
from .function import Function, Inputs, as_images, check_finite, check_function, content_key, parts_of, references
from .names import class_name

BATCH = 64
"""Points per gradient evaluation where `internal_batch_size` is not given; fewer where an example has fewer."""
_LEAST = 16


class PathAttribution:
    """A method of `sig` with the interface of captum's `Attribution`; the subclasses say which method.

    Args:
        forward_func: inputs → outputs (N, …), a module or a function.
        multiply_by_inputs: False for the gradients along the path without the factor input - baseline, as in captum;
            `IntegratedGradients` and `InputXGradient` alone take it.

    Raises:
        UsageError: `multiply_by_inputs=False` for a method that cannot do without the factor.
    """

    method: ClassVar[str]
    """The method's name in the catalogue: what `--method` takes."""
    unmultiplied: ClassVar[bool] = False
    """Whether `multiply_by_inputs=False` is taken."""

    def __init__(self, forward_func: Callable[..., Tensor], multiply_by_inputs: bool = True):
        if not multiply_by_inputs and not self.unmultiplied:
            named, multiplied = class_name(self.entry), METHODS[self.method].properties["multiplied"]
            what = "always multiplies by input - baseline" if multiplied else "has no such option"
            raise UsageError(f"{named} {what}", given="multiply_by_inputs=False")
        self.forward_func = forward_func
        self._multiply = multiply_by_inputs
        self._steady: set[Any] = set()

    @property
    def entry(self) -> Entry:
        """The method's line in the catalogue."""
        return METHODS[self.method]

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether attributions have the factor input - baseline, as captum's metrics ask."""
        return self._multiply and bool(self.entry.properties["multiplied"])

    def has_convergence_delta(self) -> bool:
        """Whether `attribute` can return the convergence delta: of methods whose values sum to a score difference."""
        return bool(self.entry.properties["complete"])

    def attribute(self, inputs: Inputs, *given: Any, **options: Any) -> Any:
        """Attribute the outputs to the inputs; each subclass has a signature of its own.

        Args:
            inputs: (N, …) floats, or a tuple of such tensors.
            given: baselines, target and more in captum's order.
            options: those of the method by name, and internal_batch_size, return_convergence_delta, seed.

        Returns:
            Attributions of the inputs' shape, in the output's unit; with return_convergence_delta also the delta, (N,).

        Raises:
            UsageError: inputs, targets or options that cannot be used.
            ModelError: a network in training mode, or one whose score of an example depends on the others in its batch.
        """
        raise NotImplementedError

    def attribute_future(self, *given: Any, **options: Any) -> Any:
        """Not available, as in captum; `attribute` computes at once.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("attribute_future is not available; call attribute")

    @torch.inference_mode(mode=False)
    def compute_convergence_delta(
        self, attributions: Inputs, start_point: Any, end_point: Inputs, target: Any = None,
        additional_forward_args: Any = None,
    ) -> Tensor:  # fmt: skip
        """Σ attributions - (F(end) - F(start)) of each example, (N,).

        Args:
            attributions: what `attribute` returned.
            start_point: the baselines, as `attribute` takes them.
            end_point: the inputs.
            target: as for `attribute`.
            additional_forward_args: as for `attribute`.

        Raises:
            UsageError: a method whose paths begin at random points, or that claims no sum.
        """
        self._check_delta()
        if not self._ends_known:
            hint = "Ask for it with attribute(…, return_convergence_delta=True)."
            raise UsageError(f"{class_name(self.entry)} starts at points of its own, not at one baseline", hint=hint)
        return self._delta(attributions, parts_of(end_point), start_point, target, additional_forward_args)

    @property
    def _ends_known(self) -> bool:
        """Whether every path leads from the baseline to the input."""
        return "baseline" in self.entry.options()

    def _check_delta(self) -> None:
        if not self.has_convergence_delta():
            raise UsageError(f"{class_name(self.entry)} claims no sum, so it has no convergence delta")

    def _delta(self, attributions: Inputs, parts: tuple[Tensor, ...], start: Any, target: Any, extra: Any) -> Tensor:
        function, rows = Function.of(self.forward_func, parts, target, extra), torch.arange(len(parts[0]))
        values = attributions if isinstance(attributions, tuple) else (attributions,)
        ends = as_images(parts), as_images(references(start, parts))
        scores = [
            torch.cat([function.scores(images[part], part) for part in rows.split(BATCH)]).double() for images in ends
        ]
        sums = torch.stack([one.flatten(1).double().sum(1) if one.dim() > 1 else one.double() for one in values]).sum(0)
        return (sums - (scores[0] - scores[1]).to(sums.device)).to(parts[0].dtype).detach()

    def _run(
        self, inputs: Inputs, start: Any, target: Any, extra: Any, batch_size: int | None, *, delta: bool, seed: int,
        options: Mapping[str, Any],
    ) -> Any:  # fmt: skip
        """Attributions in the inputs' form, and where `delta` is wanted the convergence delta.

        Args:
            inputs: (N, …) or a tuple of such tensors.
            start: captum's baselines; of a method without any, None.
            target: captum's target.
            extra: captum's additional_forward_args.
            batch_size: points per gradient evaluation; None for the usual number.
            delta: also return Σ attributions - the score difference, (N,).
            seed: seed of the random draws.
            options: options of the method, without its baseline.
        """
        if delta:
            self._check_delta()
        if batch_size is not None and batch_size < 1:
            raise UsageError("internal_batch_size must be at least 1", given=batch_size)
        parts = parts_of(inputs)
        images = as_images(parts)
        if not self.entry.properties["arrays"] and images is not parts[0]:
            given = [tuple(part.shape) for part in parts]
            raise UsageError(f"{class_name(self.entry)} explains pictures alone", given=given, allowed="(N, C, H, W)")
        function = Function.of(self.forward_func, parts, target, extra)
        peers, starts = self._starts(start, parts)
        check_function(function, images, images * 0 if starts is None else starts, self._steady)
        size = batch_size or _usual(self.entry, options, len(images))
        sought = delta and not self._ends_known  # the scores at both ends of each path, a pass for each
        subjects = self._subjects(images, seed, peers)
        found = list(self._attributed(function, subjects, starts, options, size, check=1 if sought else 0))
        values = shaped(found, inputs)
        if not delta:
            return values
        if self._ends_known:
            return values, self._delta(values, parts, start, target, extra)
        gaps = [float(a.values.double().sum()) - (a.total or 0.0) for a in found]
        return values, torch.tensor(gaps, dtype=parts[0].dtype)

    def _starts(self, start: Any, parts: tuple[Tensor, ...]) -> tuple[Peers | None, Tensor | None]:
        """What the paths start from: the references that are drawn from, or a baseline for each example."""
        options, named = self.entry.options(), class_name(self.entry)
        if "baseline" in options:
            return None, as_images(references(start, parts))
        if "baselines" in options:
            return drawn_from(start, parts, named), None
        if start is not None:
            hint = "Leave them out: its points come from the input alone. A target goes by name: target=…."
            raise UsageError(f"{named} takes no baselines", hint=hint)
        return None, None

    def _subjects(self, images: Tensor, seed: int, peers: Peers | None) -> Iterator[Subject]:
        for row, x in enumerate(images):
            level = torch.zeros((x.shape[0], 1, 1), dtype=x.dtype, device=x.device)
            yield Subject(x.detach(), row, level, level + 1, content_key(x), seed, peers)

    def _attributed(
        self, function: Function, subjects: Iterator[Subject], starts: Tensor | None, options: Mapping[str, Any], size: int,
        *, check: int,
    ) -> Iterator[Attribution]:  # fmt: skip
        """An attribution for each example, by the plans and in the batches of `sig explain`."""
        entry = self.entry
        entry = entry if self._multiply else Unmultiplied(entry.name, entry.target, entry.summary, entry.properties)
        jobs = (
            Job(entry, options if starts is None else {**options, "baseline": starts[who.target].detach()}, who, None)
            for who in subjects
        )
        for _, found in explain_all(jobs, function, batch_size=size, check=check, contain=False):
            if isinstance(found, Attribution):
                yield found


def _usual(entry: Entry, options: Mapping[str, Any], rows: int) -> int:
    """Points per gradient evaluation by those of one example, not of all: values must not depend on the others.

    Batches are filled up, so 8 points in a batch of 64 would take the time of 64. Where an example has one point, examples
    share a batch: how many there are, but not which, decides the last bits of its values.
    """
    budget = entry.properties.get("budget", "")
    if not budget:
        return min(_LEAST, rows)
    counts = [options[name] for name in ("samples", "steps") if isinstance(options.get(name), int)]
    return min(BATCH, max(_LEAST, math.prod(counts))) if budget in ("samples", "steps") else BATCH


class Unmultiplied(Entry):
    """A path method whose gradients are not multiplied by input - baseline."""

    def load(self, fact: str | None = None) -> Callable[..., Any]:
        """The method's function, its plans without the factor."""
        function = super().load(fact)
        return lambda subject, **options: replace(function(subject, **options), multiply=False)


@dataclass(frozen=True, eq=False)
class References:
    """The examples that a method draws its references from: captum's distribution of baselines. Fulfils `Peers`.

    Args:
        images: (M, C, H, W).
    """

    images: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> Tensor:
        """One of them, (C, H, W)."""
        return self.images[index]

    def mean(self) -> Tensor:
        """Their mean, (C, H, W)."""
        return self.images.mean(0)

    def keys(self) -> Sequence[int]:
        """None that an example has: captum draws from all of them, the example itself included."""
        return [-1] * len(self.images)


def drawn_from(baselines: Any, parts: tuple[Tensor, ...], named: str) -> References:
    """The references of a method that draws them, from captum's `baselines`: for each input (M, …) examples.

    Raises:
        UsageError: none are given, or they do not have the inputs' shape.
    """
    allowed = f"for each input a tensor (M, {', '.join(map(str, parts[0].shape[1:]))}) of M examples"
    if baselines is None:
        raise UsageError(f"{named} draws its references from baselines, and none are given", allowed=allowed)
    given = baselines if isinstance(baselines, tuple) else (baselines,)
    fits = len(given) == len(parts) and all(
        isinstance(one, Tensor) and one.shape[1:] == part.shape[1:] and len(one) == len(given[0]) and len(one)
        for one, part in zip(given, parts, strict=True)
    )
    if not fits:
        shapes = [tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__ for one in given]
        raise UsageError(f"the baselines of {named} do not have the inputs' shape", given=shapes, allowed=allowed)
    check_finite("a baseline", given)
    return References(as_images(tuple(one.detach().to(part) for one, part in zip(given, parts, strict=True))))


def shaped(found: Sequence[Attribution], inputs: Inputs) -> Inputs:
    """Attributions in the inputs' shape, type and form."""
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    values = torch.stack([a.values for a in found]).flatten(1).to(parts[0].dtype)
    split = values.split([p[0].numel() for p in parts], dim=1)
    whole = tuple(v.reshape(p.shape) for v, p in zip(split, parts, strict=True))
    return whole if isinstance(inputs, tuple) else whole[0]

"""Networks of two images: telling them from the others, and trying them out with one."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from sigcli.errors import ModelError
from sigcli.wrapping import Wrapper

from ..checks import WRAP, attempt
from ..sources.factory import Function

PARTNER = "Name the second image with --partner FILE."
_KINK = "the network's distance has no gradient where both images are equal: add a small number under its root"


class Twin(Wrapper):
    """A network of two images, which with one image gives its distance to that image turned upside down.

    So everything that is tried out, checked and rearranged for networks of one image works with it as well.

    Args:
        inner: ((N, C, H, W), (N, C, H, W)) → (N,) or (N, 1).
    """

    def forward(self, images: Tensor, partners: Tensor | None = None) -> Any:
        """Distances: (N,) of two batches of images, (N, 1) of one batch and its images upside down."""
        if partners is not None:
            return self.inner(images, partners).reshape(-1)
        found = self.inner(images, images.flip(2))
        single = isinstance(found, Tensor) and tuple(found.shape) == (len(images),)
        return found[:, None] if single else found


def inputs_of(module: nn.Module) -> int:
    """How many inputs a network requires; 1 where that cannot be told.

    >>> inputs_of(nn.Linear(2, 1)), inputs_of(nn.Bilinear(2, 2, 1))
    (1, 2)
    """
    schema = getattr(getattr(module, "forward", None), "schema", None)
    if schema is not None:
        return sum(not argument.has_default_value() for argument in schema.arguments[1:])
    call = module.function if isinstance(module, Function) else module.forward
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return max(1, sum(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters))


def fitted(module: nn.Module, inputs: int, *, pair: bool) -> tuple[nn.Module, tuple[str, ...]]:
    """The network to go on with: a network of two images as a `Twin`, any other as it is; and notes.

    Args:
        module: the network.
        inputs: how many images it takes.
        pair: whether the user named a second image.

    Raises:
        ModelError: two images for a user who named one, or more than two.
    """
    if inputs > 2:
        raise ModelError("the network takes more than two images", given=f"{inputs} inputs", hint=WRAP)
    if inputs == 2 and not pair:
        raise ModelError("the network takes two inputs", hint=f"Is it a distance of two images? {PARTNER}")
    if inputs == 2:
        return Twin(module), ()
    return module, ("the network takes one image: its output is taken as an embedding",) if pair else ()


def check_twin(module: Twin, sample: Tensor) -> tuple[str, ...]:
    """A note where the distance of an image to itself has no finite gradient.

    Raises:
        ModelError: the network gives anything but one distance for each pair.
    """
    found, reason = attempt(module, sample)
    if reason is None and (not isinstance(found, Tensor) or tuple(found.shape) != (len(sample), 1)):
        given = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ModelError(
            "a network of two images must return one distance for each pair",
            given=f"{given} for {len(sample)} pairs",
            allowed=f"({len(sample)},) or ({len(sample)}, 1)",
        )
    if reason is not None or not isinstance(found, Tensor):
        return ()  # check_classifier says so
    here, same = _gradient(module, sample, sample.flip(2)), _gradient(module, sample, sample.clone())
    if here is None and _gradient(module, sample.flip(2), sample, second=True) is not None:
        raise ModelError(
            "the network's distance does not depend on its first image",
            hint="A program exported or traced with one tensor for both images sees only one: give it two different ones.",
        )
    return () if same is None or bool(same.isfinite().all()) else (_KINK,)


def _gradient(module: Twin, one: Tensor, other: Tensor, *, second: bool = False) -> Tensor | None:
    """Gradient of the distances by the first image, or the second; None where there is none."""
    images = (other if second else one).detach().clone().requires_grad_()
    with torch.enable_grad():
        distances = module(one, images) if second else module(images, other)
        if not distances.requires_grad:
            return None
        return torch.autograd.grad(distances.sum(), images, allow_unused=True)[0]

"""Foreign networks made to fit: any batch of float32 images in, one row of float32 scores per image out."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sigcli.wrapping import Wrapper

from ..checks import attempt
from ..sources.factory import Function
from .fixed_batch import FixedBatch
from .twins import Twin

_BATCHES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 48, 64)
_TYPES = re.compile(r"dtype|same type|type \(|Half|BFloat16|Double|scalar type", re.IGNORECASE)


class Arrays(Wrapper):
    """A function of numpy arrays, or one that returns them, as a module of tensors.

    Args:
        inner: what is called.
        numpy: give it float32 arrays (N, C, H, W) and no tensors.
    """

    def __init__(self, inner: nn.Module, *, numpy: bool = False):
        super().__init__(inner)
        self.numpy = numpy

    def forward(self, images: Tensor) -> Any:
        """(N, C, H, W) → (N, classes)."""
        if self.numpy:
            found = getattr(self.inner, "function", self.inner)(images.detach().cpu().numpy())
        else:
            found = self.inner(images)
        return torch.as_tensor(found, device=images.device) if isinstance(found, np.ndarray) else found


class Copied(Wrapper):
    """A network that writes into its input, given a copy.

    Args:
        inner: (N, C, H, W) → (N, classes).
    """

    def forward(self, images: Tensor) -> Any:
        """(N, C, H, W) → (N, classes); the images stay as they are."""
        return self.inner(images.clone())


class Listed(Wrapper):
    """A network of a list of images, one tensor (C, H, W) each, for a batch of them.

    Args:
        inner: N images of any size → N results, or a tensor with a row for each.
    """

    def forward(self, images: Tensor) -> Any:
        """(N, C, H, W) → (N, classes)."""
        found = self.inner(list(images))
        rows = isinstance(found, (list, tuple)) and all(isinstance(row, Tensor) for row in found)
        return torch.stack(list(found)) if rows and len({row.shape for row in found}) == 1 else found


class Single(Wrapper):
    """A network of one image (C, H, W) without an axis for the batch, for batches of one.

    Args:
        inner: (C, H, W) → (classes,).
    """

    def forward(self, images: Tensor) -> Any:
        """(1, C, H, W) → (1, classes)."""
        found = self.inner(images[0])
        return found.reshape(1, -1) if isinstance(found, Tensor) and found.ndim < 2 else found


class Columns(Wrapper):
    """A network whose scores (N,), or (N, K, 1, 1), become (N, K).

    Args:
        inner: takes (N, C, H, W).
    """

    def forward(self, images: Tensor) -> Any:
        """(N, C, H, W) → (N, K)."""
        return self.inner(images).reshape(len(images), -1)


def fit(module: nn.Module, images: Tensor, *, columns: bool = True) -> tuple[nn.Module, tuple[str, ...], str | None]:
    """Make a network take a batch of float32 images, where that needs no guess about what it computes.

    Args:
        module: on its device.
        images: (N, C, H, W) of the size that is tried, N at least 2; or N samples of another shape.
        columns: also make scores of another shape (N, K).

    Returns:
        the network, notes on what was done, and why it still does not take the images, or None where it does.
    """
    notes: tuple[str, ...] = ()
    reason = refusal(module, images)
    for change in (_in_float32, _from_numpy, _as_list, _in_pieces):
        if reason is None:
            break
        changed = change(module, images, reason)
        if changed is not None:
            module, notes = changed[0], (*notes, changed[1])
            reason = refusal(module, images)
    if reason is None:
        module, more = _paired(module, images)
        notes += more
        module, more = _shaped(module, images, columns=columns)
        notes += more
    return module, notes, reason


def refusal(module: nn.Module, images: Tensor) -> str | None:
    """Why a network does not turn images into as many rows of scores; None if it does, or gives something else."""
    output, reason = attempt(module, images.clone())
    if reason is not None:
        return reason
    scores = getattr(output, "logits", output)
    if isinstance(scores, (Tensor, np.ndarray)) and scores.ndim in (1, 2) and len(scores) != len(images):
        return f"{len(scores)} row{'s' * (len(scores) != 1)} of scores for {len(images)} images"
    if isinstance(scores, (Tensor, np.ndarray)) and scores.ndim == 0:
        return "a single number" if len(images) == 1 else f"a single number for {len(images)} images"
    return None  # any other output is named by check_classifier


def quantised(module: nn.Module) -> bool:
    """Whether a network quantises its activations by the range of the whole batch (torch's dynamic quantisation)."""
    if any("quantized.dynamic" in type(part).__module__ for part in module.modules()):
        return True
    scripts = (part for part in module.modules() if isinstance(part, torch.jit.ScriptModule))
    return any("quantized::linear_dynamic" in str(getattr(part, "inlined_graph", "")) for part in scripts)


def _in_float32(module: nn.Module, _: Tensor, reason: str) -> tuple[nn.Module, str] | None:
    """Weights of another precision as float32, where that is what the network objects to."""
    kinds = {p.dtype for p in module.parameters() if p.is_floating_point() and p.dtype != torch.float32}
    if not kinds or not _TYPES.search(reason):
        return None
    names = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
    return module.float(), f"the network's weights are {names}: they are used as float32"


def _from_numpy(module: nn.Module, images: Tensor, _: str) -> tuple[nn.Module, str] | None:
    """A plain function that wants numpy arrays."""
    if not isinstance(module, Function) or attempt(Arrays(module, numpy=True), images)[1] is not None:
        return None
    return Arrays(module, numpy=True), "the function is given numpy arrays"


def _as_list(module: nn.Module, images: Tensor, _: str) -> tuple[nn.Module, str] | None:
    """A network that wants a list of images, as detectors do."""
    if isinstance(module, (FixedBatch, Twin)) or refusal(Listed(module), images) is not None:
        return None
    return Listed(module), "the network takes a list of images, one tensor (C, H, W) each: it is given one"


def _in_pieces(module: nn.Module, images: Tensor, reason: str) -> tuple[nn.Module, str] | None:
    """A network of one batch size."""
    if isinstance(module, (FixedBatch, Twin)):
        return None
    pieces = ((1, module), (1, Columns(module)), (1, Single(module)), *((count, module) for count in _BATCHES))
    for count, one in pieces:
        if count != len(images) and refusal(one, images[:1].repeat(count, *(1,) * (images.ndim - 1))) is None:
            what = "one image" if count == 1 else f"{count} images"
            takes = f"the network takes {what} at a time: batches are split or padded to that"
            if attempt(module, images.clone())[1] is None:  # it takes the batch, and gives something else than rows
                takes = f"the network returns {reason}: it is given {what} at a time"
            return FixedBatch(Arrays(one), count), takes
    return None


def _paired(module: nn.Module, images: Tensor) -> tuple[nn.Module, tuple[str, ...]]:
    """A network that takes two images and not one."""
    if len(images) != 2 or isinstance(module, (FixedBatch, Twin)) or attempt(module, images[:1].clone())[1] is None:
        return module, ()
    return FixedBatch(module, 2), ("the network takes 2 images at a time: batches are split or padded to that",)


def _shaped(module: nn.Module, images: Tensor, *, columns: bool) -> tuple[nn.Module, tuple[str, ...]]:
    """The output as (N, K) where it differs by axes of length 1 or by being a numpy array; the input left as it was."""
    notes: tuple[str, ...] = ()
    given = images.clone()
    output, _ = attempt(module, given)
    if isinstance(module, Twin):
        return module, notes
    if isinstance(output, np.ndarray):
        module, output = Arrays(module), torch.as_tensor(output)
    if not torch.equal(given, images):
        module, notes = Copied(module), ("the network changes its input in place, so it gets a copy",)
    if columns and isinstance(output, Tensor) and output.is_floating_point() and len(output) == len(images):
        alone, _ = attempt(module, images[:1].clone())
        squeezed = output.ndim == 2 and isinstance(alone, Tensor) and alone.shape == output.shape[1:]
        if squeezed or output.ndim == 1 or (output.ndim == 4 and tuple(output.shape[2:]) == (1, 1)):
            shape, of = (alone.shape, "one image") if squeezed else (output.shape, f"{len(images)} images")
            module = Columns(module)
            notes += (f"the network returns scores of shape {tuple(shape)} for {of}: they are read as a row per image",)
    if quantised(module) and not isinstance(module, FixedBatch):
        module = FixedBatch(module, 1)
        notes += ("the network quantises a batch by its range: it is given one image at a time",)
    return module, notes

"""Models of arrays: from what a user typed after `--model` to a checked network that takes rows of features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sigcli.errors import ImageError, ModelError
from sigcli.wrapping import Wrapper

from ..checks import WRAP, attempt, check_classifier, one_line
from ..device import place_of
from ..fold import freeze
from ..heads import AUTO, read_head
from ..labels import read_names
from ..loading import name_of, source_of
from ..model import AS_FOUND, Model, Reading, Source
from ..preprocess import Preprocess, Size
from ..sources.factory import given_network
from .fitting import fit
from .fixed_batch import LACKS, FixedBatch
from .parts import named_part, plain_output
from .twins import inputs_of

_SPREADS = (0.1, 0.1, 1.0, 1.0, 10.0, 10.0, 1000.0, 1000.0)
_TRIALS = 1 + len(_SPREADS)
"""A sample, and how far others are from it that a network is tried with."""
_ROWS = 8
"""So many rows of a sample, and the last, are tried alone."""


@dataclass(frozen=True)
class ArrayInput(Preprocess):
    """How an array becomes the network's input: as it is, laid out as (1, 1, F); it stands where images have `Preprocess`.

    Arrays have no range: 0 and 1 stand for low and high, so a fraction of the range is a number in the array's unit.

    Args:
        shapes: number of features F → the shape of samples that have so many.
    """

    resize: Size | None = None
    crop: Size | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    shapes: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    def __call__(self, pixels: np.ndarray) -> Tensor:
        """An array of any shape → float32 (1, 1, F)."""
        if self.shapes.get(pixels.size) != pixels.shape:
            raise ImageError("the sample's shape changed since the run began", given=pixels.shape)
        return torch.from_numpy(pixels).reshape(1, 1, -1)

    @property
    def size(self) -> tuple[int, int]:
        """(1, F) of the longest sample."""
        return 1, max(self.shapes)


class Rows(Wrapper):
    """A network of arrays as one of rows of features.

    Args:
        inner: (N, *shape) → (N, K), or (N,) for a single output.
        shapes: number of features → shape of a sample.
    """

    def __init__(self, inner: nn.Module, shapes: Mapping[int, tuple[int, ...]]):
        super().__init__(inner)
        self.shapes = dict(shapes)

    def forward(self, rows: Tensor) -> Any:
        """(N, 1, 1, F) → (N, K)."""
        found = self.inner(rows.reshape(len(rows), *self.shapes[rows[0].numel()]))
        single = isinstance(found, Tensor) and tuple(found.shape) == (len(rows),)
        return found[:, None] if single else found


def load_array_model(
    spec: str | nn.Module,
    samples: Sequence[Tensor],
    shapes: Mapping[int, tuple[int, ...]],
    *,
    weights: str | None = None,
    device: torch.device | str = "cpu",
    class_names: str | Path | None = None,
    targeted: bool = False,
    reading: Reading = AS_FOUND,
) -> Model:
    """Load a network of arrays and check it on true samples.

    Args:
        spec: a TorchScript or `.pt2` file, `package.module:function`, or a network, of which a copy is taken.
        samples: (1, 1, F) arrays of one shape to try it with.
        shapes: number of features → shape of a sample.
        weights: see `sigcli.models.sources.factory.load`.
        device: where to run.
        class_names: a file with the names of the outputs.
        targeted: the output that is explained was named, and not left to be found.
        reading: see `sigcli.models.loading.load_model`.

    Raises:
        ModelError: a network of pictures, or none that gives differentiable scores for such samples; or one that gives every
            row of a sample a score of its own, as it does where several samples were taken for one.
    """
    place = place_of(device)
    source = _source(spec, weights, place)
    inner = source.module.to(place)
    freeze(inner)
    inputs = source.inputs or inputs_of(inner)
    if inputs != 1:
        raise ModelError("the network must take one array", given=f"{inputs} inputs", hint=WRAP)
    trials = _trials(samples[0]).to(place)
    batch = trials[:2]
    shape = shapes[math.prod(batch.shape[1:])]
    inner, fitted, _ = fit(inner, batch.reshape(len(batch), *shape), columns=False)
    module = Rows(inner, shapes)
    _check_shape(module, batch, shapes)
    network, notes = plain_output(module, batch, named_part(reading.part))
    verdict = check_classifier(network, batch)
    classes = verdict.classes
    if not targeted and len(shape) > 1 and classes == shape[0] > 1:
        _check_alone(network, trials, shape)
    outputs, read = read_head(reading.head, None, network, trials, usual=2)
    names, named = (None, ()) if class_names is None else read_names(class_names, classes)
    heard = () if reading.head == AUTO and outputs.kind == "logit" else read
    return Model(
        name=name_of(spec),
        module=network,
        preprocess=ArrayInput(shapes=shapes),
        labels=names,
        classes=classes,
        weights_hash=source.weights_hash,
        kind=source.kind,
        weights=source.weights,
        device=place,
        notes=(*source.notes, *fitted, *notes, *verdict.notes, *heard, *named),
        head=outputs,
        lacks=_lacks(verdict.lacks, fixed=isinstance(inner, FixedBatch)),
    )


def _trials(sample: Tensor) -> Tensor:
    """A true sample, and the same under noise of several sizes."""
    noise = torch.randn((_TRIALS - 1, *sample.shape), generator=torch.Generator().manual_seed(0))
    return torch.cat([sample[None], sample + torch.tensor(_SPREADS)[:, None, None, None] * noise])


def _lacks(found: Mapping[str, str], *, fixed: bool) -> dict[str, str]:
    """What methods cannot have of the network, and why; its layers neither where it has no gradients."""
    if not found and not fixed:
        return {}
    return {**found, "hooks": found.get("gradients", LACKS.format("samples"))}


def _source(spec: str | nn.Module, weights: str | None, place: torch.device) -> Source:
    if isinstance(spec, nn.Module):
        return given_network(spec, weights)
    entry = source_of(spec)
    if entry.properties["arrays"] is None:
        raise ModelError(
            f"{spec} is a network for images and cannot explain arrays",
            allowed="a TorchScript or .pt2 file, or package.module:function",
        )
    try:
        return entry.load("arrays")(spec, weights, place)
    except (RuntimeError, NotImplementedError) as error:
        raise ModelError(f"the network cannot be loaded: {one_line(error)}", given=spec, hint=WRAP) from error


def _check_shape(module: nn.Module, batch: Tensor, shapes: Mapping[int, tuple[int, ...]]) -> None:
    """Say it in the words of the user's array where the network does not take it: nobody typed (N, 1, 1, F)."""
    shape = shapes[math.prod(batch.shape[1:])]
    output, reason = attempt(module, batch)
    if reason is not None and "in-place" not in reason:
        raise ModelError(
            f"the network does not take samples of shape {shape}: {reason}", given=f"(2, {', '.join(map(str, shape))})",
            hint="A batch has one axis more than a sample: sample.npy holds x, and the network is given x[None]."
            + (" A grey picture is a PIL image, a uint8 array (H, W) or a tensor (1, H, W)." if len(shape) == 2 else ""),
        )  # fmt: skip
    if isinstance(output, Tensor) and (output.ndim != 2 or len(output) != 2):
        raise ModelError(
            "the network does not return one row of scores per sample",
            given=f"shape {tuple(output.shape)} for 2 samples of {shape}",
            allowed="(2, K), or (2,) for one score",
            hint=WRAP,
        )


def _check_alone(network: nn.Module, trials: Tensor, shape: tuple[int, ...]) -> None:
    """Raise ModelError where the output i of a sample is a function of its row i alone, for every i that is tried."""
    count = shape[0]
    one, other = (trials[i].reshape(count, -1) for i in (0, len(trials) // 2))
    tried = sorted({*range(min(count, _ROWS)), count - 1})
    changed = torch.stack(
        [one, *(torch.where((torch.arange(count, device=one.device) == i)[:, None], other, one) for i in tried)]
    )
    with torch.no_grad():
        scores = network(changed.reshape(-1, *trials.shape[1:]))
    differ = scores[1:] != scores[:1]
    alone = torch.zeros_like(differ)
    alone[torch.arange(len(tried)), torch.tensor(tried)] = True
    if bool((differ == alone).all()):
        raise ModelError(
            f"the network scores each of the {count} rows of a sample by itself, as if they were {count} samples",
            given=f"shape {shape}: one sample, {count} outputs",
            hint="Give each row as a sample (a .npy file each, or list(rows)); or name the output: --target INDEX.",
        )

"""Methods tried up to their first pass of the model, so a mistake in a command costs nothing. No printing.

Closed forms for scores of one kind are asked a little more: a few passes show whether the network has any such score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..engine.batch_size import Batches
from ..engine.passes import Passes
from ..engine.plan import Plan
from ..errors import ImageError, MisfitError, SigError, UsageError
from ..inputs.arrays import is_array_path
from ..inputs.given import Given, Source
from ..inputs.picture import Picture
from ..methods.absence import check_presence
from ..methods.deferred import Deferred
from ..methods.folded import unfolded
from ..methods.given import GivenMethod
from ..methods.libragrad import check_corrected
from ..methods.places import last_layer
from ..methods.run import is_direct
from ..methods.score_kinds import check_kind
from ..models.model import Model
from ..scores.score import Score
from ..types import Subject
from .samples import Pictures
from .select import Chosen

_SIDE = 128


class _Reached(Exception):  # noqa: N818 - it is no error
    """The method has come to its first pass: its options are such that it can begin."""


def _pass(*_: Any, **__: Any) -> Any:
    raise _Reached


class _Tried(Passes):
    """Passes that are not made."""

    score = scores = gradients = spent = _pass


class _Modelless(_Tried):
    """Passes where there is no model yet."""

    @property
    def module(self) -> nn.Module:
        raise _Reached


class _NoScore:
    """The score of no model."""

    scores = gradients = _pass


class _Alike:
    """Stands in for the other images; they are not read."""

    def __init__(self, x: Tensor, count: int):
        self._x, self._count = x, count

    def __len__(self) -> int:
        return self._count

    def keys(self) -> Sequence[int]:
        return list(range(1, self._count + 1))

    def image(self, index: int) -> Tensor:  # noqa: ARG002
        return self._x

    def mean(self) -> Tensor:
        return self._x


def rehearse(samples: Pictures, model: Model, methods: Sequence[Chosen], scorer: Score, seed: int) -> tuple[str, ...]:
    """Begin every method with a made-up picture of the samples' size, as far as that takes no pass of the model.

    The first sample must not decide: an option that fits none is a mistake in the command, and one that fits only some makes
    the others failed items. So where samples differ in size, one size that fits is enough; arrays stand for themselves.
    A method that fits neither the network nor the output is told here, and not once for each image.

    Args:
        samples: what is explained.
        model: loaded.
        methods: with their options. Functions of a program are not called.
        scorer: the score F.
        seed: of the run.

    Returns:
        notes of the layers that methods take by themselves.

    Raises:
        UsageError: an option that cannot be used: a count below 1, an unknown layer or baseline, players that do not fit;
            or methods that fit neither the network nor the output, all of them named.
    """
    shapes: list[tuple[int, ...]] = []
    if found := unfit(samples, model, methods, scorer, seed, shapes):
        raise _refusal(found, methods, model)
    return _layers_taken(methods, _Tried(scorer, Batches(1)), shapes[-1]) if shapes else ()


def _layers_taken(methods: Sequence[Chosen], passes: Passes, shape: tuple[int, ...]) -> tuple[str, ...]:
    """A note for each layer that methods take where none is named, for inputs (C, H, W)."""
    taken: dict[str, list[str]] = {}
    for chosen in methods:
        if chosen.resolved().get("layer", "") is None:
            with suppress(SigError):  # told where the image is explained
                taken.setdefault(last_layer(unfolded(passes.module), shape).name, []).append(chosen.name)
    hint = "others: sig list layers, --set layer=NAME"
    return tuple(f"{', '.join(names)}: the layer is '{layer}' ({hint})" for layer, names in taken.items())


def unfit(
    samples: Pictures,
    model: Model,
    methods: Sequence[Chosen],
    scorer: Score,
    seed: int,
    shapes: list[tuple[int, ...]] | None = None,
) -> dict[str, MisfitError]:
    """The methods that fit neither the network nor the output, by name, and why; `shapes` gets those of what was tried.

    Arguments and errors as of `rehearse`.
    """
    failure: UsageError | None = None
    misfits: dict[str, MisfitError] | None = None
    tried: set[tuple[int, int]] = set()
    for source in samples.sources:
        if model.preprocess.size in tried and not (isinstance(source, Given) or is_array_path(source)):
            continue  # a file of another picture
        with suppress(ImageError, OSError):  # each is told where it is explained
            picture = samples.read(source)
            ready = picture.pixels.dtype.kind == "f"
            if not ready and (model.preprocess.size or picture.size) in tried:
                continue
            tried.add(model.preprocess.size or picture.size)
            try:
                found = _begin_all(samples, model, methods, scorer, _Sample(seed, picture, source), shapes)
            except UsageError as error:
                failure = failure or error
                continue
            if not found:
                return {}
            misfits = misfits or found
    if failure is not None:
        raise failure
    return misfits or {}


def _refusal(misfits: Mapping[str, MisfitError], methods: Sequence[Chosen], model: Model) -> UsageError:
    """One error for all methods that do not fit, those of one reason together."""
    named: dict[str, list[str]] = {}
    for name, error in misfits.items():
        named.setdefault(error.what, []).append(name)
    what = "; ".join(f"{', '.join(names)} cannot be used: {why}" for why, names in named.items())
    given = {None if one.given is None else str(one.given) for one in misfits.values()} - {None}
    shown = f"--model {model.name}" + "".join(f", {one}" for one in sorted(filter(None, given)))
    fits = [one.name for one in methods if one.name not in misfits]
    leave = f"Without {', '.join(misfits)} the others run: --method {','.join(fits)}." if fits else ""
    hints = dict.fromkeys(filter(None, (one.hint for one in misfits.values())))
    return UsageError(what, given=shown, hint=" ".join([*hints, *filter(None, [leave])]) or None)


@dataclass(frozen=True)
class _Sample:
    """What of a sample a rehearsal takes: its size, and where it comes from."""

    seed: int
    picture: Picture
    source: Source


def _begin_all(
    samples: Pictures,
    model: Model,
    methods: Sequence[Chosen],
    scorer: Score,
    of: _Sample,
    shapes: list[tuple[int, ...]] | None,
) -> dict[str, MisfitError]:
    """Begin every method with a sample of a size: which do not fit, and why. Raises UsageError."""
    picture, misfits = of.picture, dict[str, MisfitError]()
    samples.seen(model, picture, methods, of.source)
    fitted = [samples.fitted(model, picture, chosen) for chosen in methods]
    with _others_pass():
        x = model.preprocess(picture.pixels).to(model.device)
        low, high = (level.to(x.device) for level in (model.preprocess.low, model.preprocess.high))
        if x.shape[1] > 1:
            x = low + made_up(x.shape).to(x) * (high - low)
        if shapes is not None:
            shapes.append(tuple(x.shape))
        peers = _Alike(x, len(samples.compared))
        subject = Subject(x, 0, low, high, picture.key, of.seed, peers, _pass, model.head, model.preprocess)
        for chosen in fitted:
            try:
                _begin(chosen, _Tried(scorer, Batches(1)), subject)
            except MisfitError as error:
                misfits[chosen.name] = error
    return misfits


def made_up(shape: Sequence[int]) -> Tensor:
    """A picture (C, H, W) in 0..1 of soft blobs: neither blank nor noise, with colours that tell segments apart."""
    coarse = torch.rand(1, shape[0], 5, 5, generator=torch.Generator().manual_seed(0))
    return interpolate(coarse, (shape[1], shape[2]), mode="bilinear", align_corners=True)[0]


def rehearse_values(methods: Sequence[Chosen]) -> None:
    """Begin every method with a made-up picture where there is no model yet; raises UsageError like `rehearse`."""
    x = made_up((3, _SIDE, _SIDE))
    level = torch.zeros(3, 1, 1)
    subject = Subject(x, 0, level, level + 1, 1, 0, _Alike(x.flip(-1), 3), _pass)
    for chosen in methods:
        _begin(chosen, _Modelless(_NoScore(), Batches(1)), subject)


def _begin(chosen: Chosen, passes: Passes, subject: Subject) -> None:
    if isinstance(chosen.entry, GivenMethod):
        return
    with _others_pass():
        if not isinstance(passes, _Modelless):
            check_kind(chosen.entry.properties.get("only", ""), passes.scorer, subject, chosen.options)
        if is_direct(chosen.entry):
            chosen.entry.load()(passes, subject, **chosen.options)
            return
        made = chosen.entry.load()(subject, **chosen.options)
        if isinstance(made, Deferred):
            made = made.decide(passes.game(subject, made.players, made.baseline))
        if isinstance(made, Plan):
            made.reference.sample(torch.zeros(1, dtype=torch.long))
            if made.tokens:
                check_presence(passes.scorer, subject, made)
            elif made.libragrad:
                check_corrected(passes.scorer, subject)


@contextmanager
def _others_pass() -> Iterator[None]:
    """Let only what no image decides through: what else fails is told where the image is explained."""
    try:
        yield
    except (UsageError, MisfitError):
        raise
    except Exception:  # noqa: BLE001  foreign networks may raise anything
        return

"""Methods tried up to their first pass of the model, so a mistake in a command costs nothing. No printing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from ..engine.batches import Batches
from ..engine.passes import Passes
from ..engine.plan import Plan
from ..errors import ImageError, UsageError
from ..methods.deferred import Deferred
from ..methods.given import GivenMethod
from ..methods.run import is_direct
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


def rehearse(samples: Pictures, model: Model, methods: Sequence[Chosen], scorer: Score, seed: int) -> None:
    """Begin every method with the first sample that can be read, as far as that takes no pass of the model.

    Args:
        samples: what is explained.
        model: loaded.
        methods: with their options. Functions of a program are not called.
        scorer: the score F.
        seed: of the run.

    Raises:
        UsageError: an option that cannot be used: a count below 1, an unknown layer or baseline, players that do not fit.
    """
    for source in samples.sources:
        with suppress(ImageError, OSError):
            picture = samples.read(source)
            break
    else:
        return  # each is told where it is explained
    samples.seen(model, picture, methods, source)
    fitted = [samples.fitted(model, picture, chosen) for chosen in methods]
    with _others_pass():
        x = model.preprocess(picture.pixels).to(model.device)
        low, high = (level.to(x.device) for level in (model.preprocess.low, model.preprocess.high))
        peers = _Alike(x, len(samples.compared))
        subject = Subject(x, 0, low, high, picture.key, seed, peers, _pass, model.head)
        for chosen in fitted:
            _begin(chosen, _Tried(scorer, Batches(1)), subject)


def rehearse_values(methods: Sequence[Chosen]) -> None:
    """Begin every method with a made-up picture where there is no model yet; raises UsageError like `rehearse`."""
    x = torch.rand(3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    level = torch.zeros(3, 1, 1)
    subject = Subject(x, 0, level, level + 1, 1, 0, _Alike(x.flip(-1), 3), _pass)
    for chosen in methods:
        _begin(chosen, _Modelless(_NO_SCORE, Batches(1)), subject)


_NO_SCORE: Any = None


def _begin(chosen: Chosen, passes: Passes, subject: Subject) -> None:
    if isinstance(chosen.entry, GivenMethod):
        return
    with _others_pass():
        if is_direct(chosen.entry):
            chosen.entry.load()(passes, subject, **chosen.options)
            return
        made = chosen.entry.load()(subject, **chosen.options)
        if isinstance(made, Deferred):
            made = made.decide(passes.game(subject, made.players, made.baseline))
        if isinstance(made, Plan):
            made.reference.sample(torch.zeros(1, dtype=torch.long, device=subject.x.device))


@contextmanager
def _others_pass() -> Iterator[None]:
    """Let UsageErrors through only: what else fails is of this image or the model, and told where it is explained."""
    try:
        yield
    except UsageError:
        raise
    except Exception:  # noqa: BLE001  foreign networks may raise anything
        return

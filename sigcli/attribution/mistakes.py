"""Whether what a picture does not fit is a mistake in the command, whichever picture of the run it is.

An option that fits no picture is a mistake, and ends the run; one that fits only some leaves the others as failed items.
Which of the two it is must not depend on the order of the pictures, so the first one is not asked: a made-up picture
decides, which is neither blank nor noise, in each size that the pictures of the run have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..catalog import Entry
from ..engine.failures import attempted
from ..errors import SigError, UsageError
from ..inputs.picture import Picture
from ..methods.deferred import task
from ..methods.run import direct, is_direct
from ..types import Subject
from .select import Chosen
from .session import Session


def made_up(shape: torch.Size | tuple[int, ...]) -> Tensor:
    """A picture (C, H, W) in 0..1 of soft blobs, whose colours tell segments apart."""
    coarse = torch.rand(1, shape[0], 5, 5, generator=torch.Generator().manual_seed(0))
    return interpolate(coarse, (shape[1], shape[2]), mode="bilinear", align_corners=True)[0]


class Mistakes:
    """What fits no picture of a session. Each answer is found once, and only where a picture has failed."""

    def __init__(self, session: Session):
        self._session = session
        self._known: dict[str, bool] = {}

    def of_method(self, name: str, subject: Subject) -> bool:
        """Whether the options of a method fit no picture.

        Args:
            name: the method's.
            subject: the picture that failed, for all but its pixels.
        """
        if name not in self._known:
            chosen = next(one for one in self._session.methods if one.name == name)
            self._known[name] = all(self._refused(chosen, subject, *one) for one in self._sizes())
        return self._known[name]

    def of_samples(self) -> bool:
        """Whether the methods cannot be fitted to any sample, nor any be shown."""
        if "" not in self._known:
            self._known[""] = not any(self._fits(path) for path in self._session.paths)
        return self._known[""]

    def _sizes(self) -> Iterator[tuple[Picture, Tensor]]:
        """A picture of each size that the model sees, and its pixels; all have one size where the model says which."""
        session, known = self._session, set[Any]()
        for path in session.paths:
            read = attempted(lambda path=path: session.samples.read(path))
            if isinstance(read, SigError):
                continue
            x = session.model.preprocess(read.pixels)
            size = (x.shape, read.pixels.shape if read.pixels.dtype.kind == "f" else None)
            if size not in known:
                known.add(size)
                yield read, x
            if session.model.preprocess.resize is not None and session.model.preprocess.size is not None:
                return

    def _refused(self, chosen: Chosen, subject: Subject, picture: Picture, x: Tensor) -> bool:
        low, high = subject.low, subject.high
        x = low + made_up(x.shape).to(subject.x) * (high - low)
        try:
            options = self._session.samples.fitted(self._session.model, picture, chosen).options
            _tried(chosen.entry, options, self._session, replace(subject, x=x, key=0))
        except UsageError:
            return True
        except Exception:  # noqa: BLE001  the model may do better with another picture
            return False
        return False

    def _fits(self, path: Any) -> bool:
        session = self._session
        picture = attempted(lambda: session.samples.read(path))
        if isinstance(picture, SigError):
            return False
        try:
            session.samples.seen(session.model, picture, session.methods, path)
            for chosen in session.methods:
                session.samples.fitted(session.model, picture, chosen)
        except UsageError:
            return False
        return True


def _tried(entry: Entry, options: Any, session: Session, subject: Subject) -> None:
    """Begin to explain a picture; what the options are wrong for is raised by then."""
    make = direct if is_direct(entry) else task
    make(entry, options, session.scorer, subject, batch_size=session.batch_size)

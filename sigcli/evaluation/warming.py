"""The first use of a model, before its time is taken."""

from __future__ import annotations

from collections.abc import Sequence

from ..attribution.session import Session
from ..errors import ImageError, SigError
from ..inputs.given import Source
from ..inputs.images import read_image
from ..inputs.picture import Picture
from ..methods import METHODS
from ..methods.run import attributions
from ..models.model import Model
from ..models.wrappers.certainty import looked_into
from ..types import Subject


def warm_up(session: Session) -> None:
    """Explain the first readable image once by two full batches and forget it, so no method pays for the first use of
    the model: choosing kernels and allocating memory take seconds.
    """
    try:
        subject = first_subject(session.paths, session.model, session.seed)
        if subject is not None:
            steps = {"steps": 2 * session.batches.size}
            list(attributions(METHODS["ig"], steps, session.scorer, [subject], batch_size=session.batches))
    except (SigError, RuntimeError, ValueError):
        return  # whatever is wrong with this image or model is said where the image is explained


def first_subject(paths: Sequence[Source], model: Model, seed: int) -> Subject | None:
    """The first readable picture as the model sees it, for class 0; None where no picture can be read."""
    picture = next((found for found in map(_readable, paths) if found is not None), None)
    if picture is None:
        return None
    low, high = (level.to(model.device) for level in (model.preprocess.low, model.preprocess.high))
    x = model.preprocess(picture.pixels).to(model.device)
    of_model = (looked_into(model), model.head, model.preprocess)
    return Subject(x, 0, low, high, picture.key, seed, None, *of_model)


def _readable(path: Source) -> Picture | None:
    try:
        return read_image(path)
    except ImageError:
        return None

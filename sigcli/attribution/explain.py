"""`sig explain` as a library: samples, a model and methods in; explanations and a run folder out. No printing."""

from __future__ import annotations

from collections.abc import Generator

from ..door import door
from ..engine.modes import in_own_modes, own_modes
from ..listener import SILENT, Listener, tell_new
from .batches import in_batches, is_iterable
from .explanation import Explanation, Explanations
from .options import ExplainOptions
from .run import stream
from .session import Session, prepare


@door(ExplainOptions)
def explain(options: ExplainOptions, listener: Listener = SILENT) -> Explanations:
    """Explain images; returns one `Explanation` per image, target and method, in that order.

    Called with options as arguments, or with an `ExplainOptions` and a `Listener`:

        explain("photo.jpg", model="resnet50", method="sig,ig")
        explain(ExplainOptions(picture, model=network), listener)

    Images are files, folders, patterns, PIL images, uint8 arrays, float tensors that already are the network's input, or an
    iterable of batches such as a `DataLoader` (see docs/python.md). The model may be a `torch.nn.Module`. All
    results stay in memory; `iter_explain` yields them one by one.

    Raises:
        UsageError: an option that cannot be used, before anything is computed.
        ModelError: a model that cannot be loaded or is not a differentiable classifier.
        OutputError: a run folder that cannot be written or holds another run.

    A failure of one image raises nothing: see `Explanation.status` and `error`.
    """
    with own_modes():
        if is_iterable(options.images):
            return _collected(options, listener)
        session = prepare(options)
        found = Explanations(_begun(session, listener))
    found.notes, found.folder = (
        (*session.notes, *session.later_notes),
        None if session.run is None else session.run.path,
    )
    return found


def _collected(options: ExplainOptions, listener: Listener) -> Explanations:
    """All explanations of an iterable of batches."""
    told: list[str] = []
    found = Explanations(in_batches(options, listener, told))
    found.notes = tuple(told)
    return found


@door(ExplainOptions)
def iter_explain(options: ExplainOptions, listener: Listener = SILENT) -> Generator[Explanation, None, None]:
    """Like `explain`, but yield each explanation once its files are written and keep none, for thousands of images."""
    with own_modes():
        if is_iterable(options.images):
            return in_own_modes(in_batches(options, listener))
        session = prepare(options)
    return in_own_modes(_begun(session, listener))


def _begun(session: Session, listener: Listener) -> Generator[Explanation, None, None]:
    try:
        before = session.notes
        listener.begin(session.items, before, None if session.run is None else session.run.path)
        yield from stream(session, listener)
        tell_new(listener, before, [*session.notes, *session.later_notes])
    finally:
        session.close()

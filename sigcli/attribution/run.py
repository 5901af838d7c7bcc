"""A session carried out: its explanations in order, by one process or several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from ..listener import SILENT, Listener
from .explanation import Explanation
from .figure import Gathered
from .pipeline import Work
from .session import Session
from .stream import settled, written
from .workers import divided


def stream(session: Session, listener: Listener = SILENT) -> Iterator[Explanation]:
    """Carry out a session; yields explanations in order, each once its files and its row stand."""
    listener.planned(session.planned)
    work = Work(session)
    wish = session.figure
    figure = None if wish is None else Gathered(wish, [one.name for one in session.methods], session.drawing)
    found = divided(session, listener) if session.divided else written(session, work, listener.evaluated)
    with closing(settled(session, work, found)) as every:  # so the folder is free at once, whatever the listener raises
        for item in every:
            if figure is not None:
                figure.take(item)
            listener.explained(item)
            yield item
    if figure is not None:
        figure.write()
        listener.note(f"the figure is {figure.wish.path}")

"""Errors that `sig` raises on purpose. Each says what was wrong, what was given, what is allowed and what to do next.

The command line turns each into one or two lines and an exit code; as a library they are ordinary exceptions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from .names import printable

_LONGEST = 1200


class SigError(Exception):
    """Base of every error that `sig` raises on purpose.

    `str(error)` is a complete message of one or two lines.

    Args:
        what: what was wrong, as a sentence without a full stop.
        given: the given value, shown as typed, on one line.
        allowed: the accepted values or form.
        hint: what to do next, a sentence or a command.
    """

    def __init__(self, what: str, *, given: object = None, allowed: str | None = None, hint: str | None = None):
        self.what, self.given, self.allowed, self.hint = what, given, allowed, hint
        first = cut(what) if given is None else f"{cut(what)} (given: {printable(cut(str(given)))})"
        rest = [f"Allowed: {cut(allowed)}." if allowed else "", cut(hint or "")]
        lines = (first + ".", " ".join(r for r in rest if r))
        # A message may name files, whose names may hold anything; its own lines stay lines.
        super().__init__("\n".join(printable(part) for line in lines if line for part in line.split("\n")))

    def __reduce__(self) -> tuple[object, ...]:
        """Another process gets it as it is: its kind decides on the exit code, its lines are what is shown."""
        given = None if self.given is None else str(self.given)
        return _again, (type(self), str(self), {**self.__dict__, "given": given})


def _again(kind: type[SigError], text: str, facts: dict[str, object]) -> SigError:
    """An error that was pickled."""
    error = kind.__new__(kind)
    error.args = (text,)
    error.__dict__.update(facts)
    return error


def cut(text: str) -> str:
    """A text that a file may have brought, at a length that can be read: both of its ends.

    >>> cut("path/of.png"), len(cut("9" * 70_000))
    ('path/of.png', 1203)
    """
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]} … {text[-half:]}"


class UsageError(SigError):
    """An option or argument that cannot be used; nothing was done (exit code 2)."""


class BudgetError(UsageError):
    """An estimator that needs a larger budget of evaluations."""


class ImageError(SigError):
    """One image that cannot be read; the run continues with the others (exit code 1)."""


class ModelError(SigError):
    """A model that cannot be loaded or does not behave as a classifier (exit code 2)."""


class AttributionError(SigError):
    """A method that cannot explain this input with this model (exit code 1 for that item)."""


class MisfitError(AttributionError):
    """A method that can explain no image at all with this network, output or set of images.

    Raised before the method's first pass of the model, it refuses a run before it starts (exit code 2).
    """


class OutputError(SigError):
    """A run folder that cannot be written or does not fit this run (exit code 2)."""


class StoppedError(OutputError):
    """A run that stopped since nothing more can be written or computed; finished work is kept (exit code 1)."""


def unknown(kind: str, name: str, choices: Iterable[str], error: type[SigError] = UsageError) -> SigError:
    """An error for a name that is not among `choices`, with the nearest right one.

    >>> print(unknown("method", "sgi", ["sig", "ig"]))
    unknown method (given: sgi).
    Allowed: ig, sig. Did you mean 'sig'?
    """
    names = sorted(choices)
    folded = {choice.casefold(): choice for choice in names}
    close = [folded[near] for near in difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)]
    shown = ", ".join(names) if len(names) <= 40 else f"{len(names)} names"
    return error(f"unknown {kind}", given=name, allowed=shown, hint=f"Did you mean '{close[0]}'?" if close else None)


def kind_of(error: Exception) -> str:
    """What kind of failure an error is, so that many can be counted: what was wrong, without names, values and numbers."""
    return kind_of_text(error.what if isinstance(error, SigError) else type(error).__name__)


def kind_of_text(text: str) -> str:
    """The kind of failure that a message of one line tells, see `kind_of`.

    >>> kind_of_text("the model raised ValueError: 3 is too small (given: a.png)."), kind_of_text("it has 12 of 'dog'")
    ('the model raised ValueError', "it has N of '…'")
    """
    first = re.split(r": | \(|\. ", text, maxsplit=1)[0].strip().rstrip(".")
    return re.sub(r"[0-9][0-9.,x]*", "N", re.sub(r"'[^']*'", "'…'", first)) or "unknown"


def reason(error: OSError) -> str:
    """What the system refused, as a sentence without a full stop; numpy only says how many bytes it could write."""
    short = re.fullmatch(r"(\d+) requested and (\d+) written", str(error))
    if short:
        return f"No space left: {short[2]} of {int(short[1])} bytes were written"
    return error.strerror or str(error) or type(error).__name__

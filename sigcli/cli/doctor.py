"""`sig doctor`: does everything work here, and what is to be mended?"""

from __future__ import annotations

from dataclasses import dataclass

from ..names import printable
from ..options import Options
from .command import Screen, command

_MARKS = {"ok": ("ok", "green"), "hint": ("hint", "yellow"), "broken": ("broken", "bold red")}


@dataclass(frozen=True, repr=False)
class DoctorOptions(Options):
    """The options of `sig doctor`: those of every command."""


@command(DoctorOptions, kept="")
def doctor(options: DoctorOptions, screen: Screen) -> int:
    """Does everything work here? Versions, device, memory, extras, weights, folder, terminal; and how to fix what does not.

    Ends with 1 if something is broken, so a script can ask before a long run.

    Examples:
      sig doctor

      sig doctor --json             the same, an object for each finding
    """
    from .checkup import BROKEN, examine

    broken = 0
    for one in examine():
        screen.results.add(one.record())
        broken += one.state == BROKEN
        if screen.as_json:
            continue
        word, style = _MARKS[one.state]
        print_line(screen, f"{one.what:<10} {word:<7}", printable(one.told), style if one.state != "ok" else None)
        if one.mend:
            print_line(screen, " " * 18, one.mend, None)
    if not screen.as_json:
        screen.say("nothing is broken." if not broken else f"{broken} to mend.", None if not broken else "red")
    return broken


def print_line(screen: Screen, before: str, text: str, style: str | None) -> None:
    """A line whose further lines stand below its text."""
    import textwrap

    width = max(screen.console.width - len(before) - 1, 30)
    for number, line in enumerate(textwrap.wrap(text, width, break_long_words=False)):
        screen.say(f"{before if number == 0 else ' ' * len(before)} {line}", style)

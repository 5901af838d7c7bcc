"""`sig report`: parse, call `sigcli.report`, show progress and where the page is."""

from __future__ import annotations

from ..gallery.options import ReportOptions
from ..names import printable
from .browser import open_page
from .command import Screen, command


@command(ReportOptions, kept="no page was written", opens=True)
def report(options: ReportOptions, screen: Screen) -> None:
    """Make a page to look through a run, or through several side by side: images, maps, numbers, curves and failures.

    Examples:
      sig report sig-out                                      index.html in the folder, for a run of any age

      sig report sig-out --out page.html --single-file        one file to send to someone

      sig report before after --out tuning.html               two runs image by image, what differs most on top
    """
    from ..gallery.report import report as carry_out
    from .progress import StageListener

    with StageListener() as listener:
        found = carry_out(options, listener)
    screen.results.add({"file": str(found.file), "cards": found.cards, "notes": found.notes})
    for note in found.notes:
        screen.say(f"note: {note}")
    shown = printable(str(found.file))
    screen.say(f"{found.cards} {'image' if found.cards == 1 else 'images'}; written to {shown}")
    if screen.opens:
        open_page(found.file.resolve().as_uri(), shown, screen)

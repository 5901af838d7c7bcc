"""`sig explain`: parse, call `sigcli.iter_explain`, show progress and a table."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ..attribution.options import ExplainOptions
from ..names import printable
from .browser import say_page
from .command import Screen, command
from .console import fits, table, traces
from .log import check_log, log_run
from .show import Show

if TYPE_CHECKING:
    from ..attribution.explanation import Explanation

_SHOWN = 40


@command(ExplainOptions, kept="nothing was explained yet", opens=True, config="explain", shows=True, logs=True)
def explain(options: ExplainOptions, screen: Screen) -> int:
    """Explain what a classifier saw in images: heatmaps, overlays, arrays and a table of values.

    Examples:
      sig explain                                   the bundled network explains the bundled samples

      sig explain photo.jpg --model resnet50        a SIG map of the top class; --show draws it here

      sig explain photos/ -m resnet50 --method sig,sig-walk,ig,eg --set samples=512
    """
    from ..attribution.explain import iter_explain
    from .progress import Reporter

    check_log(options, screen)
    show = Show(screen.show, screen, options.cmap)
    told: list[Explanation] = []
    shown: list[Explanation] = []
    with Reporter(screen, _left_out(options)) as reporter, closing(iter_explain(options, reporter)) as found:
        for item in found:
            screen.results.add(item.record())
            show.take(item)
            if item.status != "ok" or item.error or item.note:
                told.append(item.light())
            if len(shown) < _SHOWN:
                shown.append(item.light())
    show.end()
    counts = reporter.counts
    screen.results.add({"counts": counts.record()})
    made, without = _narrowed(shown, counts.done + counts.failed, screen)
    screen.console.print(made)
    if without:
        screen.say(f"The window is too narrow for {', '.join(without)}: see results.csv.")
    for line, style in _lines(told):
        screen.say(line, style)
    reporter.say_notes()
    if screen.debug:
        traces((item.cause for item in told), screen.console)
    screen.say(f"{counts}; written to {printable(str(reporter.folder))}/")
    say_page(reporter.folder, screen)
    log_run(reporter.folder, screen)
    return counts.failed


def _left_out(options: ExplainOptions) -> list[str]:
    if options.images:
        return []
    return [f"No images given: explaining the bundled samples with the model '{printable(str(options.model))}'."]


def _lines(told: list[Explanation]) -> list[tuple[str, str | None]]:
    """What is told of single explanations, and its style: the same failure of an image by several methods once, and the
    same note of several images.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for item in told:
        for text in filter(None, (item.error, item.note)):
            if item.status == "ok":
                found.setdefault(("note", item.method, text), []).append(item.image)
            else:
                found.setdefault(("failed", item.image, text), []).append(item.method)
    lines: list[tuple[str, str | None]] = []
    for (kind, of, text), names in found.items():
        every = list(dict.fromkeys(names))
        if kind == "note":
            whose = every[0] if len(every) == 1 else f"{every[0]} and {len(every) - 1} more,"
            lines.append((f"note: {whose} {of}: {text}", None))
        else:
            methods = every[0] if len(every) == 1 else f"({', '.join(every)})"
            lines.append((f"failed: {of} {methods}: {text}", "red"))
    return lines


_NUMBERS = ("score", "gap", "std. error", "evaluations", "seconds")
_NAME = 20
"""Columns that names of images and targets have room for, before one of the numbers is left out; longer ones are folded."""


def _narrowed(items: list[Explanation], total: int, screen: Screen) -> tuple[Table, list[str]]:
    """The table, without columns that have no value, and which of its last ones the window has no room for."""
    known = {"gap": "relative_gap", "std. error": "error_told"}
    numbers = [one for one in _NUMBERS if any(getattr(item, known.get(one, "method")) is not None for item in items)]
    count = len(numbers)
    for count in range(len(numbers), 0, -1):
        if fits(_table(items, total, numbers[:count], _NAME), screen.console):
            break
    return _table(items, total, numbers[:count]), numbers[count:]


def _table(items: list[Explanation], total: int, numbers: Sequence[str], most: int | None = None) -> Table:
    """Explanations and some of their numbers; with names of at most so many columns, where that is given."""
    made = table("image", "method", "target", *numbers, right=numbers)
    for column in made.columns:
        named = column.header in ("image", "target")
        column.no_wrap, column.overflow, column.max_width = not named, "fold", most if named else None
    for item in items:
        if item.status != "ok":
            made.add_row(Text(item.image), Text(item.method), "", "failed")
            continue
        cells = {
            "score": f"{item.score:.3f}", "gap": _percent(item.relative_gap), "seconds": f"{item.seconds:.2f}",
            "std. error": _percent(item.error_told), "evaluations": f"{item.evaluations:,}",
        }  # fmt: skip
        made.add_row(Text(item.image), Text(item.method), Text(item.told), *(cells[name] for name in numbers))
    if total > len(items):
        made.add_row(f"… and {total - len(items)} more in results.csv")
    return made


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f} %"

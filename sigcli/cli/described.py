"""An entry of a catalogue in full, as text for a window: what it is, and its options with defaults and meanings."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

HEADINGS = ("Args", "Returns", "Raises", "Yields")
_ENTRY = re.compile(r"^    (\w[\w, ]*): ?(.*)$")
_WORDS = {"str": "TEXT", "int": "INTEGER", "float": "NUMBER", "bool": "True or False"}


@dataclass(frozen=True)
class OptionShown:
    """An option of an entry.

    Args:
        name: as its docstring names it.
        typed: as it is typed, with its default.
        kind: what it takes; empty where that is said elsewhere.
        told: what it means; empty for what the docstring says of it.
    """

    name: str
    typed: str
    kind: str = ""
    told: str = ""


def described(heading: str, docstring: str, options: Sequence[OptionShown], width: int) -> str:
    """The text of an entry, no line wider than `width` where words allow it.

    Args:
        heading: name and summary.
        docstring: of the entry's function or options: its paragraphs, and what its arguments are.
        options: in the order in which they are shown.
        width: columns.
    """
    parts = sections(docstring)
    meanings = entries(parts.get("Args", ""))
    lines = textwrap.wrap(heading, width)
    for paragraph in filter(str.strip, re.split(r"\n\s*\n", parts[""])):
        lines += ["", *_paragraph(paragraph, width)]
    if options:
        lines += ["", "Options and defaults:"]
    for one in options:
        lines.append(f"  {one.typed}" + (f"   {one.kind}" if one.kind else ""))
        lines += textwrap.wrap(one.told or meanings.get(one.name, ""), width, initial_indent=_IN, subsequent_indent=_IN)
    return "\n".join(lines)


_IN = " " * 6


def _paragraph(text: str, width: int) -> list[str]:
    """A paragraph in lines; lists and what is indented keep their lines."""
    rows = text.splitlines()
    if any(row.startswith((" ", "*", "-", ">>>")) for row in rows):
        return rows
    return textwrap.wrap(" ".join(rows), width)


def kind_told(kind: str) -> str:
    """A type as `--set` takes it: the names of a choice, or words for a type, not Python's way to write it.

    >>> kind_told("Literal['uniform', 'algorithm1']"), kind_told("int | None")
    ('uniform, algorithm1', 'INTEGER or none')
    """
    chosen = re.sub(r"Literal\[(.*?)\]", lambda found: ", ".join(re.findall(r"['\"](.*?)['\"]", found[1])), kind)
    return " or ".join(_WORDS.get(one.strip(), one.strip().replace("None", "none")) for one in chosen.split("|"))


def sections(text: str) -> dict[str, str]:
    """The parts of a docstring: "" → what stands before its sections, then `Args`, `Returns`, `Raises`.

    Paragraphs after a section are of the first part again.
    """
    found: dict[str, list[str]] = {"": []}
    current = ""
    for line in text.splitlines():
        heading = re.fullmatch(rf"({'|'.join(HEADINGS)}):", line)
        if heading:
            current = heading[1]
        elif current and line and not line.startswith(" "):
            current = ""
        if not heading:
            found.setdefault(current, []).append(line)
    return {name: "\n".join(lines).strip("\n") for name, lines in found.items()}


def entries(section: str) -> dict[str, str]:
    """Name → text of the entries of `Args` or `Raises`, each on one line."""
    found: dict[str, str] = {}
    last = ""
    for line in section.splitlines():
        entry = _ENTRY.match(line)
        if entry and not line.startswith("     "):
            last = entry[1]
            found[last] = entry[2]
        elif last and line.strip():
            found[last] = f"{found[last]} {line.strip()}".strip()
    return found

"""Docstrings of the package as Markdown: paragraphs, sections with their entries, and examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from sigcli.cli.described import HEADINGS, entries, sections

__all__ = ["HEADINGS", "entries", "sections"]  # for the pages that are made of docstrings


def prose(text: str) -> str:
    """Paragraphs of a docstring as Markdown; doctests and indented lines become code."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.splitlines()
        if lines and all(line.startswith("    ") for line in lines):
            blocks.append("```python\n" + "\n".join(line[4:] for line in lines) + "\n```")
        elif block.startswith(">>>"):
            blocks.append(f"```pycon\n{block}\n```")
        else:
            blocks.append(escaped(block))
    return "\n\n".join(blocks)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is; what stands between backticks is left alone."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if i % 2 else re.sub(r"([*<_])", r"\\\1", part) for i, part in enumerate(parts))


def linked(text: str, root: str) -> str:
    """Pages of the documentation that a docstring names as links; `root` leads to docs/."""
    return re.sub(
        r"(?<![`/\w(])docs/([\w-]+)\.md|(?<=\()docs/([\w-]+)\.md(?=\))", lambda m: _link(m[1] or m[2], root), text
    )


def _link(page: str, root: str) -> str:
    return f"[{page}]({root}{page}.md)"


def cell(text: str) -> str:
    """Text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def typed(annotation: Any) -> str:
    """A type as users read it."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    literal = re.fullmatch(r"(?:typing\.)?Literal\[(.*)\]", text)
    return ", ".join(literal[1].replace("'", "").replace('"', "").split(", ")) if literal else text


def described(function: Callable[..., Any] | type) -> str:
    """The docstring of something public, as Markdown."""
    parts = sections(inspect.getdoc(function) or "")
    out = [prose(parts[""].partition("\nOptions:")[0])]
    for name, title in (("Args", "Arguments"), ("Returns", "Returns"), ("Yields", "Yields"), ("Raises", "Raises")):
        if name not in parts:
            continue
        known = entries(parts[name])
        if name in ("Args", "Raises") and known:
            out += [f"*{title}*", "\n".join(f"* `{one}`: {escaped(text)}" for one, text in known.items())]
        else:
            out += [f"*{title}*", escaped(" ".join(parts[name].split()))]
    return "\n\n".join(part for part in out if part)

"""Hooks of MkDocs: README.md as the first page, the pages of the reference, and Markdown as GitHub reads it."""

from __future__ import annotations

import importlib
import re
import sys
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_CELL = re.compile(r"<td\b.*?</td>", re.S)
_CODE = re.compile(r"<code>([^<]*)</code>")
_NAME = 32
"""Characters of the longest code in a cell that is a name and no call."""
_BULLET = re.compile(r"^(\s*)([*+-]|\d+\.) ")


def _reference() -> ModuleType:
    """The module beside this file; MkDocs has the folder in `sys.path` only while it loads the hooks."""
    folders = [str(ROOT), str(ROOT / "scripts")]
    sys.path[:0] = [folder for folder in folders if folder not in sys.path]
    return importlib.import_module("reference_pages")


def on_config(config: Any) -> Any:
    """Put the pages of the reference into the navigation, where it names their folder."""
    made = _reference()
    for section in config.nav:
        for items in section.values():
            for item in items:
                if not isinstance(item, dict):
                    continue
                (title, target), *_ = item.items()
                kind = str(target).removeprefix("reference/")
                if kind in made.FOLDERS and target != kind:
                    pages = ({name: f"{target}/{made.slug(name)}.md"} for name in made.FOLDERS[kind])
                    item[title] = [f"{target}/index.md", *pages]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie in no file."""
    from mkdocs.structure.files import File

    made = {"index.md": first_page(), **_reference().pages()}
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001  MkDocs names them
    """Markdown as GitHub reads it: lists need no empty line before them; and no links out of the site."""
    return lists_apart(inside(markdown, page.file.src_uri))


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001  MkDocs names them
    """Mark long code in cells of tables."""
    return calls_marked(html)


def calls_marked(html: str) -> str:
    """Code of more than `_NAME` characters in cells of tables gets the class `call`, which may break into lines.

    Names of options stay whole; a call that did, in a first column, left no room for what is said of it.
    """

    def cell(match: re.Match[str]) -> str:
        return _CODE.sub(
            lambda m: f'<code class="call">{m[1]}</code>' if len(unescape(m[1])) > _NAME else m[0], match[0]
        )

    return _CELL.sub(cell, html)


def first_page() -> str:
    """README.md with links as seen from docs/."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return _LINK.sub(lambda m: f"[{m[1]}]({_from_docs(m[2])})", text)


def _from_docs(target: str) -> str:
    if re.match(r"https?://|#", target):
        return target
    return target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}"


def inside(markdown: str, page: str) -> str:
    """Links to files of the repository that are no part of the site become the files' names."""
    depth = page.count("/")

    def replaced(match: re.Match[str]) -> str:
        target = re.sub(r"^((?:\.\./)*)\.\./README\.md", r"\1index.md", match[2])
        if target != match[2]:
            return f"[{match[1]}]({target})"
        ups = target.count("../")
        if target.startswith("../" * (depth + 1)) and ups > depth:
            return f"{match[1]} (`{target.replace('../', '')}`)" if target not in match[1] else match[1]
        return match[0]

    return outside_of_code(markdown, lambda text: _LINK.sub(replaced, text))


def lists_apart(markdown: str) -> str:
    """An empty line before each list that follows a paragraph directly."""

    def apart(text: str) -> str:
        lines: list[str] = []
        for line in text.split("\n"):
            before = lines[-1] if lines else ""
            if _BULLET.match(line) and before.strip() and not _BULLET.match(before) and not _within(lines):
                lines.append("")
            lines.append(line)
        return "\n".join(lines)

    return outside_of_code(markdown, apart)


def _within(lines: list[str]) -> bool:
    """Whether the last lines are an item of a list that goes on."""
    for line in reversed(lines):
        if not line.strip():
            return False
        if _BULLET.match(line):
            return True
    return False


def outside_of_code(markdown: str, change: Any) -> str:
    """Apply a change to all of a page but its code blocks."""
    parts = re.split(r"(^```.*?^```[^\S\n]*$)", markdown, flags=re.M | re.S)
    return "".join(part if i % 2 else change(part) for i, part in enumerate(parts))

"""Finding the images of remote folders, by the rules of `sigcli.inputs.images`, and bringing one to memory."""

from __future__ import annotations

import fnmatch
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import ImageError, UsageError
from ..places.remote import Remote, facts_of, listed_below, remote_file
from ..places.urls import WEB, kind_of_url, shown
from .left_out import HIDDEN, MASKS, RUN, LeftOut
from .refused import MOST_WHOLE, check_size

_MAGIC = "*?["
IMPOSSIBLE = "with a name that no folder can have"
_Listed = Sequence[tuple[str, str, dict[str, Any]]]


def find_remote(url: str, left: LeftOut, is_image: Callable[[Path], bool], allowed: str) -> list[Remote]:
    """The image files that a URL stands for: a file, a folder with all below it, or a pattern in its last part.

    Args:
        url: what was named.
        left: learns what was passed over.
        is_image: whether a file is an image, by its suffix.
        allowed: suffixes, for the message.

    Raises:
        UsageError: there is nothing, no image, or a run of `sig`; or the place cannot be asked.
    """
    if kind_of_url(url) in WEB:
        facts = facts_of(url)
        return [remote_file(url, facts)]
    folder, _, last = url.rstrip("/").rpartition("/")
    if any(mark in folder for mark in _MAGIC):
        hint = "Patterns stand in the last part: s3://bucket/photos/*.jpg."
        raise UsageError("a pattern in the middle of a URL is not read", given=shown(url), hint=hint)
    if any(mark in last for mark in _MAGIC):
        found = list(_matching(folder, last, left, is_image))
        what = "no image matches the pattern"
    else:
        facts = facts_of(url)
        if facts.get("type") != "directory":
            return [remote_file(url, facts)]
        entries = listed_below(url)
        if _is_run(entries):
            hint = "Copy it to this machine to measure or show it."
            raise UsageError("the remote folder is a run of sig, not images", given=shown(url), hint=hint)
        found, what = list(_below(entries, left, is_image)), "the folder has no images"
    if not found:
        raise UsageError(what, given=shown(url), allowed=allowed, hint=" ".join(left.notes))
    return found


def memory_of(file: Remote) -> io.BytesIO:
    """A remote image in memory, once its size is known to be one that is read.

    Raises:
        ImageError: it is empty, too large, or cannot be had.
    """
    if file.size is None:
        return io.BytesIO(file.read(MOST_WHOLE))
    check_size(file, file.size, lambda: file.head(12))
    content = file.read(file.size)
    if not content:
        raise ImageError("the image file is empty (0 bytes)", given=file, hint="Fetch or save the file again.")
    return io.BytesIO(content)


def _matching(folder: str, pattern: str, left: LeftOut, is_image: Callable[[Path], bool]) -> Iterator[Remote]:
    facts_of(folder)  # a listing, which may take long, comes after an answer
    for name, url, facts in listed_below(folder):
        if not fnmatch.fnmatchcase(name, pattern) or name.startswith("."):
            continue
        if facts.get("type") == "directory":
            yield from _below(listed_below(url), left, is_image)
        elif is_image(Path(name)):
            yield remote_file(url, facts)
        else:
            left.file(Path(name))


def _below(entries: _Listed, left: LeftOut, is_image: Callable[[Path], bool]) -> Iterator[Remote]:
    """Images below a folder, its own files before those of its subfolders."""
    waiting = [entries]
    while waiting:
        entries = waiting.pop()
        folders: list[tuple[str, str]] = []
        for name, url, facts in entries:
            if name in ("", "..", ".") or "/" in name:
                left.add(IMPOSSIBLE, Path(name or "/"))
            elif name.startswith("."):
                left.add(HIDDEN, Path(name))
            elif facts.get("type") == "directory":
                folders.append((name, url))
            elif is_image(Path(name)):
                yield remote_file(url, facts)
            else:
                left.file(Path(name))
        searched: list[_Listed] = []
        for name, url in folders:
            below = listed_below(url)
            reason = RUN if _is_run(below) else MASKS if _are_masks(name, below, entries, is_image) else ""
            if reason:
                left.add(reason, Path(name))
            else:
                searched.append(below)
        waiting += reversed(searched)


def _is_run(entries: _Listed) -> bool:
    """Whether a folder has the files of a run."""
    names = {name for name, _, _ in entries}
    return "manifest.json" in names and bool(names & {"results.csv", "files.jsonl"})


def _are_masks(name: str, below: _Listed, beside: _Listed, is_image: Callable[[Path], bool]) -> bool:
    """Whether a folder holds masks of the images beside it, or of those in `images` beside it."""
    if name.casefold() != "masks":
        return False

    def stems(entries: _Listed) -> set[str]:
        files = (Path(one) for one, _, facts in entries if facts.get("type") != "directory")
        return {one.stem for one in files if is_image(one)}

    own = stems(below)
    images = next((url for one, url, facts in beside if one == "images" and facts.get("type") == "directory"), None)
    return bool(own) and (own <= stems(beside) or (images is not None and own <= stems(listed_below(images))))

"""Files of remote places, each fetched to memory when it is read."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import ImageError, SigError, UsageError
from ..files import write_aside
from .systems import ask, system_of
from .urls import WEB, path_of_url, shown

_PART = 8 << 20
_MARKS = (
    "ETag",
    "etag",
    "md5Hash",
    "generation",
    "blob_id",
    "content_md5",
    "mtime",
    "LastModified",
    "last_modified",
    "created",
)
"""What file systems tell of a file that changes with its content, the surest first."""


@dataclass(frozen=True)
class Remote(os.PathLike[str]):
    """A file of a remote place. It stands where the path of a file of this machine does.

    Args:
        url: its whole URL.
        size: bytes, or None where the place does not say.
        mark: what changes with its content, or empty where the place tells nothing like that.
    """

    url: str
    size: int | None = None
    mark: str = ""

    @property
    def name(self) -> str:
        """The last part of its path."""
        return path_of_url(self.url).rpartition("/")[2]

    def stamp(self) -> tuple[int, str] | None:
        """Size and digest of what the place tells of the content; None where it does not tell."""
        if self.size is None or not self.mark:
            return None
        return self.size, hashlib.blake2b(self.mark.encode(), digest_size=16).hexdigest()

    def read(self, most: int, error: type[SigError] = ImageError) -> bytes:
        """The content, in parts of 8 MiB each of which is asked for thrice at most.

        Args:
            most: bytes; of a larger file nothing beyond them is fetched.
            error: what is raised.

        Raises:
            error: it cannot be had, or is larger.
        """
        if self.size is not None and self.size > most:
            raise too_large(self, most, error)
        if (known := _recent.get(self)) is not None:
            return known
        content = self._fetched(most, error)
        if self.mark:
            _recent.keep(self, content)
        return content

    def _fetched(self, most: int, error: type[SigError]) -> bytes:
        if self.url.partition("://")[0].lower() in WEB:
            return _streamed(self, most, error)
        system, path = system_of(self.url)
        size, parts = self.size or 0, []
        for start in range(0, max(size, 1), _PART):
            end = min(size, start + _PART)
            part = ask(self.url, lambda s=start, e=end: system.cat_file(path, start=s, end=e), error, size=_PART)
            if len(part) != end - start:
                raise error("the file changed while it was read", given=self, hint="Repeat the command.")
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def head(self, count: int) -> bytes:
        """The first bytes; none where they cannot be had."""
        system, path = system_of(self.url)
        try:
            return ask(self.url, lambda: system.cat_file(path, start=0, end=count), ImageError)[:count]
        except SigError:
            return b""

    def __fspath__(self) -> str:
        return path_of_url(self.url)

    def __str__(self) -> str:
        return shown(self.url)


class _Recent:
    """The files that were fetched last, since a picture is looked at before and while it is explained."""

    def __init__(self, most: int):
        self._most, self._size = most, 0
        self._files: OrderedDict[Remote, bytes] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, file: Remote) -> bytes | None:
        """The content of a file, or None."""
        with self._guard:
            return self._files.get(file)

    def keep(self, file: Remote, content: bytes) -> None:
        """Keep a file in place of the oldest ones; a very large one is not kept."""
        with self._guard:
            if file in self._files or len(content) > self._most // 4:
                return
            self._files[file] = content
            self._size += len(content)
            while self._size > self._most:
                self._size -= len(self._files.popitem(last=False)[1])


_recent = _Recent(64 << 20)


def last_name(url: str) -> str:
    """The last part of a URL, as a file of this machine may be called."""
    return path_of_url(url).rpartition("/")[2].replace(":", "_")


def too_large(file: object, most: int, error: type[SigError]) -> SigError:
    """The message for a file of more bytes than are read."""
    told = (
        f"the file has {file.size / 1e9:.1f} GB" if isinstance(file, Remote) and file.size else "the file is too large"
    )
    return error(told, given=file, allowed=f"up to {most / 1e9:.2g} GB", hint="Make it smaller first.")


def remote_file(url: str, facts: Mapping[str, Any]) -> Remote:
    """A file from what its file system tells of it."""
    size = facts.get("size")
    mark = next((facts[key] for key in _MARKS if facts.get(key)), "")
    mark = str(mark.timestamp() if isinstance(mark, datetime) else mark)
    return Remote(url, int(size) if isinstance(size, (int, float)) else None, mark)


def facts_of(url: str, error: type[SigError] = UsageError) -> dict[str, Any]:
    """What a file system tells of a URL: `type` is file or directory.

    Raises:
        error: there is nothing, or it cannot be asked.
    """
    system, path = system_of(url)
    return dict(ask(url, lambda: system.info(path), error))


def listed_below(url: str, error: type[SigError] = UsageError) -> list[tuple[str, str, dict[str, Any]]]:
    """What is in a folder, itself not: (name, URL, facts) of each, in the order of the names."""
    system, path = system_of(url)
    found = ask(url, lambda: system.ls(path, detail=True), error, seconds=300, tries=1)
    here, listed = path.rstrip("/"), []
    for facts in found:
        name = str(facts["name"]).rstrip("/")
        if name != here and name.startswith(f"{here}/" if here else ""):
            last = name[len(here) :].lstrip("/")
            listed.append((last, f"{url.rstrip('/')}/{last}", dict(facts)))
    return sorted(listed, key=lambda one: one[0])


def write(url: str, content: bytes, error: type[SigError]) -> None:
    """Write a file whole: an object store shows it when all of it is there, and so does a file system.

    Raises:
        error: it cannot be written.
    """
    system, path = system_of(url)

    def put() -> None:
        if url.lower().startswith("file:"):
            write_aside(Path(path), lambda aside: aside.write_bytes(content))
        else:
            system.pipe_file(path, content)

    ask(url, put, error, size=len(content))


def _streamed(file: Remote, most: int, error: type[SigError]) -> bytes:
    """The content of a file of the web, whose server may send more than it promised."""
    system, path = system_of(file.url)

    def fetched() -> bytes:
        with system.open(path, "rb", block_size=0) as stream:
            parts, count = [], 0
            while part := stream.read(1 << 20):
                parts.append(part)
                count += len(part)
                if count > most:
                    raise too_large(file, most, error)
        return b"".join(parts)

    return ask(file.url, fetched, error, size=file.size or _PART)

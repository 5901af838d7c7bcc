"""Copies on this machine of remote files that a command names beside its images: weights, tables, masks, class names."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ..errors import UsageError
from .remote import Remote, facts_of, last_name, listed_below, remote_file
from .systems import ask, system_of
from .urls import WEB, kind_of_url, shown

_PART = 8 << 20
_FILES = 1_000_000
_urls: dict[str, str] = {}


def cache_folder() -> Path:
    """Where copies and staging folders are: `sig` in the user's cache, see `XDG_CACHE_HOME`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sig"


def digest(text: str) -> str:
    """A name for a URL that every file system takes."""
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def copied(url: str, tell: Callable[[str], object] = lambda _: None) -> Path:
    """A copy of a remote file or folder; one that was made before is taken where the place says that nothing has changed.

    Args:
        url: the file or folder.
        tell: called with a note before much is fetched.

    Raises:
        UsageError: it cannot be had.
    """
    facts = facts_of(url)
    folder = facts.get("type") == "directory" and kind_of_url(url) not in WEB
    files = dict(_below(url, "")) if folder else {"": remote_file(url, facts)}
    if not files:
        raise UsageError("the remote folder is empty", given=shown(url))
    known = [file.stamp() for file in files.values()]
    state = digest(repr([*zip(files, known, strict=True)])) if None not in known else ""
    home = cache_folder() / "copies" / digest(url)
    place = home / (state or "unknown") / (last_name(url) or "file")
    _urls[str(place)] = shown(url)
    if state and place.exists():
        return place
    size = sum(file.size or 0 for file in files.values())
    if size > _PART:
        tell(f"Fetching {shown(url)} ({size / 1e6:,.0f} MB).")
    aside = home / f".{os.getpid()}.part"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        for name, file in files.items():
            _fetch(file, aside / place.name / name if name else aside / place.name)
        shutil.rmtree(place.parent, ignore_errors=True)
        os.replace(aside, place.parent)
    except OSError as error:
        raise UsageError(f"a remote file cannot be kept here: {error.strerror or error}", given=home) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    for other in home.iterdir():
        if other != place.parent:
            shutil.rmtree(other, ignore_errors=True)
    return place


def origin(text: str) -> str:
    """The URL of a copy that was made in this process; any other text as it is."""
    place, colon, part = text.rpartition(":")
    if colon and place in _urls:  # one of several sets of weights in a file
        return f"{_urls[place]}:{part}"
    return _urls.get(text, text)


def fetch_to(file: Remote, path: Path, error: type = UsageError) -> None:
    """Write a remote file's content to a path of this machine, in parts.

    Raises:
        error: it cannot be had.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if file.size is None or kind_of_url(file.url) in WEB:
        path.write_bytes(file.read(1 << 31, error))
        return
    system, inner = system_of(file.url)
    with path.open("wb") as stream:
        for start in range(0, file.size, _PART):
            end = min(file.size, start + _PART)
            stream.write(
                ask(file.url, lambda s=start, e=end: system.cat_file(inner, start=s, end=e), error, size=end - start)
            )


def _fetch(file: Remote, path: Path) -> None:
    fetch_to(file, path)
    if file.size is not None and path.stat().st_size != file.size:
        raise UsageError("a remote file changed while it was fetched", given=file, hint="Repeat the command.")
    if (stamp := file.stamp()) is not None:  # runs tell files by size and time: the same content has the same time
        time = int(stamp[1][:7], 16)
        os.utime(path, (time, time))


def _below(url: str, above: str) -> list[tuple[str, Remote]]:
    """All files below a folder but hidden ones, by their paths in it."""
    found: list[tuple[str, Remote]] = []
    for name, inner, facts in listed_below(url):
        if name.startswith(".") or name in ("", "..") or "/" in name:
            continue
        if facts.get("type") == "directory":
            found += _below(inner, f"{above}{name}/")
        else:
            found.append((f"{above}{name}", remote_file(inner, facts)))
        if len(found) > _FILES:
            raise UsageError("the remote folder has too many files to copy", given=shown(url), allowed=f"{_FILES:,}")
    return found

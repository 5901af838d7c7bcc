"""A run folder on a remote place: made in a staging folder of this machine, from which every finished file is uploaded.

Object stores neither rename nor append nor lock, so the run itself is an ordinary one of this machine. What its folder
holds is sent as it comes: manifest, files of images, then the list of them, and `results.csv` last. A reader of the remote
folder finds no row whose files are not there.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ..errors import OutputError, SigError, StoppedError, UsageError
from ..files import going_on, is_aside, write_aside, write_text
from ..places.copies import cache_folder, digest, fetch_to
from ..places.lease import NAME, Lease
from ..places.remote import Remote, remote_file, write
from ..places.systems import ask, system_of
from ..places.urls import WEB, joined, kind_of_url, shown
from .ledger import LEDGER
from .lock import FolderLock
from .manifest import MANIFEST, manifest_or_none, owned
from .table import RESULTS

T = TypeVar("T")
Known = dict[str, tuple[int, int]]
"""Name in the folder → size and time of the file of this machine whose content the place has."""
_EVERY = 20.0
"""Seconds between two uploads while the run goes on."""
_AT_ONCE = 8
_LISTING = 300.0
_GROWING = (".jsonl", ".csv")
"""Endings of files beside the manifest that rows are appended to."""


class Stage:
    """A remote run folder and the folder of this machine that stands for it.

    Args:
        url: the remote folder.
        folder: where to stage; by default a folder of the user's cache that is removed once everything is uploaded.
        resume: the run there goes on, so its files are fetched.
        tell: called with what the user should know.

    Raises:
        OutputError: the place cannot be written, another process writes there, or it holds something other than a run.
        UsageError: a URL that cannot be used.
    """

    def __init__(
        self, url: str, folder: str | Path | None, *, resume: bool, tell: Callable[[str], object] = lambda _: None
    ):
        self.url, self._kept = url.rstrip("/"), folder is not None
        if url.endswith("//") or kind_of_url(url) in WEB:
            hint = "For example --out s3://bucket/maps."
            raise UsageError("--out names no folder of a remote place", given=shown(url), hint=hint)
        self.path = Path(os.path.abspath(folder)) if folder else cache_folder() / "staged" / digest(self.url)
        self._state = self.path.with_name(f"{self.path.name}.sig-stage.json")
        self._tell, self._known = tell, Known()
        _probe(self.url)
        there = self._listed()
        begun = [name for name in there if is_aside(name.rpartition("/")[2])]  # by a process that was killed
        there = {name: file for name, file in there.items() if name not in begun}
        if there and MANIFEST not in there:
            some = ", ".join(sorted(there)[:3])
            raise OutputError(
                f"the remote folder holds other files than a run of sig: {some}",
                given=shown(url),
                hint="Name another --out.",
            )
        self._lock = FolderLock(self.path)
        try:
            self._lease = Lease(self.url)
        except BaseException:
            self._lock.release()
            self._tidy()
            raise
        try:
            _all(self._remove, begun)
            with going_on(self.path):
                self._mirror(there, resume=resume)
        except BaseException:
            self._release()
            raise
        self._stop, self._failed = threading.Event(), ""
        self._thread = threading.Thread(target=self._follow, name="upload", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Upload what is left and give the place back; the staging folder goes, unless it was named.

        Raises:
            StoppedError: not everything could be uploaded; it is kept in the staging folder.
        """
        self._stop.set()
        self._thread.join()
        try:
            self._lease.check()
            self._upload(whole=True)
        except SigError as error:
            self._save()
            self._lease.release()
            self._lock.release()
            reason = error.what if error.given is None else f"{error.what} ({error.given})"
            raise StoppedError(
                f"the run could not be uploaded whole: {reason}", given=shown(self.url),
                hint=f"It is kept in {self.path}: repeat the command with --resume to upload the rest.",
            ) from error  # fmt: skip
        self._release()

    def told(self, error: SigError) -> SigError:
        """An error that names the remote folder where it names the staging folder."""
        here, there = str(self.path), shown(self.url)
        texts = [
            None if one is None else str(one).replace(here, there) for one in (error.given, error.allowed, error.hint)
        ]
        return type(error)(error.what.replace(here, there), given=texts[0], allowed=texts[1], hint=texts[2])

    def _release(self) -> None:
        self._lease.release()
        self._lock.release()
        if self._kept:
            self._save()
        else:
            shutil.rmtree(self.path, ignore_errors=True)
            self._state.unlink(missing_ok=True)
            self._tidy()

    def _tidy(self) -> None:
        """Remove the staging folder and the one that it is in, where they are empty."""
        for folder in (self.path, self.path.parent):
            with suppress(OSError):
                folder.rmdir()

    def _listed(self) -> dict[str, Remote]:
        """The files of the remote folder by their names in it."""
        system, path = system_of(self.url)

        def found() -> Mapping[str, Mapping[str, Any]]:
            system.invalidate_cache()
            return system.find(path, detail=True)

        here = path.rstrip("/")
        every = ask(self.url, found, OutputError, seconds=_LISTING, tries=1)
        named = ((str(name)[len(here) :].lstrip("/"), facts) for name, facts in every.items())
        return {
            name: remote_file(joined(self.url, name), facts)
            for name, facts in named
            if name not in ("", NAME) and not name.endswith("/") and ".." not in name.split("/")
        }

    def _mirror(self, there: Mapping[str, Remote], *, resume: bool) -> None:
        """Bring the staging folder to what the place holds.

        With `resume`, every file; else the files of the run itself, and empty ones for all others: whose they are and which
        may be replaced is then decided as for a folder of this machine. What is not written anew is not uploaded.
        """
        mark, state = _mark(self._listed_top()), self._saved()
        if any(self.path.iterdir()) and state.get("url") != self.url:
            raise OutputError("the staging folder holds other files", given=self.path, hint="Name an empty --stage.")
        if resume and state.get("mark") == mark:
            self._known = {str(name): (int(size), int(at)) for name, (size, at) in state["known"].items()}
            self._tell(f"Going on with what stands in {self.path}.")
            return
        _empty(self.path)
        self._save(mark)
        if not there:
            return
        fetch_to(there[MANIFEST], self.path / MANIFEST, OutputError)
        mine = {MANIFEST, LEDGER, RESULTS, *(owned(manifest_or_none(self.path)) or ())}
        whole = {name: file for name, file in there.items() if resume or name in mine}
        size = sum(file.size or 0 for file in whole.values())
        if size > 1 << 24:
            self._tell(f"Fetching the run from {shown(self.url)} ({size / 1e6:,.0f} MB).")
        _all(lambda name: fetch_to(whole[name], self.path / name, OutputError), whole)
        for name in there.keys() - whole.keys():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).touch()
        self._known = {name: facts for name, facts in _files(self.path) if name in there}
        self._save(mark)

    def _saved(self) -> dict[str, Any]:
        """What was written down of the staging folder; where its mark is the place's, it is as far or ahead."""
        try:
            found = json.loads(self._state.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _save(self, mark: str | None = None) -> None:
        """Write down what the place has of the staging folder."""
        if mark is None:
            try:
                mark = _mark(self._listed_top())
            except SigError:
                return  # the state of before stands, which another mark refutes
        state = json.dumps({"url": self.url, "mark": mark, "known": self._known})
        with suppress(OSError):
            write_aside(self._state, lambda aside: write_text(aside, state))

    def _listed_top(self) -> dict[str, Remote]:
        system, _ = system_of(self.url)
        found: dict[str, Remote] = {}
        for name in (LEDGER, RESULTS):
            url = joined(self.url, name)
            _, path = system_of(url)

            def facts(path: str = path) -> Any:
                system.invalidate_cache()
                try:
                    return system.info(path)
                except FileNotFoundError:
                    return None

            if (told := ask(url, facts, OutputError)) is not None:
                found[name] = remote_file(url, told)
        return found

    def _follow(self) -> None:
        """Upload what is finished, again and again, until the run ends."""
        pause = _EVERY
        while not self._stop.wait(pause):
            begun = time.monotonic()
            try:
                self._lease.renew()
                self._upload()
                self._save()
            except (SigError, OSError):
                continue  # the last upload, at the end, tells what is wrong
            pause = max(_EVERY, 10 * (time.monotonic() - begun))

    def _upload(self, *, whole: bool = False) -> None:
        """Upload what the place does not have yet, and remove what the run has removed.

        Args:
            whole: the run has ended; else the last row of a table may be half written.

        Raises:
            OutputError: the place cannot be written.
        """
        growing = {name: _read(self.path / name) for name in _growing(self.path)}
        files = dict(_files(self.path))
        changed = {name: facts for name, facts in files.items() if self._known.get(name) != facts}
        if MANIFEST in changed:
            self._send(MANIFEST, changed.pop(MANIFEST))
        _all(lambda name: self._send(name, changed[name]), changed.keys() - growing.keys())
        gone = self._known.keys() - files.keys()
        _all(self._remove, gone)
        for name in sorted(growing, key=lambda one: (one == RESULTS, one)):
            facts, content = growing[name]
            if self._known.get(name) != facts:
                self._put(name, content if whole else content[: content.rfind(b"\n") + 1])
                self._known[name] = facts if whole else (-1, 0)  # it may have grown: the last upload sends it again

    def _send(self, name: str, facts: tuple[int, int]) -> None:
        try:
            content = (self.path / name).read_bytes()
        except FileNotFoundError:
            return  # the run has removed it meanwhile
        self._put(name, content)
        self._known[name] = facts

    def _put(self, name: str, content: bytes) -> None:
        write(joined(self.url, name), content, OutputError)

    def _remove(self, name: str) -> None:
        url = joined(self.url, name)
        system, path = system_of(url)

        def remove() -> None:
            with suppress(FileNotFoundError):
                system.rm_file(path)

        ask(url, remove, OutputError)
        self._known.pop(name, None)


def _mark(there: Mapping[str, Remote]) -> str:
    """What changes where a run is written to."""
    return digest(repr([(name, there[name].stamp()) for name in (LEDGER, RESULTS) if name in there]))


def _files(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name, size and time of every whole file below a folder."""
    for here, _, names in os.walk(folder):
        for name in names:
            if is_aside(name):
                continue
            path = Path(here, name)
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue
            yield path.relative_to(folder).as_posix(), (facts.st_size, facts.st_mtime_ns)


def _read(path: Path) -> tuple[tuple[int, int], bytes]:
    """Size, time and content of a file; the first two are of before it was read."""
    facts = path.stat()
    return (facts.st_size, facts.st_mtime_ns), path.read_bytes()


def _probe(url: str) -> None:
    """Raise OutputError where a place does not answer; a listing, which may take long, comes after that."""
    system, path = system_of(url)

    def asked() -> None:
        with suppress(FileNotFoundError):
            system.info(path)

    ask(url, asked, OutputError)


def _growing(folder: Path) -> list[str]:
    """Names of the files that rows are appended to."""
    if not folder.is_dir():
        return []
    return [one.name for one in folder.iterdir() if one.name.endswith(_GROWING) and one.is_file()]


def _all(do: Callable[[str], object], names: Iterable[str]) -> None:
    """Do something with every name, a few at once; the first error is raised."""
    with ThreadPoolExecutor(_AT_ONCE, "remote") as pool:
        for _ in pool.map(do, sorted(names)):
            pass


def _empty(folder: Path) -> None:
    """An empty folder, in place of what was left in it."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    folder.mkdir(parents=True, exist_ok=True)

"""Whose folder it is: the manifest of a run lists what the run owns; everyone else's files stay as they are.

A run may replace and remove what it owns, and nothing else; `--overwrite` changes which run a folder holds, not that rule.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import OutputError, UsageError
from ..files import remove_leftovers, write_aside, write_text, writing
from .filenames import folders_of, item_files, methods_of
from .ledger import LEDGER, Ledger

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MANIFEST = "manifest.json"
_NAMED = 3
_BEFORE = (
    "results.csv", "metrics.csv", "metrics.jsonl", "summary.csv", "curves.csv", "agreement.csv", "evaluation.json",
    "curves.png", "table.png", "agreement.png", "reliability.png",
)  # fmt: skip
"""What a run owns whose manifest does not tell, since an older version wrote it."""


def output_folder(out: str | Path) -> Path:
    """The folder that `--out` names.

    Raises:
        UsageError: no name, a file, or a current folder that holds other things.
    """
    if not str(out).strip() or "\0" in str(out):
        raise UsageError(
            "the output folder's name is impossible", given=repr(str(out)), hint="For example --out sig-out."
        )
    path = Path(out)
    try:
        if path.exists() and not path.is_dir():
            raise UsageError("the output folder is a file", given=path, hint="Name another --out.")
        here = path.is_dir() and path.samefile(Path.cwd()) and any(path.iterdir()) and read_manifest(path) is None
    except (OSError, ValueError) as error:
        raise OutputError("the output folder cannot be used", given=path, hint=f"{error}.") from error
    if here:
        raise UsageError(
            "the output folder is the current folder, which holds other files", given=repr(str(out)),
            hint="Name a folder of its own, for example --out sig-out.",
        )  # fmt: skip
    return path


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a run folder, or None where there is none or the file of that name is not of `sig`.

    Raises:
        OutputError: it is damaged.
    """
    file = path / MANIFEST
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8-sig"))
        ours = (
            isinstance(found, dict)
            and isinstance(found.get("spec"), dict)
            and isinstance(found.get("images", []), list)
        )
        if not ours and Ledger.read(path) is not None:
            raise ValueError("sig did not write it in this form")
    except (OSError, ValueError, RecursionError) as error:
        way = "add --overwrite to replace the run" if Ledger.read(path) is not None else "remove the file"
        raise OutputError(
            "the manifest of the run folder cannot be read", given=file,
            hint=f"{' '.join(str(error).split())}. Name another --out, or {way}.",
        ) from error  # fmt: skip
    return found if ours else None


def manifest_or_none(path: Path) -> dict[str, Any] | None:
    """Like `read_manifest`, and None for one that is damaged."""
    try:
        return read_manifest(path)
    except OutputError:
        return None


def owned(manifest: Mapping[str, Any] | None) -> set[str] | None:
    """Names beside the manifest that its run owns; None where it was written before manifests told."""
    if manifest is None:
        return set()
    names = manifest.get("owns")
    if not isinstance(names, list):
        return None
    return {name for name in names if isinstance(name, str) and Path(name).name == name}


def refuse_strangers(folder: Path, names: Iterable[str], *, overwrite: bool = False) -> None:
    """Raise OutputError where files that are about to be written stand there already and are not a run's own.

    Args:
        folder: folder of the run.
        names: names of the files.
        overwrite: asked for; it replaces a run, and the message says so.
    """
    mine = owned(manifest_or_none(folder))
    if mine is None:
        return
    if Ledger.read(folder) is not None:  # a run whose manifest was damaged or is not yet written
        mine = mine | {LEDGER, MANIFEST, "results.csv"}
    refuse(folder, (name for name in names if name not in mine and os.path.lexists(folder / name)), overwrite=overwrite)


def refuse(folder: Path, strange: Iterable[str], *, overwrite: bool = False) -> None:
    """Raise OutputError that names files which are not a run's own, if there are any."""
    found = list(dict.fromkeys(strange))
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        what = f"{folder} contains {', '.join(found[:_NAMED])}{more}, which sig did not write"
        also = "; --overwrite replaces only what sig wrote." if overwrite else "."
        raise OutputError(what, hint=f"Name another --out{also}")


def differences(earlier: Mapping[str, Any], manifest: Mapping[str, Any], *, images: bool) -> list[str]:
    """Names of what differs between two runs: entries of their specs, and where it matters their images."""
    new = json.loads(json.dumps(manifest))
    one, other = earlier.get("spec", {}), new["spec"]
    names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    return names + (["images"] if images and earlier.get("images") != new.get("images") else [])


def standing(path: Path, manifest: Mapping[str, Any], *, resume: bool, overwrite: bool) -> tuple[Any, list[str]]:
    """The manifest that stands in a folder, or None, and what of it differs from the one to be written.

    Raises:
        OutputError: it may not be replaced.
    """
    try:
        earlier = read_manifest(path) if path.is_dir() else None
    except OutputError:
        if overwrite and Ledger.read(path) is not None:
            return None, ["manifest"]
        raise
    differing = [] if earlier is None else differences(earlier, manifest, images=not resume)
    if earlier is not None and resume and differing:
        raise OutputError(
            f"{path} holds a different kind of run ({', '.join(differing)} differ)",
            hint="Repeat the command of that run with --resume, or name another --out.",
        )
    if earlier is not None and differing and not overwrite:
        raise OutputError(
            f"{path} already holds another run ({', '.join(differing)} differ)",
            hint="Name another --out, or add --overwrite to replace it.",
        )
    return earlier, differing


def claim_folder(
    path: Path,
    manifest: Mapping[str, Any],
    owns: Sequence[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> bool:
    """Make a folder for a run and write its manifest; says whether this very run was there already.

    What another run owned is removed. What this run owns from before stays until it is replaced.

    Args:
        path: the folder.
        manifest: what will be written; its "spec" says which run it is.
        owns: names of the files that the run writes beside its manifest.
        resume: go on with what is there.
        overwrite: replace another run.

    Raises:
        OutputError: the folder cannot be written, or holds another run or strangers' files of these names.
    """
    earlier, differing = standing(path, manifest, resume=resume, overwrite=overwrite)
    refuse_strangers(path, (MANIFEST, *owns), overwrite=overwrite)
    kept = set() if differing else owned(earlier) or set()
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        remove_leftovers([path])
        if differing:
            remove_run(path, earlier, owns)
        write_manifest(path, manifest, {*owns, *kept})
    return earlier is not None and not differing


def remove_run(path: Path, manifest: Mapping[str, Any] | None, names: Iterable[str]) -> None:
    """Remove what another run owns, but for its manifest, which says what the folder is until it is replaced.

    Args:
        path: the folder.
        manifest: manifest of that run; None where it is damaged.
        names: names of files beside it that are the run's where its manifest does not tell.
    """
    ledger = Ledger.read(path)
    files = set() if ledger is None else {*ledger.files(), *ledger.left()}
    if manifest is not None and (ledger is None or ledger.unreadable):  # then names must do
        files |= set(item_files(path, folders_of(manifest), methods_of(manifest)))
    remove_files(path, files)
    told = None if manifest is None else owned(manifest)
    for name in sorted({*names, *_BEFORE} if told is None else told):
        if name not in (MANIFEST, LEDGER):
            (path / name).unlink(missing_ok=True)
    (path / LEDGER).unlink(missing_ok=True)


def remove_files(path: Path, files: Iterable[Path]) -> None:
    """Remove files of a run folder, and the folders that they leave empty."""
    folders: set[Path] = set()
    for file in files:
        file.unlink(missing_ok=True)
        folders.add(file.parent)
    for folder in sorted(folders, key=lambda one: len(one.parts), reverse=True):
        here = folder
        while here != path and path in here.parents:
            try:
                here.rmdir()
            except OSError:
                break  # it holds something, or is gone
            here = here.parent


def write_manifest(path: Path, manifest: Mapping[str, Any], owns: Iterable[str]) -> None:
    """Write a manifest with the names that its run owns."""
    text = json.dumps({**manifest, "owns": sorted({MANIFEST, *owns})}, indent=2) + "\n"
    write_aside(path / MANIFEST, lambda aside: write_text(aside, text))


def take(path: Path, names: Sequence[str], *, made: Sequence[str] = ()) -> None:
    """Add names to what the run of a folder owns.

    Args:
        path: the folder.
        names: names of files that the run is about to write.
        made: names of files that it has written already.

    Raises:
        OutputError: one of `names` is a stranger's file, or the folder cannot be written.
    """
    refuse_strangers(path, names)
    manifest = read_manifest(path) or {}
    mine = owned(manifest)
    if mine is not None and not mine.issuperset((*names, *made)):
        with writing(path):
            write_manifest(path, manifest, {*mine, *names, *made})


def free_folder(stem: str, manifest: Mapping[str, Any], *, resume: bool) -> Path:
    """The default output folder: `stem`, or `stem-2`, `stem-3` … where that holds another run.

    A folder whose run has the same spec and images is used again: the same command writes the same files. `resume` finds
    that folder, so it need not be named.
    """
    number = 1
    while True:
        path = Path(stem if number == 1 else f"{stem}-{number}")
        earlier = manifest_or_none(path) if path.is_dir() else None
        if earlier is None and (not path.exists() or (path.is_dir() and not any(path.iterdir()))):
            if resume:
                raise OutputError(
                    "there is no run of this command to resume", hint=f"Name its folder with --out; looked in {stem}*."
                )
            return path
        if earlier is not None and not differences(earlier, manifest, images=True):
            return path
        number += 1


def folder_for(out: str | Path | None, stem: str, manifest: Mapping[str, Any], *, resume: bool = False) -> Path:
    """The folder that `--out` names, or the default one, see `free_folder`."""
    return free_folder(stem, manifest, resume=resume) if out is None else output_folder(out)


class FolderLock:
    """Held while a process writes in a folder; ends with the process, however that ends.

    The folder itself is locked, so nothing is left to clean up. One process may hold it several times. File systems
    without locks go without.

    Raises:
        OutputError: another process holds it.
    """

    _held: dict[tuple[int, int], tuple[int, int]] = {}  # noqa: RUF012 - of the process: (device, inode) → (file, holders)

    def __init__(self, path: Path):
        self._key: tuple[int, int] | None = None
        if fcntl is None:
            return
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            facts = path.stat()
        key = facts.st_dev, facts.st_ino
        if key in self._held:
            file, holders = self._held[key]
            self._held[key] = file, holders + 1
        else:
            file = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                raise OutputError(
                    "another sig process is writing in the output folder", given=path,
                    hint="Wait until it is done, or name another --out.",
                ) from None  # fmt: skip
            except OSError:
                os.close(file)
                return
            self._held[key] = file, 1
        self._key = key

    def release(self) -> None:
        """Let it go; a second time does nothing."""
        if self._key is None:
            return
        file, holders = self._held.pop(self._key)
        if holders > 1:
            self._held[self._key] = file, holders - 1
        else:
            os.close(file)
        self._key = None

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()

"""Whose folder it is: the manifest of a run lists what the run owns; everyone else's files stay as they are.

A run may replace and remove what it owns, and nothing else; `--overwrite` changes which run a folder holds, not that rule.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import OutputError, UsageError
from ..files import is_page, remove_leftovers, writing
from ..names import GALLERY, PAGE, of_page
from .earlier import differences, extends, nothing_done
from .filenames import files_in, folders_of, item_files, methods_of
from .ledger import LEDGER, Ledger
from .lock import FolderLock
from .manifest import MANIFEST, manifest_or_none, owned, read_manifest, write_manifest

Places = tuple[Sequence[str], Sequence[str], Sequence[str]]
"""Where a run writes: folders of images, methods, and the endings of its files."""
_NAMED = 3
_BEFORE = (
    "results.csv", "predictions.csv", "metrics.csv", "metrics.jsonl", "summary.csv", "curves.csv", "agreement.csv",
    "evaluation.json", "curves.png", "table.png", "agreement.png", "reliability.png",
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
        if path.is_symlink() and not path.exists():
            raise UsageError("the output folder is a link that leads nowhere", given=path, hint="Name another --out.")
        here = path.is_dir() and path.samefile(Path.cwd()) and any(path.iterdir()) and read_manifest(path) is None
    except (OSError, ValueError) as error:
        raise OutputError("the output folder cannot be used", given=path, hint=f"{error}.") from error
    if here:
        raise UsageError(
            "the output folder is the current folder, which holds other files", given=repr(str(out)),
            hint="Name a folder of its own, for example --out sig-out.",
        )  # fmt: skip
    return path


def refuse_inside(out: str | Path | None, named: Iterable[Any]) -> None:
    """Raise UsageError where a run would write among the images: the next one would explain its maps.

    A run that stands below a folder of images already may go on.

    Args:
        out: the folder that was named for the run, or None.
        named: what was named as images; folders count.
    """
    if out is None or not str(out).strip() or "\0" in str(out):
        return
    folder = Path(os.path.realpath(out))
    for one in named:
        if not isinstance(one, (str, Path)) or not os.path.isdir(one):
            continue
        images = Path(os.path.realpath(one))
        if folder == images or (images in folder.parents and manifest_or_none(folder) is None):
            what = "is" if folder == images else "is inside"
            hint = f"Name one outside, for example --out {Path(one).parent / 'sig-out'}."
            raise UsageError(f"the output folder {what} the folder of images", given=f"{out}", hint=hint)


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
    if Ledger.there(folder):  # a run whose manifest was damaged or is not yet written
        mine = mine | {LEDGER, MANIFEST, "results.csv", "predictions.csv"}
    if is_page(folder / PAGE):
        mine = mine | {PAGE}
    refuse(folder, (name for name in names if name not in mine and os.path.lexists(folder / name)), overwrite=overwrite)


def refuse(folder: Path, strange: Iterable[str], *, overwrite: bool = False) -> None:
    """Raise OutputError that names files which are not a run's own, if there are any."""
    found = list(dict.fromkeys(strange))
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        what = f"{folder} contains {', '.join(found[:_NAMED])}{more}, which sig did not write"
        also = "; --overwrite replaces only what sig wrote." if overwrite else "."
        raise OutputError(what, hint=f"Name another --out{also}")


def refuse_items(
    path: Path, earlier: Mapping[str, Any] | None, places: Places, *, overwrite: bool, resume: bool
) -> frozenset[str]:
    """Raise OutputError where the folders of images hold files of our names that no run has written.

    Of a run that is resumed, sheets of others are no obstacle: they stay, and are returned.
    Where the list of what the earlier run wrote is damaged, all files of such names in its images' folders are its own.
    """
    if not path.is_dir() or not any(path.iterdir()):
        return frozenset()
    folders, methods, endings = places
    ledger = Ledger.peek(path)
    mine = set() if ledger is None else {*ledger.files(), *ledger.left()}
    if earlier is not None and (ledger is None or ledger.unreadable):
        mine |= set(item_files(path, folders_of(earlier), [*methods_of(earlier), *methods], endings))
    blocked = (one for one in folders if os.path.exists(f"{path}/{one}") and not os.path.isdir(f"{path}/{one}"))
    strange = [name for name in item_files(path, *places) if name not in mine]
    sheets = frozenset(name for name in strange if resume and PurePosixPath(name).name.startswith("compare."))
    refuse(path, (*blocked, *(name for name in strange if name not in sheets)), overwrite=overwrite)
    return sheets


def standing(path: Path, manifest: Mapping[str, Any], *, resume: bool, overwrite: bool) -> tuple[Any, list[str]]:
    """The manifest that stands in a folder, or None, and what of it differs from the one to be written.

    Raises:
        OutputError: it may not be replaced.
    """
    try:
        earlier = read_manifest(path) if path.is_dir() else None
    except OutputError:
        if overwrite and Ledger.there(path):
            return None, ["manifest"]
        raise
    differing = [] if earlier is None else differences(earlier, manifest, images=not resume)
    if earlier is None or (resume and extends(earlier, manifest)):
        return earlier, []
    if differing and nothing_done(path, earlier):
        return earlier, differing
    if resume and differing:
        raise OutputError(
            f"{path} holds a different kind of run ({', '.join(differing)} differ)",
            hint="Repeat the command of that run with --resume, or name another --out. Methods may be added, not left out "
            "or changed.",
        )
    if differing and not overwrite:
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
    if is_page(path / PAGE):
        remove_files(path, [PAGE, *(f"{GALLERY}/{name}" for name in files_in(path / GALLERY) if of_page(name))])
    for name in sorted({*names, *_BEFORE} if told is None else told):
        if name not in (MANIFEST, LEDGER):
            (path / name).unlink(missing_ok=True)
    (path / LEDGER).unlink(missing_ok=True)


def remove_files(path: Path, files: Iterable[str]) -> None:
    """Remove files of a run folder, by their names in it, and the folders that they leave empty."""
    folders: set[Path] = set()
    for name in files:
        file = path / name
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


def abandon(path: Path) -> None:
    """Give back the folder of a run that was rejected, where nothing was done in it."""
    manifest = manifest_or_none(path)
    if manifest is not None and nothing_done(path, manifest):
        with writing(path):
            remove_run(path, manifest, ())
            (path / MANIFEST).unlink(missing_ok=True)
        remove_empty(path)


def remove_empty(path: Path) -> None:
    """Remove a folder where it is empty."""
    with suppress(OSError):
        path.rmdir()


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
        if earlier is not None and _goes_on(path, earlier, manifest, resume=resume):
            return path
        number += 1


def _goes_on(path: Path, earlier: Mapping[str, Any], manifest: Mapping[str, Any], *, resume: bool) -> bool:
    """Whether a default folder is that of a run: it holds the same one, one that this adds methods to, or nothing yet."""
    if not differences(earlier, manifest, images=True):
        return True
    if resume:
        return earlier.get("images") == manifest.get("images") and extends(earlier, manifest)
    return nothing_done(path, earlier) and FolderLock.free(path)


def folder_for(out: str | Path | None, stem: str, manifest: Mapping[str, Any], *, resume: bool = False) -> Path:
    """The folder that `--out` names, or the default one, see `free_folder`."""
    return free_folder(stem, manifest, resume=resume) if out is None else output_folder(out)

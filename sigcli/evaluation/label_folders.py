"""The true classes of images, from the names of their folders."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..errors import UsageError
from ..inputs.given import Source
from ..names import printable
from ..runs.filenames import run_names
from .class_cells import EITHER, Classes
from .true_classes import TrueClasses

FOLDERS = "folders"
"""What `--labels` is for classes by folder."""
_SHOWN = 3


def folder_classes(images: Sequence[Source], names: Sequence[str] | None, classes: int) -> TrueClasses:
    """The class of each image that is called as the folder in which the image lies.

    A folder's name is read as a cell of a table of labels is: the name of a class, or its index. Images in a folder that is
    called as no class, or as several, have no label; the note names such folders, and those that are read as indices beside
    names.

    Args:
        images: those of the run.
        names: names of the classes, or None where labels can only be indices.
        classes: their number.

    Raises:
        UsageError: no folder is called as one class, or all can be read as indices and as names.
    """
    folders = [os.path.basename(os.path.dirname(os.path.abspath(one))) for one in images]
    every = sorted(set(folders))
    known = Classes(names, classes)
    column = known.column("folders", every, EITHER)
    if column.other is not None:
        hint = "Name the classes in a table: --labels FILE with --label-column index:NAME or name:NAME."
        shown = ", ".join(map(printable, every[:_SHOWN]))
        raise UsageError("the folders' names can be read as indices and as names", given=shown, hint=hint)
    cells = dict(zip(every, column.cells, strict=True))
    classed = {folder: min(cell) for folder, cell in cells.items() if cell and len(cell) == 1}
    if not classed:
        row = next((at for at, cell in enumerate(cells.values()) if cell), 0)
        raise _of_folder(every[row], known.refusal(column, row) if cells[every[row]] is not None else None)
    found = {
        name: classed[folder] for (name, _), folder in zip(run_names(images), folders, strict=True) if folder in classed
    }
    note = f"--labels folders: {len(found)} of {len(images)} images lie in a folder called as a class"
    note += _told([folder for folder in every if not cells[folder]], "called as none")
    note += _told([folder for folder, cell in cells.items() if cell and len(cell) > 1], "called as several classes")
    numbers = [folder for folder in classed if not known.named(folder.strip())]
    note += _told(numbers if len(numbers) < len(classed) else [], "read as the index of a class")
    return TrueClasses(found, note)


def _told(folders: Sequence[str], what: str) -> str:
    """A part of the note: how many folders are so, and the first of them."""
    if not folders:
        return ""
    shown = ", ".join(map(printable, folders[:_SHOWN])) + (", …" if len(folders) > _SHOWN else "")
    return f"; {len(folders)} {'folder is' if len(folders) == 1 else 'folders are'} {what} ({shown})"


def _of_folder(folder: str, error: UsageError | None) -> UsageError:
    if error is None:
        return UsageError("no folder is called as a class of the model", given=printable(folder))
    return UsageError(f"folder '{printable(folder)}': {error.what}", allowed=error.allowed, hint=error.hint)

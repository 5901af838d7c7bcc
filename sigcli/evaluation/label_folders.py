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

    A folder's name is read as a cell of a table of labels is: the name of a class, or its index.

    Args:
        images: those of the run.
        names: names of the classes, or None where labels can only be indices.
        classes: their number.

    Raises:
        UsageError: no folder is called as a class, or one is called as several.
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
    for row, (folder, cell) in enumerate(cells.items()):
        if cell and len(cell) > 1:
            raise _of_folder(folder, known.refusal(column, row))
    if not any(cells.values()):
        raise _of_folder(every[0], known.refusal(column, 0) if cells[every[0]] is not None else None)
    found = {
        name: min(cell) for (name, _), folder in zip(run_names(images), folders, strict=True) if (cell := cells[folder])
    }
    lost = [folder for folder in every if not cells[folder]]
    note = f"--labels folders: {len(found)} of {len(images)} images lie in a folder called as a class"
    if lost:
        shown = ", ".join(map(printable, lost[:_SHOWN])) + (", …" if len(lost) > _SHOWN else "")
        note += f"; {len(lost)} {'folder is' if len(lost) == 1 else 'folders are'} called as none ({shown})"
    return TrueClasses(found, note)


def _of_folder(folder: str, error: UsageError | None) -> UsageError:
    if error is None:
        return UsageError("no folder is called as a class of the model", given=printable(folder))
    return UsageError(f"folder '{printable(folder)}': {error.what}", allowed=error.allowed, hint=error.hint)

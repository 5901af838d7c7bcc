"""Figures of results: written to a file that the caller names, or shown."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image


def plotted(draw: Callable[[Path], None], path: str | Path | None) -> Path:
    """Draw a figure into a PNG and return its path; without a path, into a temporary file that is then shown.

    Args:
        draw: writes the figure to the path that it is given.
        path: the PNG, or None.
    """
    if path is not None:
        draw(Path(path))
        return Path(path)
    with tempfile.NamedTemporaryFile(prefix="sig-", suffix=".png", delete=False) as file:
        found = Path(file.name)
    draw(found)
    show(found)
    return found


def show(path: Path) -> None:
    """Show a picture: in a notebook below its cell, elsewhere in the system's viewer."""
    notebook = sys.modules.get("IPython")
    if notebook is not None and notebook.get_ipython() is not None:
        notebook.display.display(notebook.display.Image(filename=str(path)))
        return
    with Image.open(path) as picture:
        picture.show(title=path.name)

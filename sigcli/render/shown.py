"""Pictures that are drawn into a file, as pictures: what `plot` methods return, and notebooks show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image


def through_file(path: str | Path | None, draw: Callable[[Path], None]) -> Image.Image:
    """A picture that is drawn into a file: `path`, or one that is not kept.

    Args:
        path: the PNG, or None.
        draw: writes it.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "plot.png" if path is None else Path(path)
        draw(file)
        with Image.open(file) as image:
            return image.convert("RGB")

"""Pictures that are drawn into a file, as pictures: what `plot` methods return, and notebooks show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from ..errors import OutputError


def through_file(path: str | Path | None, draw: Callable[[Path], None]) -> Image.Image:
    """A picture that is drawn into a file: `path`, or one that is not kept.

    Args:
        path: the PNG, or None.
        draw: writes it.

    Raises:
        OutputError: the folder of `path` is not there.
    """
    if path is not None and not Path(path).absolute().parent.is_dir():
        raise OutputError("the folder of the picture is not there", given=path)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "plot.png" if path is None else Path(path)
        draw(file)
        with Image.open(file) as image:
            return image.convert("RGB")

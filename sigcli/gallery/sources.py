"""Where the photographs of a run are, and what its model saw of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..names import local
from ..runs.filenames import run_names


def pictured(manifest: Mapping[str, Any]) -> bool:
    """Whether a run is of pictures, which have maps; arrays have bars."""
    return "arrays" not in manifest


class Photographs:
    """The photographs of a run, as its model saw them.

    Args:
        manifest: of the run.
    """

    def __init__(self, manifest: Mapping[str, Any]):
        self._manifest = manifest

    @cached_property
    def _paths(self) -> dict[str, Path]:
        paths = [Path(local(one)) for one in self._manifest.get("images", []) if isinstance(one, str)]
        return {name: path for (name, _), path in zip(run_names(paths), paths, strict=True)}

    @cached_property
    def _preprocess(self) -> Any:
        from ..models.preprocess import restored

        return restored(
            self._manifest.get("spec", {}).get("preprocess")
        )  # else pictures are shown without the photograph

    def seen(self, image: str, content: str) -> np.ndarray | None:
        """uint8 (H, W, 3), what the model saw of an image; None where its file is gone, changed or cannot be read.

        Args:
            image: its name in the run.
            content: hash of the pixels that were explained.
        """
        from ..inputs.images import read_image

        path = self._paths.get(image)
        if path is None or self._preprocess is None or not path.is_file():
            return None
        try:
            picture = read_image(path)
            return self._preprocess.display(picture.pixels) if f"{picture.key:016x}" == content else None
        except (ImageError, OSError):
            return None

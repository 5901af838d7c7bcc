"""Where the bundled sample images are, installed or in a checkout."""

from __future__ import annotations

from pathlib import Path

from ..errors import ImageError


def sample_images() -> Path:
    """The folder of the bundled sample images; raises ImageError where the installation lacks them."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "data" / "sample_images", package.parent / "sample_images"):
        if folder.is_dir():
            return folder
    raise ImageError("the bundled sample images are missing", hint="Reinstall with 'pip install .' from a checkout.")

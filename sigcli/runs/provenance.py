"""The software versions in a manifest."""

from __future__ import annotations

import platform
from importlib import metadata

from ..version import __version__

_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pillow")


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of what computes."""
    packages = {name: metadata.version(name) for name in _PACKAGES}
    return {"sigcli": __version__, "python": platform.python_version(), **packages}

"""What stands for a Python object that a checkpoint holds beside its weights: arguments of a script, a configuration.

Such an object is not made: its class is not imported and nothing of it is called. What the file says of it is dropped.
"""

from __future__ import annotations

from typing import Any, ClassVar

CALLED = (
    "numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct", "numpy._core.numeric._frombuffer", "numpy.core.numeric._frombuffer",
    "numpy.ndarray", "copyreg._reconstructor", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath", "pathlib.Path", "pathlib._local.PosixPath", "pathlib._local.WindowsPath",
    "datetime.datetime", "datetime.timedelta", "datetime.date", "uuid.UUID", "builtins.slice", "builtins.frozenset",
)  # fmt: skip
"""Functions and classes that pickles of plain values call; here as elsewhere, nothing is called."""


class Foreign:
    """Stands for an object, or (as a class made by `stand_in`) for its class."""

    name: ClassVar[str] = ""

    def __new__(cls, *_: Any) -> Foreign:
        """An object of nothing, whatever it is made from."""
        return object.__new__(cls)

    def __init__(self, *_: Any):
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        """Nothing is kept."""

    def append(self, _: Any) -> None:
        """Nothing is kept."""

    def extend(self, _: Any) -> None:
        """Nothing is kept."""

    def add(self, _: Any) -> None:
        """Nothing is kept."""


def stand_in(name: str) -> type[Foreign]:
    """A class for the global of that name (`package.module.Class`)."""
    return type("Foreign", (Foreign,), {"name": name})


def refused(thing: Any) -> str | None:
    """The name of a foreign function that a pickle calls, unless it is one of plain values; None where it is no such."""
    if isinstance(thing, type) and issubclass(thing, Foreign) and thing.name not in CALLED:
        return thing.name
    return None

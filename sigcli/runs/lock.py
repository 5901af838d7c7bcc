"""The lock of a run folder: one process writes in it, and of that one run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import OutputError
from ..files import writing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class FolderLock:
    """Held while a process writes in a folder; ends with the process, however that ends.

    The folder itself is locked, so nothing is left to clean up. One process may hold it several times, but for one run only:
    a scenario holds the folder in which its run explains images.
    File systems without locks go without.

    Args:
        path: the folder, made where it does not exist.
        alone: for a run: no other may be under way there.

    Raises:
        OutputError: another process holds it, or another run of this one.
    """

    _held: dict[tuple[int, int], tuple[int, int, int]] = {}  # noqa: RUF012 - (device, inode) → file, holders, runs

    def __init__(self, path: Path, *, alone: bool = False):
        self._key: tuple[int, int] | None = None
        self._alone = alone
        if fcntl is None:
            return
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            facts = path.stat()
        key = facts.st_dev, facts.st_ino
        if alone and self._held.get(key, (0, 0, 0))[2]:
            hint = "Finish that one first (close the iterator of iter_explain), or name another folder."
            raise OutputError("another run of this program is writing in the output folder", given=path, hint=hint)
        if key in self._held:
            file, holders, runs = self._held[key]
            self._held[key] = file, holders + 1, runs + alone
        else:
            file = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                raise OutputError(
                    "another sig process is writing in the output folder", given=path,
                    hint="Wait until it is done, or name another --out.",
                ) from None  # fmt: skip
            except OSError:
                os.close(file)
                return
            self._held[key] = file, 1, int(alone)
        self._key = key

    @classmethod
    def free(cls, path: Path) -> bool:
        """Whether nobody is writing in a folder now."""
        try:
            cls(path, alone=True).release()
        except OutputError:
            return False
        return True

    def release(self) -> None:
        """Let it go; a second time does nothing."""
        if self._key is None:
            return
        file, holders, runs = self._held.pop(self._key)
        if holders > 1:
            self._held[self._key] = file, holders - 1, runs - self._alone
        else:
            os.close(file)
        self._key = None

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep other processes out of a folder while the block runs; one that was made for it and stays empty is removed.

    Raises:
        OutputError: another process writes in it.
    """
    there = path.is_dir()
    with FolderLock(path):
        try:
            yield
        finally:
            if not there:
                with suppress(OSError):  # it holds something
                    path.rmdir()

"""Files of `torch.save`: what they hold, and the tensors that are asked for, read without `torch.load`.

Two formats: a zip archive (since torch 1.6), and before that pickles followed by the numbers of every storage in turn.
"""

from __future__ import annotations

import io
import mmap
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sigcli.errors import ModelError

from .archive import Archive, damaged, shown, unreadable
from .pickles import BrokenPickleError, ForeignObjectError, Outline, Storage, describe

SAVE_STATE = (
    "Save it again as torch.save(model.state_dict(), FILE) or as safetensors, then --model NAME --weights FILE."
)
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


@dataclass(frozen=True)
class Saved:
    """An open file.

    Args:
        content: what it holds, with an `Outline` in place of each tensor.
        numbers: the bytes of a storage, uint8.
    """

    content: Any
    numbers: Callable[[Storage], Tensor]

    def tensors(self, outlines: dict[str, Outline]) -> dict[str, Tensor]:
        """The tensors of these outlines; those that share a storage share it here.

        Raises:
            BrokenPickleError: one reaches outside its storage, or two take one for numbers of different types.
        """
        named: dict[str, Storage] = {}
        storages: dict[str, Tensor] = {}
        found = {}
        for name, outline in outlines.items():
            outline.check()
            key = outline.storage.key
            if outline.storage.nbytes and named.setdefault(key, outline.storage) != outline.storage:
                raise BrokenPickleError("two tensors take the same bytes for numbers of two types or lengths")
            if key not in storages or len(storages[key]) < outline.storage.nbytes:
                storages[key] = self.numbers(outline.storage)
            outline.check_in(len(storages[key]))
            found[name] = outline.tensor(storages[key])
        return found


@contextmanager
def opened(path: Path) -> Iterator[Saved]:
    """Open a file of `torch.save`. Objects of foreign classes in it become a `Foreign` each.

    Raises:
        ModelError: it is damaged, or pickles calls of foreign functions.
    """
    with messages(path):
        try:
            with open(path, "rb") as stream:
                zipped = stream.read(2) == b"PK"
                if not zipped:
                    stream.seek(0)
                    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                        yield _legacy(path, content)
                    return
        except OSError as error:
            raise unreadable(path, error) from error
        with Archive(path) as archive:
            yield of_archive(archive, lenient=True)


@contextmanager
def messages(path: Path) -> Iterator[None]:
    """Turn the errors of pickles into a message on the file."""
    try:
        yield
    except ForeignObjectError as error:
        raise objects(path, str(error)) from None
    except BrokenPickleError as error:
        raise damaged(path, str(error)) from error


def objects(path: Path, name: str) -> ModelError:
    """The message for a file of Python objects, the first of which has that name."""
    what = f"refused: the file pickles Python objects ({shown(name)}), which could run code"
    return ModelError(what, given=path, hint=SAVE_STATE)


def of_archive(archive: Archive, *, lenient: bool = False) -> Saved:
    """What a zip archive of `torch.save` holds; `lenient`: see `pickles.describe`.

    Raises:
        ModelError, ForeignObjectError, BrokenPickleError: it is damaged, or holds other objects.
    """
    order = archive.read("byteorder") if "byteorder" in archive else b"little"
    if order.decode("ascii", "replace") != sys.byteorder:
        raise BrokenPickleError("it was saved on a machine of another byte order")
    content, _ = describe(io.BytesIO(archive.read("data.pkl")), lenient=lenient)

    def numbers(storage: Storage) -> Tensor:
        name = f"data/{storage.key}"
        if archive.size(name) < storage.nbytes:
            raise BrokenPickleError(f"'{name}' holds fewer numbers than a tensor has")
        return archive.tensor(name)[: storage.nbytes]

    return Saved(content, numbers)


def _legacy(path: Path, content: mmap.mmap) -> Saved:
    length = len(content)
    if describe(content)[0] != _MAGIC or describe(content)[0] != _PROTOCOL:
        raise ModelError("the file is a pickle that torch.save did not make", given=path, hint=SAVE_STATE)
    describe(content)  # of the machine that wrote it
    found, outlines = describe(content, lenient=True)
    keys, _ = describe(content)
    if not isinstance(keys, list) or not all(type(key) is str for key in keys):
        raise BrokenPickleError("it does not say where its numbers are")
    widths = {outline.storage.key: outline.storage.dtype.itemsize for outline in outlines}
    places, at = {}, content.tell()
    for key in keys:
        count = struct.unpack("<q", content[at : at + 8])[0] if at + 8 <= length else -1
        places[key] = (at + 8, count * widths.get(key, 1))
        at = sum(places[key])
        if count < 0 or at > length or key not in widths:
            raise BrokenPickleError("its numbers are cut short, or belong to no tensor")

    def numbers(storage: Storage) -> Tensor:
        start, size = places.get(storage.key, (0, 0))
        if storage.nbytes > size:
            raise BrokenPickleError("a tensor without numbers")
        made = torch.empty(storage.nbytes, dtype=torch.uint8)
        made.numpy()[:] = np.frombuffer(content[start : start + storage.nbytes], np.uint8)
        return made

    return Saved(found, numbers)

"""Zip archives that strangers made: what is in them, each member once, its size checked before a byte of it is read.

Python's zip reader and torch's can take one archive for two: a name that stands twice, a folder in front, two names that
differ in case. What can be read in two ways is refused here, and torch is given a new archive of the inspected members.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from sigcli.errors import ModelError

TEXT_LIMIT = 64 << 20
"""Bytes of program text, names and the like in one archive; tensors are not counted."""

_BLOCK = 1 << 20
_ENCRYPTED = 0x1
_LOCAL = struct.Struct("<4s5H3I2H")


@dataclass(frozen=True)
class Member:
    """One file of an archive.

    Args:
        name: below the archive's root folder.
        start: where its bytes begin in the archive's file.
        stored: bytes that it takes there.
        size: bytes that it holds.
        crc: CRC-32 of what it holds; 0 where the writer left it out.
    """

    name: str
    start: int
    stored: int
    size: int
    crc: int

    @property
    def packed(self) -> bool:
        """Whether it is compressed, as torch does with program text."""
        return self.stored != self.size


class Archive:
    """An open zip archive whose directory has been checked; close it, or use it as a context.

    Args:
        path: the file.
        stream: its content, where that lies inside another file.

    Raises:
        ModelError: it is damaged, or can be read in two ways: a name twice, members that overlap, odd names, encryption.
    """

    def __init__(self, path: str | Path, stream: Any = None):
        self.path = Path(path)
        self._read = 0
        try:
            self._stream = stream or open(self.path, "rb")  # noqa: SIM115  closed by __exit__
        except OSError as error:
            raise unreadable(self.path, error) from error
        try:
            self.members, self.root = _directory(self.path, self._stream)
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stream.close()

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def below(self, folder: str) -> list[str]:
        """The names that begin with `folder`, in order."""
        return sorted(name for name in self.members if name.startswith(folder))

    def read(self, name: str) -> bytes:
        """A small member: text or names. All of them together may hold `TEXT_LIMIT` bytes.

        Raises:
            ModelError: no such member, it is larger, or damaged.
        """
        member = self._member(name)
        self._read += member.size
        if self._read > TEXT_LIMIT:
            what = f"refused: the archive holds more than {TEXT_LIMIT >> 20} MiB of text (at '{name}')"
            raise ModelError(what, given=self.path, hint="Save the model again, or take weights: --model NAME.")
        content = b"".join(self._blocks(member))
        if member.packed:
            try:
                unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
                content = unpacker.decompress(content, member.size + 1)
            except zlib.error as error:
                raise damaged(self.path, f"'{name}' cannot be unpacked") from error
        if len(content) != member.size or zlib.crc32(content) != member.crc:
            raise damaged(self.path, f"'{name}' is not what was saved (its checksum differs)")
        return content

    def size(self, name: str) -> int:
        """Bytes of a member that holds a tensor.

        Raises:
            ModelError: no such member, or it is compressed: torch stores tensors as they are, and what is packed can swell.
        """
        member = self._member(name)
        if member.packed:
            what = (
                f"refused: '{name}' is compressed ({member.stored} bytes for {member.size}), and torch compresses none"
            )
            raise ModelError(what, given=self.path, hint="Save it again with torch.")
        return member.size

    def tensor(self, name: str) -> Tensor:
        """The bytes of a member as uint8 (size,).

        Raises:
            ModelError: as `size`, or its checksum differs.
        """
        found = torch.empty(self.size(name), dtype=torch.uint8)
        target, done = found.numpy(), 0
        for block in self._checked(self._member(name)):
            target[done : done + len(block)] = memoryview(block)
            done += len(block)
        return found

    def inner(self, name: str) -> Archive:
        """A member that is itself an archive, as weights were stored in before torch 2.9.

        Raises:
            ModelError: it is none.
        """
        return Archive(self.path, _Window(self._stream, self._member(name).start, self.size(name)))

    def copy(self, target: Path, members: Mapping[str, bytes | str | Path], root: str = "model/") -> None:
        """Write an archive that holds `members` and nothing else, uncompressed, block by block.

        Args:
            target: the new file.
            members: name → its content, or the name of a member of this archive, or a file.
            root: a folder in which all of them lie.

        Raises:
            ModelError: a member is damaged, or there is no room for the copy.
        """
        try:
            with zipfile.ZipFile(target, "w") as made:
                for name, content in members.items():
                    if isinstance(content, Path):
                        made.write(content, root + name)
                        continue
                    info = zipfile.ZipInfo(root + name)
                    info.file_size = len(content) if isinstance(content, bytes) else self.size(content)
                    with made.open(info, "w") as into:
                        blocks = [content] if isinstance(content, bytes) else self._checked(self._member(content))
                        for block in blocks:
                            into.write(block)
        except OSError as error:
            hint = "Name a folder with more room: TMPDIR=FOLDER sig ..."
            raise ModelError(f"no copy of the model can be written: {error}", given=target.parent, hint=hint) from error

    def _member(self, name: str) -> Member:
        if name not in self.members:
            raise damaged(self.path, f"it lacks '{name}'")
        return self.members[name]

    def _blocks(self, member: Member) -> Iterator[bytes]:
        self._stream.seek(member.start)
        left = member.stored
        while left:
            block = self._stream.read(min(_BLOCK, left))
            if not block:
                raise damaged(self.path, f"'{member.name}' is cut short")
            left -= len(block)
            yield block

    def _checked(self, member: Member) -> Iterator[bytes]:
        crc = 0
        for block in self._blocks(member):
            crc = zlib.crc32(block, crc)
            yield block
        if member.crc not in (0, crc):  # torch can leave checksums out (set_crc32_options)
            raise damaged(self.path, f"'{member.name}' is not what was saved (its checksum differs)")


class _Window(io.RawIOBase):
    """A part of a file as a file of its own."""

    def __init__(self, stream: Any, start: int, size: int):
        self._file, self._start, self._size, self._at = stream, start, size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, target: Any, /) -> int:
        self._file.seek(self._start + self._at)
        found = self._file.read(max(0, min(len(target), self._size - self._at)))
        target[: len(found)] = found
        self._at += len(found)
        return len(found)


def shown(text: object, limit: int = 160) -> str:
    """A name or reason out of a file, fit for a message: one line, printable, not long.

    >>> shown("a" + chr(10) + "b" + "c" * 200, limit=8)
    'a?bcc...'
    """
    line = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    return line if len(line) <= limit else line[: limit - 3] + "..."


def damaged(path: Path, why: str) -> ModelError:
    """The message for a file that does not hold what it should."""
    return ModelError(f"the file is damaged: {shown(why)}", given=path, hint="Fetch or save it again.")


def unreadable(path: Path, error: BaseException) -> ModelError:
    """The message for a file whose content cannot be had."""
    if isinstance(error, PermissionError):
        return ModelError("the file may not be read", given=path, hint="Change its permissions (chmod).")
    why = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
    return ModelError(f"the file cannot be read: {why}", given=path, hint="Fetch it again.")


def _directory(path: Path, stream: Any) -> tuple[dict[str, Member], str]:
    try:
        with zipfile.ZipFile(stream) as archive:
            infos, end = archive.infolist(), archive.start_dir
    except (
        OSError,
        ValueError,
        LookupError,
        ArithmeticError,
        struct.error,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise unreadable(path, error) from error
    except zipfile.BadZipFile as error:
        raise unreadable(path, error) from error
    names = [info.filename for info in infos]
    _check_names(path, names)
    first = names[0].partition("/")[0] + "/" if names else ""
    root = first if all(name.startswith(first) and name != first for name in names) else ""
    found, last = {}, ("", 0)
    for info in sorted(infos, key=lambda info: info.header_offset):
        if not 0 <= info.header_offset < end:
            raise damaged(path, f"'{info.filename}' is not where the directory says")
        member = _located(path, stream, info, root)
        if info.header_offset < last[1]:
            raise refused(path, f"'{last[0]}' and '{member.name}' share bytes")
        last = member.name, member.start + member.stored
        found[member.name] = member
    if last[1] > end:
        raise damaged(path, f"'{last[0]}' is cut short")
    return found, root


def _check_names(path: Path, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise refused(path, f"'{name}' is in the archive twice")
        seen.add(name.casefold())
        parts = name.split("/")
        below = name.partition("/")[2]  # torch names the root folder after the file, as the user did
        if any(part in ("", ".", "..") for part in parts) or any(
            c in '\\:*?"<>|' or not c.isprintable() for c in below
        ):
            raise refused(path, f"it holds a file of an odd name ({name!r})")


def _located(path: Path, stream: Any, info: zipfile.ZipInfo, root: str) -> Member:
    """Where a member's bytes lie, by its own header, which must agree with the directory."""
    name = info.filename.removeprefix(root)
    if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refused(path, f"'{name}' is encrypted, or packed in a way that torch never does")
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        raise damaged(path, f"'{name}' states two sizes")
    stream.seek(info.header_offset)
    head = stream.read(_LOCAL.size)
    if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
        raise damaged(path, f"'{name}' is not where the directory says")
    method, length, extra = _LOCAL.unpack(head)[3], _LOCAL.unpack(head)[9], _LOCAL.unpack(head)[10]
    own = stream.read(length)
    if own not in (info.filename.encode("utf-8"), info.orig_filename.encode("cp437", "replace")):
        raise refused(path, f"'{name}' has two names")
    if method != info.compress_type:
        raise damaged(path, f"'{name}' is packed in two ways")
    start = info.header_offset + _LOCAL.size + length + extra
    return Member(name, start, info.compress_size, info.file_size, info.CRC)


def refused(path: Path, why: str) -> ModelError:
    """The message for an archive that two readers could take for two."""
    return ModelError(f"refused: {why}", given=path, hint="torch does not write such archives: save the model again.")

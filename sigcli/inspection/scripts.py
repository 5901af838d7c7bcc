"""TorchScript archives, inspected before torch compiles them, and their compiled graphs after that.

Loading runs code of the archive: `__setstate__`, and the default values of arguments. So its text is searched first.
TorchScript has no names but those written out in it and, by `getattr`, those in its string constants.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from sigcli.errors import ModelError

from .archive import Archive, damaged, shown
from .operators import SCRIPT_NAMESPACES, WORDS, objection
from .pickles import BrokenPickleError, ForeignObjectError, describe

_HINT = "Take a state dict with --model NAME --weights FILE, or export the network: torch.export.save."
_CODE = re.compile(r"code/[\w./\-]+\.py$")
_NUMBERS = re.compile(r"(data|constants)/\d+$")
_OCTAL = re.compile(r"\\([0-7]{1,3}|x[0-9a-fA-F]{2})")
_JOINED = re.compile(r"[\"'](?:\s|\\\n|#[^\n]*\n)*[\"']")
_OPS = re.compile(r"(?<![\w.])ops\b(\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)\()?", re.ASCII)
_CLASSES = re.compile(r"\b__torch__\b((?:\.\w+)*)")
_BOUND = ("quantized", "rnn", "sparse")


def clean_members(archive: Archive) -> dict[str, bytes | str]:
    """The members of a TorchScript archive that torch needs, inspected; those with tensors by name.

    Raises:
        ModelError: it calls what reaches outside tensors, holds objects of other classes, is damaged, or of an old format.
    """
    path = archive.path
    if "model.json" in archive:
        raise ModelError("refused: TorchScript in the format before torch 1.4", given=path, hint=_HINT)
    version = ".data/version" if ".data/version" in archive else "version"
    members: dict[str, bytes | str] = {version: archive.read(version)}
    if not re.fullmatch(rb"\d{1,3}\s*", archive.read(version)):
        raise damaged(path, "its version is not a number")
    for name in archive.below("code/"):
        if _CODE.fullmatch(name):
            members[name] = archive.read(name)
            _check_text(archive, name, members[name])
    for name in ("data.pkl", "constants.pkl"):
        members[name] = archive.read(name)
        _check_pickle(archive, name.removesuffix(".pkl"), members[name])
    if "byteorder" in archive and archive.read("byteorder") != b"little":
        raise ModelError("the file was saved on a big-endian machine", given=path, hint=_HINT)
    return members | {name: name for name in archive.members if _NUMBERS.fullmatch(name)}


def _check_text(archive: Archive, name: str, content: bytes | str) -> None:
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise damaged(archive.path, f"'{name}' is not text") from error
    if "\0" in text:
        raise damaged(archive.path, f"'{name}' is not text")
    reason = text_objection(text)
    if reason is not None:
        raise ModelError(f"refused: the program {reason} (in {name})", given=archive.path, hint=_HINT)


def text_objection(text: str) -> str | None:
    """What a TorchScript text may not do, in words; None where nothing was found.

    >>> text_objection("y = torch.from_file('x', True, 8)")
    "uses 'from_file', an operator that reaches outside the network"
    """
    spelled = _JOINED.sub("", _OCTAL.sub(_character, text)) if "getattr" in text else ""
    word = WORDS.search(text) or WORDS.search(spelled)
    if word is not None:
        return f"uses '{word[1]}', an operator that reaches outside the network"
    for match in _OPS.finditer(text):
        reason = (
            objection(match[2], match[3], allowed=SCRIPT_NAMESPACES) if match[1] else "operators under another name"
        )
        if reason is not None:
            return f"uses {reason}" if match[1] is None else f"calls what it may not: {reason}"
    for match in _CLASSES.finditer(text):
        parts = match[1].split(".")[1:]
        if parts in ([], ["torch"]) or (
            parts[:2] == ["torch", "classes"] and (len(parts) < 4 or parts[2] not in _BOUND)
        ):
            return f"uses {match[0]}, an object that is not a tensor"
    return None


def _character(match: re.Match[str]) -> str:
    digits = match[1]
    return chr(int(digits[1:], 16) if digits[0] == "x" else int(digits, 8))


def _check_pickle(archive: Archive, folder: str, content: bytes | str) -> None:
    """Every tensor must lie within its bytes, and every object be of a class of the archive."""
    assert isinstance(content, bytes)
    try:
        _, outlines = describe(io.BytesIO(content), script=True)
        for outline in outlines:
            outline.check()
            if archive.size(f"{folder}/{outline.storage.key}") < outline.storage.nbytes:
                raise BrokenPickleError("a tensor that needs more numbers than the file holds")
    except ForeignObjectError as error:
        raise ModelError(
            f"refused: the program holds an object of {shown(error)}", given=archive.path, hint=_HINT
        ) from error
    except BrokenPickleError as error:
        raise damaged(archive.path, f"'{folder}.pkl': {error}") from error


def check_graphs(path: Any, module: Any) -> None:
    """Look through the compiled graphs of all methods, with all that they call.

    Raises:
        ModelError: one calls an operator that reaches outside tensors.
    """
    for part in module.modules():
        for name in part._c._method_names():
            for node in _nodes(part._c._get_method(name).inlined_graph):
                namespace, _, operator = node.kind().partition("::")
                schema = node.schema()
                called = objection(namespace, operator, allowed=SCRIPT_NAMESPACES)
                if namespace == "prim" and operator in ("PythonOp", "rpc_async", "rpc_sync", "rpc_remote"):
                    called = f"{node.kind()} reaches outside the network"
                if called is None and "filename" in schema:
                    called = f"{node.kind()} reaches outside the network"
                if called is not None:
                    raise ModelError(f"refused: the program calls what it may not: {called}", given=path, hint=_HINT)


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)
        for attribute in node.attributeNames():
            if node.kindOf(attribute) == "g":
                yield from _nodes(node.g(attribute))

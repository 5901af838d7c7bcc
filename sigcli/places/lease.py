"""A lease on a remote folder: an object that says which process writes there, and when it last said so."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from typing import Any

from ..errors import OutputError, SigError, StoppedError
from .remote import write
from .systems import ask, system_of
from .urls import joined, shown

NAME = ".sig-writing.json"
STALE = 600.0
"""Seconds after which a holder that said nothing is taken for gone."""


class Lease:
    """Held while a process writes in a remote folder.

    Object stores have no locks: two processes that begin within the same second may both be let in; the second one's token
    then stands, and the first ends at its next look. A holder that was killed on this machine is known to be gone; one on
    another machine after ten minutes.

    Args:
        url: the folder.

    Raises:
        OutputError: another process holds it, or nothing can be written there.
    """

    def __init__(self, url: str):
        self._url, self._file = url, joined(url, NAME)
        self._token = secrets.token_hex(8)
        holder = self._read()
        if holder is not None and _alive(holder):
            who = f"process {holder.get('process')} on {holder.get('host')}"
            raise OutputError(
                f"another sig process is writing in the remote folder: {who}", given=shown(url),
                hint="Wait until it is done, or name another --out; one that was killed gives way after ten minutes.",
            )  # fmt: skip
        self.renew(first=True)

    def renew(self, *, first: bool = False) -> None:
        """Say that the folder is still written to.

        Raises:
            StoppedError: another process has taken it over.
        """
        if not first:
            self.check()
        held = {"token": self._token, "host": socket.gethostname(), "process": os.getpid(), "time": time.time()}
        write(self._file, json.dumps(held).encode(), OutputError)
        if first:
            self.check()

    def check(self) -> None:
        """Raise StoppedError where another process has taken the folder over."""
        holder = self._read()
        if holder is not None and holder.get("token") != self._token:
            raise StoppedError(
                "another sig process has taken over the remote folder", given=shown(self._url),
                hint=f"It is process {holder.get('process')} on {holder.get('host')}.",
            )  # fmt: skip

    def release(self) -> None:
        """Let it go; a failure leaves an object that grows stale."""
        system, path = system_of(self._file)
        try:
            self.check()
            ask(self._file, lambda: system.rm_file(path), OutputError)
        except SigError:
            return

    def _read(self) -> dict[str, Any] | None:
        system, path = system_of(self._file)

        def content() -> bytes:
            system.invalidate_cache()
            try:
                return system.cat_file(path)
            except FileNotFoundError:
                return b""

        try:
            found = json.loads(ask(self._file, content, OutputError) or b"null")
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


def _alive(holder: dict[str, Any]) -> bool:
    """Whether a holder may still be writing."""
    said, process = holder.get("time"), holder.get("process")
    if not isinstance(said, (int, float)) or abs(time.time() - said) > STALE:
        return False
    if holder.get("host") == socket.gethostname() and isinstance(process, int):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
    return True

"""The page of a run on 127.0.0.1, for who knows a token: files of one folder, read only, and nothing beside them."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
import sys
from contextlib import suppress
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copyfileobj
from typing import Any
from urllib.parse import parse_qs, quote, unquote_to_bytes, urlsplit

from ..errors import OutputError, UsageError, reason
from ..files import is_page
from ..names import GALLERY, PAGE
from ..runs.manifest import MANIFEST

_LOCAL = "127.0.0.1"
_KINDS = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".json": "application/json",
    ".jsonl": "text/plain; charset=utf-8", ".csv": "text/csv; charset=utf-8", ".png": "image/png",
    ".jpg": "image/jpeg", ".svg": "image/svg+xml", ".pdf": "application/pdf", ".npy": "application/octet-stream",
}  # fmt: skip
_HEADERS = {
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY", "Cache-Control": "private, no-cache",
}  # fmt: skip
_OUTSIDE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
"""Policy of HTML that the page of a run is not, such as the coloured words of a text: no script runs."""


def page_of(path: Path) -> tuple[Path, str]:
    """The folder that is served for a run or a page, and the page's name in it; a run without a page gets one.

    Raises:
        UsageError: no such folder or page, or one that `sig` did not write.
        OutputError: the run has no page, and none can be written.
    """
    if "://" in str(path) or re.match(r"[a-z0-9]+:/(?!/)", str(path)):  # a Path has one slash of the two
        hint = "Copy the run to this machine first, or make a page of it: sig report RUN --out page.html."
        raise UsageError("sig view serves folders of this machine", given=path, hint=hint)
    if path.is_file() and path.suffix.lower() in (".html", ".htm"):
        if not is_page(path):
            raise UsageError(
                "sig did not write this page", given=path, hint="Name a run folder, or a page of sig report."
            )
        return path.resolve().parent, path.name
    if path.is_dir() and (path / PAGE).is_file():
        return path.resolve(), PAGE
    from .publishing import publish

    try:
        publish(path)
    except OSError as error:
        raise OutputError(
            "the run has no page, and none can be written into its folder", given=path,
            hint=f"{reason(error)}. sig report {path} --out page.html writes one elsewhere.",
        ) from error  # fmt: skip
    return path.resolve(), PAGE


class Viewing(ThreadingHTTPServer):
    """Serves a folder to this machine; use it in a `with` block.

    The first request brings the token in its address, and gets it as a cookie, so links in the page work without it.
    Every other request is refused, and so is one that names another host: a page of someone else's, opened in the same
    browser, cannot read the folder.

    Args:
        folder: the folder; files that are outside it, by links or otherwise, are not served. Of a folder that is no run (a
            home folder with a page of `sig report` in it, say) only the page, its own files and runs are served.
        page: the page in it that is shown first.
        port: of 127.0.0.1; 0 takes a free one.

    Raises:
        UsageError: the port cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"

    def __init__(self, folder: Path, page: str = PAGE, *, port: int = 0):
        if not 0 <= port <= 65535:
            raise UsageError("there is no such port", given=port, allowed="1024 to 65535, or 0 for a free one")
        self.folder, self.page, self.token = Path(os.path.realpath(folder)), page, secrets.token_urlsafe(32)
        try:
            super().__init__((_LOCAL, port), _Handler)
        except OSError as error:
            hint = "Name another --port, or leave it out for a free one."
            raise UsageError(f"the port cannot be had: {reason(error)}", given=port, hint=hint) from error

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """The address with the token, for a browser on this machine or through ssh."""
        return f"http://{_LOCAL}:{self.port}/{quote(self.page, errors='surrogateescape')}?token={self.token}"

    @property
    def cookie(self) -> str:
        """Name of the cookie: cookies of one host are shared by all its ports."""
        return f"sig-{self.port}"

    def knows(self, token: str) -> bool:
        """Whether this is the token, compared in a time that tells nothing."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())

    def serve(self) -> None:
        """Serve until Ctrl-C, or until `shutdown` is called in another thread."""
        with suppress(KeyboardInterrupt):
            self.serve_forever(poll_interval=0.2)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has closed its window is no error."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)

    def file_of(self, path: str) -> Path | None:
        """The file that the path of a request names; None where there is none within the folder.

        Links are followed only to where they stay in the folder. Hidden files are those that are being written.
        """
        try:
            name = os.fsdecode(unquote_to_bytes(path)).lstrip("/") or self.page
            parts = name.split("/")
            if any(_hidden(one) for one in parts):
                return None
            file = Path(os.path.realpath(self.folder.joinpath(*parts)))
            inside = file.is_relative_to(self.folder) and self._belongs(file) and stat.S_ISREG(file.stat().st_mode)
        except (OSError, ValueError):
            return None
        return file if inside else None

    def _belongs(self, file: Path) -> bool:
        """Whether a file in the folder is the page's, or a run's."""
        beside = self.folder / f"{Path(self.page).stem}-files"
        if file == self.folder / self.page or file.is_relative_to(beside):
            return True
        return any(_is_run(one) for one in file.parents if one.is_relative_to(self.folder))


def _is_run(folder: Path) -> bool:
    """Whether a folder is a run's: it has a manifest, or the page with its pictures where that is lost."""
    return (folder / MANIFEST).is_file() or ((folder / PAGE).is_file() and (folder / GALLERY).is_dir())


def _hidden(part: str) -> bool:
    return part in ("", ".", "..") or (part.startswith(".") and part.endswith(".part"))


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Viewing
    server_version, sys_version, protocol_version, timeout = "sig", "", "HTTP/1.1", 30

    def do_GET(self) -> None:
        """Send a file."""
        self._answer(whole=True)

    def do_HEAD(self) -> None:
        """Send what a file is."""
        self._answer(whole=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing is logged: addresses hold the token."""

    def _answer(self, *, whole: bool) -> None:
        asked = urlsplit(self.path)
        if not self._here():
            self._refuse(HTTPStatus.FORBIDDEN, "This address serves 127.0.0.1 and localhost only.", whole=whole)
            return
        given = parse_qs(asked.query).get("token", [""])[0]
        if given and self.server.knows(given):
            self._welcome(asked.path)
        elif not self.server.knows(self._cookie()):
            self._refuse(HTTPStatus.FORBIDDEN, "Open the address that sig view printed: it holds a token.", whole=whole)
        else:
            file = self.server.file_of(asked.path)
            if file is None:
                self._refuse(HTTPStatus.NOT_FOUND, "There is no such file in the run.", whole=whole)
            else:
                self._send(file, whole=whole)

    def _here(self) -> bool:
        """Whether the request names this machine: what another name leads here is a trick."""
        try:
            return urlsplit(f"//{self.headers.get('Host', '')}").hostname in (_LOCAL, "localhost", "::1")
        except ValueError:
            return False

    def _cookie(self) -> str:
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            return ""
        return "" if found is None else found.value

    def _welcome(self, path: str) -> None:
        """Give the cookie, and lead to the same address without the token."""
        self.send_response(HTTPStatus.SEE_OTHER)
        cookie = f"{self.server.cookie}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
        self.send_header("Set-Cookie", cookie)
        self.send_header("Location", quote(unquote_to_bytes("/" + path.lstrip("/"))))
        self._end("text/plain", 0)

    def _refuse(self, status: HTTPStatus, text: str, *, whole: bool) -> None:
        body = f"{text}\n".encode()
        self.send_response(status)
        self._end("text/plain; charset=utf-8", len(body))
        if whole:
            self.wfile.write(body)

    def _send(self, file: Path, *, whole: bool) -> None:
        try:
            stream = file.open("rb")
        except OSError:
            self._refuse(HTTPStatus.NOT_FOUND, "The file cannot be read.", whole=whole)
            return
        with stream:
            size = os.fstat(stream.fileno()).st_size
            self.send_response(HTTPStatus.OK)
            if file != self.server.folder / self.server.page:
                self.send_header("Content-Security-Policy", _OUTSIDE)
            self._end(_KINDS.get(file.suffix.lower(), "application/octet-stream"), size)
            if whole:
                copyfileobj(stream, self.wfile)

    def _end(self, kind: str, size: int) -> None:
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(size)}.items():
            self.send_header(name, value)
        self.end_headers()

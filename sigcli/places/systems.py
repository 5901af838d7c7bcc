"""File systems behind URLs: every question to them is bounded in time, asked again where that helps, and told in words."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import SigError, UsageError
from .urls import PACKAGES, WEB, kind_of_url, shown

T = TypeVar("T")
SECONDS = 18.0
"""How long a place may take to answer one question; three times that is under a minute."""
TRIES = 3
_PAUSE = 0.4
_BYTES_A_SECOND = 200_000
"""The slowest connection that is waited for."""
_HERE = ("memory", "file")
_NO_CREDENTIALS = (
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "DefaultCredentialsError", "RefreshError",
    "TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "ProfileNotFound", "LocalTokenNotFoundError",
)  # fmt: skip
_REFUSED = ("GatedRepoError",)
_ABSENT = ("RepositoryNotFoundError", "RevisionNotFoundError", "EntryNotFoundError", "NoSuchBucket")
_CERTAIN = (*_NO_CREDENTIALS, *_REFUSED, *_ABSENT, "NonHttpUrlRedirectClientError", "TooManyRedirects")
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError, ImportError)
_CREDENTIALS = {
    "s3": "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; of a public bucket FSSPEC_S3='{\"anon\":true}'",
    "gs": 'Run: gcloud auth application-default login; for a public bucket set FSSPEC_GS=\'{"token": "anon"}\'',
    "hf": "Run: hf auth login, or set HF_TOKEN",
    "az": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_ALIKE = {"s3a": "s3", "gcs": "gs", "abfs": "az"}
_systems: dict[tuple[int, str], Any] = {}
_guard = threading.Lock()


def system_of(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, one in each process, and the path of the URL in it.

    Options come from the environment as fsspec and the clients define it: `FSSPEC_S3`, `AWS_ENDPOINT_URL` and so on.

    Raises:
        UsageError: a URL that is not read, or a package that is missing.
    """
    kind = kind_of_url(url)
    package = PACKAGES[kind]
    with _guard:
        system = _systems.get((os.getpid(), kind))
        if system is None:
            system = _systems[os.getpid(), kind] = _made(kind, package, url)
    try:
        path = url if kind in WEB else str(system._strip_protocol(url))
    except Exception as error:
        raise told(error, url, UsageError) from error
    return system, path


def _made(kind: str, package: str, url: str) -> Any:
    try:
        import fsspec
    except ImportError:
        hint = f"Install it: pip install {package or 'fsspec'}, or '.[remote]' in the clone of sig."
        raise UsageError("URLs need the package fsspec", given=shown(url), hint=hint) from None
    try:
        return fsspec.filesystem(kind)
    except ImportError:
        hint = f"Install it: pip install {package}."
        raise UsageError(f"{kind}:// needs the package {package}", given=shown(url), hint=hint) from None
    except Exception as error:
        raise told(error, url, UsageError) from error


def ask(
    url: str,
    do: Callable[[], T],
    error: type[SigError] = UsageError,
    *,
    size: int = 0,
    seconds: float = 0,
    tries: int = 0,
) -> T:
    """What a function that asks a place returns; it is called again where it does not answer or breaks off.

    Args:
        url: of what it asks for, for messages.
        do: the function.
        error: what is raised.
        size: bytes that are sent or fetched.
        seconds: how long it may take; by default `SECONDS`, and longer where much is fetched.
        tries: how often it is called at most; by default `TRIES`.

    Raises:
        error: it cannot be had.
    """
    kind = url.partition("://")[0].lower()
    limit = (seconds or SECONDS) + size / _BYTES_A_SECOND
    count = tries or TRIES
    for number in range(1, count + 1):
        try:
            return do() if kind in _HERE else _bounded(do, limit)
        except SigError:
            raise
        except Exception as given:  # noqa: BLE001  each client has errors of its own; all are told below
            reason = _cause(given) if kind in WEB else given
            if number == count or not _passing(reason):
                raise told(reason, url, error) from reason
            time.sleep(_PAUSE * 2**number)
    raise AssertionError("a try returns or raises")


def _bounded(do: Callable[[], T], seconds: float) -> T:
    """What a function returns, or TimeoutError; what never ends is left behind on a thread that no exit waits for."""
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(do())
        except BaseException as error:  # noqa: BLE001  raised below
            failed.append(error)

    thread = threading.Thread(target=run, name="remote", daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(f"no answer for {seconds:.0f} s")
    return found[0]


def _cause(error: BaseException) -> BaseException:
    """What went wrong on the web: fsspec says of all of it that the file is not there."""
    while isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _passing(error: BaseException) -> bool:
    """Whether asking again may help."""
    status = _status(error)
    if status in (401, 403, 404, 405, 410) or type(error).__name__ in _CERTAIN:
        return False
    return not isinstance(error, (*_FINAL, ValueError, TypeError, NotImplementedError))


def _status(error: BaseException) -> int:
    """The HTTP status of an error of aiohttp, requests or huggingface_hub, or 0."""
    found = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return found if isinstance(found, int) else 0


def told(error: BaseException, url: str, kind: type[SigError]) -> SigError:
    """What a file system's error says, in words, with what to do next."""
    scheme = url.partition("://")[0].lower()
    where, name = shown(url), type(error).__name__
    access = _CREDENTIALS.get(_ALIKE.get(scheme, scheme), "Check the address and your rights")
    reason = " ".join(str(error).split()).replace(url, where)[:300] or name
    if isinstance(error, FileNotFoundError) or name in _ABSENT or _status(error) in (404, 410):
        return kind("no such file, folder or bucket", given=where, hint="Check the address; names are case-sensitive.")
    if name in _NO_CREDENTIALS:
        return kind("there are no credentials for the place", given=where, hint=f"{access}.")
    if isinstance(error, PermissionError) or name in _REFUSED or _status(error) in (401, 403):
        return kind(f"the place refuses access: {reason.rstrip('.')}", given=where, hint=f"{access}.")
    if "Redirect" in name:
        return kind("the address leads to something that is no file of the web", given=where)
    if isinstance(error, (TimeoutError, ConnectionError)) or "Timeout" in name or "Connect" in name:
        what = f"the place does not answer: {reason.rstrip('.')}"
        return kind(what, given=where, hint="Check the network and the address, then repeat the command.")
    return kind(f"the place cannot be used: {reason.rstrip('.')}", given=where)

"""URLs that users name where they could name files and folders of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ..errors import UsageError

PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "az": "adlfs", "abfs": "adlfs",
    "http": "aiohttp", "https": "aiohttp", "file": "", "memory": "",
}  # fmt: skip
"""Kind of URL → the package that reads it beside fsspec; none where fsspec does itself."""
WEB = ("http", "https")
"""Kinds of URLs that name one file each, since the web has no folders."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")


def url_of(value: Any) -> str | None:
    """The URL that a text or path is, or None; `Path("s3://a/b")`, which Python writes with one slash, is one too.

    >>> url_of("s3://bucket/a.png"), url_of(Path("s3://bucket/a.png")), url_of("photos/a.png"), url_of("C:/a.png")
    ('s3://bucket/a.png', 's3://bucket/a.png', None, None)

    Raises:
        UsageError: a text that has one slash where a URL has two.
    """
    if not isinstance(value, (str, Path)):
        return None
    text = str(value)
    found = _URL.match(text)
    if found is None:
        return None
    if isinstance(value, str) and text[found.end() : found.end() + 1] != "/":
        if found[1].lower() in PACKAGES and not os.path.lexists(value):
            raise UsageError(
                "a URL has two slashes after the colon", given=text, hint=f"Did you mean '{found[1]}://…'?"
            )
        return None
    if isinstance(value, Path) and os.path.lexists(value):
        return None
    return f"{found[1]}://{text[found.end() :].removeprefix('/')}" if isinstance(value, Path) else text


def kind_of_url(url: str) -> str:
    """The kind of a URL, such as s3.

    Raises:
        UsageError: a kind that is not read, or a URL that holds a password.
    """
    kind = url.partition("://")[0].lower()
    if "::" in url:
        raise UsageError("chained URLs are not read", given=shown(url), hint="Unpack archives first.")
    if kind not in PACKAGES:
        raise UsageError("unknown kind of URL", given=f"{kind}://", allowed=", ".join(f"{one}://" for one in PACKAGES))
    if "@" in url.partition("://")[2].partition("/")[0] and kind not in ("hf", "abfs", "az"):
        hint = (
            "Passwords would stand in manifests and in the shell's history: put them where the client looks for them."
        )
        raise UsageError("a URL cannot hold a name and password", given=shown(url), hint=f"{hint} See docs/remote.md.")
    return kind


def shown(url: str) -> str:
    """A URL as messages and manifests have it: without passwords, and of the web without what follows the question mark.

    >>> shown("https://a.org/b.jpg?X-Signature=1"), shown("s3://me:word@bucket/a?b")
    ('https://a.org/b.jpg?…', 's3://…@bucket/a?b')
    """
    url = re.sub(r"^([^:/]+://)[^/@]*:[^/@]*@", r"\1…@", url)
    head, question, _ = url.partition("?")
    return f"{head}?…" if question and url.lower().startswith("http") else url


def path_of_url(url: str) -> str:
    """A URL as if it were an absolute path, from which the names of images in a run are made.

    >>> path_of_url("s3://bucket/photos/a.png"), path_of_url("https://a.org/b.jpg?size=3")
    ('/s3:/bucket/photos/a.png', '/https:/a.org/b.jpg')
    """
    kind, _, rest = url.partition("://")
    rest = rest.partition("?")[0] if kind.lower() in WEB else rest
    return f"/{kind.lower()}:/{rest.strip('/')}"


def joined(url: str, name: str) -> str:
    """The URL of what is below a folder."""
    return f"{url.rstrip('/')}/{name}"

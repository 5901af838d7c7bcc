"""JSON as every reader takes it: no NaN or infinity, no half characters."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from .names import printable


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON in ASCII; null for NaN and infinity, bytes that are not UTF-8 as `sigcli.names` writes them.

    >>> json_text({"gap": float("nan"), "image": "a.png"})
    '{"gap": null, "image": "a.png"}'
    """
    return json.dumps(_plain(value), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value if value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value) else printable(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value

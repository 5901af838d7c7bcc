"""Ways to damage a file at random: bytes, words that are nasty to readers, values of JSON; see `fuzzing`."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from mutations import _json as value_replaced

TOKENS = [
    b"",
    b"0",
    b"-1",
    b"1e999",
    b"NaN",
    b"-inf",
    b"99999999999999999999",
    b"4294967295",
    b"2147483648",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b'"',
    b"'",
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xed\xa0\x80",
    b'"\\ud800"',
    b"../../x",
    b"/etc/passwd",
    b"=1+1",
    b"<script>",
    b"%s",
    b"\x1b[31m",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"(" * 300,
    b"9" * 5000,
    b"a" * 70000,
    b"\xe2\x80\xae",
    b"\\",
    b"\\x",
    b"#",
    b":",
    b"index",
    b"label",
    b"image",
    b"1_0",
    b"\xd9\xa3",
    b"\xc2\xb2",
]


def damage(content: bytes, rng: random.Random) -> bytes:
    """One to three of: bits turned, a cut, a piece repeated, moved or zeroed, a nasty word, a value of JSON replaced."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        content = _once(content, rng)
    return content


def _once(content: bytes, rng: random.Random) -> bytes:
    way, place = rng.choice(_WAYS), rng.randrange(len(content) + 1)
    return way(content, place, rng.choice((1, 2, 4, 16, 100, 2000)), rng)


def _turned(content: bytes, place: int, size: int, rng: random.Random) -> bytes:
    made = bytearray(content)
    for _ in range(min(size, 30) if made else 0):
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def _moved(content: bytes, place: int, size: int, rng: random.Random) -> bytes:
    rest = content[:place] + content[place + size :]
    other = rng.randrange(len(rest) + 1)
    return rest[:other] + content[place : place + size] + rest[other:]


def _filled(content: bytes, place: int, size: int, rng: random.Random) -> bytes:
    size = min(size, len(content) - place)
    return content[:place] + rng.choice((b"\0", b"\xff", b"\x7f")) * size + content[place + size :]


def _worded(content: bytes, place: int, size: int, rng: random.Random) -> bytes:
    return content[:place] + rng.choice(TOKENS) + content[place + rng.choice((0, 0, 1, 4, 20)) :]


def _cell(content: bytes, place: int, size: int, rng: random.Random) -> bytes:
    cells = [found.span() for found in re.finditer(rb"[^,;\s\"]+", content[:200_000])] or [(0, 0)]
    first, last = rng.choice(cells)
    return content[:first] + rng.choice(TOKENS) + content[last:]


_WAYS: list[Callable[[bytes, int, int, random.Random], bytes]] = [
    lambda content, place, size, rng: content[:place],
    lambda content, place, size, rng: content[: place + size] + content[place:],
    lambda content, place, size, rng: content[:place] + content[place + size :],
    _turned, _moved, _filled, _worded, _worded, _cell,
]  # fmt: skip


def json_damage(content: bytes, rng: random.Random) -> bytes:
    """A value of JSON replaced, or bytes as anywhere."""
    return value_replaced(content, rng) if rng.random() < 0.6 else damage(content, rng)


def damage_lines(content: bytes, rng: random.Random) -> bytes:
    """One line of JSON lines."""
    lines = content.split(b"\n")
    if rng.random() < 0.3:
        return damage(content, rng)
    place = rng.randrange(len(lines))
    lines[place] = json_damage(lines[place], rng) if lines[place] else rng.choice(TOKENS)
    return b"\n".join(lines)

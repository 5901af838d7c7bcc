"""Counter-based random numbers: every draw is a function of (key, draw index), whatever the order, batch or device.

Philox4x64-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3") as numpy ships it, read as raw
words and turned into numbers here, so no later change of numpy's distributions moves them. A stateful generator would
tie the coalitions of an image to the batch size, to the order of the images and to what ran before. The numbers are the same
on every device: they are integers first. They are made on the host, but for noise images on CUDA, which the device makes.
"""

from __future__ import annotations

import hashlib
import math
import threading
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor


def stream(seed: int, *parts: object) -> int:
    """The 64-bit key of a stream of draws, for example `stream(seed, image_key, "sig")`.

    >>> stream(0, "a") == stream(0, "a"), stream(0, "a") == stream(1, "a")
    (True, False)
    """
    text = "\x1f".join([str(seed), *map(str, parts)]).encode(errors="surrogatepass")  # names of files
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def words(key: int, draw: int, count: int) -> np.ndarray:
    """The first `count` 64-bit words of one draw: blocks of four at the counters (1, draw), (2, draw), …"""
    generator = _at(key, 0, draw)
    return np.asarray(generator.random_raw(count), dtype=np.uint64)


def _words_of(key: int, draws: Int64[Tensor, " k"], count: int) -> np.ndarray:
    """`words` of several draws, (k, count): the generator is set up once and then told the place of each."""
    found = np.empty((len(draws), count), np.uint64)
    if len(found):
        generator, state = _at(key, 0, 0), _kept.state
        place = state["state"]["counter"]
        for row, draw in zip(found, draws.tolist(), strict=True):
            place[1] = draw
            generator.state = state
            row[:] = generator.random_raw(count)
    return found


_WORD = 2**64 - 1


class _Kept(threading.local):
    """A generator of this thread, which is set to a place in a third of the time that a new one takes."""

    def __init__(self) -> None:
        self.generator = np.random.Philox(0)
        self.state: Any = self.generator.state


_kept = _Kept()


def _at(key: int, *counter: int) -> np.random.Philox:
    """Philox at a counter, of which the rest is 0, with nothing left of what was read before."""
    state = _kept.state
    state["state"]["counter"][:] = (*counter, 0, 0, 0)[:4]
    state["state"]["key"][:] = key & _WORD, key >> 64
    state["buffer_pos"], state["has_uint32"] = 4, 0
    _kept.generator.state = state
    return _kept.generator


def rows(key: int, first: int, count: int, size: int) -> Float64[np.ndarray, "k n"]:
    """Uniform numbers in (0, 1), 52 bits, of consecutive draws first..first+count-1: (count, size).

    Each draw has whole blocks of its own one after the other, at the counters (place, 0, 1); one pass makes them all, where
    `uniform` sets up a generator for each. For the short draws of which plans are made.

    >>> bool((rows(1, 0, 9, 5)[4] == rows(1, 4, 1, 5)[0]).all())
    True
    """
    blocks = -(-size // 4)
    generator = _at(key, first * blocks, 0, 1)
    raw = np.asarray(generator.random_raw(count * blocks * 4), dtype=np.uint64).reshape(count, -1)[:, :size]
    return _open_interval(raw)


def _open_interval(raw: np.ndarray) -> np.ndarray:
    return ((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def uniform(key: int, draws: Int64[Tensor, " k"], size: int) -> Float[Tensor, "k n"]:
    """Uniform numbers in the open interval (0, 1), 52 bits in float64, (k, n); on the device of `draws`.

    Args:
        key: key of the stream.
        draws: indices of the draws.
        size: how many numbers n per draw.
    """
    raw = np.stack([words(key, draw, size) for draw in draws.tolist()])
    return torch.from_numpy(_open_interval(raw)).to(draws.device)


def uniform16(
    key: int, draws: Int64[Tensor, " k"], size: int, device: torch.device | str = "cpu"
) -> Float[Tensor, "k n"]:
    """Uniform numbers in (0, 1) with 16 bits, float32, four from each word: for noise images, whose pixels have 8 bits.

    Args:
        key: key of the stream.
        draws: indices of the draws, on the host: nothing waits for a device to know them.
        size: how many numbers n per draw.
        device: where the numbers are to be.
    """
    place = torch.device(device)
    if place.type == "cuda":
        return uniform16_there(key, draws.pin_memory().to(place, non_blocking=True), size)
    found = np.empty((len(draws), size), np.float32)
    count = -(-size // 4)
    step = max(1, _WORDS // max(1, count))
    for first in range(0, len(found), step):
        part = found[first : first + step]
        np.add(_words_of(key, draws[first : first + step], count).view(np.uint16)[:, :size], np.float32(0.5), out=part)
        part *= np.float32(2.0**-16)
    return torch.from_numpy(found).to(place)


_WORDS = 1 << 17
"""Words that are made into numbers at once: 1 MiB, which stays near the processor."""


_MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_WEYL = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_LOW = 0xFFFFFFFF


def uniform16_there(key: int, draws: Int64[Tensor, " k"], size: int) -> Float[Tensor, "k n"]:
    """What `uniform16` gives, bit for bit, made on the device of `draws` by integer operations of torch."""
    blocks = -(-size // 16)
    found = torch.empty(len(draws), size, dtype=torch.float32, device=draws.device)
    step = max(1, _BLOCKS // blocks)
    for first in range(0, len(draws), step):
        part = draws[first : first + step]
        low = torch.arange(1, blocks + 1, device=draws.device).expand(len(part), -1)
        raw = torch.stack(_philox(key, low, part[:, None].expand(-1, blocks)), -1)
        found[first : first + step] = (raw.view(torch.int16).flatten(1)[:, :size].int() & 0xFFFF).float().add_(0.5)
    return found.mul_(2.0**-16)


_BLOCKS = 1 << 22
"""Blocks of four words that are made at once on a device: 32 MiB for each of some ten temporary tensors."""


def _philox(key: int, low: Int64[Tensor, "*s"], high: Int64[Tensor, "*s"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ten rounds of Philox4x64 at the counters (low, high, 0, 0): four words, as the signed integers of the same bits."""
    a, b, c, d = low, high, torch.zeros_like(low), torch.zeros_like(low)
    keys = [key % 2**64, key >> 64]
    for _ in range(10):
        (high_a, low_a), (high_c, low_c) = _product(_MULTIPLIERS[0], a), _product(_MULTIPLIERS[1], c)
        a, b, c, d = high_c ^ b ^ _signed(keys[0]), low_c, high_a ^ d ^ _signed(keys[1]), low_a
        keys = [(word + step) % 2**64 for word, step in zip(keys, _WEYL, strict=True)]
    return a, b, c, d


def _product(by: int, words: Int64[Tensor, "*s"]) -> tuple[Tensor, Tensor]:
    """The high and the low 64 bits of an unsigned product, by halves of 32 bits; torch's integers wrap around."""
    by_low, by_high = by & _LOW, by >> 32
    low, high = words & _LOW, (words >> 32) & _LOW
    crossed, other = low * by_high, high * by_low
    carried = (((low * by_low) >> 32) & _LOW) + (crossed & _LOW) + (other & _LOW)
    top = high * by_high + ((crossed >> 32) & _LOW) + ((other >> 32) & _LOW) + (carried >> 32)
    return top, words * _signed(by)


def _signed(word: int) -> int:
    """The signed integer of the same 64 bits."""
    return word - 2**64 if word >= 2**63 else word


def normal16(
    key: int, draws: Int64[Tensor, " k"], size: int, device: torch.device | str = "cpu"
) -> Float[Tensor, "k n"]:
    """Standard normal numbers with 16 bits, float32, by inversion of the uniform distribution (within 4.2 deviations)."""
    return torch.erfinv(uniform16(key, draws, size, device).mul_(2).sub_(1)).mul_(math.sqrt(2))


def integers(key: int, draws: Int64[Tensor, " k"], high: int) -> Int64[Tensor, " k"]:
    """One integer in 0..high-1 per draw."""
    return (uniform(key, draws, 1)[:, 0] * high).long().clamp(max=high - 1)

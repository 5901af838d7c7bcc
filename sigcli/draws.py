"""Counter-based random numbers: every draw is a function of (key, draw index), on any device, in any order.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"), written in int64 tensor
operations, so that the CPU and every accelerator give the same bits. A stateful generator would tie the coalitions of an
image to the batch size, to the order of the images and to what ran before; this one cannot.
"""

from __future__ import annotations

import hashlib
import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def stream(seed: int, *parts: object) -> int:
    """The 64-bit key of a stream of draws, for example `stream(seed, image_key, "sig")`.

    >>> stream(0, "a") == stream(0, "a"), stream(0, "a") == stream(1, "a")
    (True, False)
    """
    text = "\x1f".join([str(seed), *map(str, parts)]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def philox(key: int, counter: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10: four 32-bit words (held in int64) for each 128-bit counter (four int64 tensors that broadcast)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key & _MASK, (key >> 32) & _MASK
    for _ in range(10):
        # The signed product wraps modulo 2^64, which leaves both 32-bit halves right once they are masked.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _MASK) ^ c1 ^ k0,
            p1 & _MASK,
            ((p0 >> 32) & _MASK) ^ c3 ^ k1,
            p0 & _MASK,
        )
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1, c2, c3


def _words(key: int, draws: Int64[Tensor, " k"], blocks: int) -> list[Int64[Tensor, "k b"]]:
    block = torch.arange(blocks, device=draws.device)[None, :]
    draw = draws[:, None]
    zero = torch.zeros_like(block)
    return [w.expand(len(draws), blocks) for w in philox(key, (block, zero, draw & _MASK, (draw >> 32) & _MASK))]


def uniform(key: int, draws: Int64[Tensor, " k"], size: int) -> Float[Tensor, "k n"]:
    """Uniform numbers in the open interval (0, 1), 52 bits in float64, the same for a draw whatever the other draws are.

    Args:
        key: of the stream.
        draws: indices of the draws, on the device that shall hold the numbers.
        size: how many numbers n per draw.
    """
    w = _words(key, draws, -(-size // 2))
    pairs = [((w[i] >> 6).double() * 2.0**26 + (w[i + 1] >> 6) + 0.5) * 2.0**-52 for i in (0, 2)]
    return torch.stack(pairs, -1).flatten(1)[:, :size]


def uniform32(key: int, draws: Int64[Tensor, " k"], size: int) -> Float[Tensor, "k n"]:
    """Uniform numbers in (0, 1) with 23 bits, float32: for noise images, half the work of `uniform`."""
    words = _words(key, draws, -(-size // 4))
    return torch.stack([((w >> 9).float() + 0.5) * 2.0**-23 for w in words], -1).flatten(1)[:, :size]


def normal32(key: int, draws: Int64[Tensor, " k"], size: int) -> Float[Tensor, "k n"]:
    """Standard normal numbers, float32, by inversion of the uniform distribution."""
    return torch.erfinv(uniform32(key, draws, size) * 2 - 1) * math.sqrt(2)


def integers(key: int, draws: Int64[Tensor, " k"], high: int) -> Int64[Tensor, " k"]:
    """One whole number in 0..high-1 per draw."""
    return (uniform(key, draws, 1)[:, 0] * high).long().clamp(max=high - 1)

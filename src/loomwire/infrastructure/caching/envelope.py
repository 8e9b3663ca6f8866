"""Bytes around a value for places outside this process: what they hold is trusted only when they fit their key."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import Final

from loomwire.domain.caching.entries import CacheEntry, CacheKey

SLACK_S: Final = 2.0
"""Seconds by which an entry may seem to come from the future: clocks are corrected in small steps too."""

_MAGIC: Final = b"LWE\x01"
_SUM_BYTES: Final = 32
_TIMES: Final = Struct(">qdd")
_HEAD_BYTES: Final = len(_MAGIC) + _SUM_BYTES
_BODY_AT: Final = _HEAD_BYTES + _TIMES.size

OVERHEAD_BYTES: Final = _BODY_AT
"""What an envelope adds to its value."""


def sealed(key: CacheKey, value: bytes, born: float, ttl_s: float, keep_s: float = 0.0) -> bytes:
    """Return a value in its envelope: version, checksum, birth, lifetimes, value.

    Args:
        key: Where it will stand. It is part of the checksum and not of the bytes.
        value: What is kept.
        born: Seconds of the wall clock at which it was kept; milliseconds count.
        ttl_s: For how many seconds it is fresh.
        keep_s: For how many seconds after that it may still be asked for.

    Raises:
        ValueError, OverflowError: `born` is no time.
    """
    body = _TIMES.pack(int(born * 1000), ttl_s, keep_s) + value
    return _MAGIC + _sum(key, body) + body


def opened(key: CacheKey, raw: bytes, wall: float, *, level: str = "", hits: int = 1) -> CacheEntry | None:
    """Return what an envelope holds; None for anything but a whole one of this version that was sealed for this key.

    None too when its time is over, or when it was born more than `SLACK_S` in the future: the clock went back, and
    nobody knows how old it is.

    Args:
        key: Where it was found.
        raw: What was found there.
        wall: Seconds of the wall clock now.
        level: Who has it; goes into the entry.
        hits: How often it was asked for there; likewise.
    """
    body = raw[_HEAD_BYTES:]
    if len(raw) < _BODY_AT or raw[:_HEAD_BYTES] != _MAGIC + _sum(key, body):
        return None
    born_ms, ttl_s, keep_s = _TIMES.unpack_from(body)
    age_s = wall - born_ms / 1000
    if not -SLACK_S <= age_s < ttl_s + keep_s:
        return None
    return CacheEntry(body[_TIMES.size :], max(0.0, age_s), ttl_s, level, keep_s, hits)


def _sum(key: CacheKey, body: bytes) -> bytes:
    space = key.namespace.encode("utf-8", "surrogatepass")
    # Lengths first, so that no namespace and value can be cut elsewhere into the same bytes.
    sums = blake2b(b"%d %d " % (len(space), len(key.digest)) + space + key.digest, digest_size=_SUM_BYTES)
    sums.update(body)
    return sums.digest()

"""Reads usage into the inclusive convention: the wire's input leaves cache reads and writes out (TRAPS 41)."""

from __future__ import annotations

from loomwire.domain.pricing import Usage
from loomwire.infrastructure.providers.wire.usage import believable, first_number, number

_COUNTED = ("inputTokens", "outputTokens")


def read_usage(raw: object) -> Usage | None:
    """Return the usage that a server reports, or None when it says nothing."""
    if not isinstance(raw, dict):
        return None
    counts = [raw.get(key) for key in _COUNTED]
    fresh, output = map(number, counts)
    if fresh is None and output is None:
        return None
    odd = None in (fresh, output)
    fresh = fresh or 0
    read = first_number(raw.get("cacheReadInputTokens"), raw.get("cacheReadInputTokenCount"))
    written = first_number(raw.get("cacheWriteInputTokens"), raw.get("cacheWriteInputTokenCount"))
    if min(fresh, read, written) < 0:
        # Each clamped before it is added, so that no negative one hides in the sum.
        fresh, read, written, odd = max(fresh, 0), max(read, 0), max(written, 0), True
    total = number(raw.get("totalTokens"))
    return believable((fresh + read + written, output or 0, read, written, 0), total, odd=odd)

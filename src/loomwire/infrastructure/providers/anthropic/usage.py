"""Reads usage into the inclusive convention: the wire's input leaves cache reads and writes out (TRAPS 41)."""

from __future__ import annotations

from collections.abc import Mapping

from loomwire.domain.pricing import Usage
from loomwire.infrastructure.providers.wire.usage import believable, first_number, number

_COUNTED = ("input_tokens", "output_tokens")


def read_usage(raw: Mapping[str, object]) -> Usage | None:
    """Return the usage that a server reports, or None when it says nothing.

    Args:
        raw: Of a stream all that was told so far, the later of two numbers under one name.
    """
    fresh, output = number(raw.get("input_tokens")), number(raw.get("output_tokens"))
    if fresh is None and output is None:
        return None
    odd = (fresh is None or output is None) and _is_odd(raw)
    fresh = fresh or 0
    read = first_number(raw.get("cache_read_input_tokens"))
    written = first_number(raw.get("cache_creation_input_tokens"))
    if min(fresh, read, written) < 0:
        # Each clamped before it is added, so that no negative one hides in the sum.
        fresh, read, written, odd = max(fresh, 0), max(read, 0), max(written, 0), True
    return believable((fresh + read + written, output or 0, read, written, _thought(raw)), None, odd=odd)


def _is_odd(raw: Mapping[str, object]) -> bool:
    # A word where a number belongs: what is taken for 0 is a guess.
    return any(raw.get(key) is not None and number(raw.get(key)) is None for key in _COUNTED)


def _thought(raw: Mapping[str, object]) -> int:
    details = raw.get("output_tokens_details")
    return first_number(details.get("thinking_tokens")) if isinstance(details, dict) else 0

"""Reads Cohere's usage into the inclusive convention (TRAPS 43)."""

from __future__ import annotations

from loomwire.domain.pricing import Usage
from loomwire.infrastructure.providers.wire.usage import believable, first_number, number

_COUNTED = ("input_tokens", "output_tokens")
_NOTHING: dict[str, object] = {}


def read_usage(raw: object) -> Usage | None:
    """Return the usage that a server reports, or None when it says nothing.

    `tokens` are what the model read and wrote. `billed_units` leave out what Cohere puts around a conversation; they
    are taken, and marked as estimated, only where `tokens` are missing.
    """
    if not isinstance(raw, dict):
        return None
    tokens = _object(raw, "tokens")
    used = tokens or _object(raw, "billed_units")
    counts = [used.get(key) for key in _COUNTED]
    sent, said = map(number, counts)
    if sent is None and said is None:
        return None
    read, thought = first_number(raw.get("cached_tokens")), first_number(used.get("reasoning_tokens"))
    is_odd = not tokens or None in (sent, said)
    return believable((sent or 0, said or 0, read, 0, thought), None, odd=is_odd)


def _object(raw: dict[str, object], key: str) -> dict[str, object]:
    value = raw.get(key)
    return value if isinstance(value, dict) else _NOTHING

"""Reads usage of the Responses dialect: OpenAI's convention is ours, parts are inside their totals."""

from __future__ import annotations

from loomwire.domain.pricing import Usage
from loomwire.infrastructure.providers.wire.usage import believable, first_number, number

_NOTHING: dict[str, object] = {}


def read_usage(raw: object) -> Usage | None:
    """Return the usage that a server reports, or None when it says nothing.

    Numbers that cannot be (negative, absurd, a part larger than its whole) are clamped, and the usage is marked as
    estimated.
    """
    if not isinstance(raw, dict):
        return None
    asked, answered = number(raw.get("input_tokens")), number(raw.get("output_tokens"))
    if asked is None and answered is None:
        return None
    inside, outside = _object(raw, "input_tokens_details"), _object(raw, "output_tokens_details")
    counted = (
        asked or 0,
        answered or 0,
        first_number(inside.get("cached_tokens")),
        first_number(inside.get("cache_write_tokens")),
        first_number(outside.get("reasoning_tokens")),
    )
    # A word where a number belongs: what is taken for 0 is a guess.
    odd = asked is None and raw.get("input_tokens") is not None
    odd = odd or (answered is None and raw.get("output_tokens") is not None)
    return believable(counted, number(raw.get("total_tokens")), odd=odd)


def _object(raw: dict[str, object], key: str) -> dict[str, object]:
    value = raw.get(key)
    return value if isinstance(value, dict) else _NOTHING

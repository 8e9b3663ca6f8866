"""Reads Gemini's usage into the inclusive convention (TRAPS 40)."""

from __future__ import annotations

import msgspec

from loomwire.domain.pricing import Usage
from loomwire.infrastructure.providers.wire.usage import believable, number


class _Counts(msgspec.Struct, gc=False, rename="camel"):
    prompt_token_count: object = None
    tool_use_prompt_token_count: object = None
    candidates_token_count: object = None
    thoughts_token_count: object = None
    cached_content_token_count: object = None
    total_token_count: object = None


_COUNTS = msgspec.json.Decoder(_Counts)


def read_usage(raw: bytes | msgspec.Raw) -> Usage | None:
    """Return the usage that a server reports as JSON, or None when it says nothing.

    What tools brought into the prompt counts as input and thinking as output, as they are billed. Numbers that cannot
    be are clamped, and the usage is marked as estimated.
    """
    try:
        told = _COUNTS.decode(raw)
    except (ValueError, RecursionError):
        return None
    prompt, tools = number(told.prompt_token_count), number(told.tool_use_prompt_token_count)
    said, thought = number(told.candidates_token_count), number(told.thoughts_token_count)
    cached, total = number(told.cached_content_token_count), number(told.total_token_count)
    if prompt is None and said is None and thought is None and total is None:
        return None
    counts = [count or 0 for count in (prompt, tools, said, thought, cached)]
    # Negative parts would cancel out in the sums, and a word where a number belongs is a guess when taken for 0.
    odd = min(counts) < 0 or _is_odd(told)
    sums = max(counts[0], 0) + max(counts[1], 0), max(counts[2], 0) + max(counts[3], 0)
    return believable((*sums, counts[4], 0, counts[3]), total, odd=odd)


def _is_odd(told: _Counts) -> bool:
    values = (told.prompt_token_count, told.candidates_token_count, told.thoughts_token_count)
    return any(value is not None and number(value) is None for value in values)

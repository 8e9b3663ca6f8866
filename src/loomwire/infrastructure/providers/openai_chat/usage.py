"""Reads usage in all its shapes into the inclusive convention (TRAPS 41 to 45)."""

from __future__ import annotations

from loomwire.domain.pricing import Usage
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.wire.usage import believable, first_number, number

_COUNTED = ("prompt_tokens", "completion_tokens")
_NOTHING: dict[str, object] = {}


def read_usage(raw: object, quirks: ChatQuirks) -> Usage | None:
    """Return the usage that a server reports, or None when it says nothing.

    Numbers that cannot be (negative, absurd, a part larger than its whole) are clamped, and the usage is marked as
    estimated.
    """
    # dict and not Mapping: the decoder makes nothing else, and the check runs for every answer.
    if not isinstance(raw, dict):
        return None
    prompt, completion = number(raw.get("prompt_tokens")), number(raw.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    total = number(raw.get("total_tokens"))
    inside, outside = _object(raw, "prompt_tokens_details"), _object(raw, "completion_tokens_details")
    thought = first_number(outside.get("reasoning_tokens"), raw.get("reasoning_tokens"))
    read = first_number(inside.get("cached_tokens"), raw.get("prompt_cache_hit_tokens"), raw.get("cached_tokens"))
    written = first_number(inside.get("cache_write_tokens"))
    input_tokens, output_tokens = prompt or 0, completion or 0
    if thought and _beside(input_tokens, output_tokens, thought, total, quirks):
        output_tokens += thought
    return believable((input_tokens, output_tokens, read, written, thought), total, odd=_is_odd(raw))


def _is_odd(raw: dict[str, object]) -> bool:
    # A word where a number belongs: what is taken for 0 is a guess.
    return any(raw.get(key) is not None and number(raw.get(key)) is None for key in _COUNTED)


def _beside(prompt: int, completion: int, thought: int, total: int | None, quirks: ChatQuirks) -> bool:
    # xAI counts reasoning beside the completion (44), through other vendors' gateways too; the total gives it away.
    if total is None:
        return quirks.reasoning_beside
    return total == prompt + completion + thought


def _object(raw: dict[str, object], key: str) -> dict[str, object]:
    value = raw.get(key)
    return value if isinstance(value, dict) else _NOTHING

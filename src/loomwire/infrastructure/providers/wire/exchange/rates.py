"""What is left of a provider's rate limits, as the headers of an answer say it (behaviour.md 2.1, TRAPS 52)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from loomwire.domain.responses import RateLimits
from loomwire.infrastructure.providers.wire.bodies import wait_in

_Names: TypeAlias = tuple[str, str, str]

# OpenAI and those like it, then Anthropic: limit, remaining, reset; of requests and of tokens.
_OPENAI: tuple[_Names, _Names] = (
    ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
)
_ANTHROPIC: tuple[_Names, _Names] = (
    (
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    ("anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
)
_MOST_DIGITS = 15


def rate_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """Return what the headers say is left, or None when they say nothing.

    Args:
        headers: Response headers, names in lower case.
    """
    for requests, tokens in (_OPENAI, _ANTHROPIC):
        if requests[1] in headers or tokens[1] in headers:
            return RateLimits(*_read(headers, requests), *_read(headers, tokens))
    return None


def _read(headers: Mapping[str, str], names: _Names) -> tuple[int | None, int | None, float | None]:
    limit, remaining, reset = map(headers.get, names)
    return _count(limit), _count(remaining), None if reset is None else wait_in(reset)


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    text = text.strip()
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS else None

"""What is left of a provider's rate limits, as the headers of an answer say it (behaviour.md 2.1, TRAPS 52)."""

from __future__ import annotations

from collections.abc import Mapping

from loomwire.domain.responses import RateLimits
from loomwire.infrastructure.providers.wire.bodies import wait_in

# OpenAI and those like it, then Anthropic: limit, remaining, reset.
_OPENAI = tuple(
    tuple(f"x-ratelimit-{word}-{kind}" for word in ("limit", "remaining", "reset")) for kind in ("requests", "tokens")
)
_ANTHROPIC = tuple(
    tuple(f"anthropic-ratelimit-{kind}-{word}" for word in ("limit", "remaining", "reset"))
    for kind in ("requests", "tokens")
)
_MOST_DIGITS = 15


def rate_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """Return what the headers say is left, or None when they say nothing.

    Args:
        headers: Response headers, names in lower case.
    """
    for names in (_OPENAI, _ANTHROPIC):
        if any(kind[1] in headers for kind in names):
            requests, tokens = (tuple(headers.get(name, "") for name in kind) for kind in names)
            return RateLimits(*_read(*requests), *_read(*tokens))
    return None


def _read(limit: str, remaining: str, reset: str) -> tuple[int | None, int | None, float | None]:
    return _count(limit), _count(remaining), wait_in(reset)


def _count(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS else None

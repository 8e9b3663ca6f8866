"""What is left of rate limits is read from the headers of those who say it."""

from __future__ import annotations

import pytest

from loomwire.domain.responses import RateLimits
from loomwire.infrastructure.providers.wire.exchange.rates import rate_limits


def test_openai_tells_requests_and_tokens() -> None:
    headers = {
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-reset-requests": "8.64s",
        "x-ratelimit-limit-tokens": "200000",
        "x-ratelimit-remaining-tokens": "199000",
        "x-ratelimit-reset-tokens": "1m30s",
    }
    assert rate_limits(headers) == RateLimits(10_000, 9_999, 8.64, 200_000, 199_000, 90.0)


def test_anthropic_tells_when_as_an_instant() -> None:
    found = rate_limits(
        {
            "anthropic-ratelimit-requests-remaining": "3",
            "anthropic-ratelimit-tokens-remaining": "0",
            "anthropic-ratelimit-tokens-reset": "2001-01-01T00:00:00Z",
        }
    )
    assert found == RateLimits(requests_remaining=3, tokens_remaining=0)


@pytest.mark.parametrize("said", ["", "many", "-1", "1e9", "9" * 400, "\u0663"])
def test_what_is_no_number_says_nothing(said: str) -> None:
    assert rate_limits({"x-ratelimit-remaining-requests": said}) == RateLimits()


def test_silence_is_no_limit() -> None:
    assert rate_limits({"content-type": "application/json"}) is None

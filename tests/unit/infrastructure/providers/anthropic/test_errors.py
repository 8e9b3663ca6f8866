"""Errors of the messages dialect become typed errors, by type, by words where there is no type, and by status."""

from __future__ import annotations

import json

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.infrastructure.providers.anthropic.messages import AnthropicMessages

CONFIG = LLMConfig.anthropic("claude-opus-5", api_key="sk-canary-1234567")


def body(kind: str, message: str = "No.", **fields: object) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message, **fields}}).encode()


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [
        (400, body("invalid_request_error"), "invalid_request"),
        (400, body("invalid_request_error", "prompt is too long: 209 tokens > 200 maximum"), "context_length"),
        (400, body("invalid_request_error", "He said: prompt is too long"), "invalid_request"),
        (400, body("invalid_request_error", "Your credit balance is too low to access the API."), "quota_exhausted"),
        (400, body("invalid_request_error", "Output blocked by content filtering policy"), "content_filter"),
        (401, body("authentication_error"), "credentials"),
        (402, body("billing_error"), "quota_exhausted"),
        (403, body("permission_error"), "denied"),
        (403, body("permission_error", details={"error_code": "organization_on_hold"}), "denied"),
        (404, body("not_found_error"), "model"),
        (413, b"<html>Too large</html>", "request_too_large"),
        (413, body("invalid_request_error", "Request size exceeds model context window"), "context_length"),
        (429, body("rate_limit_error"), "throttled"),
        (429, body("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}), "quota_exhausted"),
        (429, body("rate_limit_error", details={"error_code": "never heard of"}), "throttled"),
        (429, body("rate_limit_error", details=None), "throttled"),
        (500, body("api_error"), "server"),
        (504, body("timeout_error"), "gateway"),
        (529, body("overloaded_error"), "overloaded"),
        (529, b"", "overloaded"),
    ],
)
def test_an_answer_with_a_bad_status_has_its_reason(status: int, said: bytes, reason: str) -> None:
    error = AnthropicMessages().error_for(status, {"request-id": "req_1"}, said, CONFIG)
    assert (error.reason, error.status, error.request_id) == (reason, status, "req_1")


@pytest.mark.parametrize(
    ("kind", "reason", "status"),
    [
        ("overloaded_error", "overloaded", 529),
        ("rate_limit_error", "throttled", 429),
        ("api_error", "server", 500),
        ("authentication_error", "credentials", 401),
        ("timeout_error", "gateway", 504),
        ("unheard_of", "server", 200),
    ],
)
def test_an_error_after_200_has_the_status_it_would_have_had(kind: str, reason: str, status: int) -> None:
    error = AnthropicMessages().error_for(200, {}, body(kind), CONFIG)
    assert (error.reason, error.status, error.provider_code) == (reason, status, kind)


def test_waits_are_read_from_headers_and_only_where_the_limit_is_used_up() -> None:
    dialect = AnthropicMessages()
    limits = {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "9999-01-01T00:00:00Z",
    }
    assert dialect.error_for(429, {"retry-after": "12"}, body("rate_limit_error"), CONFIG).retry_after == 12.0
    assert dialect.error_for(429, limits, body("rate_limit_error"), CONFIG).retry_after is None
    assert dialect.error_for(529, {"x-should-retry": "false"}, b"", CONFIG).retryable is False


def test_a_key_that_is_echoed_is_not_shown() -> None:
    error = AnthropicMessages().error_for(401, {}, body("authentication_error", "bad key sk-canary-1234567"), CONFIG)
    assert "canary" not in repr(error)
    assert "canary" not in str(error.provider_message)

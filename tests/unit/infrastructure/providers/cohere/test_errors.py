"""Cohere's errors are told by code, then status, and never by a loose word."""

from __future__ import annotations

import json

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.infrastructure.providers.cohere.chat import CohereChat

CONFIG = LLMConfig.cohere("m", api_key="secret-key-4711")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"id": "x", "message": "invalid request"}, "invalid_request"),
        (400, {"id": "x", "message": "please send fewer, there are too many tokens: really"}, "invalid_request"),
        (400, {"id": "x", "message": "too many tokens: size limit exceeded"}, "context_length"),
        (400, {"error_type": "TOO_MANY_TOKENS", "id": "x", "message": "No."}, "context_length"),
        (401, {"error_type": "TOO_MANY_TOKENS", "message": "No."}, "credentials"),
        (402, {"message": "Billing."}, "quota_exhausted"),
        (403, {"message": "No."}, "denied"),
        (404, {"message": "model 'm' not found"}, "model"),
        (422, {"message": "No."}, "invalid_request"),
        (429, {"message": "You are using a Trial key."}, "throttled"),
        (498, {"message": "Invalid token."}, "credentials"),
        (499, {"message": "Cancelled."}, "server"),
        (500, {"message": "Broken."}, "server"),
        (501, {"message": "No."}, "unsupported"),
        (503, {"message": "Busy."}, "overloaded"),
        (504, {"message": "Late."}, "gateway"),
    ],
)
def test_an_error_is_what_code_and_status_say(status: int, body: dict[str, str], reason: str) -> None:
    headers = {"x-debug-trace-id": "trace-1", "retry-after": "3"}
    error = CohereChat().error_for(status, headers, json.dumps(body).encode(), CONFIG)
    assert (error.reason, error.status, error.request_id, error.retry_after) == (reason, status, "trace-1", 3)
    assert error.provider_message == body["message"]


@pytest.mark.parametrize(
    ("words", "wait"), [("Please wait 60s.", 60), ("Slow down. Try again in 2s", 2), ("Later.", None)]
)
def test_a_wait_may_stand_in_the_words(words: str, wait: float | None) -> None:
    assert CohereChat().error_for(429, {}, json.dumps({"message": words}).encode(), CONFIG).retry_after == wait


@pytest.mark.parametrize("body", [b"<html>secret-key-4711</html>", b"", b"\xff", b'{"message": "key secret-key-4711"}'])
def test_no_key_is_shown(body: bytes) -> None:
    error = CohereChat().error_for(500, {}, body, CONFIG)
    assert error.reason == "server"
    assert "secret-key-4711" not in f"{error} {error.provider_message}"

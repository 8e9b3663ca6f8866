"""What a server says becomes one typed error, in the order of behaviour.md 2.1, and never shows a key."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import (
    ContentFilterError,
    ContextLengthError,
    LLMAuthenticationError,
    LLMError,
    LLMNotFoundError,
    LLMPermissionError,
    LLMRateLimitError,
    LLMTemporaryError,
    LLMTimeoutError,
    LLMValidationError,
)
from loomwire.domain.faults import ErrorCategory
from loomwire.domain.values import Secret
from loomwire.infrastructure.providers.openai_chat.errors import CHAT_ERRORS
from loomwire.infrastructure.providers.wire.errors import provider_error, request_id, says_error
from loomwire.infrastructure.providers.wire.words import redacted

KEY = "canary-key-0123456789"
CONFIG = LLMConfig.custom("m", name="vendor", api_key=KEY, headers={"x-team": "Basic hidden-team-token"})


def failed(status: int, body: str = "", **headers: str) -> LLMError:
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return provider_error(status, lines, body.encode(), CONFIG, CHAT_ERRORS)


def body(code: str | int | None = None, type: str | None = None, message: str = "no") -> str:
    return json.dumps({"error": {"message": message, "type": type, "param": None, "code": code}})


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "invalid_request", LLMValidationError),
        (401, "credentials", LLMAuthenticationError),
        (402, "quota_exhausted", LLMPermissionError),
        (403, "denied", LLMPermissionError),
        (404, "model", LLMNotFoundError),
        (408, "gateway", LLMTimeoutError),
        (409, "conflict", LLMTemporaryError),
        (413, "request_too_large", LLMValidationError),
        (418, "unknown", LLMError),
        (422, "invalid_request", LLMValidationError),
        (425, "conflict", LLMTemporaryError),
        (429, "throttled", LLMRateLimitError),
        (498, "credentials", LLMAuthenticationError),
        (499, "server", LLMTemporaryError),
        (500, "server", LLMTemporaryError),
        (501, "unsupported", LLMError),
        (502, "server", LLMTemporaryError),
        (503, "overloaded", LLMTemporaryError),
        (504, "gateway", LLMTimeoutError),
        (505, "unsupported", LLMError),
        (524, "gateway", LLMTimeoutError),
        (529, "overloaded", LLMTemporaryError),
        (599, "unknown", LLMError),
    ],
)
@pytest.mark.parametrize("said", ["", "<html>x</html>", '{"error":{"message":"x","type":"invalid_request_error"}}'])
def test_a_status_alone_decides_when_the_body_says_nothing_specific(
    status: int, reason: str, kind: type[LLMError], said: str
) -> None:
    error = failed(status, said)
    assert (error.reason, type(error), error.status) == (reason, kind, status)
    assert error.disposition.trips_breaker == (reason in ("gateway", "server", "overloaded") or status == 599)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (429, "insufficient_quota", "quota_exhausted"),
        (429, "team_spend_limit_exceeded", "quota_exhausted"),
        (429, "project_usage_limit_exceeded", "quota_exhausted"),
        (503, "slow_down", "throttled"),
        (400, "context_length_exceeded", "context_length"),
        (400, "content_filter", "content_filter"),
        (400, "model_not_found", "model"),
        (404, "invalid_api_key", "credentials"),
        (400, "API_KEY_INVALID", "credentials"),
        (403, "unsupported_country_region_territory", "denied"),
        (401, "insufficient_quota", "credentials"),
        (402, "rate_limit_exceeded", "quota_exhausted"),
        (413, "rate_limit_exceeded", "request_too_large"),
        (500, "invalid_request_error", "server"),
    ],
)
def test_a_specific_code_outranks_the_status_except_401_402_and_413(status: int, code: str, reason: str) -> None:
    assert failed(status, body(code)).reason == reason
    assert failed(status, body(None, code)).reason == reason


@pytest.mark.parametrize(
    ("said", "reason", "status"),
    [
        (body(429), "throttled", 429),
        (body("502"), "server", 502),
        (body(None, "overloaded_error"), "overloaded", 200),
        (body(None, "rate_limit_error"), "throttled", 200),
        (body(None, "BadRequestError"), "invalid_request", 200),
        (body("invalid_request_error", "who knows"), "invalid_request", 200),
        (body("content_filter"), "content_filter", 200),
        ('{"error":"Something broke"}', "server", 200),
    ],
)
def test_an_error_inside_an_answer_is_classed_by_what_it_says(said: str, reason: str, status: int) -> None:
    error = failed(200, said)
    assert (error.reason, error.status) == (reason, status)
    assert error.message == "the provider reports an error"


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4097 tokens. However, you requested 5000 tokens.",
        "This endpoint's maximum context length is 131072 tokens.",
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
        "the request exceeds the available context size, try increasing it",
    ],
)
@pytest.mark.parametrize("status", [400, 413, 422, 429, 500, 200])
def test_a_context_length_told_in_words_is_found_at_the_beginning_only(message: str, status: int) -> None:
    assert isinstance(failed(status, body(message=message)), ContextLengthError)
    assert failed(400, body(message=f"You wrote: {message}")).reason == "invalid_request"


def test_words_never_change_what_is_not_coarse() -> None:
    message = "This model's maximum context length is 1 tokens"
    assert failed(401, body(message=message)).reason == "credentials"
    assert failed(404, body(message=message)).reason == "model"


def test_an_echoed_number_or_word_in_a_400_is_no_rate_limit() -> None:
    error = failed(400, body(message="invalid value: 429 rate_limit_exceeded, please try again in 3s"))
    assert (error.reason, error.retry_after, error.retryable) == ("invalid_request", None, False)


def test_a_request_too_large_for_the_account_is_a_rate_limit_that_waiting_does_not_cure() -> None:
    error = failed(429, body("rate_limit_exceeded", "tokens", "Request too large for gpt-4o in organization o"))
    assert isinstance(error, LLMRateLimitError)
    assert (error.category, error.reason, error.retryable) == (ErrorCategory.RATE_LIMIT, "request_too_large", False)
    assert not error.disposition.retry_same
    assert error.disposition.fallback == "larger_window"
    assert failed(500, body(message="input is too large to process")).reason == "request_too_large"


@pytest.mark.parametrize(
    ("status", "advice", "retryable"),
    [(500, "false", False), (400, "true", True), (500, "TRUE", True), (500, "perhaps", True), (401, "true", False)],
)
def test_the_servers_advice_on_retries_is_taken_unless_something_specific_is_known(
    status: int, advice: str, retryable: bool
) -> None:
    error = failed(status, x_should_retry=advice)
    assert (error.retryable, error.disposition.retry_same) == (retryable, retryable)


def test_advice_does_not_make_an_empty_account_retryable() -> None:
    assert not failed(429, body("insufficient_quota"), x_should_retry="true").retryable


@pytest.mark.parametrize(
    ("message", "headers", "seconds"),
    [
        ("Rate limit reached. Please try again in 26.604s. Visit x", {}, 26.604),
        ("Rate limit reached. Please try again in 644ms.", {}, 0.644),
        ("Rate limit is exceeded. Try again in 2 seconds.", {}, 2.0),
        ("Please retry after 6 seconds.", {}, 6.0),
        ("Please retry in 48.5s.", {}, 48.5),
        ("You wrote please try again in 5s", {}, None),
        ("Please try again in a while.", {}, None),
        ("Please try again in 9s.", {"retry_after": "4"}, 4.0),
        ("no", {"retry_after_ms": "250"}, 0.25),
        ("no", {"x_ratelimit_reset": "12"}, 12.0),
        ("no", {"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "7.66s"}, 7.66),
        ("no", {"x_ratelimit_remaining_tokens": "5", "x_ratelimit_reset_tokens": "7.66s"}, None),
        (
            "no",
            {
                "x_ratelimit_remaining_requests": "0",
                "x_ratelimit_reset_requests": "120ms",
                "x_ratelimit_remaining_tokens": "0",
                "x_ratelimit_reset_tokens": "6m0s",
            },
            360.0,
        ),
        (
            "no",
            {"anthropic_ratelimit_tokens_remaining": "0", "anthropic_ratelimit_tokens_reset": "3s"},
            3.0,
        ),
    ],
)
def test_the_wait_is_found_wherever_it_stands(message: str, headers: dict[str, str], seconds: float | None) -> None:
    assert failed(429, body(message=message), **headers).retry_after == pytest.approx(seconds)


def test_rate_limit_headers_mean_nothing_on_other_errors() -> None:
    assert failed(500, "", x_ratelimit_reset="12").retry_after is None
    assert failed(503, "", retry_after="12").retry_after == 12.0


@pytest.mark.parametrize(
    "echoed",
    [
        KEY,
        f"x{KEY}y",
        "hidden-team-token",
        "sk-abcdefgh12345678",
        "sk-proj-abc*****wxyz",
        "Bearer abc.def.ghi",
        "gsk_abcdefgh1234",
        "<not-a-r****key>",
        "AIzaSyA1234567890",
    ],
)
def test_nothing_that_is_a_key_or_looks_like_one_is_quoted(echoed: str) -> None:
    error = failed(401, body(f"code {echoed}", None, f"Incorrect API key provided: {echoed}. See the page."))
    shown = f"{error!r} {error} {error.to_dict()} {error.explain()} {vars(error)}"
    assert echoed.partition("*")[0] not in shown
    assert "Incorrect API key provided: " in str(error.provider_message)
    assert "[redacted]" in str(error.provider_message)


def test_hiding_keys_in_a_long_text_takes_no_time() -> None:
    assert len(redacted("a" * 60_000 + "*" * 60_000, CONFIG)) <= 2000


def test_an_error_knows_where_it_happened_and_survives_pickling() -> None:
    error = failed(404, body("model_not_found"), x_request_id="r-1")
    assert (error.provider, error.model, error.request_id) == ("vendor", "m", "r-1")
    assert (error.provider_code, error.provider_message) == ("model_not_found", "no")
    for twin in (copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert twin.to_dict() == error.to_dict()
    assert failed(500).provider_message is None
    assert failed(500).provider_code is None


def test_a_provider_message_is_short_and_printable() -> None:
    error = failed(400, body(message="a\u001b[31m" + "x" * 2000))
    assert error.provider_message is not None
    assert error.provider_message.isprintable()
    assert len(error.provider_message) <= 510


@pytest.mark.parametrize("name", ["x-request-id", "request-id", "x-amzn-requestid", "mistral-correlation-id"])
def test_the_request_id_is_read_from_every_vendors_header(name: str) -> None:
    assert request_id({name: "r"}) == "r"
    assert request_id({}) is None


def test_a_filter_is_its_own_error() -> None:
    assert isinstance(failed(400, body("content_policy_violation")), ContentFilterError)


def test_a_short_key_is_hidden_too() -> None:
    config = LLMConfig(type="custom", model="m", keys=(Secret("ab"),))
    assert redacted("key ab is wrong", config) == "key [redacted] is wrong"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"error": {"message": "no"}}', True),
        (b'[{"error": {"code": 503}}]', True),
        (b'{"error": {"why": "a word of its own"}}', True),
        (b'{"error": true}', True),
        (b'{"detail": [{"msg": "x"}]}', True),
        (b"{}", False),
        (b'{"error": null, "object": "list"}', False),
        (b'{"error": {}}', False),
        (b"[]", False),
        (b"<html>no</html>", False),
    ],
)
def test_a_body_that_says_nothing_of_an_error_is_told_from_one_that_does(body: bytes, says: bool) -> None:
    assert says_error(body, LLMConfig(type="openai", model="m")) is says

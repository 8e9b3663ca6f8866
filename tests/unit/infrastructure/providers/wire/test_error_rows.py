"""Every status and every form of a wait that vendors use, over every dialect; each row names where it was seen.

Sources: `2.1` is the table of behaviour.md, a number is one of TRAPS.md, a name with # a public thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TypeAlias

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.faults import FAULTS
from loomwire.domain.values import JSON, FrozenDict
from loomwire.infrastructure.providers.rows.kinds import Also
from loomwire.infrastructure.providers.speech import dialect_of
from loomwire.infrastructure.providers.table import DIALECTS

CONFIG = LLMConfig.custom("m", name="vendor", api_key="canary-key-0123456789")


def refused(dialect: str, status: int, said: JSON = None, headers: Mapping[str, str] = FrozenDict()) -> LLMError:
    """Return the error of a dialect for an answer; `said` None stands for no body."""
    body = b"" if said is None else said.encode() if isinstance(said, str) else json.dumps(said).encode()
    spoken = dialect_of(Also(dialect=dialect, quirks=DIALECTS[dialect].quirks), DIALECTS)
    return spoken.error_for(status, headers, body, CONFIG)


STATUSES: Mapping[int, str] = {
    400: "invalid_request",
    401: "credentials",
    402: "quota_exhausted",
    403: "denied",
    404: "model",
    408: "gateway",
    409: "conflict",
    413: "request_too_large",
    418: "unknown",
    422: "invalid_request",
    425: "conflict",
    429: "throttled",
    451: "unknown",
    498: "credentials",
    499: "server",
    500: "server",
    501: "unsupported",
    502: "server",
    503: "overloaded",
    504: "gateway",
    505: "unsupported",
    524: "gateway",
    529: "overloaded",
    530: "unknown",
}
"""2.1: what a status means when its body says nothing; 524 and 530 are a proxy's, 498 is Cohere's."""


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("status", "reason"), STATUSES.items())
def test_a_bare_status_means_the_same_over_every_dialect(dialect: str, status: int, reason: str) -> None:
    fault = FAULTS[reason]
    for said in (None, "<html><h1>Bad</h1></html>", "{", "upstream connect error"):
        error = refused(dialect, status, said)
        assert (error.reason, error.status, error.category) == (reason, status, fault.category), said
        assert error.disposition.retry_same == fault.disposition.retry_same, said
        assert error.disposition.trips_breaker == (fault.disposition.trips_breaker or status == 530), said


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("status", "advice", "again"),
    [
        (500, "false", False),
        (503, "false", False),
        (529, "false", False),
        (429, "false", False),
        (400, "true", True),
        (409, "true", True),
        (501, "true", True),
        (401, "true", False),
        (402, "true", False),
        (413, "true", False),
        (500, "maybe", True),
        (500, "", True),
    ],
)
def test_the_servers_advice_outranks_the_status_but_nothing_certain(
    dialect: str, status: int, advice: str, again: bool
) -> None:
    error = refused(dialect, status, None, {"x-should-retry": advice})
    assert (error.retryable, error.disposition.retry_same) == (again, again)


def soon() -> datetime:
    """Return the instant in an hour, as it is when the test runs."""
    return datetime.now(UTC) + timedelta(hours=1)


Headers: TypeAlias = Mapping[str, str]
HEADER_WAITS: Mapping[str, tuple[Headers | Callable[[], Headers], float | None]] = {
    "51 Anthropic, Azure, Groq: seconds": ({"retry-after": "17"}, 17.0),
    "2.1: seconds with a fraction": ({"retry-after": "0.75"}, 0.75),
    "2.1: an HTTP date": (lambda: {"retry-after": format_datetime(soon(), usegmt=True)}, 3600.0),
    "51 Azure: milliseconds": ({"retry-after-ms": "644"}, 0.644),
    "51 Azure: 0 ms beside 1 s (azure-ai-...-error-429-65efad)": ({"retry-after-ms": "0", "retry-after": "1"}, 1.0),
    "51 OpenRouter: epoch milliseconds": (lambda: {"x-ratelimit-reset": str(int(soon().timestamp() * 1000))}, 3600.0),
    "2.1 Cohere: epoch seconds": (lambda: {"x-ratelimit-reset": str(int(soon().timestamp()))}, 3600.0),
    "51 Groq, OpenAI: what is used up": (
        {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7.66s"},
        7.66,
    ),
    "51 OpenAI: minutes": ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
    "51: what is left needs no wait": ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "9s"}, None),
    "51 Anthropic: RFC 3339": (
        lambda: {"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": soon().isoformat()},
        3600.0,
    ),
    "2.1: not a number": ({"retry-after": "nan"}, None),
    "2.1: infinite": ({"retry-after": "inf"}, None),
    "2.1: negative": ({"retry-after": "-3"}, None),
    "2.1: enormous": ({"retry-after": "1e308"}, None),
    "2.1: more than a day": ({"retry-after": "86401"}, None),
    "50 Azure: a day (climb#1)": ({"retry-after": "86400"}, 86400.0),
    "2.1: words": ({"retry-after": "soon"}, None),
    "2.1: in the past": ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, None),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("source", HEADER_WAITS)
def test_a_wait_in_headers_is_found_over_every_dialect(dialect: str, source: str) -> None:
    told, wait = HEADER_WAITS[source]
    headers = told() if callable(told) else told
    assert refused(dialect, 429, None, headers).retry_after == pytest.approx(wait, abs=60 if wait == 3600.0 else 0)


@dataclass(frozen=True)
class Row:
    """What a vendor of the chat dialect said, and what it means.

    Attributes:
        source: Where it was seen.
        status: The HTTP status; 200 for an error inside an answer.
        said: The body.
        reason: What it is.
        wait: Seconds to wait.
        headers: Response headers.
        again: The same target may be asked again; None for what the reason says.
    """

    source: str
    status: int
    said: JSON
    reason: str
    wait: float | None = None
    headers: Mapping[str, str] = field(default_factory=FrozenDict)
    again: bool | None = None


def told(message: str, code: JSON = None, type_: JSON = None) -> JSON:
    """Return an error as OpenAI words it."""
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def throttled(source: str, message: str, wait: float | None) -> Row:
    """Return a row whose wait stands in its sentence."""
    return Row(source, 429, told(message, "rate_limit_exceeded"), "throttled", wait)


RETRY_INFO: JSON = {
    "error": {
        "code": 429,
        "message": "You exceeded your current quota.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.Help"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "48s"},
        ],
    }
}
XAI: JSON = {
    "code": "Client specified an invalid argument",
    "error": "Incorrect API key provided: xa***ue. You can obtain an API key from https://console.x.ai.",
}
UPSTREAM: JSON = {
    "error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": "x is rate-limited upstream."}},
    "user_id": "u",
}
ROWS = (
    throttled("51 OpenAI", "Rate limit reached for x on tokens per min. Please try again in 26.604s.", 26.604),
    throttled("51 OpenAI", "Rate limit reached for x. Please try again in 644ms. Visit the page.", 0.644),
    throttled("51 Groq", "Rate limit reached for model x. Please try again in 1m30.002s.", 90.002),
    throttled("51 Groq", "Rate limit reached for model x. Please try again in 9m38.016s. Need more tokens?", 578.016),
    throttled("51 Groq", "Rate limit reached. Please try again in 6.780999999s.", 6.780999999),
    throttled("51 Azure (azure-openai-...-q17)", "Rate limit is exceeded. Try again in 2 seconds.", 2.0),
    throttled("50 Azure (climb#1)", "Requests have exceeded the limit. Please retry after 86400 seconds.", 86400.0),
    throttled("2.1 an echo is no wait", "The text 'please try again in 5s' was refused", None),
    Row("51 Google", 429, RETRY_INFO, "throttled", 48.0),
    Row("46 Google wraps it into a list", 429, [RETRY_INFO], "throttled", 48.0),
    Row("46 OpenRouter", 429, UPSTREAM, "throttled"),
    Row("50 OpenAI", 429, told("You exceeded your current quota", "insufficient_quota"), "quota_exhausted"),
    Row("50 NextChat#1792", 429, told("You exceeded ...", None, "insufficient_quota"), "quota_exhausted"),
    *(
        Row("2.1", 429, told("no", code), "quota_exhausted")
        for code in (
            "credit_balance_exhausted",
            "billing_not_active",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
        )
    ),
    Row("2.1", 402, told("Insufficient Balance", "invalid_request_error"), "quota_exhausted"),
    Row("50 OpenRouter (oh-my-pi#9569)", 402, told("This request requires more credits", 402), "quota_exhausted"),
    Row("50 climb#13", 429, told("Request too large for gpt-4 in organization o", "x", "tokens"), "request_too_large"),
    Row(
        "50 Groq (gpt-researcher#985)",
        413,
        told("Request too large for model x", "rate_limit_exceeded"),
        "request_too_large",
    ),
    Row("2.1", 503, told("Slow down", "slow_down"), "throttled"),
    Row("2.1", 429, told("Ramping", "ramp_limit_exceeded"), "throttled"),
    Row("2.1", 503, told("busy", "server_is_overloaded"), "overloaded"),
    Row("2.1", 500, told("The server had an error", None, "server_error"), "server"),
    Row(
        "54 Mistral (litellm#25078)",
        503,
        told("Service tier capacity exceeded", None, "invalid_request_error"),
        "overloaded",
    ),
    Row("54 llama.cpp", 500, told("input is too large to process. increase the size", 500), "request_too_large"),
    Row(
        "54 llama.cpp", 501, told("This server does not support embeddings", 501, "not_supported_error"), "unsupported"
    ),
    Row("47 Google", 400, {"error": {"code": 400, "details": [{"reason": "API_KEY_INVALID"}]}}, "credentials"),
    Row("47 Azure", 401, told("Access denied due to invalid key", "401"), "credentials"),
    Row("47 OpenRouter", 401, told("No cookie auth credentials found", 401), "credentials"),
    Row("2.1 region", 403, told("Country not supported", "unsupported_country_region_territory"), "denied"),
    Row("47 xAI (continue#10778)", 400, XAI, "credentials"),
    Row("48 DeepSeek (easy-dataset#9)", 400, told("Model Not Exist", "invalid_request_error"), "model"),
    Row("48 OpenRouter (openrouter-examples#74)", 400, told("a/b-4:free is not a valid model ID", 400), "model"),
    Row("2.1 an echo is no model", 400, told("You wrote: x is not a valid model ID"), "invalid_request"),
    Row("48 OpenAI Responses", 400, told("The model x does not exist", "model_not_found"), "model"),
    Row(
        "48 Mistral",
        400,
        {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"},
        "model",
    ),
    Row("48 Azure", 404, told("The API deployment does not exist", "DeploymentNotFound"), "model"),
    Row("49 OpenAI", 400, told("too long", "context_length_exceeded"), "context_length"),
    Row("49 llama.cpp", 400, told("no", 400, "exceed_context_size_error"), "context_length"),
    Row("49 vLLM, DeepSeek", 400, told("This model's maximum context length is 4096 tokens."), "context_length"),
    Row("55 Azure (compl-ai#20)", 400, told("The response was filtered", "content_filter"), "content_filter"),
    Row("55 Azure", 400, {"error": {"innererror": {"code": "ResponsibleAIPolicyViolation"}}}, "content_filter"),
    Row("2.1", 400, told("no", "content_policy_violation"), "content_filter"),
    Row("2.1", 400, told("no", "cyber_policy"), "content_filter"),
    Row("2.1 an echo is no code", 400, told("unknown field 429 rate_limit_exceeded"), "invalid_request"),
    Row(
        "36 Mistral", 422, {"object": "error", "message": {"detail": [{"type": "extra_forbidden"}]}}, "invalid_request"
    ),
    Row("46", 400, {"detail": "bad"}, "invalid_request"),
    Row("46", 422, {"detail": [{"type": "missing", "loc": ["body"], "msg": "field required"}]}, "invalid_request"),
    Row("46 Venice", 500, {"error": "text"}, "server"),
    Row("53 OpenRouter", 200, {"error": {"code": 502, "message": "upstream"}}, "server"),
    Row(
        "53 Groq",
        200,
        {"error": {"message": "x", "type": "invalid_request_error", "status_code": 400}},
        "invalid_request",
    ),
    Row("53", 200, told("busy", None, "overloaded_error"), "overloaded"),
    Row(
        "49 LM Studio (lmstudio-bug-tracker#2322)",
        200,
        {"error": "Trying to keep the first 9 tokens when context the overflows."},
        "context_length",
    ),
    Row(
        "49 LM Studio (gpt-researcher#1355)",
        200,
        {"error": "Unexpected endpoint or method. Returning 200 anyway"},
        "server",
    ),
    Row(
        "2.1 what is certain outranks advice",
        429,
        told("no", "insufficient_quota"),
        "quota_exhausted",
        headers={"x-should-retry": "true"},
    ),
    Row("2.1 advice outranks a status", 500, told("no"), "server", headers={"x-should-retry": "false"}, again=False),
)


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row.source}, {row.status} {row.reason}") for row in ROWS])
def test_what_vendors_of_the_chat_dialect_say_is_understood(row: Row) -> None:
    error = refused("openai_chat", row.status, row.said, row.headers)
    fault = FAULTS[row.reason].disposition
    assert error.reason == row.reason
    assert error.retry_after == pytest.approx(row.wait)
    again = fault.retry_same if row.again is None else row.again
    assert (error.disposition.retry_same, error.disposition.fallback) == (again, fault.fallback)


@pytest.mark.parametrize("headers", [{"retry-after": "9", "x-should-retry": "true"}, {"x-ratelimit-reset": "12"}])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_headers_of_a_pace_mean_nothing_to_a_bad_request(dialect: str, headers: Mapping[str, str]) -> None:
    error = refused(dialect, 401, None, headers)
    assert (error.reason, error.disposition.retry_same) == ("credentials", False)
    assert refused(dialect, 500, None, {"x-ratelimit-reset": "12"}).retry_after is None

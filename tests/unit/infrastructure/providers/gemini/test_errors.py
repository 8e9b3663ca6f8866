"""Google's errors mean what they say: statuses, reasons, quotas of a day or a minute, and waits."""

from __future__ import annotations

import json

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.gemini.gemini import Gemini

CONFIG = LLMConfig.gemini("m", api_key="k")
RPC = "type.googleapis.com/google.rpc."


def body(code: int, status: str, message: str = "No.", *details: JSON) -> dict[str, JSON]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def quota(*ids: JSON) -> JSON:
    return {"@type": f"{RPC}QuotaFailure", "violations": [{"quotaId": id_} for id_ in ids]}


@pytest.mark.parametrize(
    ("said", "reason", "wait"),
    [
        (body(400, "INVALID_ARGUMENT", "No.", {"reason": "API_KEY_INVALID"}), "credentials", None),
        (body(400, "INVALID_ARGUMENT"), "invalid_request", None),
        (body(400, "FAILED_PRECONDITION"), "quota_exhausted", None),
        (body(401, "UNAUTHENTICATED", "No.", {"reason": "CREDENTIALS_MISSING"}), "credentials", None),
        (body(403, "PERMISSION_DENIED"), "denied", None),
        (body(404, "NOT_FOUND"), "model", None),
        (body(429, "RESOURCE_EXHAUSTED"), "throttled", None),
        (body(429, "RESOURCE_EXHAUSTED", "No.", {"@type": f"{RPC}RetryInfo", "retryDelay": "48s"}), "throttled", 48),
        (body(429, "RESOURCE_EXHAUSTED", "Over it.\nPlease retry in 1m2.5s."), "throttled", 62.5),
        (body(429, "RESOURCE_EXHAUSTED", "No.", quota("GenerateRequestsPerMinutePerProject")), "throttled", None),
        (body(429, "RESOURCE_EXHAUSTED", "No.", quota("GenerateRequestsPerDayPerProject")), "quota_exhausted", None),
        (body(429, "RESOURCE_EXHAUSTED", "No.", quota("InputTokensPerModelPerDay")), "quota_exhausted", None),
        (body(429, "RESOURCE_EXHAUSTED", "No.", quota(7, None, "PerDaylight")), "throttled", None),
        (body(500, "INTERNAL"), "server", None),
        (body(501, "UNIMPLEMENTED"), "unsupported", None),
        (body(503, "UNAVAILABLE"), "overloaded", None),
        (body(504, "DEADLINE_EXCEEDED"), "gateway", None),
        (
            body(
                400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."
            ),
            "context_length",
            None,
        ),
        (
            body(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes."),
            "request_too_large",
            None,
        ),
    ],
)
def test_an_error_has_its_reason_and_its_wait(said: dict[str, JSON], reason: str, wait: float | None) -> None:
    error = said["error"]
    assert isinstance(error, dict)
    code = error["code"]
    assert isinstance(code, int)
    for form in (said, [said]):
        found = Gemini().error_for(code, {}, json.dumps(form).encode(), CONFIG)
        assert (found.reason, found.retry_after, found.status) == (reason, wait, code)


@pytest.mark.parametrize("status", ["UNAVAILABLE", "INTERNAL", "NEVER_HEARD_OF"])
def test_an_error_without_any_number_goes_by_its_word(status: str) -> None:
    said = json.dumps({"error": {"message": "No.", "status": status}}).encode()
    reason = "overloaded" if status == "UNAVAILABLE" else "server"
    assert Gemini().error_for(200, {}, said, CONFIG).reason == reason


@pytest.mark.parametrize("said", [b"", b"<html>PerDay</html>", b"[]", b"null", b'{"error": "PerDay"}', b"\xff\xfe"])
def test_what_is_no_error_of_google_goes_by_its_status(said: bytes) -> None:
    assert Gemini().error_for(429, {}, said, CONFIG).reason == "throttled"

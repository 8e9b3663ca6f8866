"""Errors of Bedrock are told by their kind, wherever it stands, and never by a loose word."""

from __future__ import annotations

import json

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.bedrock.converse import BedrockConverse

ACCESS, SECRET, TOKEN = "AKIA" + "0" * 16, "s" * 40, "t" * 60
UPSTREAM = "The model returned the following errors: "
CONFIG = LLMConfig.bedrock("m", region="us-east-1", api_key=f"{ACCESS}:{SECRET}:{TOKEN}")


def told(status: int, kind: str | None, body: JSON | bytes) -> LLMError:
    """Return the error of an answer whose kind stands in the header."""
    headers = {} if kind is None else {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/x/"}
    said = body if isinstance(body, bytes) else json.dumps(body).encode()
    return BedrockConverse().error_for(status, headers, said, CONFIG)


@pytest.mark.parametrize(
    ("status", "kind", "message", "reason", "retryable"),
    [
        (403, "ExpiredTokenException", "The security token included in the request is expired", "credentials", False),
        (403, "UnrecognizedClientException", "The security token is invalid.", "credentials", False),
        (403, "InvalidSignatureException", "Signature expired", "credentials", False),
        (403, "AccessDeniedException", "You don't have access to the model", "denied", False),
        (404, "ResourceNotFoundException", "end of its life", "model", False),
        (400, "ValidationException", "The provided model identifier is invalid.", "model", False),
        (400, "ValidationException", "Input is too long for requested model.", "context_length", False),
        (400, "ValidationException", f"{UPSTREAM}prompt is too long: 9 > 8", "context_length", False),
        (400, "ValidationException", "temperature: Input is too long for requested model", "invalid_request", False),
        (400, "ServiceQuotaExceededException", "Your request exceeds the service quota", "quota_exhausted", False),
        (400, "ConflictException", "busy", "conflict", True),
        (408, "ModelTimeoutException", "took too long", "gateway", True),
        (413, "RequestEntityTooLargeException", "too large", "request_too_large", False),
        (424, "ModelErrorException", "failed", "server", True),
        (429, "ThrottlingException", "Too many requests, please wait before trying again.", "throttled", True),
        (429, "ModelNotReadyException", "not ready", "overloaded", True),
        (500, "InternalServerException", "broke", "server", True),
        (503, "ServiceUnavailableException", "Bedrock is unable to process your request.", "overloaded", True),
    ],
)  # fmt: skip
def test_every_kind_is_read_from_the_header_and_from_the_body(
    status: int, kind: str, message: str, reason: str, retryable: bool
) -> None:
    lower = kind[0].lower() + kind[1:]
    for error in (
        told(status, kind, {"message": message}),
        told(status, kind, {"Message": message}),
        told(status, None, {"__type": f"com.amazon.coral.service#{kind}", "message": message}),
        told(status, None, {"code": lower, "message": message}),
    ):
        assert (error.reason, error.retryable, error.status) == (reason, retryable, status)
        assert (error.provider_code, error.provider_message) == (kind, message)


@pytest.mark.parametrize(
    ("status", "body", "reason", "said"),
    [
        (502, b"<html>Bad gateway</html>", "server", None),
        (500, b"", "server", None),
        (403, b"Forbidden", "denied", "Forbidden"),
        (400, b'{"error": {"message": "no such thing", "code": "x"}}', "invalid_request", "no such thing"),
        (429, b'{"message": null}', "throttled", None),
        (400, b"[" * 90_000, "invalid_request", None),
    ],
)
def test_what_is_no_error_of_bedrocks_is_read_by_its_status(
    status: int, body: bytes, reason: str, said: str | None
) -> None:
    error = told(status, None, body)
    assert (error.reason, error.provider_message) == (reason, said)
    named = told(status, "ThrottlingException", b"<html>page</html>")
    assert (named.reason, named.provider_message) == ("throttled", None)


def test_no_part_of_an_access_key_is_quoted() -> None:
    canonical = f"The Canonical String should have been 'x-amz-security-token:{TOKEN}' with {ACCESS} and {SECRET}"
    error = told(403, "InvalidSignatureException", {"message": canonical})
    shown = f"{error!r} {error} {error.provider_message} {error.to_dict() if hasattr(error, 'to_dict') else ''}"
    assert not [part for part in (ACCESS, SECRET, TOKEN) if part in shown]
    assert (error.provider_message or "").startswith("The Canonical String should have been")


def test_a_wait_is_read_from_its_header() -> None:
    headers = {"x-amzn-errortype": "ThrottlingException", "retry-after": "3"}
    assert BedrockConverse().error_for(429, headers, b"{}", CONFIG).retry_after == 3.0

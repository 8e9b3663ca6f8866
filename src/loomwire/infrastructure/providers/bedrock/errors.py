"""The words with which Bedrock tells what is wrong: a kind, in a header or the body, and a sentence (TRAPS 46, 47)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import msgspec

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.values import Secret
from loomwire.infrastructure.providers.wire.bodies import read_error_body
from loomwire.infrastructure.providers.wire.errors import ErrorTable, provider_error

_HEADER = "x-amzn-errortype"
_UPSTREAM = r"(?:The model returned the following errors: )?"
_CREDENTIALS = (
    "ExpiredTokenException",
    "ExpiredToken",
    "IncompleteSignatureException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "MissingAuthenticationToken",
    "NotAuthorizedException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)

BEDROCK_ERRORS: Final = ErrorTable(
    codes={
        **dict.fromkeys(_CREDENTIALS, "credentials"),
        **dict.fromkeys(("ThrottlingException", "TooManyRequestsException"), "throttled"),
        # 429 as throttling is, but it means that the model is being loaded.
        **dict.fromkeys(("ModelNotReadyException", "ServiceUnavailableException"), "overloaded"),
        **dict.fromkeys(("ModelErrorException", "ModelStreamErrorException", "InternalServerException"), "server"),
        "ModelTimeoutException": "gateway",
        "ServiceQuotaExceededException": "quota_exhausted",
        "ConflictException": "conflict",
        "RequestEntityTooLargeException": "request_too_large",
        "UnknownOperationException": "unsupported",
    },
    endings={},
    types={
        "ValidationException": "invalid_request",
        "SerializationException": "invalid_request",
        "AccessDeniedException": "denied",
        "ResourceNotFoundException": "model",
    },
    context_length=re.compile(
        _UPSTREAM + r"(?:Input Tokens Exceeded: "
        r"|Input is too long for requested model"
        r"|prompt is too long: "
        r"|input length and `max_tokens` exceed context limit"
        r"|This model's maximum context length is \d)"
    ),
    too_large=re.compile(r"(?!)"),
    wait=re.compile(r"(?:^|[.!] )(?:please )?(?:try again|retry) (?:in|after) ", re.IGNORECASE),
    # All of these come as 400 ValidationException (TRAPS 48).
    further={
        "content_filter": re.compile(_UPSTREAM + r"Output blocked by content filtering policy"),
        "model": re.compile(r"The provided model identifier is invalid"),
    },
)
"""Each word from a recording, the service's definition (botocore 1.44) or its page on error codes."""

# What the service answers with when it can say it before the stream begins.
_STATUSES: Mapping[str, int] = {
    "AccessDeniedException": 403,
    "InternalServerException": 500,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "ValidationException": 400,
}


class _Said(msgspec.Struct):
    message: object = None
    loud: object = msgspec.field(name="Message", default=None)
    type: object = msgspec.field(name="__type", default=None)
    code: object = None


_SAID = msgspec.json.Decoder(_Said)


def converse_error(status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig, kind: str = "") -> LLMError:
    """Return the error that an answer stands for; not raised. See `provider_error`.

    Args:
        status: The HTTP status; 200 for an error inside an answer or a stream.
        headers: Response headers, names in lower case.
        body: Any bytes.
        config: The target.
        kind: What the error is called where it is no answer's, such as `throttlingException`.
    """
    said = _said(body)
    name = _name(next(_texts(headers.get(_HEADER), kind, said.type, said.code), ""))
    message = next(_texts(said.message, said.loud), None)
    if name or message is not None:
        # The shape that every table reads.
        told = read_error_body(body).message if message is None else message
        body = msgspec.json.encode({"code": name or None, "message": told})
    error = provider_error(status, headers, body, _apart(config), BEDROCK_ERRORS)
    if status < 400 and error.status == status:
        error.status = _STATUSES.get(name, status)
    return error


def _texts(*values: object) -> Iterator[str]:
    return (value for value in values if isinstance(value, str) and value)


_NOTHING = _Said()


def _said(body: bytes) -> _Said:
    try:
        return _SAID.decode(body)
    except (ValueError, RecursionError):
        return _NOTHING


def _name(told: str) -> str:
    """Return `ThrottlingException` for that with an address behind or a name space before, or in lower case."""
    name = told.partition(":")[0].rpartition("#")[2].strip()
    return name[:1].upper() + name[1:]


def _apart(config: LLMConfig) -> LLMConfig:
    """Return the target with each part of an access key as a key, because the service quotes parts of what it got."""
    parts = [part for key in config.keys if ":" in key.reveal() for part in key.reveal().split(":") if part]
    return replace(config, keys=(*config.keys, *map(Secret, parts))) if parts else config

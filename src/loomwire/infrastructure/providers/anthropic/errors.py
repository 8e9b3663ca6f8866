"""The words with which servers of the messages dialect tell what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.infrastructure.providers.wire.bodies import read_error_body
from loomwire.infrastructure.providers.wire.errors import ErrorTable, provider_error

ANTHROPIC_ERRORS: Final = ErrorTable(
    codes={
        **dict.fromkeys(("billing_error", "linked_organization_billing_unavailable"), "quota_exhausted"),
        **dict.fromkeys(("organization_on_hold", "user_profile_billing_not_authorized"), "denied"),
        **dict.fromkeys(("exceed_context_size_error", "context_length_exceeded"), "context_length"),
        "ramp_limit_exceeded": "throttled",
        "overloaded_error": "overloaded",
    },
    endings={"_spend_limit_reached": "quota_exhausted"},
    types={
        "invalid_request_error": "invalid_request",
        "authentication_error": "credentials",
        "permission_error": "denied",
        "not_found_error": "model",
        "request_too_large": "request_too_large",
        "rate_limit_error": "throttled",
        "timeout_error": "gateway",
        "api_error": "server",
    },
    context_length=re.compile(
        r"prompt is too long"
        r"|Request size exceeds model context window"
        r"|input length and `max_tokens` exceed context limit"
        r"|request \(\d+ tokens\) exceeds the available context size"
        r"|the request exceeds the available context size"
    ),
    too_large=re.compile(r"Request exceeds the maximum (?:allowed )?(?:size|number of bytes)"),
    wait=re.compile(r"(?:^|[.!] )(?:please )?(?:try again|retry) (?:in|after) ", re.IGNORECASE),
    # Both come as 400 invalid_request_error (TRAPS 50).
    further={
        "quota_exhausted": re.compile(r"Your credit balance is too low to access"),
        "content_filter": re.compile(r"Output blocked by content filtering policy"),
    },
)
"""Anthropic and those that speak like it; each word from a recording, the vendor's page or a thread of TRAPS.md."""

# What the vendor answers with when it can say it before the stream begins.
_STATUSES: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def messages_error(status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
    """Return the error that an answer stands for; not raised. See `provider_error`."""
    error = provider_error(status, headers, body, config, ANTHROPIC_ERRORS)
    if status < 400 and error.status == status:
        error.status = _STATUSES.get(read_error_body(body).type or "", status)
    return error

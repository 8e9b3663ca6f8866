"""The words with which Google's servers tell what is wrong: google.rpc statuses, reasons and quotas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import msgspec

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.infrastructure.providers.wire.errors import ErrorTable, provider_error

GEMINI_ERRORS: Final = ErrorTable(
    codes={
        **dict.fromkeys(("API_KEY_INVALID", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED"), "credentials"),
        **dict.fromkeys(("CREDENTIALS_MISSING", "ACCESS_TOKEN_TYPE_UNSUPPORTED"), "credentials"),
        **dict.fromkeys(("SERVICE_DISABLED", "API_KEY_SERVICE_BLOCKED", "IAM_PERMISSION_DENIED"), "denied"),
        **dict.fromkeys(("PROHIBITED_CONTENT", "BLOCKLIST"), "content_filter"),
        # No free use in the caller's country, or no billing account.
        **dict.fromkeys(("FAILED_PRECONDITION", "BILLING_DISABLED"), "quota_exhausted"),
    },
    endings={},
    types={
        **dict.fromkeys(("INVALID_ARGUMENT", "OUT_OF_RANGE"), "invalid_request"),
        **dict.fromkeys(("INTERNAL", "CANCELLED", "UNKNOWN", "DATA_LOSS"), "server"),
        "UNAUTHENTICATED": "credentials",
        "PERMISSION_DENIED": "denied",
        "NOT_FOUND": "model",
        "RESOURCE_EXHAUSTED": "throttled",
        "UNAVAILABLE": "overloaded",
        "DEADLINE_EXCEEDED": "gateway",
        "ABORTED": "conflict",
        "UNIMPLEMENTED": "unsupported",
    },
    context_length=re.compile(
        r"The input token count \(\d+\) exceeds the maximum number of tokens allowed"
        r"|Unable to submit request because the input token count is \d+ but"
    ),
    too_large=re.compile(r"Request payload size exceeds the limit"),
    wait=re.compile(r"(?:^|[.!\n] ?)please (?:retry|try again) in ", re.IGNORECASE),
)
"""From recordings and Google's pages on errors of the Gemini API and of Vertex AI."""

_DAILY: Final = replace(GEMINI_ERRORS, codes={**GEMINI_ERRORS.codes, "RESOURCE_EXHAUSTED": "quota_exhausted"})
_PER_DAY = re.compile(r"PerDay(?![a-z])")


class _Violation(msgspec.Struct, rename="camel"):
    quota_id: object = None


class _Detail(msgspec.Struct):
    violations: list[_Violation] = []


class _Status(msgspec.Struct, frozen=True):
    details: list[_Detail] = []


class _Body(msgspec.Struct):
    error: _Status = _Status()


_READ = msgspec.json.Decoder(list[_Body] | _Body)


def gemini_error(status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
    """Return the error that an answer stands for; not raised. A day's quota that is used up is no matter of pace."""
    return provider_error(status, headers, body, config, _DAILY if _is_daily(body) else GEMINI_ERRORS)


def _is_daily(body: bytes) -> bool:
    try:
        read = _READ.decode(body)
    except (ValueError, RecursionError):
        return False
    bodies = read if isinstance(read, list) else [read]
    ids = [each.quota_id for body_ in bodies for detail in body_.error.details for each in detail.violations]
    return any(_PER_DAY.search(str(id_)) for id_ in ids)

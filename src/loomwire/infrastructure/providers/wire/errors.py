"""From what a server said to one typed error: statuses, body shapes, waits, and no secrets. Shared by all dialects.

The order is that of behaviour.md 2.1: a specific code of the body (which 401, 402 and 413 outrank), `x-should-retry`,
the status, the coarse type of the body. Text is read only by the anchored patterns of a dialect's `ErrorTable`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec
from msgspec import Struct

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LLMRateLimitError, llm_error
from loomwire.domain.faults import ErrorCategory
from loomwire.domain.values import FrozenDict
from loomwire.infrastructure.providers.wire.bodies import ErrorBody, duration_at, read_error_body, retry_after, wait_in
from loomwire.infrastructure.providers.wire.words import MOST_LABEL, redacted

_REQUEST_IDS = (
    "x-request-id",
    "request-id",
    "apim-request-id",
    "mistral-correlation-id",
    "x-debug-trace-id",
    "x-amzn-requestid",
)
_STATUS_REASONS: Mapping[int, str] = {
    **dict.fromkeys((400, 422), "invalid_request"),
    **dict.fromkeys((401, 498), "credentials"),
    **dict.fromkeys((408, 504, 524), "gateway"),
    **dict.fromkeys((409, 425), "conflict"),
    **dict.fromkeys((499, 500, 502), "server"),
    **dict.fromkeys((501, 505), "unsupported"),
    **dict.fromkeys((503, 529), "overloaded"),
    402: "quota_exhausted",
    403: "denied",
    404: "model",
    413: "request_too_large",
    429: "throttled",
}
# These say more than any code beside them: Groq sends 413 with `rate_limit_exceeded` (TRAPS 50).
_OUTRANKING = frozenset({401, 402, 413})
# Only what is coarse may be refined by a pattern of the text.
_COARSE = frozenset({"invalid_request", "request_too_large", "throttled", "server", "unknown"})


class _Report(Struct):
    error: object = None


_REPORT = msgspec.json.Decoder(_Report)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorTable:
    """What one dialect knows of its errors.

    Attributes:
        codes: Specific codes and types of the body, each with its reason.
        endings: Endings of specific codes, each with its reason.
        types: Coarse types, asked when neither code nor status says anything.
        context_length: How a too long conversation is told in words; matched at the beginning.
        too_large: The same for a request that is too large.
        wait: How a wait is told; a duration such as `1m30.5s` or `2 seconds` follows.
        further: Reasons that a server tells in words only, each with how; matched at the beginning.
    """

    codes: Mapping[str, str]
    endings: Mapping[str, str]
    types: Mapping[str, str]
    context_length: re.Pattern[str]
    too_large: re.Pattern[str]
    wait: re.Pattern[str]
    further: Mapping[str, re.Pattern[str]] = FrozenDict()


def provider_error(
    status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig, table: ErrorTable
) -> LLMError:
    """Return the error that an answer stands for; not raised.

    Args:
        status: The HTTP status; below 400 the body's own status counts.
        headers: Response headers, names in lower case.
        body: Any bytes.
        config: The target; its keys and header values never appear in the error.
        table: The dialect's words.
    """
    said = read_error_body(small_body(body, config))
    told = status if status >= 400 else said.status
    reason, is_specific = _reason(told, said, table)
    what = "the provider reports an error" if status < 400 else f"the provider answered with status {status}"
    error = llm_error(
        reason,
        what,
        provider=config.name,
        model=config.model,
        status=told or status,
        request_id=_id(request_id(headers), config),
        retry_after=_wait(told, reason, headers, said, table),
        provider_code=_id(said.code or said.type, config),
        provider_message=_quoted(said.message, config),
    )
    if reason == "request_too_large" and told == 429:
        return _pace_error(error)
    if reason == "unknown":
        error.disposition = replace(error.disposition, trips_breaker=status >= 500)
    if not is_specific:
        _take_advice(error, headers.get("x-should-retry", "").lower())
    return error


def reported_error(data: bytes, config: LLMConfig, table: ErrorTable) -> LLMError:
    """Return the error that an answer or a stream reports after status 200; not raised. See `provider_error`."""
    return provider_error(200, FrozenDict(), data, config, table)


def says_error(body: bytes, config: LLMConfig) -> bool:
    """Tell whether a body says anything that is said of an error: a code, a type, a sentence, any object `error`."""
    small = small_body(body, config)
    if read_error_body(small) != ErrorBody():
        return True
    try:
        return bool(_REPORT.decode(small).error)
    except (ValueError, RecursionError):
        return False


def small_body(body: bytes, config: LLMConfig) -> bytes:
    """Return an error's body, or nothing of one that is larger than an error's may be."""
    # It would be decoded once more as a whole, and its rest is no sentence.
    return body if len(body) <= config.limits.error_body else b""


def _pace_error(error: LLMError) -> LLMRateLimitError:
    # Waiting does not cure it (TRAPS 50); hosts that sort by category still see a matter of pace.
    same = LLMRateLimitError(error.message, reason=error.reason)
    vars(same).update({**vars(error), "category": ErrorCategory.RATE_LIMIT})
    return same


def _quoted(text: str | None, config: LLMConfig) -> str | None:
    return redacted(text, config) if text else None


def _id(text: str | None, config: LLMConfig) -> str | None:
    return redacted(text, config)[:MOST_LABEL] if text else None


def _take_advice(error: LLMError, advice: str) -> None:
    if advice in ("true", "false"):
        error.retryable = advice == "true"
        error.disposition = replace(error.disposition, retry_same=error.retryable)


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the provider's id of the request, or None."""
    return next((headers[name] for name in _REQUEST_IDS if name in headers), None)


def _reason(told: int | None, said: ErrorBody, table: ErrorTable) -> tuple[str, bool]:
    specific = None if told in _OUTRANKING else _specific(said, table)
    if specific is not None:
        reason = specific
    elif told is not None:
        reason = _STATUS_REASONS.get(told, "unknown")
    else:
        reason = next((table.types[word] for word in said.words if word in table.types), "server")
    worded = _worded(said.message, table) if reason in _COARSE else None
    if worded is not None:
        return worded, True
    return reason, specific is not None or told in _OUTRANKING


def _worded(message: str, table: ErrorTable) -> str | None:
    told = {"context_length": table.context_length, "request_too_large": table.too_large, **table.further}
    return next((reason for reason, words in told.items() if words.match(message)), None)


def _specific(said: ErrorBody, table: ErrorTable) -> str | None:
    for word in said.words:
        reason = table.codes.get(word)
        if reason is not None:
            return reason
        for ending, reason_of_ending in table.endings.items():
            if word.endswith(ending):
                return reason_of_ending
    return None


def _wait(
    told: int | None, reason: str, headers: Mapping[str, str], said: ErrorBody, table: ErrorTable
) -> float | None:
    wait = retry_after(headers)
    if wait is None:
        wait = said.wait_s
    if wait is None and reason == "throttled":
        match = table.wait.search(said.message)
        wait = None if match is None else duration_at(said.message, match.end())
    return _reset(headers) if wait is None and told == 429 else wait


def _reset(headers: Mapping[str, str]) -> float | None:
    used_up = [f"x-ratelimit-reset-{kind}" for kind in _spent(headers, "x-ratelimit-remaining-", "")]
    used_up += [f"anthropic-ratelimit-{kind}-reset" for kind in _spent(headers, "anthropic-ratelimit-", "-remaining")]
    waits = [wait_in(headers.get(name, "")) for name in ("x-ratelimit-reset", *used_up)]
    return max((wait for wait in waits if wait is not None), default=None)


def _spent(headers: Mapping[str, str], start: str, end: str) -> Iterator[str]:
    for name, left in headers.items():
        if name.startswith(start) and name.endswith(end) and left.strip() == "0":
            yield name[len(start) : len(name) - len(end)]

"""Reading what servers say about a failure: error bodies of every shape, and waits of every form."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from loomwire.domain.values import JSON, JSONObject

MAX_WAIT_S = 86_400.0
"""Longer waits are not believed."""

_DURATION = re.compile(
    r"(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?(?:(\d{1,9}(?:\.\d{1,12})?) ?(?:seconds?|secs?|s))?"
    r"(?:(\d{1,12}(?:\.\d{1,12})?) ?ms)?"
)
_UNITS = (3600.0, 60.0, 1.0, 0.001)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What a body says, whatever its shape.

    Attributes:
        words: Codes and types as texts, the most telling first.
        code: The provider's code, or None.
        type: The provider's type, or None.
        message: The provider's sentences, "" when there are none.
        status: A status that the body names, or None.
        wait_s: A wait that stands in a field, or None.
    """

    words: tuple[str, ...] = ()
    code: str | None = None
    type: str | None = None
    message: str = ""
    status: int | None = None
    wait_s: float | None = None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `retry-after-ms` or `retry-after` ask to wait, or None when they say nothing sensible."""
    precise = wait_in(headers["retry-after-ms"] + "ms") if "retry-after-ms" in headers else None
    rough = wait_in(headers["retry-after"]) if "retry-after" in headers else None
    # Azure sends `retry-after-ms: 0` beside `retry-after: 1` (azure-ai-...-error-429-65efad).
    return precise or (precise if rough is None else rough)


def wait_in(text: str) -> float | None:
    """Return the seconds from now that a text means, or None.

    Reads seconds, durations (`1m30.5s`, `644ms`), epoch seconds and milliseconds, HTTP dates and RFC 3339. Anything
    negative, not finite or beyond `MAX_WAIT_S` is None.
    """
    text = text.strip()
    if not text:
        # Asked for headers that are not there, with every answer; the errors of three parsers are dear.
        return None
    match = _DURATION.fullmatch(text)
    seconds = _parsed(text) if match is None else _duration(match)
    return seconds if seconds is not None and 0 <= seconds <= MAX_WAIT_S else None


def duration_at(text: str, start: int) -> float | None:
    """Return the seconds of the duration that stands in a text at `start`, or None."""
    match = _DURATION.match(text, start)
    return None if match is None else wait_in(match.group())


def read_error_body(body: bytes) -> ErrorBody:
    """Return what an error's body says. Reads every shape of TRAPS 46; what it cannot read says nothing."""
    text = body.decode("utf-8", "replace").strip().removeprefix("data:").strip()
    value = _json(text)
    if value is not None:
        return _read(value)
    # A page or a cut body has no sentence to quote.
    return ErrorBody(message="" if text.startswith(("<", "{", "[")) else text)


def _duration(match: re.Match[str]) -> float | None:
    parts = [float(part) * unit for part, unit in zip(match.groups(), _UNITS, strict=True) if part is not None]
    return sum(parts) if parts else None


def _parsed(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return _until(text)
    if number > 1e11:
        number /= 1000
    return number - time.time() if number > 1e9 else number


def _until(text: str) -> float | None:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() - time.time()
    return None


def _json(text: str) -> JSON:
    try:
        value: JSON = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    return value


def _read(value: JSON) -> ErrorBody:
    if isinstance(value, list):
        value = value[0] if value else None  # Google wraps an error into a list of one
    if isinstance(value, Mapping):
        return _read_object(value)
    return ErrorBody(message=value) if isinstance(value, str) else ErrorBody()


def _read_object(value: JSONObject) -> ErrorBody:
    objects = [each for each in (value.get("error"), value) if isinstance(each, Mapping)]
    message = _message(value)
    inside = _inside(objects[0], message)
    type_ = _text(objects, "type", "status", "error_type")
    return ErrorBody(
        words=(*_words(objects), *inside.words),
        code=_text(objects, "code"),
        type=type_ if type_ != "error" else None,
        message=inside.message or message,
        status=_status(objects) or inside.status,
        wait_s=_wait_field(objects[0]) or inside.wait_s,
    )


def _words(objects: Sequence[JSONObject]) -> Iterator[str]:
    for each in objects:
        deeper = each.get("innererror")
        details = each.get("details")
        # A list of them (Google), or one (Anthropic).
        places = [each, deeper, details, *(details if isinstance(details, Sequence) else ())]
        for place in places:
            if isinstance(place, Mapping):
                found = (place.get(key) for key in ("error_code", "code", "type", "status", "reason", "error_type"))
                yield from (word for word in found if isinstance(word, str))


def _message(value: JSONObject) -> str:
    inner = value.get("error")
    found = [inner.get("message") if isinstance(inner, Mapping) else inner, value.get("message"), value.get("detail")]
    said = next((each for each in found if each), "")
    return said if isinstance(said, str) else msgspec.json.encode(said).decode()


def _inside(inner: JSONObject, message: str) -> ErrorBody:
    """Read what stands as JSON inside a text, and OpenRouter's `metadata.raw`, which holds the upstream's words."""
    metadata = inner.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    text = raw if isinstance(raw, str) else message
    value = _json(text) if text.startswith("{") else None
    if isinstance(value, Mapping) and ("error" in value or "message" in value):
        return _read(value)
    return ErrorBody(message=f"{message}: {raw}" if isinstance(raw, str) else "")


def _text(objects: Sequence[JSONObject], *keys: str) -> str | None:
    found = (each[key] for each in objects for key in keys if key in each)
    return next((str(value) for value in found if isinstance(value, str | int) and value != ""), None)


def _status(objects: Sequence[JSONObject]) -> int | None:
    for each in objects:
        for key in ("status_code", "raw_status_code", "code", "status"):
            value = each.get(key)
            number = int(value) if isinstance(value, str) and len(value) == 3 and value.isdecimal() else value
            if isinstance(number, int) and 400 <= number <= 599:
                return number
    return None


def _wait_field(inner: JSONObject) -> float | None:
    details, metadata = inner.get("details"), inner.get("metadata")
    for detail in details if isinstance(details, Sequence) else ():
        delay = detail.get("retryDelay") if isinstance(detail, Mapping) else None
        if isinstance(delay, str):
            return wait_in(delay)
    echoed = metadata.get("headers") if isinstance(metadata, Mapping) else None
    reset = echoed.get("X-RateLimit-Reset") if isinstance(echoed, Mapping) else None
    return wait_in(reset) if isinstance(reset, str) else None

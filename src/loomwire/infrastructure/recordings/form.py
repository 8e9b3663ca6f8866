"""Exchanges as JSON files: the neutral form, readable by people and by any program.

Keys: id, kind, provider, api, scenario, request (method, url, headers, json), response (status, headers, body or
body_base64). What is ours: a request body that is no JSON stands in `request.body` or `request.body_base64`, and a
response that was not read to its end has `cut` (why) beside a `note` for people. Further keys are ignored.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from loomwire.domain.values import JSON, FrozenDict, JSONObject
from loomwire.infrastructure.recordings.exchange import Answered, Asked, Exchange

CUT_NOTE: Final = "the body was not read to its end; a replay breaks off where it ends"


class UnreadableExchangeError(ValueError):
    """A file is no recorded exchange; the message says why, without anything that stands in it."""


def parsed(data: bytes) -> JSON:
    """Return bytes as JSON that can be written again.

    Raises:
        ValueError: They are none, or hold NaN, infinity, or more nesting than Python can follow.
    """
    try:
        value: JSON = json.loads(data, parse_constant=_refused, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def to_bytes(exchange: Exchange) -> bytes:
    """Return an exchange as the bytes of a file; equal exchanges give equal bytes."""
    asked, answered = exchange.asked, exchange.answered
    request: dict[str, JSON] = {"method": asked.method, "url": asked.url, "headers": _sorted(asked.headers)}
    if asked.json is not None:
        request["json"] = asked.json
    elif asked.raw:
        request |= _body(asked.raw)
    response: dict[str, JSON] = {"status": answered.status, "headers": _sorted(answered.headers)}
    response |= _body(answered.body)
    if answered.cut is not None:
        response |= {"cut": answered.cut, "note": CUT_NOTE}
    whole: dict[str, JSON] = {
        "id": exchange.id,
        "kind": exchange.kind,
        "provider": exchange.provider,
        "api": exchange.api,
        "scenario": exchange.scenario,
        "request": request,
        "response": response,
    }
    try:
        return _written(whole, ascii_only=False)
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold and UTF-8 cannot
        return _written(whole, ascii_only=True)


def from_bytes(data: bytes) -> Exchange:
    """Return the exchange that a file holds.

    Raises:
        UnreadableExchangeError: It is none.
    """
    try:
        whole = parsed(data)
    except json.JSONDecodeError as error:
        why = f"it is no JSON: {error.msg.lower()} at line {error.lineno}, column {error.colno}"
        raise UnreadableExchangeError(why) from None
    except ValueError:
        raise UnreadableExchangeError("it is no JSON that can be read") from None
    root = _object(whole, "the file")
    request, response = _object(root.get("request"), "`request`"), _object(root.get("response"), "`response`")
    return Exchange(
        id=_text(root, "id", ""),
        kind=_text(root, "kind", "recorded"),
        provider=_text(root, "provider", ""),
        api=_text(root, "api", ""),
        scenario=_text(root, "scenario", ""),
        asked=_asked(request),
        answered=_answered(response),
    )


def _asked(request: JSONObject) -> Asked:
    url = _text(request, "url", None, "request.")
    try:
        urlsplit(url)
    except ValueError:
        raise UnreadableExchangeError("`request.url` is no URL") from None
    json_body = request.get("json")
    return Asked(
        method=_text(request, "method", "POST", "request."),
        url=url,
        headers=_headers(request, "request."),
        json=json_body,
        raw=_bytes(request, "request.") if json_body is None else b"",
    )


def _answered(response: JSONObject) -> Answered:
    status = response.get("status")
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
        raise UnreadableExchangeError("`response.status` must be a number from 100 to 599")
    if "body" not in response and "body_base64" not in response:
        raise UnreadableExchangeError("`response.body` is missing")
    cut = response.get("cut")
    if not isinstance(cut, str | None):
        raise UnreadableExchangeError("`response.cut` must be a text")
    return Answered(status, _headers(response, "response."), _bytes(response, "response."), cut)


def _headers(part: JSONObject, where: str) -> FrozenDict[str, str]:
    found = _object(part.get("headers", {}), f"`{where}headers`")
    headers = {name.lower(): value for name, value in found.items() if isinstance(value, str)}
    if len(headers) != len(found):
        raise UnreadableExchangeError(f"`{where}headers` must hold texts, each name once")
    return FrozenDict(headers)


def _bytes(part: JSONObject, where: str) -> bytes:
    coded = part.get("body_base64")
    if coded is None:
        try:
            return _text(part, "body", "", where).encode()
        except UnicodeEncodeError:
            raise UnreadableExchangeError(f"`{where}body` holds half a character") from None
    try:
        return base64.b64decode(_text(part, "body_base64", "", where), validate=True)
    except ValueError:
        raise UnreadableExchangeError(f"`{where}body_base64` is no base64") from None


def _text(part: JSONObject, key: str, default: str | None, where: str = "") -> str:
    value = part.get(key, default)
    if not isinstance(value, str):
        raise UnreadableExchangeError(f"`{where}{key}` must be a text")
    return value


def _object(value: JSON, what: str) -> JSONObject:
    if not isinstance(value, Mapping):
        raise UnreadableExchangeError(f"{what} must be an object")
    return value


def _body(data: bytes) -> dict[str, JSON]:
    try:
        return {"body": data.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(data).decode("ascii")}


def _sorted(headers: Mapping[str, str]) -> dict[str, JSON]:
    return {name: headers[name] for name in sorted(headers)}


def _written(whole: JSONObject, *, ascii_only: bool) -> bytes:
    return (json.dumps(whole, ensure_ascii=ascii_only, indent=1, allow_nan=False) + "\n").encode()


def _refused(_: str) -> float:
    raise ValueError("it is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if abs(number) != float("inf") else _refused(text)

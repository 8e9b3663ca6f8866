"""Takes secrets out of an exchange before it is written: headers by allow-list, values wherever they turn up."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from loomwire.domain.values import JSON, FrozenDict

MARKER: Final = "REDACTED"
"""What stands where a secret stood."""

_KEPT_REQUEST: Final = frozenset({"accept", "anthropic-beta", "anthropic-version", "content-type", "openai-beta"})
_HARMLESS: Final = _KEPT_REQUEST | {"user-agent"}
_KEPT_RESPONSE: Final = re.compile(
    r"content-type|retry-after(-ms)?|x-should-retry|([a-z]+-)*ratelimit(-[a-z0-9]+)*|(x-|apim-|x-amzn-)?request-?id"
    r"|openai-(version|processing-ms)|x-debug-trace-id|mistral-correlation-id|x-amzn-errortype"
)
_CREDENTIAL: Final = re.compile(
    r"(.*[-_.])?(api-?key|key|token|secret|signature|sig|auth|authorization|cookie|password|credential)", re.IGNORECASE
)
_FIELD: Final = re.compile(r"(.*[-_])?(api[-_]?key|access_token|authorization|secret|password)", re.IGNORECASE)
_SCHEME: Final = re.compile(r"(bearer|basic|token|apikey|api-key)\s+(\S.*)", re.IGNORECASE)
_MASKED: Final = re.compile(rb"[\w.-]{0,64}\*{3,}[\w.-]{0,64}")
_SHORTEST_KEY, _SHORTEST_OTHER = 4, 8
_SHORTEST_WITHIN = 12


def request_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the request headers that may be written."""
    return {name.lower(): value for name, value in headers if name.lower() in _KEPT_REQUEST}


def response_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the response headers that may be written."""
    return {name: value for name, value in headers.items() if _KEPT_RESPONSE.fullmatch(name)}


def is_credential(name: str) -> bool:
    """Tell whether a header or query parameter of this name carries a key."""
    return _CREDENTIAL.fullmatch(name) is not None


class Scrubber:
    """Replaces the secrets of one request wherever they stand, however they are written.

    Every header that is not on the allow-list counts as a secret when it is long enough not to be a word of everyday
    speech: 8 characters, or 4 that are not all letters where the name says key, token or the like. So does the value of
    such a query parameter. A secret that a server cuts in two, such as into two events of a stream, is not found.

    Args:
        headers: The request's headers.
        url: The request's URL.
    """

    __slots__ = ("_forms", "_raw")

    def __init__(self, headers: Iterable[tuple[str, str]], url: str) -> None:
        """Collect the secrets, and the ways to write them."""
        secrets = {*_header_secrets(headers), *_query_secrets(url)}
        forms = {form for secret in secrets for form in _forms(secret)}
        # The longest first, so that no part of a longer one is left over.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._raw = [form.encode(errors="surrogatepass") for form in self._forms]

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for form in self._forms:
            text = text.replace(form, MARKER)
        return text

    def data(self, data: bytes, *, masked: bool = False) -> bytes:
        """Return bytes without secrets, and with `masked` also without keys that a server masked by itself."""
        for form in self._raw:
            data = data.replace(form, MARKER.encode())
        return _MASKED.sub(MARKER.encode(), data) if masked else data

    def json(self, value: JSON) -> JSON:
        """Return JSON without secrets: none in its texts and keys, and no text under a key such as `api_key`."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self._field(key, below) for key, below in value.items()}
        return [self.json(each) for each in value] if isinstance(value, Sequence) else value

    def headers(self, headers: Mapping[str, str]) -> FrozenDict[str, str]:
        """Return headers whose values have no secrets."""
        return FrozenDict({name: self.text(value) for name, value in headers.items()})

    def url(self, url: str) -> str:
        """Return a URL without secrets; parameters that carry keys keep their names only."""
        base, mark, query = url.partition("?")
        return self.text(base + mark + "&".join(map(_shown, query.split("&"))))

    def _field(self, key: str, value: JSON) -> JSON:
        return MARKER if isinstance(value, str) and _FIELD.fullmatch(key) else self.json(value)


def _header_secrets(headers: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in headers:
        if name.lower() in _HARMLESS:
            continue
        scheme = _SCHEME.fullmatch(value)
        is_key = is_credential(name) or scheme is not None
        parts = [value] if scheme is None else [value, scheme[2], *_basic(scheme[1], scheme[2])]
        yield from (part for part in parts if _is_secret(part, is_key=is_key))


def _is_secret(value: str, *, is_key: bool) -> bool:
    # `test` and `EMPTY` stand in for keys that nobody checks; taking such a word out would change what was said.
    return len(value) >= _SHORTEST_OTHER or (is_key and len(value) >= _SHORTEST_KEY and not value.isalpha())


def _basic(scheme: str, coded: str) -> Iterator[str]:
    """Yield user and password, and the password alone, of basic authentication."""
    try:
        both = base64.b64decode(coded, validate=True).decode() if scheme.lower() == "basic" else ""
    except ValueError:
        return
    yield both
    yield both.partition(":")[2]


def _query_secrets(url: str) -> Iterator[str]:
    for name, value in parse_qsl(urlsplit(url).query):
        if is_credential(name) and _is_secret(value, is_key=True):
            yield value


def _shown(parameter: str) -> str:
    name = parameter.partition("=")[0]
    return f"{name}={MARKER}" if is_credential(name) else parameter


def _forms(secret: str) -> Iterator[str]:
    yield secret
    for ascii_only in (True, False):
        inner = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        # Twice escaped: JSON within JSON, as the arguments of a tool call are.
        yield from (inner, inner.replace("/", "\\/"), json.dumps(inner)[1:-1])
    coded = secret.encode(errors="surrogatepass")
    yield from (quote(coded, safe=""), quote_plus(coded))
    for alphabet in (None, b"-_"):
        yield base64.b64encode(coded, alphabet).decode("ascii")
        # Shorter ones would be found in pictures by chance.
        if len(coded) >= _SHORTEST_WITHIN:
            yield from (_within(coded, before, alphabet) for before in range(3))


def _within(coded: bytes, before: int, alphabet: bytes | None) -> str:
    """Return base64 of a secret behind other bytes, such as `user:`; without the letters that both are in."""
    letters = base64.b64encode(bytes(before) + coded, alphabet).decode("ascii")
    return letters[-(-before * 8 // 6) : (before + len(coded)) * 8 // 6]

"""Which recording answers a request: equal method, path, query and body, whoever is asked with whatever key."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, TypeAlias, TypeGuard
from urllib.parse import parse_qsl, urlsplit

from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.recordings.exchange import Asked
from loomwire.infrastructure.recordings.form import parsed
from loomwire.infrastructure.recordings.scrubbing import Scrubber, is_credential, request_headers

Key: TypeAlias = tuple[str, str, str, str]
"""Method, path, query and body of a request, each in one canonical way of writing."""

MOST_DIFFERENCES: Final = 50
_DEEPEST, _LONGEST_NAME = 32, 40
_PLAIN = re.compile(r"[A-Za-z_][\w-]{0,39}", re.ASCII)


def place(asked: Asked) -> str:
    """Return method and path of a request, as errors name it."""
    return f"{asked.method} {urlsplit(asked.url).path or '/'}"


def key_of(asked: Asked) -> Key:
    """Return what equal requests have in common: not the host, the key, headers or the order of JSON keys."""
    parts = urlsplit(asked.url)
    query = sorted(pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not is_credential(pair[0]))
    body = asked.raw.hex() if asked.json is None else json.dumps(asked.json, sort_keys=True, separators=(",", ":"))
    return asked.method.upper(), parts.path.rstrip("/"), json.dumps(query), body


def short(key: Key) -> str:
    """Return six letters that stand for a key in a file's name."""
    return hashlib.blake2b("\n".join(key).encode(), digest_size=3).hexdigest()


def asked_of(request: WireRequest, base_url: str, scrubber: Scrubber | None = None) -> Asked:
    """Return a request as a recording has it.

    Args:
        request: What a client sends.
        base_url: Where to; what joins it with the path is one slash.
        scrubber: Takes its secrets out; None leaves the request as it is, for comparing only.
    """
    url = url_of(request, base_url)
    headers = request_headers(request.headers)
    try:
        value = parsed(request.body) if request.body else None
    except ValueError:
        value = None
    raw = b"" if value is not None else request.body
    if scrubber is None:
        return Asked(request.method, url, headers, value, raw)
    return Asked(request.method, scrubber.url(url), scrubber.headers(headers), scrubber.json(value), scrubber.data(raw))


def url_of(request: WireRequest, base_url: str) -> str:
    """Return the whole URL of a request."""
    return f"{base_url.rstrip('/')}/{request.path.lstrip('/')}"


def differences(wanted: Asked, held: Asked) -> list[str]:
    """Return where two requests differ: JSON paths, never values; at most `MOST_DIFFERENCES`."""
    return list(islice(_differences(wanted, held), MOST_DIFFERENCES))


def _differences(wanted: Asked, held: Asked) -> Iterator[str]:
    (method, path, query, _), (held_method, held_path, held_query, _) = key_of(wanted), key_of(held)
    pairs = (("method", method, held_method), ("path", path, held_path), ("query", query, held_query))
    yield from (f"the {name}" for name, ours, theirs in pairs if ours != theirs)
    if wanted.raw != held.raw:
        yield "the body"
    else:
        yield from _below("$", wanted.json, held.json, 0)


def _below(where: str, ours: JSON, theirs: JSON, depth: int) -> Iterator[str]:
    if depth < _DEEPEST and isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        yield from _in_objects(where, ours, theirs, depth + 1)
    elif depth < _DEEPEST and _is_list(ours) and _is_list(theirs):
        for at, (one, other) in enumerate(zip(ours, theirs, strict=False)):
            yield from _below(f"{where}[{at}]", one, other, depth + 1)
        if len(ours) != len(theirs):
            yield f"{where}[{min(len(ours), len(theirs))}]"
    elif json.dumps(ours, sort_keys=True) != json.dumps(theirs, sort_keys=True):
        yield where


def _in_objects(where: str, ours: JSONObject, theirs: JSONObject, depth: int) -> Iterator[str]:
    for key in sorted(ours.keys() | theirs.keys()):
        below = f"{where}.{key}" if _PLAIN.fullmatch(key) else f"{where}[{json.dumps(key[:_LONGEST_NAME])}]"
        if key in ours and key in theirs:
            yield from _below(below, ours[key], theirs[key], depth)
        else:
            yield below


def _is_list(value: JSON) -> TypeGuard[Sequence[JSON]]:
    return isinstance(value, Sequence) and not isinstance(value, str)

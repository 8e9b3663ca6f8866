"""Makes up texts and numbers that fit a JSON Schema."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Final

from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.offline.schemas import NothingFitsError, count, fraction

_FORMATS: Mapping[str, str] = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "idn-email": "someone@example.com",
    "idn-hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "ipvanyaddress": "192.0.2.1",
    "iri": "https://example.com/",
    "json-pointer": "/text",
    "json-string": "{}",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uri-reference": "/text",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_WORDS = ("text", "Text", "TEXT", "a", "A", "0", "00", "000", "0000", "A1", "text-1", *_FORMATS.values())
_LONGEST: Final = 100_000
_BOUNDS: Mapping[str, Callable[[Fraction, Fraction], bool]] = {
    "minimum": operator.ge,
    "exclusiveMinimum": operator.gt,
    "maximum": operator.le,
    "exclusiveMaximum": operator.lt,
}


def text_for(schema: JSONObject) -> JSON:
    """Return a text that fits format, lengths and pattern.

    Raises:
        NothingFitsError: No common word does.
    """
    least, most = count(schema, "minLength", 0), count(schema, "maxLength", _LONGEST)
    pattern, form = schema.get("pattern"), schema.get("format")
    plain = "text" * (min(least, _LONGEST) // 4 + 1)
    words = (_FORMATS.get(form, plain) if isinstance(form, str) else plain, plain[: max(least, 4)][:most], *_WORDS)
    for word in words:
        if least <= len(word) <= most and (not isinstance(pattern, str) or _matches(pattern, word)):
            return word
    raise NothingFitsError("no common word fits a text's pattern and length")


def integer_for(schema: JSONObject) -> JSON:
    """Return a whole number that fits the bounds.

    Raises:
        NothingFitsError: None lies between them.
    """
    step = fraction(schema, "multipleOf")
    # The whole multiples of p/q are the multiples of p.
    return _number_for(schema, Fraction(1 if step is None else step.numerator))


def number_for(schema: JSONObject) -> JSON:
    """Return a number that fits the bounds.

    Raises:
        NothingFitsError: None that we can find lies between them.
    """
    return _number_for(schema, fraction(schema, "multipleOf"))


def _number_for(schema: JSONObject, step: Fraction | None) -> JSON:
    bounds = {key: edge for key in _BOUNDS if (edge := fraction(schema, key)) is not None}
    for guess in (Fraction(1), Fraction(0), *_guesses(list(bounds.values()), step)):
        number = guess.numerator if guess.denominator == 1 else float(guess)
        lies_between = all(_BOUNDS[key](Fraction(number), edge) for key, edge in bounds.items())
        if lies_between and not (step and guess % step):
            return number
    raise NothingFitsError("no number lies between the bounds")


def _guesses(edges: list[Fraction], step: Fraction | None) -> Iterable[Fraction]:
    shifts = (0, 1, -1)
    if step:
        return ((edge // step + shift) * step for edge in edges for shift in shifts)
    return (*(edge + shift for edge in edges for shift in shifts), sum(edges, Fraction(0)) / 2)


def _matches(pattern: str, word: str) -> bool:
    try:
        return re.search(pattern, word) is not None
    except re.error:
        return False

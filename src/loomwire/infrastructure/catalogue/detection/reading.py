"""What a listing says, read without trust: a field of another type than expected says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from loomwire.domain.errors import llm_error
from loomwire.domain.pricing import Prices
from loomwire.domain.values import JSON, NO_JSON, JSONObject
from loomwire.infrastructure.catalogue.detected import Listed
from loomwire.infrastructure.providers.wire.json_bytes import read_json

MOST_TOKENS: Final = 100_000_000
"""No model reads more; a server that says so is not believed."""

MOST_NAME: Final = 256
"""Characters of a name; what is longer is none."""

_DEAREST_USD: Final = 1_000_000
_MILLION: Final = Decimal(1_000_000)
_ANY: msgspec.json.Decoder[JSON] = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to "which models do you have?".

    Attributes:
        models: In the order of the wire.
        next_page: What to ask for to get more, or None.
    """

    models: tuple[Listed, ...]
    next_page: str | None = None


def parsed(body: bytes) -> JSON:
    """Return a body as JSON.

    Raises:
        LLMProtocolError: It is none.
    """
    return read_json(body, _ANY)


def table(value: JSON, key: str | None = None) -> JSONObject:
    """Return an object, or the one under a key of it; empty when it is none."""
    found = table(value).get(key) if key is not None else value
    return found if isinstance(found, Mapping) else NO_JSON


def rows(value: JSON, key: str, *names: str) -> list[JSONObject]:
    """Return the objects of a listing: under its key, as a bare list, or the one model that it is.

    Args:
        value: What came.
        key: Where the listing stands in it.
        names: Fields, one of which a model alone has.

    Raises:
        LLMProtocolError: It is none of these, such as an error that came as a good answer (TRAPS 49 and 53): nothing
            that was known before is given up for it.
    """
    found = value.get(key) if isinstance(value, Mapping) else value
    if isinstance(found, Sequence) and not isinstance(found, str):
        return [row for row in found if isinstance(row, Mapping)]
    if isinstance(value, Mapping) and key in value and found is None:
        return []  # what some servers write for a list of none
    if isinstance(value, Mapping) and word(value, *names):
        return [value]
    raise llm_error("protocol", "the answer is no list of models")


def saying(body: bytes, *any_of: str) -> JSONObject:
    """Return an object that has at least one of some fields.

    Raises:
        LLMProtocolError: It is none, so nothing that it does not say may be taken for a no or a yes.
    """
    said = table(parsed(body))
    if said.keys().isdisjoint(any_of):
        raise llm_error("protocol", "the answer says nothing of a model")
    return said


def text(row: JSONObject, key: str) -> str:
    """Return a field that is a text of any kind; "" when it is none."""
    found = row.get(key)
    return found if isinstance(found, str) else ""


def word(row: JSONObject, *keys: str) -> str:
    """Return the first of some fields that is a name; "" when none is."""
    return next((found for key in keys if _is_name(found := row.get(key)) and isinstance(found, str)), "")


def words(row: JSONObject, key: str) -> tuple[str, ...] | None:
    """Return a list of names, or None when the field is no list."""
    found = row.get(key)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return None
    return tuple(each for each in found if isinstance(each, str) and _is_name(each))


def flag(row: JSONObject, key: str) -> bool | None:
    """Return a yes or no, or None."""
    found = row.get(key)
    return found if isinstance(found, bool) else None


def tokens(row: JSONObject, *keys: str) -> int | None:
    """Return the first of some fields that is a believable number of tokens."""
    numbers = (row.get(key) for key in keys)
    return next((n for n in numbers if isinstance(n, int) and not isinstance(n, bool) and 0 < n <= MOST_TOKENS), None)


def has(known: tuple[str, ...] | None, *any_of: str) -> bool | None:
    """Return whether one of some words is in a list; None when there is no list."""
    return None if known is None else not set(any_of).isdisjoint(known)


def per_token(row: JSONObject, *, zero_is_free: bool = False) -> Prices | None:
    """Return prices that stand in US dollars per token, as OpenRouter and Groq say them.

    None when something is paid for in another unit, such as a request or a picture, or is no number.

    Args:
        row: What the listing says of prices.
        zero_is_free: Its vendor documents that zeros mean "costs nothing"; else they may mean "unknown", and say so.
    """
    said = {key: _usd(row.get(key)) for key in ("prompt", "completion", "input_cache_read", "input_cache_write")}
    others = [_usd(row.get(key)) for key in ("request", "image", "internal_reasoning")]
    read, written = said["prompt"], said["completion"]
    if read is None or written is None or any(others):
        return None
    prices = Prices.per_mtok(read, written, said["input_cache_read"], said["input_cache_write"], "detected")
    return None if prices.are_zero and not zero_is_free else prices


def _is_name(value: JSON) -> bool:
    # They end on terminals and in files, and a server chooses them.
    return isinstance(value, str) and 0 < len(value) <= MOST_NAME and value.isprintable()


def _usd(value: JSON) -> Decimal | None:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        usd = Decimal(str(value)) * _MILLION
    except InvalidOperation:
        return None
    # OpenRouter says -1 where it decides later.
    return usd if usd.is_finite() and 0 <= usd <= _DEAREST_USD else None

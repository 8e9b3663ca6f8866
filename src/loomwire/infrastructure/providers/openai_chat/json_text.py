"""Writes JSON out of whatever mappings and sequences a request holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from loomwire.domain.errors import LLMValidationError


def encoded(value: object) -> bytes:
    """Return a value as JSON in UTF-8.

    Raises:
        LLMValidationError: Something in it is no JSON; the message never quotes it.
    """
    try:
        return msgspec.json.encode(value, enc_hook=_plain)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        why = str(error) if isinstance(error, TypeError) else type(error).__name__
        if isinstance(error, UnicodeEncodeError):
            why = "a text holds half a surrogate pair"
        message = f"the request cannot be written as JSON: {why}"
        raise LLMValidationError(message, hint="Correct that value.") from None


def _plain(value: object) -> object:
    """Turn mappings and sequences of other makes into what the encoder knows."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"a value of type {type(value).__name__} is no JSON")

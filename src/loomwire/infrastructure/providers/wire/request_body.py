"""Writes request bodies: JSON out of whatever mappings and sequences a request holds, and vendor fields added."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping, Sequence, Set
from typing import TypeAlias

import msgspec

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.messages import Image
from loomwire.domain.values import JSON

Body: TypeAlias = dict[str, object]
"""A JSON object on its way to the wire."""


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


def add_extra(body: Body, extras: Sequence[Mapping[str, JSON]], reserved: Set[str]) -> None:
    """Put vendor fields into a body as they are; the later of two wins.

    Raises:
        LLMValidationError: A field is the library's own.
    """
    for extra in extras:
        if not extra:
            continue
        taken = sorted(reserved & extra.keys())
        if taken:
            raise LLMValidationError(
                f"extra cannot set {', '.join(taken)}: loomwire writes these fields itself",
                hint="Remove them from `extra`; they follow from the request, the configuration and the method called.",
            )
        body.update(extra)


def picture_url(image: Image) -> str:
    """Return a picture as an address: its own, or its bytes as a data URL."""
    if image.data is None:
        return image.url or ""
    return f"data:{image.media_type};base64,{base64_text(image.data)}"


def base64_text(data: bytes) -> str:
    """Return bytes in base64, as every JSON wire carries pictures."""
    return b2a_base64(data, newline=False).decode()

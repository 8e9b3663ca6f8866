"""Writes request bodies: JSON out of whatever mappings and sequences a request holds, and vendor fields added."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping, Sequence, Set
from typing import TypeAlias

import msgspec

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMValidationError
from loomwire.domain.messages import Image
from loomwire.domain.requests import Parameters
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON

Body: TypeAlias = dict[str, object]
"""A JSON object on its way to the wire."""

NO_PARAMETERS: Mapping[str, JSON] = {"type": "object", "properties": {}}
"""The JSON Schema of a tool without parameters, for vendors that want one."""

ANY_OBJECT: Mapping[str, JSON] = {"type": "object", "additionalProperties": True}
"""The JSON Schema of any object, for vendors that have no other word for it."""


def encoded(value: object) -> bytes:
    """Return a value as JSON in UTF-8.

    Raises:
        LLMValidationError: Something in it is no JSON; the message never quotes it.
    """
    try:
        return _ENCODER.encode(value)
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


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)


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


def add_numbers(body: Body, asked: Parameters, fields: Sequence[tuple[str, str]]) -> None:
    """Put those numbers of the parameters into a body that are set.

    Args:
        body: Gets them.
        asked: The parameters.
        fields: Their names in `Parameters`, each with its name on the wire.
    """
    for name, field in fields:
        value: float | None = getattr(asked, name)
        if value is not None:
            body[field] = value


def checked_temperature(temperature: float, hottest: float, config: LLMConfig) -> float:
    """Return a temperature that a vendor takes.

    Raises:
        CapabilityError: It is above `hottest`.
    """
    if temperature > hottest:
        raise CapabilityError(
            f"{config.target} takes temperatures up to {hottest:g}, not {temperature:g}",
            hint=f"Set temperature to {hottest:g} or less.",
        )
    return temperature


def function_of(tool: Tool) -> Body:
    """Return a tool in the form that OpenAI's chat completions began, without a word on strictness."""
    function: Body = {"name": tool.name, "parameters": tool.parameters or NO_PARAMETERS}
    if tool.description:
        function["description"] = tool.description
    return function


def picture_url(image: Image) -> str:
    """Return a picture as an address: its own, or its bytes as a data URL."""
    if image.data is None:
        return image.url or ""
    return f"data:{image.media_type};base64,{base64_text(image.data)}"


def base64_text(data: bytes) -> str:
    """Return bytes in base64, as every JSON wire carries pictures."""
    return b2a_base64(data, newline=False).decode()

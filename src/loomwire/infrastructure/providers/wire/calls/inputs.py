"""The arguments of calls and the results of tools, as the wire wants them: a text here, an object there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from loomwire.domain.values import JSON, JSONObject, ToolCall
from loomwire.infrastructure.providers.wire.request_body import encoded


def arguments_text(call: ToolCall) -> str:
    """Return a call's arguments as the text in which they go back; what was no JSON as it came.

    Raises:
        LLMValidationError: A value in them is no JSON.
    """
    return call.raw_arguments if call.arguments is None else encoded(call.arguments).decode()


def input_object(arguments: JSONObject | None, raw: str) -> JSONObject:
    """Return a call's arguments as an object, as those vendors want it that take no text.

    Args:
        arguments: What they are, or None when they are no JSON object.
        raw: What came then; it is wrapped, as Anthropic's page on tool streaming advises.
    """
    return {"INVALID_JSON": raw} if arguments is None else arguments


def result_text(content: JSON) -> str:
    """Return a tool's result as a text: a text as it is, anything else as JSON.

    Raises:
        LLMValidationError: A value in it is no JSON.
    """
    return content if isinstance(content, str) else encoded(content).decode()


def said_arguments(value: object) -> str:
    """Return arguments that a server sent as text: some send an object where a text belongs (26)."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode() if isinstance(value, Mapping | Sequence) else ""

"""How many tokens something probably has, when nobody counted them yet. An estimate is never shown as a count."""

from __future__ import annotations

import json
from typing import Final

from loomwire.domain.messages import Image, Part, Reasoning, Text
from loomwire.domain.requests import LLMRequest
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, JSONObject, ToolCall

IMAGE_TOKENS: Final = 1_000
"""What one picture is taken for, whatever its size: between the cheapest and the dearest rule of the vendors."""

_BYTES_PER_TOKEN = 4
_KEPT_SCHEMAS = 256


def input_tokens(request: LLMRequest) -> int:
    """Estimate a request's input: UTF-8 bytes / 4 of texts, tools and schemas, and a flat number for each picture.

    Pure arithmetic on what is in memory: it opens no picture and asks nobody. English text comes out a little too
    high, other scripts about right. Vendor fields of `extra` are left out.

    Args:
        request: What will be sent.

    Returns:
        Tokens, rounded up; 0 for a request that holds only empty texts.
    """
    size = images = 0
    for message in request.messages:
        for part in message.parts:
            images += isinstance(part, Image)
            size += part_bytes(part)
    for tool in request.tools:
        size += tool_bytes(tool)
    if request.output is not None and request.output.schema is not None:
        size += _schema_bytes(request.output.schema)
    return tokens_of(size) + images * IMAGE_TOKENS


def tokens_of(size_bytes: int) -> int:
    """Return the tokens of so many bytes of UTF-8, rounded up."""
    return -(-size_bytes // _BYTES_PER_TOKEN)


def text_bytes(text: str) -> int:
    """Return the length of a text in UTF-8, in constant time for plain ASCII; lone surrogates count too."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def part_bytes(part: Part) -> int:
    """Return the bytes that a part of a message has as text; 0 for a picture."""
    if isinstance(part, Text | Reasoning):
        return text_bytes(part.text)
    if isinstance(part, Image):
        return 0
    if isinstance(part, ToolCall):
        arguments = len(part.raw_arguments) if part.arguments is None else _json_bytes(part.arguments)
        return text_bytes(part.name) + arguments
    return text_bytes(part.content) if isinstance(part.content, str) else _json_bytes(part.content)


def tool_bytes(tool: Tool) -> int:
    """Return the bytes of what a model is told of a tool."""
    return text_bytes(tool.name) + text_bytes(tool.description) + _schema_bytes(tool.parameters)


def _json_bytes(value: JSON) -> int:
    return text_bytes(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict))


# Tools go with every call of an agent, and writing twenty schemas costs more than all our layers together. The schema
# is kept with its size, so that its id cannot come to mean another one.
_schema_sizes: dict[int, tuple[JSONObject, int]] = {}


def _schema_bytes(schema: JSONObject) -> int:
    known = _schema_sizes.get(id(schema))
    if known is not None:
        return known[1]
    size = _json_bytes(schema)
    if len(_schema_sizes) >= _KEPT_SCHEMAS:
        _schema_sizes.clear()
    _schema_sizes[id(schema)] = (schema, size)
    return size

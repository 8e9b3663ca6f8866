from __future__ import annotations

import json

import pytest

from loomwire.domain.estimates import tokens as estimates
from loomwire.domain.estimates.tokens import IMAGE_TOKENS, input_tokens, text_bytes, tokens_of
from loomwire.domain.messages import Image, Message, Reasoning, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSONObject, ToolCall
from loomwire.infrastructure.providers.offline.reply import Reply, usage_of

SCHEMA: JSONObject = {"type": "object", "properties": {"city": {"type": "string"}}}
SCHEMA_BYTES = len(json.dumps(SCHEMA, separators=(",", ":")))


def conversation() -> LLMRequest:
    """Return a request with everything but pictures."""
    call = ToolCall("c1", "weather", {"city": "Köln"})
    cut = ToolCall("c2", "weather", None, '{"ci')
    return LLMRequest.of(
        Message.user("Wie wird das Wetter? ☔"),
        Message.assistant("", tool_calls=[call, cut], reasoning=[Reasoning("They want rain.")]),
        Message.tool(ToolResult("c1", "rain"), ToolResult("c2", {"error": "ungültig"}, is_error=True)),
        system="You are brief.",
        tools=[Tool("weather", "Tells the weather.", SCHEMA)],
        output=OutputSpec(SCHEMA),
    )


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("日本語", 3)])
def test_a_token_is_four_bytes_rounded_up(text: str, tokens: int) -> None:
    assert input_tokens(LLMRequest.of(text)) == tokens == tokens_of(text_bytes(text))


def test_a_lone_surrogate_does_not_break_the_estimate() -> None:
    assert text_bytes("\ud83d!") == 4


def test_every_picture_counts_flat_and_none_is_opened() -> None:
    request = LLMRequest.of("abcd", Image(url="https://example.com/a.png"), Image(data=b"x" * 10_000_000))
    assert input_tokens(request) == 1 + 2 * IMAGE_TOKENS


def test_without_pictures_the_offline_models_count_the_same() -> None:
    assert input_tokens(conversation()) == usage_of(Reply("Rain."), conversation()).input_tokens


def test_tools_and_the_output_schema_count() -> None:
    bare = LLMRequest.of("abcd")
    tool = Tool("wxyz", "abcd", SCHEMA)
    assert input_tokens(LLMRequest.of("abcd", tools=[tool])) == tokens_of(4 + 8 + SCHEMA_BYTES)
    assert input_tokens(LLMRequest.of("abcd", output=OutputSpec(SCHEMA))) == tokens_of(4 + SCHEMA_BYTES)
    assert input_tokens(LLMRequest.of("abcd", output=OutputSpec())) == input_tokens(bare)


def test_a_schema_is_written_once_and_the_memory_of_sizes_is_bounded() -> None:
    tools = [Tool(f"t{number}", "", {"type": "object", "title": "x" * number}) for number in range(600)]
    for tool in (*tools, *tools[-9:]):
        expected = len(tool.name) + len(json.dumps(tool.parameters, separators=(",", ":")))
        assert estimates.tool_bytes(tool) == expected
    assert len(estimates._schema_sizes) <= 256

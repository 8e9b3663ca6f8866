"""Which vendors count tokens, and how: a column of the provider table. Data only, read without the dialects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How a vendor counts the tokens of what one dialect asks.

    Attributes:
        dialect: A name of `DIALECTS`, whose request is counted.
        ends: How the path of the dialect's plain request ends, and what stands in its place.
        takes: The fields of the dialect's request that the endpoint takes, the others being none of the model's input;
            None for all.
        hides: Fields that add to the model's input and that the endpoint does not take: a request with one of them
            cannot be counted. `a.b` is the field b of the object a.
        within: The names of the objects that the request stands in, from outside.
        named: The path's model goes into the request, too.
        field: The answer's field with the number.
        places: What may stand before the first point of a model's name, and that the endpoint does not take.
    """

    dialect: str
    ends: tuple[str, str]
    takes: frozenset[str] | None = None
    hides: frozenset[str] = frozenset()
    within: tuple[str, ...] = ()
    named: bool = False
    field: str = "input_tokens"
    places: frozenset[str] = frozenset()


_MESSAGES = Counts(
    dialect="anthropic",
    ends=("/messages", "/messages/count_tokens"),
    takes=frozenset(
        (
            *("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"),
            *("cache_control", "context_management", "mcp_servers", "speed"),
        )
    ),
    hides=frozenset({"container"}),
)
_RESPONSES = Counts(
    dialect="openai_responses",
    ends=("/responses", "/responses/input_tokens"),
    takes=frozenset(
        (
            *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"),
            *("conversation", "personality", "previous_response_id", "truncation"),
        )
    ),
    hides=frozenset({"prompt"}),
)
_GEMINI = Counts(
    dialect="gemini",
    ends=(":generateContent", ":countTokens"),
    within=("generateContentRequest",),
    named=True,
    field="totalTokens",
)
_VERTEX = replace(
    _GEMINI,
    takes=frozenset({"contents", "systemInstruction", "tools", "generationConfig"}),
    hides=frozenset({"cachedContent"}),
    within=(),
    named=False,
)
_CONVERSE = Counts(
    dialect="bedrock",
    ends=("/converse", "/count-tokens"),
    takes=frozenset({"messages", "system", "toolConfig", "additionalModelRequestFields"}),
    hides=frozenset({"outputConfig.textFormat", "promptVariables"}),
    within=("input", "converse"),
    field="inputTokens",
    # It counts for models and for no inference profile of theirs (pydantic-ai#3367, recorded there).
    places=frozenset(("apac", "au", "ca", "eu", "global", "in", "jp", "us", "us-gov")),
)

COUNTS: Mapping[str, tuple[Counts, ...]] = MappingProxyType(
    {
        "anthropic": (_MESSAGES,),
        "openai": (_RESPONSES,),
        "gemini": (_GEMINI,),
        "google": (_GEMINI,),
        "vertex": (_VERTEX,),
        "bedrock": (_CONVERSE,),
        "vllm": (_MESSAGES,),
        "llamacpp": (_MESSAGES,),
        "local": (_MESSAGES,),
        "custom": (_MESSAGES, _RESPONSES, _GEMINI, _CONVERSE),
    }
)
"""The provider types that count. Azure answers 404 (openai-dotnet#1165, inspect_ai#3371); of the other servers that
speak these dialects nobody says that they count."""

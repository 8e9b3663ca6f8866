"""Requests and targets in which every field may have become another one, for keys of caches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Final, TypeVar

from hypothesis import strategies as st

from loomwire.application.caching.canonical import silent_fields
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.messages import Image, Message, Reasoning, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON, FrozenDict, Secret, ToolCall

D = TypeVar("D")
T = TypeVar("T")

_SCHEMA: Final[Mapping[str, JSON]] = {"type": "object", "properties": {"a": {"type": "string"}}}
_OTHER_SCHEMA: Final[Mapping[str, JSON]] = {"type": "object", "properties": {"a": {"type": "integer"}}}

OTHERS: Final[Mapping[type, Mapping[str, Sequence[object]]]] = {
    Text: {"text": ("", "a", "b", "é", "😀")},
    Image: {"data": (b"1", b"2"), "media_type": ("image/gif",), "detail": ("low", "high")},
    ToolCall: {
        "id": ("call_2",),
        "name": ("other",),
        "arguments": ({}, {"a": 1}, {"a": 1.5}, {"a": True}, {"a": "1"}, {"a": [1]}, {"a": None}),
        "raw_arguments": ('{"a',),
        "signature": ("sig", "sig2"),
    },
    ToolResult: {
        "call_id": ("call_2",),
        "content": ("", "1", 1, 1.5, True, None, [], {}, ["1"], {"a": "1"}),
        "name": ("other",),
        "is_error": (True,),
    },
    Reasoning: {
        "text": ("", "b"),
        "signature": ("sig", "sig2"),
        "redacted": ("r",),
        "id": ("i",),
        "wire": ({}, {"a": 1}),
        "origin": ("anthropic", "gemini", "openai_responses"),
    },
    Message: {"role": (), "parts": (), "name": ("ann", "bob"), "cache_point": (True,)},
    Tool: {
        "name": ("other",),
        "description": ("", "b"),
        "parameters": ({}, _OTHER_SCHEMA, {**_SCHEMA, "required": ["a"]}),
        "strict": (True,),
    },
    OutputSpec: {
        "schema": (None, _OTHER_SCHEMA),
        "name": ("other",),
        "strict": (False,),
        "description": ("b",),
    },
    Parameters: {
        "temperature": (0, 0.0, 0.5, 1),
        "top_p": (0.5, 1),
        "max_tokens": (1, 100),
        "stop": (("a",), ("b",), ("a", "b"), ("b", "a")),
        "seed": (0, 1),
        "presence_penalty": (0.5, 1),
        "frequency_penalty": (0.5, 1),
        "reasoning_effort": ("none", "low", "high"),
    },
    LLMRequest: {
        "messages": (),
        "tools": (),
        "tool_choice": ("none", "required", ToolNamed("look"), ToolNamed("find")),
        "output": (None,),
        "parameters": (),
        "tenant": ("", "a", "b"),
        "extra": ({"x": 1}, {"x": True}, {"x": 1.5}, {"x": "1"}, {"x": {"y": 1}}, {"y": 1}),
    },
    ModelCapabilities: {
        **dict.fromkeys(
            (one.name for one in fields(ModelCapabilities) if one.name.startswith("supports")), (True, False)
        ),
        "max_tokens": (10, 20),
        "context_window": (10, 20),
        "custom_capabilities": ({"a": 1}, {"a": True}),
    },
    LLMConfig: {
        "type": ("other",),
        "model": ("other",),
        "name": ("other",),
        "base_url": ("https://a.example", "https://b.example"),
        "dialect": ("anthropic", "gemini"),
        "api_version": ("1", "2"),
        "keys": ((Secret("a"),), (Secret("b"),), (Secret("a"), Secret("b"))),
        "parameters": (Parameters(seed=1), Parameters(seed=2)),
        "capabilities": (ModelCapabilities(supports_tools=False), ModelCapabilities(supports_tools=True)),
        "emulate_tools": (False,),
        "headers": (FrozenDict({"x-a": "1"}), FrozenDict({"x-a": "2"}), FrozenDict({"x-b": "1"})),
        "extra": ({"x": 1}, {"x": True}, {"x": "1"}, {"options": {"num_ctx": 1}}, {"options": {"num_ctx": 2}}),
        "lenient_terminal": (True,),
        "options": ({"region": "a"}, {"region": "b"}),
        "replay": ("a", "b"),
        "recorded": ("a", "b"),
    },
}
"""Of every class and every field that is part of a key: values that differ from the usual one, and from each other."""

TEXT: Final = Text("Hello")
LOOK: Final = Tool("look", "Looks.", _SCHEMA)
FIND: Final = Tool("find", "Finds.", _SCHEMA)
USUAL: Final = LLMRequest(
    messages=(
        Message.system("Be brief."),
        Message("user", (TEXT, Image(b"0"))),
        Message("assistant", (Reasoning("hm"), Text("Well"), ToolCall("call_1", "look", {"a": "x"}))),
        Message.tool(ToolResult("call_1", "found", "look")),
        Message.user("So?"),
    ),
    tools=(LOOK, FIND),
    output=OutputSpec(_SCHEMA),
)
"""A request with everything in it."""


def variants(one: D) -> list[D]:
    """Return what a dataclass becomes when one of its fields is another one, for every field that is part of a key.

    Fails when nothing is said of a field: whoever adds one to a request or a target adds it to `OTHERS`.
    """
    assert is_dataclass(one)
    assert not isinstance(one, type)
    others = OTHERS[type(one)]
    unsaid = {each.name for each in fields(one)} - silent_fields(type(one)) - others.keys() - {"url"}
    assert not unsaid, f"{type(one).__name__}: say in OTHERS what {unsaid} may be"
    return [replace(one, **{name: value}) for name, values in others.items() for value in values]


def near(request: LLMRequest) -> list[LLMRequest]:
    """Return what a request becomes when one field of it, or of what is in it, is another one."""
    found = variants(request)
    for at, message in enumerate(request.messages):
        found += [_with(request, at, other) for other in (*variants(message), *_spoken(message))]
    for at, tool in enumerate(request.tools):
        found += [replace(request, tools=_put(request.tools, at, other)) for other in variants(tool)]
    found += [replace(request, parameters=other) for other in variants(request.parameters)]
    if request.output is not None:
        found += [replace(request, output=other) for other in variants(request.output)]
    return [*found, replace(request, tools=request.tools[::-1]), replace(request, messages=request.messages[:-1])]


def _spoken(message: Message) -> Iterator[Message]:
    for at, part in enumerate(message.parts):
        for other in variants(part):
            yield replace(message, parts=_put(message.parts, at, other))
    if message.role == "user":
        for url in ("https://a.example/a.png", "https://a.example/b.png"):
            yield replace(message, parts=(*message.parts, Image(url=url)))
        yield replace(message, parts=message.parts[::-1]) if len(message.parts) > 1 else replace(message, name="x")


def _with(request: LLMRequest, at: int, message: Message) -> LLMRequest:
    return replace(request, messages=_put(request.messages, at, message))


def _put(values: tuple[T, ...], at: int, value: T) -> tuple[T, ...]:
    return (*values[:at], value, *values[at + 1 :])


@st.composite
def requests(draw: st.DrawFn) -> LLMRequest:
    """Draw a request that is up to three changes away from the usual one."""
    request = USUAL
    for _ in range(draw(st.integers(0, 3))):
        request = draw(st.sampled_from(near(request)))
    return request

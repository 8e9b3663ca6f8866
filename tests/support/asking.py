"""Requests and targets in which every field may have become another one, for keys of caches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Final, TypeAlias, TypeVar

from hypothesis import strategies as st

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMValidationError
from loomwire.domain.messages import Image, Message, Reasoning, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON, FrozenDict, Secret, ToolCall

D = TypeVar("D")
T = TypeVar("T")
Edit: TypeAlias = Callable[[LLMRequest], LLMRequest]

_SCHEMA: Final[Mapping[str, JSON]] = {"type": "object", "properties": {"a": {"type": "string"}}}
_OTHER_SCHEMA: Final[Mapping[str, JSON]] = {"type": "object", "properties": {"a": {"type": "integer"}}}

_CAN: Final = [one.name for one in fields(ModelCapabilities)]

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
    """Return what a dataclass becomes when one of its fields is another one, for every field that is part of a key."""
    return [_Changed(name, value)(one) for name, value in _said(one)]


def _messages(request: LLMRequest, at: int, edit: Callable[[Message], Message]) -> LLMRequest:
    return replace(request, messages=_put(request.messages, at, edit(request.messages[at])))


def _put(values: tuple[T, ...], at: int, value: T) -> tuple[T, ...]:
    return (*values[:at], value, *values[at + 1 :])


class _Changed:
    """Puts another value into a field."""

    def __init__(self, name: str, value: object) -> None:
        self._name = name
        self._value = value

    def __call__(self, one: D) -> D:
        assert is_dataclass(one)
        assert not isinstance(one, type)
        # Where another edit has put something else, there is no such field.
        return replace(one, **{self._name: self._value}) if self._name in OTHERS.get(type(one), ()) else one


def _part(at: int, name: str, value: object) -> Callable[[Message], Message]:
    def changed(message: Message) -> Message:
        return replace(message, parts=_put(message.parts, at, _Changed(name, value)(message.parts[at])))

    return changed


def _said(one: object) -> Iterator[tuple[str, object]]:
    return ((name, value) for name, values in OTHERS[type(one)].items() for value in values)


def _edits() -> Iterator[Edit]:
    yield from (_Changed(name, value) for name, value in _said(USUAL))
    for at, message in enumerate(USUAL.messages):
        spoken: list[Callable[[Message], Message]] = [_Changed(name, value) for name, value in _said(message)]
        spoken += [_part(place, name, value) for place, part in enumerate(message.parts) for name, value in _said(part)]
        yield from (partial(_messages, at=at, edit=edit) for edit in spoken)
    for url in ("https://a.example/a.png", "https://a.example/b.png"):
        yield partial(_messages, at=1, edit=partial(replace, parts=(TEXT, Image(url=url))))
    yield partial(_messages, at=1, edit=lambda message: replace(message, parts=message.parts[::-1]))
    yield lambda request: replace(request, tools=request.tools[::-1])
    yield lambda request: replace(request, messages=request.messages[:-1] or request.messages)
    for at, tool in enumerate(USUAL.tools):
        yield from (partial(_tool, at=at, edit=_Changed(name, value)) for name, value in _said(tool))
    yield from (partial(_parameters, edit=_Changed(name, value)) for name, value in _said(USUAL.parameters))
    yield from (partial(_output, edit=_Changed(name, value)) for name, value in _said(USUAL.output))


def _tool(request: LLMRequest, at: int, edit: Callable[[Tool], Tool]) -> LLMRequest:
    return replace(request, tools=_put(request.tools, at, edit(request.tools[at])))


def _parameters(request: LLMRequest, edit: Callable[[Parameters], Parameters]) -> LLMRequest:
    return replace(request, parameters=edit(request.parameters))


def _output(request: LLMRequest, edit: Callable[[OutputSpec], OutputSpec]) -> LLMRequest:
    return request if request.output is None else replace(request, output=edit(request.output))


EDITS: Final[Sequence[Edit]] = tuple(_edits())
"""Each changes one field of a request, or of what is in it."""


@st.composite
def requests(draw: st.DrawFn) -> LLMRequest:
    """Draw a request that is up to three edits away from the usual one."""
    request = USUAL
    for edit in draw(st.lists(st.sampled_from(EDITS), max_size=3)):
        with suppress(LLMValidationError, IndexError):
            request = edit(request)
    return request

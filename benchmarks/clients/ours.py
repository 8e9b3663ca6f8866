"""Ours: a real container over a YAML file, with a provider that talks to the benchmark's server."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from typing_extensions import override

from benchmarks.clients.adapter import Adapter, Reading
from benchmarks.configuration import NAMED, write_config
from benchmarks.payloads import PROMPT, ROUTES, Json, long_body
from loomwire import ILLMClient, LLMContainer, LLMRequest, Message, TextDelta, Tool, ToolCall, ToolResult


class Ours(Adapter):
    """Makes a request per call, as a workflow does, from messages and tools that exist already."""

    def __init__(self, container: LLMContainer) -> None:
        self._clients = {route: container.resolve(ILLMClient, route) for route in ROUTES}
        self._plain = self._clients["plain"]
        asked = long_body()
        self._messages = tuple(message_of(message) for message in _list(asked["messages"]))
        self._tools = tuple(tool_of(tool) for tool in _list(asked["tools"]))

    @override
    async def ask(self) -> str:
        return (await self._plain.generate(LLMRequest.of(PROMPT))).text

    @override
    async def ask_long(self) -> str:
        return (await self._plain.generate(LLMRequest(self._messages, tools=self._tools))).text

    @override
    async def read(self, route: str) -> Reading:
        texts, first_at = 0, 0.0
        async with self._clients[route].stream(LLMRequest.of(PROMPT)) as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    first_at = first_at or time.perf_counter()
                    texts += 1
        return Reading(texts, first_at)


@asynccontextmanager
async def open_ours(port: int, clients: int = NAMED) -> AsyncIterator[Adapter]:
    """Open the client in a container with so many clients configured."""
    async with container_for(port, clients) as container:
        yield Ours(container)


@asynccontextmanager
async def container_for(port: int, clients: int = NAMED) -> AsyncIterator[LLMContainer]:
    """Open a container whose clients lead to the benchmark's server."""
    with TemporaryDirectory(prefix="loomwire-bench-") as folder:
        write_config(Path(folder), port, clients)
        async with LLMContainer.aopen(folder, watch=False) as container:
            yield container


def message_of(wire: Json) -> Message:
    """Return a wire message as ours."""
    fields = _object(wire)
    match fields["role"]:
        case "system":
            return Message.system(_text(fields["content"]))
        case "user":
            return Message.user(_text(fields["content"]))
        case "tool":
            return Message.tool(ToolResult(_text(fields["tool_call_id"]), _text(fields["content"])))
        case _:
            calls = [_call(_object(call)) for call in _list(fields.get("tool_calls", []))]
            return Message.assistant(_text(fields["content"] or ""), tool_calls=calls)


def tool_of(wire: Json) -> Tool:
    """Return a wire tool as ours."""
    function = _object(_object(wire)["function"])
    return Tool(_text(function["name"]), _text(function["description"]), _object(function["parameters"]))


def _call(fields: Mapping[str, Json]) -> ToolCall:
    function = _object(fields["function"])
    arguments: Mapping[str, Json] = json.loads(_text(function["arguments"]))
    return ToolCall(_text(fields["id"]), _text(function["name"]), arguments)


def _object(value: Json) -> Mapping[str, Json]:
    assert isinstance(value, Mapping)
    return value


def _list(value: Json) -> Sequence[Json]:
    assert isinstance(value, Sequence)
    return value


def _text(value: Json) -> str:
    assert isinstance(value, str)
    return value

"""LangChain's chat model for OpenAI: one model per address, strings and message objects, tools bound once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from typing_extensions import override

from benchmarks.clients.adapter import Adapter, PerRoute, Reading
from benchmarks.payloads import PROMPT, base_url, long_body

_langchain_openai = import_module("langchain_openai")
_messages = import_module("langchain_core.messages")


class LangchainChat(Adapter):
    """Asks from message objects and a model with tools that exist already, as ours does."""

    def __init__(self, port: int) -> None:
        self._models = PerRoute(
            lambda route: _langchain_openai.ChatOpenAI(model="m", base_url=base_url(port, route), api_key="none")
        )
        asked = long_body()
        self._history = _messages.convert_to_messages(asked["messages"])
        self._with_tools = PerRoute(lambda route: self._models[route].bind_tools(asked["tools"]))

    @override
    async def ask(self) -> str:
        text: str = (await self._models["plain"].ainvoke(PROMPT)).content
        return text

    @override
    async def ask_long(self) -> str:
        text: str = (await self._with_tools["plain"].ainvoke(self._history)).content
        return text

    @override
    async def read(self, route: str) -> Reading:
        texts, first_at = 0, 0.0
        async for chunk in self._models[route].astream(PROMPT):
            if chunk.content:
                first_at = first_at or time.perf_counter()
                texts += 1
        return Reading(texts, first_at)


@asynccontextmanager
async def open_langchain(port: int) -> AsyncIterator[Adapter]:
    """Open the client."""
    yield LangchainChat(port)

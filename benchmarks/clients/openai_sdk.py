"""The official SDK as its documentation shows it: one asynchronous client, chat completions, its own defaults."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from typing_extensions import override

from benchmarks.clients.adapter import Adapter, PerRoute, Reading
from benchmarks.payloads import PROMPT, base_url, long_body

# By name, because the packages of all peers are never in one environment, least of all in that of the type checker.
_openai = import_module("openai")
_LONG = long_body()


class OpenaiSdk(Adapter):
    """Sends dictionaries and reads the SDK's models."""

    def __init__(self, port: int) -> None:
        self._clients = PerRoute(lambda route: _openai.AsyncOpenAI(base_url=base_url(port, route), api_key="none"))

    @override
    async def ask(self) -> str:
        completion = await self._clients["plain"].chat.completions.create(
            model="m", messages=[{"role": "user", "content": PROMPT}]
        )
        text: str = completion.choices[0].message.content
        return text

    @override
    async def ask_long(self) -> str:
        completion = await self._clients["plain"].chat.completions.create(
            model="m", messages=_LONG["messages"], tools=_LONG["tools"]
        )
        text: str = completion.choices[0].message.content
        return text

    @override
    async def read(self, route: str) -> Reading:
        texts, first_at = 0, 0.0
        stream = await self._clients[route].chat.completions.create(
            model="m", messages=[{"role": "user", "content": PROMPT}], stream=True
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                first_at = first_at or time.perf_counter()
                texts += 1
        return Reading(texts, first_at)


@asynccontextmanager
async def open_openai(port: int) -> AsyncIterator[Adapter]:
    """Open the client."""
    yield OpenaiSdk(port)

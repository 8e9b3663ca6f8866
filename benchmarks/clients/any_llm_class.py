"""any-llm as its documentation advises for many calls: the class, made once, with its OpenAI provider."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from typing_extensions import override

from benchmarks.clients.adapter import Adapter, PerRoute, Reading
from benchmarks.payloads import PROMPT, base_url, long_body

_any_llm = import_module("any_llm")
_LONG = long_body()


class AnyLlm(Adapter):
    """Sends dictionaries and reads the library's models."""

    def __init__(self, port: int) -> None:
        self._clients = PerRoute(
            lambda route: _any_llm.AnyLLM.create("openai", api_key="none", api_base=base_url(port, route))
        )

    @override
    async def ask(self) -> str:
        completion = await self._clients["plain"].acompletion(model="m", messages=[{"role": "user", "content": PROMPT}])
        text: str = completion.choices[0].message.content
        return text

    @override
    async def ask_long(self) -> str:
        completion = await self._clients["plain"].acompletion(
            model="m", messages=_LONG["messages"], tools=_LONG["tools"]
        )
        text: str = completion.choices[0].message.content
        return text

    @override
    async def read(self, route: str) -> Reading:
        texts, first_at = 0, 0.0
        stream = await self._clients[route].acompletion(
            model="m", messages=[{"role": "user", "content": PROMPT}], stream=True
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                first_at = first_at or time.perf_counter()
                texts += 1
        return Reading(texts, first_at)


@asynccontextmanager
async def open_any_llm(port: int) -> AsyncIterator[Adapter]:
    """Open the client."""
    yield AnyLlm(port)

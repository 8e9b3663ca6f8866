"""LiteLLM twice: its completion function, and its Router with one deployment per route."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from typing_extensions import override

from benchmarks.clients.adapter import Adapter, Reading
from benchmarks.payloads import PROMPT, ROUTES, base_url, long_body

_litellm = import_module("litellm")
_LONG = long_body()


class Litellm(Adapter):
    """Sends dictionaries and reads the library's models."""

    def __init__(self, port: int) -> None:
        self._complete = _litellm.acompletion
        self._to = {
            route: {"model": "openai/m", "api_base": base_url(port, route), "api_key": "none"} for route in ROUTES
        }

    @override
    async def ask(self) -> str:
        completion = await self._complete(**self._to["plain"], messages=[{"role": "user", "content": PROMPT}])
        text: str = completion.choices[0].message.content
        return text

    @override
    async def ask_long(self) -> str:
        completion = await self._complete(**self._to["plain"], messages=_LONG["messages"], tools=_LONG["tools"])
        text: str = completion.choices[0].message.content
        return text

    @override
    async def read(self, route: str) -> Reading:
        texts, first_at = 0, 0.0
        asked = [{"role": "user", "content": PROMPT}]
        async for chunk in await self._complete(**self._to[route], messages=asked, stream=True):
            if chunk.choices and chunk.choices[0].delta.content:
                first_at = first_at or time.perf_counter()
                texts += 1
        return Reading(texts, first_at)


class LitellmRouter(Litellm):
    """The same through a Router, which finds the deployment by the route's name."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        deployments = [{"model_name": route, "litellm_params": place} for route, place in self._to.items()]
        self._complete = _litellm.Router(model_list=deployments).acompletion
        self._to = {route: {"model": route} for route in ROUTES}


@asynccontextmanager
async def open_litellm(port: int) -> AsyncIterator[Adapter]:
    """Open the completion function."""
    yield Litellm(port)


@asynccontextmanager
async def open_router(port: int) -> AsyncIterator[Adapter]:
    """Open the Router."""
    yield LitellmRouter(port)

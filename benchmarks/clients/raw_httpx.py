"""The yardstick: httpx as a careful user writes it, one client for all calls, its own defaults."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from typing_extensions import override

from benchmarks.clients.adapter import Adapter, Reading, text_of_event
from benchmarks.payloads import base_url, body, long_body

_LONG = long_body()


class RawHttpx(Adapter):
    """Posts JSON and reads JSON."""

    def __init__(self, client: httpx.AsyncClient, port: int) -> None:
        self._client = client
        self._port = port
        self._url = base_url(port, "plain") + "/chat/completions"

    @override
    async def ask(self) -> str:
        response = await self._client.post(self._url, json=body(stream=False))
        response.raise_for_status()
        text: str = response.json()["choices"][0]["message"]["content"]
        return text

    @override
    async def ask_long(self) -> str:
        response = await self._client.post(self._url, json=_LONG)
        response.raise_for_status()
        text: str = response.json()["choices"][0]["message"]["content"]
        return text

    @override
    async def read(self, route: str) -> Reading:
        texts, first_at = 0, 0.0
        url = base_url(self._port, route) + "/chat/completions"
        async with self._client.stream("POST", url, json=body(stream=True)) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if text_of_event(line):
                    first_at = first_at or time.perf_counter()
                    texts += 1
        return Reading(texts, first_at)


@asynccontextmanager
async def open_httpx(port: int) -> AsyncIterator[Adapter]:
    """Open the client."""
    async with httpx.AsyncClient() as client:
        yield RawHttpx(client, port)

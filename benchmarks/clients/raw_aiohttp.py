"""The second yardstick: aiohttp as a careful user writes it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from typing_extensions import override

from benchmarks.clients.adapter import Adapter, Reading, text_of_event
from benchmarks.payloads import base_url, body, long_body

_LONG = long_body()


class RawAiohttp(Adapter):
    """Posts JSON and reads JSON."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._port = port
        self._url = base_url(port, "plain") + "/chat/completions"

    @override
    async def ask(self) -> str:
        async with self._session.post(self._url, json=body(stream=False)) as response:
            response.raise_for_status()
            text: str = (await response.json())["choices"][0]["message"]["content"]
            return text

    @override
    async def ask_long(self) -> str:
        async with self._session.post(self._url, json=_LONG) as response:
            response.raise_for_status()
            text: str = (await response.json())["choices"][0]["message"]["content"]
            return text

    @override
    async def read(self, route: str) -> Reading:
        texts, first_at = 0, 0.0
        url = base_url(self._port, route) + "/chat/completions"
        async with self._session.post(url, json=body(stream=True)) as response:
            response.raise_for_status()
            async for line in response.content:
                if text_of_event(line.decode()):
                    first_at = first_at or time.perf_counter()
                    texts += 1
        return Reading(texts, first_at)


@asynccontextmanager
async def open_aiohttp(port: int) -> AsyncIterator[Adapter]:
    """Open the client."""
    async with aiohttp.ClientSession() as session:
        yield RawAiohttp(session, port)

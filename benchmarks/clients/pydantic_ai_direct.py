"""pydantic-ai without an agent: its direct requests to one model object per address, the cheapest way it offers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from typing_extensions import override

from benchmarks.clients.adapter import Adapter, PerRoute, Reading
from benchmarks.clients.pydantic_ai_history import history, tools
from benchmarks.payloads import PROMPT, base_url

_ai = import_module("pydantic_ai")
_direct = import_module("pydantic_ai.direct")
_models = import_module("pydantic_ai.models.openai")
_providers = import_module("pydantic_ai.providers.openai")


class PydanticAi(Adapter):
    """Asks from messages and tools that exist already, as ours does."""

    def __init__(self, port: int) -> None:
        self._models = PerRoute(
            lambda route: _models.OpenAIChatModel(
                "m", provider=_providers.OpenAIProvider(base_url=base_url(port, route), api_key="none")
            )
        )
        self._history, self._tools = history(), tools()

    @override
    async def ask(self) -> str:
        asked = [_ai.ModelRequest.user_text_prompt(PROMPT)]
        text: str = (await _direct.model_request(self._models["plain"], asked)).text
        return text

    @override
    async def ask_long(self) -> str:
        asked = _direct.model_request(self._models["plain"], self._history, model_request_parameters=self._tools)
        text: str = (await asked).text
        return text

    @override
    async def read(self, route: str) -> Reading:
        texts, first_at = 0, 0.0
        asked = [_ai.ModelRequest.user_text_prompt(PROMPT)]
        async with _direct.model_request_stream(self._models[route], asked) as stream:
            async for event in stream:
                if event.event_kind in {"part_start", "part_delta"}:
                    first_at = first_at or time.perf_counter()
                    texts += 1
        return Reading(texts, first_at)


@asynccontextmanager
async def open_pydantic_ai(port: int) -> AsyncIterator[Adapter]:
    """Open the models."""
    yield PydanticAi(port)

"""What every client must do: the same questions, with the answers read to the end and checked by the caller."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

PeerName: TypeAlias = Literal["openai", "any-llm", "pydantic-ai", "langchain-openai", "litellm", "litellm-router"]
ClientName: TypeAlias = Literal["ours", "httpx", "aiohttp", PeerName]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Reading:
    """One stream that was read to its end.

    Attributes:
        texts: How many events held text.
        first_at: When the first of them came, by `time.perf_counter()`.
    """

    texts: int
    first_at: float


class Adapter(Protocol):
    """One client, open."""

    @abstractmethod
    async def ask(self) -> str:
        """Ask the small question and return the answer's text."""

    @abstractmethod
    async def ask_long(self) -> str:
        """Send 40 messages and 20 tools and return the answer's text."""

    @abstractmethod
    async def read(self, route: str) -> Reading:
        """Stream the small question from a route and read every event as it comes."""


def open_adapter(client: ClientName, port: int) -> AbstractAsyncContextManager[Adapter]:
    """Open a client; imports nothing of the others."""
    match client:
        case "ours":
            from benchmarks.clients.ours import open_ours

            return open_ours(port)
        case "httpx":
            from benchmarks.clients.raw_httpx import open_httpx

            return open_httpx(port)
        case "aiohttp":
            from benchmarks.clients.raw_aiohttp import open_aiohttp

            return open_aiohttp(port)
        case _:
            return open_peer(client, port)


def open_peer(client: PeerName, port: int) -> AbstractAsyncContextManager[Adapter]:
    """Open another library's client; its packages are in the environment of that library only."""
    match client:
        case "openai":
            from benchmarks.clients.openai_sdk import open_openai

            return open_openai(port)
        case "any-llm":
            from benchmarks.clients.any_llm_class import open_any_llm

            return open_any_llm(port)
        case "pydantic-ai":
            from benchmarks.clients.pydantic_ai_direct import open_pydantic_ai

            return open_pydantic_ai(port)
        case "langchain-openai":
            from benchmarks.clients.langchain_chat import open_langchain

            return open_langchain(port)
        case "litellm" | "litellm-router":
            from benchmarks.clients.litellm_calls import open_litellm, open_router

            return open_litellm(port) if client == "litellm" else open_router(port)


class PerRoute(dict[str, _T]):
    """What a client makes once per route of the server, when the route is first asked."""

    def __init__(self, make: Callable[[str], _T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, route: str) -> _T:
        made = self[route] = self._make(route)
        return made


def text_of_event(line: str) -> str:
    """Return the text of one line of a stream, by hand as a user of a bare HTTP client would."""
    if not line.startswith("data: ") or line.startswith("data: [DONE]"):
        return ""
    choices = json.loads(line[6:])["choices"]
    text: str | None = choices[0]["delta"].get("content") if choices else None
    return text or ""

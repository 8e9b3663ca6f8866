"""What every client must do: the same questions, with the answers read to the end and checked by the caller."""

from __future__ import annotations

import json
from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

ClientName: TypeAlias = Literal["ours", "httpx", "aiohttp"]


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


def text_of_event(line: str) -> str:
    """Return the text of one line of a stream, by hand as a user of a bare HTTP client would."""
    if not line.startswith("data: ") or line.startswith("data: [DONE]"):
        return ""
    choices = json.loads(line[6:])["choices"]
    text: str | None = choices[0]["delta"].get("content") if choices else None
    return text or ""

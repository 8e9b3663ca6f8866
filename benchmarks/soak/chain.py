"""The container of a soak: a folder of YAML whose client `it` has one target at every endpoint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from loomwire import ILLMClient, LLMContainer, LLMRequest, TextDelta
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON

CLIENT: Final = "it"
QUICK: Final[Mapping[str, JSON]] = {
    "timeouts": {"connect": 2, "pool_queue": 30, "ttft": 3, "idle": 3, "attempt": 3, "total": 60},
    "retry": {"base": 0.02, "max_delay": 0.2, "throttle_base": 0.05},
}
"""Times that suit servers on this machine; everything else is as it comes."""


def configuration(
    urls: Sequence[str],
    *,
    client: Mapping[str, JSON] | None = None,
    defaults: Mapping[str, JSON] = QUICK,
    provider: Mapping[str, JSON] | None = None,
) -> Mapping[str, JSON]:
    """Return the configuration of a client with one target at every URL.

    Args:
        urls: Where the endpoints are.
        client: What else the client says.
        defaults: What holds everywhere.
        provider: What else every provider says; its own name takes the place of `NAME` in texts.
    """
    names = [f"endpoint_{number}" for number in range(len(urls))]
    place: Mapping[str, JSON] = {"type": "custom", "dialect": "openai_chat", "allow_private": True}
    further: Mapping[str, JSON] = {"free": True} if provider is None else provider
    return {
        "version": 1,
        "defaults": defaults,
        "providers": {
            name: {**place, "base_url": url, **{key: _named(value, name) for key, value in further.items()}}
            for name, url in zip(names, urls, strict=True)
        },
        "models": {f"at_{name}": {"provider": name, "model": "m"} for name in names},
        "clients": {CLIENT: {"models": [f"at_{name}" for name in names], **(client or {})}},
    }


@asynccontextmanager
async def opened(
    configuration: Mapping[str, JSON], overrides: Mapping[str, object] | None = None
) -> AsyncGenerator[LLMContainer]:
    """Write a configuration into a folder and open a container on it."""
    with TemporaryDirectory(prefix="loomwire-soak-") as folder:
        # JSON is YAML, and written here by machine.
        await asyncio.to_thread((Path(folder) / "soak.yaml").write_text, json.dumps(configuration), encoding="utf-8")
        async with LLMContainer.aopen(folder, watch=False, overrides=overrides) as container:
            yield container


async def answer(
    client: ILLMClient, request: LLMRequest, *, streamed: bool, heard: Callable[[str], object] | None = None
) -> tuple[LLMResponse[str], str]:
    """Ask once; return the answer, and what its pieces came to.

    Args:
        client: Who is asked.
        request: What is asked.
        streamed: As a stream, which is read to its end.
        heard: Told every piece when it comes.
    """
    said = StringIO()
    hears = heard or said.write
    if not streamed:
        response = await client.generate(request)
        hears(response.text)
        return response, response.text
    async with client.stream(request) as stream:
        async for event in stream:
            if isinstance(event, TextDelta):
                hears(event.text)
        return stream.response, said.getvalue()


async def shared_out(work: Callable[[int], Awaitable[None]], numbers: range, at_once: int) -> None:
    """Do the work for every number, so many at once."""
    left = iter(numbers)

    async def some() -> None:
        for number in left:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(numbers))):
            group.create_task(some())


def _named(value: JSON, name: str) -> JSON:
    return value.replace("NAME", name) if isinstance(value, str) else value

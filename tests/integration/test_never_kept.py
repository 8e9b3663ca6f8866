"""What may never be kept is found on no level, however it came about: memory, disk and Redis are looked through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire import ILLMClient, LLMContainer, LLMRequest, Parameters
from loomwire.domain.errors import LoomError
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.domain.values import JSON
from loomwire.testing import FakeProvider, HttpReply, Reply, chat_events
from loomwire.testing.queued import Queued
from support.fake_redis import FakeRedis, fake_redis
from support.folders import folder
from support.keeping import read

HI = LLMRequest.of("Tell me about weaving.")
WORDS = "A shuttle goes to and fro, and every pass leaves one thread more behind."
BUSY = HttpReply(status=503, body={"error": {"message": "busy"}})


def answer(message: Mapping[str, JSON], finish: str | None) -> HttpReply:
    """Return a whole answer that ends so."""
    choice: Mapping[str, JSON] = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return HttpReply(body={"id": "1", "object": "chat.completion", "model": "m", "choices": [choice]})


def events(finish: str) -> HttpReply:
    """Return a stream that ends so."""
    return HttpReply(chunks=[event.replace(b'"stop"', f'"{finish}"'.encode()) for event in chat_events(Reply(WORDS))])


def configured(where: Path, provider: FakeProvider, redis: str, said: Mapping[str, JSON]) -> Path:
    """Write a configuration with all levels, and models that differ."""
    vendor: Mapping[str, JSON] = {
        "type": "custom",
        "dialect": "openai_chat",
        "base_url": provider.base_url,
        "allow_private": True,
        "lenient_terminal": True,
        "retry": {"attempts": 1},
    }
    stand_in: Mapping[str, JSON] = {"type": "rule", "free": True, "rules": [{"when": ".", "answer": "Less."}]}
    return folder(
        where,
        (),
        model=None,
        clients={"it": {"models": ["quick"], "cache": {"mode": "always", "max_entry": "4KiB"}, **said}},
        providers={"vendor": vendor, "near": stand_in},
        models={"quick": {"provider": "vendor", "model": "m"}, "least": {"provider": "near", "model": "l"}},
        cache={"disk": {"path": "run/cache.sqlite", "timeout": 5}, "redis": {"url": redis, "timeout": 5}},
    )


async def kept(container: LLMContainer) -> Mapping[str, int]:
    """Return how many entries each level has."""
    levels: list[ICacheStrategy] = list(container.wiring.cache_states().stores.levels())
    return {level.statistics().level: len(await level.entries()) for level in levels}


async def ask_both_ways(client: ILLMClient, request: LLMRequest) -> None:
    """Ask plain and streamed; how it ends is not the question."""
    for ask in (client.generate, lambda asked: read(client, asked)):
        try:
            await ask(request)
        except LoomError:
            continue


CASES: Mapping[str, tuple[Queued, LLMRequest, Mapping[str, JSON]]] = {
    "an error": (BUSY, HI, {}),
    "a refused key": (HttpReply(status=401, body={"error": {"message": "no"}}), HI, {}),
    "a cut answer": (Reply(WORDS, cut_after=20), HI, {}),
    "an answer at the token limit": (answer({"content": WORDS}, "length"), HI, {}),
    "a stream at the token limit": (events("length"), HI, {}),
    "a filtered answer": (answer({"content": WORDS}, "content_filter"), HI, {}),
    "a filtered stream": (events("content_filter"), HI, {}),
    "an answer that does not say why it ended": (answer({"content": WORDS}, None), HI, {}),
    "a stream without a sign of its end": (HttpReply(chunks=chat_events(Reply(WORDS))[:3]), HI, {}),
    "an end in an unknown word": (answer({"content": WORDS}, "weary"), HI, {}),
    "a refusal": (answer({"content": None, "refusal": "I will not."}, "stop"), HI, {}),
    "an answer that is too large": (Reply(WORDS * 100), HI, {}),
    "a stand-in": (BUSY, HI, {"on_exhausted": {"mode": "static", "text": "Later."}}),
    "the answer of a lesser model": (BUSY, HI, {"models": ["quick", "least"]}),
    "what the request does not want kept": (Reply(WORDS), replace(HI, cache="off"), {}),
    "what the operator does not want kept": (Reply(WORDS), replace(HI, cache="use"), {"cache": "off"}),
    "what may be answered otherwise": (Reply(WORDS), HI, {"cache": {"mode": "deterministic_only"}}),
    "what is not quite deterministic": (
        Reply(WORDS),
        replace(HI, parameters=Parameters(temperature=0.01)),
        {"cache": {"mode": "deterministic_only"}},
    ),
}


@asynccontextmanager
async def asking(
    where: Path, says: Queued, said: Mapping[str, JSON]
) -> AsyncGenerator[tuple[LLMContainer, FakeProvider, FakeRedis]]:
    """Run a provider, a little Redis, and a container over both."""
    with fake_redis() as redis:
        async with FakeProvider(then=says) as provider:
            path = await asyncio.to_thread(configured, where, provider, redis.url, said)
            async with LLMContainer.aopen(path, watch=False) as container:
                yield container, provider, redis


@pytest.mark.parametrize("case", CASES)
async def test_what_may_never_be_kept_is_on_no_level(case: str, tmp_path: Path) -> None:
    says, request, said = CASES[case]
    async with asking(tmp_path, says, said) as (container, _, redis):
        await ask_both_ways(container.resolve(ILLMClient, "it"), request)
        assert set((await kept(container)).values()) <= {0}
        assert "shuttle" not in repr(redis.data)


async def test_what_was_cancelled_or_left_is_on_no_level(tmp_path: Path) -> None:
    events_then_silence = HttpReply(chunks=[*chat_events(Reply(WORDS))[:4], 30.0])
    async with asking(tmp_path, events_then_silence, {}) as (container, provider, redis):
        client = container.resolve(ILLMClient, "it")
        async with client.stream(HI) as stream:
            await anext(aiter(stream))
        call = asyncio.create_task(client.generate(HI))
        await provider.until(lambda stats: stats.requests == 2)
        call.cancel()
        await asyncio.wait([call])
        assert set((await kept(container)).values()) == {0}
        assert "shuttle" not in repr(redis.data)


async def test_what_may_be_kept_is_on_every_level(tmp_path: Path) -> None:
    # Or the other tests would look in the wrong place.
    async with asking(tmp_path, Reply(WORDS), {}) as (container, provider, redis):
        await ask_both_ways(container.resolve(ILLMClient, "it"), HI)
        assert await kept(container) == {"memory": 1, "disk": 1, "redis": 1}
        assert provider.stats.requests == 1
        assert "shuttle" in repr(redis.data)

"""A semantic cache out of YAML, over a server that chats and one that embeds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from loomwire import LLMContainer, LLMRequest
from loomwire.domain.values import JSON
from loomwire.testing import After, FakeProvider, HttpReply, Reply
from loomwire.testing.queued import Queued
from support.folders import folder

# The fake's vectors are hashes: these two happen to have a cosine of .24, and the gate does the rest.
FIRST = LLMRequest.of("Who wrote Hamlet?")
AGAIN = LLMRequest.of("Hello! Who wrote Hamlet, please?")
OTHER = LLMRequest.of("Hello! Who wrote Faust, please?")


def written(where: Path, chat: FakeProvider, vectors: FakeProvider, semantic: dict[str, JSON]) -> Path:
    """Write a configuration whose client compares questions."""
    cache: dict[str, JSON] = {"mode": "always", "semantic": {"model": "vectors", "threshold": 0.1, **semantic}}
    return folder(
        where,
        providers={
            "chat": {"type": "custom", "dialect": "openai_chat", "base_url": chat.base_url, "allow_private": True},
            "voyage": {"type": "voyage", "base_url": vectors.base_url, "api_key": "k", "allow_private": True},
        },
        models={
            "chat": {"provider": "chat", "model": "m"},
            "vectors": {"provider": "voyage", "model": "voyage-3.5"},
        },
        clients={"it": {"models": ["chat"], "cache": cache}},
    )


@asynccontextmanager
async def talking(
    where: Path, semantic: dict[str, JSON], vectors_say: Queued = "vectors"
) -> AsyncGenerator[tuple[LLMContainer, FakeProvider, FakeProvider]]:
    """Run both servers, and a container that asks them."""
    async with FakeProvider(then=Reply("Shakespeare.")) as chat, FakeProvider(then=vectors_say) as vectors:
        path = await asyncio.to_thread(written, where, chat, vectors, semantic)
        async with LLMContainer.aopen(path, watch=False) as container:
            yield container, chat, vectors


async def test_a_question_in_other_manners_is_not_sent(tmp_path: Path) -> None:
    async with talking(tmp_path, {"shadow": False}) as (container, chat, vectors):
        client = container.llm_client("it")
        first = await client.generate(FIRST)
        again = await client.generate(AGAIN)
        assert (first.cached, again.cached, again.text) == (False, True, first.text)
        assert [(step.layer, step.outcome) for step in again.steps if step.layer == "cache"] == [("cache", "similar")]
        assert not (await client.generate(OTHER)).cached
        assert (chat.stats.requests, vectors.stats.requests) == (2, 3)
        report = container.cache_statistics()
        assert report.clients["it"].similar == 1
        assert report.similar["it"].passed == 1
        assert report.similar["it"].entries == 2
        await container.areload()
        async with client.stream(AGAIN) as stream:
            assert [event async for event in stream]
            assert (stream.response.text, stream.response.cached) == (first.text, True)
        assert chat.stats.requests == 2


async def test_the_shadow_sends_every_question_and_says_what_it_would_have_saved(tmp_path: Path) -> None:
    async with talking(tmp_path, {}) as (container, chat, _):
        client = container.llm_client("it")
        assert not (await client.generate(FIRST)).cached
        assert not (await client.generate(AGAIN)).cached
        assert chat.stats.requests == 2
        counts = container.cache_statistics().similar["it"]
        assert (counts.passed, counts.agreed, counts.differed) == (1, 1, 0)


async def test_an_embedder_that_hangs_ends_no_call(tmp_path: Path) -> None:
    async with talking(tmp_path, {"shadow": False}, After(30.0, "vectors")) as (container, chat, _):
        client = container.llm_client("it")
        for asks in (FIRST, AGAIN):
            assert (await client.generate(replace(asks, deadline_s=1.5))).text == "Shakespeare."
        assert chat.stats.requests == 2


async def test_calls_go_on_while_nobody_embeds(tmp_path: Path) -> None:
    async with talking(tmp_path, {"shadow": False}, HttpReply(status=503)) as (container, chat, _):
        client = container.llm_client("it")
        for asks in (FIRST, AGAIN):
            assert (await client.generate(asks)).text == "Shakespeare."
        assert chat.stats.requests == 2
        assert container.cache_statistics().similar["it"].failures >= 2

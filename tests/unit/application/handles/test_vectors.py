from __future__ import annotations

import asyncio
import copy
import pickle

import pytest

from loomwire.application.generation import build_generation
from loomwire.application.handles.vectors import EmbedderHandle, RerankerHandle, SyncEmbedder, SyncReranker
from loomwire.application.loop_thread import LoopThread
from loomwire.application.registry import ClientRegistry
from loomwire.domain.errors import CapabilityError, ClientRemovedError, LLMValidationError
from loomwire.domain.vectors.embeddings import EmbedRequest, RerankRequest
from support.chains import snapshot
from support.embedding import Fixed, Watched, for_ever, parts_of

ASK = EmbedRequest.of("one")
RANK = RerankRequest.of("one", "one two")


def registry(factory: Fixed | None) -> ClientRegistry:
    return ClientRegistry(build_generation(1, snapshot("search"), parts_of(factory)))


async def test_a_handle_always_means_what_is_in_force() -> None:
    first, second = Watched(), Watched()
    found = registry(Fixed(first))
    embedder, reranker = EmbedderHandle(found.client("search")), RerankerHandle(found.client("search"))
    await embedder.embed(ASK)
    found.swap(build_generation(2, snapshot("search"), parts_of(Fixed(second))))
    await embedder.embed(ASK)
    await embedder.embed(ASK)
    assert (len(first.requests), len(second.requests)) == (1, 2)
    assert (await reranker.rerank(RANK)).results[0].index == 0
    found.swap(build_generation(3, snapshot("other"), parts_of(Fixed(second))))
    for ask in (embedder.embed(ASK), reranker.rerank(RANK)):
        with pytest.raises(ClientRemovedError, match="'search' was removed"):
            await ask
    assert (repr(embedder), repr(reranker)) == ("Embedder(search)", "Reranker(search)")


async def test_a_call_holds_its_generation_until_it_ends() -> None:
    leaf = Watched(waits=for_ever)
    found = registry(Fixed(leaf))
    task = asyncio.create_task(_embed(EmbedderHandle(found.client("search"))))
    for _ in range(20):
        await asyncio.sleep(0)
    assert found.generation.leases == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert found.generation.leases == 0


def test_a_client_that_did_not_change_keeps_its_chains() -> None:
    factory = Fixed(Watched())
    parts, config = parts_of(factory), snapshot("search")
    before = build_generation(1, config, parts)
    before.entry("search").further.embedder()
    after = build_generation(2, config, parts, before)
    after.entry("search").further.embedder()
    assert factory.made == ["m"]


def test_checking_builds_and_says_what_cannot_be() -> None:
    factory = Fixed(Watched())
    client = registry(factory).client("search")
    EmbedderHandle(client).check()
    RerankerHandle(client).check()
    assert factory.made == ["m", "m"]
    nobody = registry(None).client("search")
    for handle in (EmbedderHandle(nobody), RerankerHandle(nobody)):
        with pytest.raises(CapabilityError):
            handle.check()


def test_blocking_twins_give_the_same_and_never_run_in_a_loop() -> None:
    client, thread = registry(Fixed(Watched())).client("search"), LoopThread()
    embedder = SyncEmbedder(EmbedderHandle(client), thread)
    reranker = SyncReranker(RerankerHandle(client), thread)
    assert len(embedder.embed(ASK).vectors) == 1
    assert len(reranker.rerank(RANK).results) == 1
    assert (repr(embedder), repr(reranker)) == ("Sync > Embedder(search)", "Sync > Reranker(search)")

    async def inside() -> None:
        for ask in (lambda: embedder.embed(ASK), lambda: reranker.rerank(RANK)):
            with pytest.raises(LLMValidationError, match="use `await") as caught:
                ask()
            assert caught.value.reason == "sync_in_loop"

    asyncio.run(inside())
    for twin in (embedder, reranker):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(twin)
    thread.close(_nothing)


def test_a_handle_is_found_again_as_its_client_is() -> None:
    found = registry(Fixed(Watched()))
    handles = (EmbedderHandle(found.client("search")), RerankerHandle(found.client("search")))
    for handle in handles:
        with pytest.raises(TypeError, match="not pickled"):
            copy.copy(handle.__reduce__()[1][0])
    found.home = lambda name, _: (str.join, (name, "x"))
    for handle in handles:
        kind, (client,) = handle.__reduce__()
        assert kind is type(handle)
        assert client.reduced() == (str.join, ("search", "x"))


async def _embed(embedder: EmbedderHandle) -> None:
    await embedder.embed(ASK)


async def _nothing() -> None:
    pass

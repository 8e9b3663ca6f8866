from __future__ import annotations

import asyncio
import threading
from array import array
from dataclasses import replace

import pytest

from loomwire.application.embedding.chains import build_embedder, build_reranker
from loomwire.application.embedding.first_use import FurtherChains
from loomwire.application.embedding.shelf import namespace_of
from loomwire.application.handles.vectors import ComposedEmbeddings
from loomwire.application.pipeline import client_key, target_key
from loomwire.domain.caching.policies import NO_CACHE, CachePolicy
from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import CapabilityError, LLMRateLimitError, LLMTimeoutError
from loomwire.domain.policies import TimeoutPolicy
from loomwire.domain.ports.embedding import BatchPolicy, IEmbedder
from loomwire.domain.pricing import FREE, Usage
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, RerankRequest
from loomwire.testing import FakeClock, RecordingSink
from support.chains import target, turns
from support.embedding import Fixed, Ranker, Watched, for_ever, one_turn, parts_of
from support.shelves import states_over

SEARCH = ClientConfig(name="search", targets=(target(), target("other")), total_s=60.0)
ASK = EmbedRequest.of("one", "two", "three")
RANK = RerankRequest.of("one", "one two", "three")


def test_chains_have_their_layers_in_the_one_right_order() -> None:
    parts = parts_of(Fixed(Watched(), policy=BatchPolicy(2, 100, 3)))
    assert repr(build_embedder(SEARCH, parts)) == (
        "Observe(call) > Admitted > Deadline > Batched(2 x 3) > Rotated(1) > Located(vendor/m) > Retried(1) > "
        "Breaker > Observe(attempt) > Timed > Watched()"
    )
    assert repr(build_reranker(SEARCH, parts)) == (
        "Observe(call) > Admitted > Deadline > Rotated(1) > Located(vendor/m) > Retried(1) > Breaker > "
        "Observe(attempt) > Timed > Ranker()"
    )


async def test_only_the_first_model_is_asked_because_vectors_of_two_cannot_be_compared() -> None:
    factory = Fixed(Watched())
    await build_embedder(SEARCH, parts_of(factory)).embed(ASK)
    await build_reranker(SEARCH, parts_of(factory)).rerank(RANK)
    assert factory.made == ["m", "m"]


async def test_a_call_leaves_one_record_and_each_batch_another() -> None:
    sink = RecordingSink()
    parts = parts_of(Fixed(Watched(), policy=BatchPolicy(2)), sinks=[sink])
    request = EmbedRequest(("one", "two", "three"), tenant="t", session="s", tags=frozenset({"x"}))
    answer = await build_embedder(SEARCH, parts).embed(request)
    assert [(record.level, record.operation, record.outcome) for record in sink.records] == [
        ("attempt", "embeddings", "answered"),
        ("attempt", "embeddings", "answered"),
        ("call", "embeddings", "answered"),
    ]
    call = sink.records[-1]
    assert (call.client, call.model, call.tenant, call.session, call.tags) == (
        "search",
        "hash",
        "t",
        "s",
        frozenset({"x"}),
    )
    assert call.usage == answer.usage
    assert [step.layer for step in answer.steps] == ["attempt", "attempt"]
    assert parts.stats.counts(client_key("search")).answered == 1
    assert parts.stats.counts(target_key(target())).answered == 2
    await build_reranker(SEARCH, parts).rerank(RANK)
    assert [record.operation for record in sink.records[3:]] == ["rerank", "rerank"]


async def test_an_error_says_where_it_came_from_and_is_counted() -> None:
    sink = RecordingSink()
    parts = parts_of(Fixed(Watched(), Ranker(LLMRateLimitError("slow down"))), sinks=[sink])
    with pytest.raises(LLMRateLimitError) as caught:
        await build_reranker(SEARCH, parts).rerank(RANK)
    assert (caught.value.provider, caught.value.model) == ("vendor", "m")
    assert [step.outcome for step in caught.value.steps] == ["failed", "attempts_used"]
    assert [record.outcome for record in sink.records] == ["failed", "failed"]


async def test_somebody_elses_broken_reranker_goes_on_as_it_is_and_counts() -> None:
    sink = RecordingSink()
    parts = parts_of(Fixed(Watched(), Ranker(ZeroDivisionError())), sinks=[sink])
    with pytest.raises(ZeroDivisionError):
        await build_reranker(SEARCH, parts).rerank(RANK)
    assert {record.outcome for record in sink.records} == {"failed"}


async def test_one_deadline_holds_for_all_batches() -> None:
    clock = FakeClock()

    async def third_waits(request: EmbedRequest) -> None:
        await (for_ever(request) if request.texts == ("c",) else one_turn(request))

    leaf = Watched(waits=third_waits)
    parts = parts_of(Fixed(leaf, policy=BatchPolicy(1, 100, 1)), clock)
    task = asyncio.create_task(ask(build_embedder(SEARCH, parts), EmbedRequest.of(*"abcd", deadline_s=10)))
    await turns(60)
    await clock.advance(10.0)
    with pytest.raises(LLMTimeoutError) as caught:
        await task
    assert caught.value.reason == "deadline"
    assert len({request.bound for request in leaf.requests}) == 1
    assert [request.texts for request in leaf.requests] == [("a",), ("b",), ("c",)]


async def test_a_send_ends_at_its_own_limit_when_that_is_sooner() -> None:
    clock = FakeClock()
    hurried = target(timeouts=TimeoutPolicy(attempt_s=2.0))
    leaf = Watched(waits=for_ever)
    embedder = build_embedder(ClientConfig(name="search", targets=(hurried,)), parts_of(Fixed(leaf), clock))
    task = asyncio.create_task(ask(embedder, ASK))
    await turns()
    await clock.advance(2.0)
    with pytest.raises(LLMTimeoutError) as caught:
        await task
    assert caught.value.reason == "attempt"
    assert leaf.requests[0].bound is not None
    assert leaf.requests[0].bound.reason == "attempt"


async def ask(embedder: IEmbedder, request: EmbedRequest) -> EmbedResponse:
    """Embed."""
    return await embedder.embed(request)


def test_without_a_factory_the_error_says_what_is_missing() -> None:
    for build in (build_embedder, build_reranker):
        with pytest.raises(CapabilityError, match="nobody here builds embedders"):
            build(SEARCH, parts_of(None))


def test_chains_are_built_when_they_are_first_asked_for_and_once_for_all_threads() -> None:
    factory = Fixed(Watched())
    chains = FurtherChains(SEARCH, parts_of(factory))
    assert factory.made == []
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.extend((chains.embedder(), chains.reranker()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 2
    assert factory.made == ["m", "m"]
    chains.after_fork()
    assert chains.embedder() in found


async def test_what_a_host_builds_by_hand_has_the_whole_chain() -> None:
    composed = ComposedEmbeddings(parts_of(Fixed(Watched())))
    embedder, reranker = composed.embedder(target()), composed.reranker(target())
    assert repr(embedder).startswith("Observe(call) > Admitted > Deadline > Batched(96 x 4)")
    assert repr(reranker).startswith("Observe(call) > Admitted > Deadline > Rotated(1) > Located")
    assert composed.places(target()) == ()
    assert (await embedder.embed(ASK)).vectors[0] == array("f", (await embedder.embed(ASK)).vectors[0])


async def test_cancelling_is_recorded_and_goes_on() -> None:
    sink = RecordingSink()
    chain = build_embedder(SEARCH, parts_of(Fixed(Watched()), sinks=[sink]))
    task = asyncio.create_task(ask(chain, ASK))
    await turns(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert {record.outcome for record in sink.records} == {"cancelled"}


async def test_a_client_that_keeps_sends_what_it_knows_to_nobody_and_counts_it_as_a_call() -> None:
    sink, leaf = RecordingSink(), Watched()
    parts = replace(parts_of(Fixed(leaf, policy=BatchPolicy(2, 100, 3)), sinks=[sink]), caches=states_over())
    embedder, reranker = build_embedder(SEARCH, parts), build_reranker(SEARCH, parts)
    assert repr(embedder).startswith("Observe(call) > Admitted > Deadline > Cached > Batched(2 x 3) > Rotated(1)")
    assert repr(reranker).startswith("Observe(call) > Admitted > Deadline > Cached > Rotated(1)")
    await embedder.embed(ASK)
    await reranker.rerank(RANK)
    before = len(sink.records)
    again, ranked = await embedder.embed(ASK), await reranker.rerank(RANK)
    assert (again.cached, ranked.cached, len(leaf.requests)) == (True, True, 2)
    assert [(record.level, record.outcome, record.model) for record in sink.records[before:]] == [
        ("call", "answered", "hash"),
        ("call", "answered", "words"),
    ]
    assert {(record.usage, record.cost) for record in sink.records[before:]} == {(Usage(), FREE)}
    assert parts.caches is not None
    assert parts.caches.counts()["search"].hits == 2


async def test_clients_share_only_when_both_say_so_and_ask_the_same_model() -> None:
    leaf = Watched()
    parts = replace(parts_of(Fixed(leaf)), caches=states_over())
    alone = [replace(SEARCH, name="one"), replace(SEARCH, name="two")]
    shared = CachePolicy(scope="shared")
    together = [replace(client, cache=shared) for client in alone]
    other = replace(SEARCH, name="three", targets=(target("other"),), cache=shared)
    for client in (*alone, *together, other):
        await build_embedder(client, parts).embed(ASK)
    assert len(leaf.requests) == 4


async def test_nothing_is_kept_where_the_client_says_so_or_nothing_tells_the_model_from_others() -> None:
    parts = replace(parts_of(Fixed(Watched())), caches=states_over())
    odd = replace(target(), options={"odd": object()})  # type: ignore[dict-item]  # a host's mistake
    for client in (replace(SEARCH, cache=NO_CACHE), replace(SEARCH, targets=(odd,))):
        assert "Cached" not in repr(build_embedder(client, parts))


def test_a_long_name_of_a_client_is_not_cut() -> None:
    names = ["a" * 200, "a" * 201, "a" * 202]
    spaces = list(map(namespace_of, names))
    assert spaces[0] == names[0]
    assert len(set(spaces)) == 3
    assert max(map(len, spaces)) <= 200

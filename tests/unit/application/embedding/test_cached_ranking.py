from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest
from typing_extensions import override

from loomwire.application.embedding.cached_ranking import CachedReranker
from loomwire.application.embedding.shelf import Shelf
from loomwire.domain.caching.entries import CacheEntry, CacheKey
from loomwire.domain.caching.policies import CachePolicy
from loomwire.domain.errors import LLMRateLimitError, LLMTemporaryError, LLMValidationError
from loomwire.domain.ports.embedding import IReranker
from loomwire.domain.pricing import FREE, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.vectors.embeddings import Ranked, RerankRequest, RerankResponse
from loomwire.testing import FakeClock, WordReranker
from support.chains import turns
from support.embedding import Ranker
from support.shelves import DictStore

PANDA = RerankRequest.of("a panda", "A car.", "A panda.", "The panda is a bear.")


class Counting(IReranker):
    """Ranks by words and counts; or answers as it was told to."""

    def __init__(self, answer: RerankResponse | None = None) -> None:
        self.asked = 0
        self._answer = answer

    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        self.asked += 1
        await asyncio.sleep(0)
        return self._answer or await WordReranker().rerank(request)

    @override
    def __repr__(self) -> str:
        return "Counting()"


def cached(leaf: IReranker, store: DictStore | None = None) -> tuple[CachedReranker, Shelf]:
    shelf = Shelf(store=store or DictStore(), identity=b"m", policy=CachePolicy(max_entry=300))
    return CachedReranker(leaf, shelf), shelf


async def test_a_ranking_that_was_asked_for_before_a_purge_is_not_kept_after_it() -> None:
    leaf = Counting()
    reranker, shelf = cached(leaf)
    call = asyncio.create_task(_ranked(reranker))
    while not leaf.asked:
        await turns(1)
    shelf.purges.note(shelf.namespace)
    await call
    assert not (await reranker.rerank(PANDA)).cached
    assert (await reranker.rerank(PANDA)).cached
    assert leaf.asked == 2


async def _ranked(reranker: CachedReranker) -> RerankResponse:
    return await reranker.rerank(PANDA)


async def test_the_same_documents_are_ranked_for_the_same_query_once() -> None:
    leaf = Counting()
    reranker, shelf = cached(leaf)
    first, again = await reranker.rerank(PANDA), await reranker.rerank(PANDA)
    assert (leaf.asked, first.cached, first.usage.known) == (1, False, True)
    assert again.results == first.results
    assert (again.provider, again.model, again.usage, again.cost) == ("fake", "words", Usage(), FREE)
    assert (again.cached, [(step.layer, step.target, step.outcome) for step in again.steps]) == (
        True,
        [("cache", "dict", "hit")],
    )
    counts = shelf.tally.counts()
    assert (counts.hits, counts.misses, counts.kept) == (1, 1, 1)
    assert repr(reranker) == "Cached > Counting()"


async def test_whatever_may_change_a_ranking_is_another_one() -> None:
    leaf = Counting()
    reranker, _ = cached(leaf)
    asked = [
        PANDA,
        replace(PANDA, query="a car"),
        replace(PANDA, documents=PANDA.documents[::-1]),
        replace(PANDA, documents=("A car.A panda.", PANDA.documents[2])),
        replace(PANDA, top_n=2),
        replace(PANDA, tenant="t"),
        replace(PANDA, extra={"a": 1}),
    ]
    for request in asked:
        assert not (await reranker.rerank(request)).cached
    assert all([(await reranker.rerank(request)).cached for request in asked])


async def test_off_and_refresh_are_heeded() -> None:
    leaf, store = Counting(), DictStore()
    reranker, shelf = cached(leaf, store)
    await reranker.rerank(replace(PANDA, cache="off"))
    assert store.kept == {}
    for _ in range(2):
        assert not (await reranker.rerank(replace(PANDA, cache="refresh"))).cached
    assert (leaf.asked, store.looks, shelf.tally.counts().bypassed) == (3, 0, 1)


async def test_equal_requests_at_the_same_time_are_one() -> None:
    leaf = Counting()
    reranker, shelf = cached(leaf)
    answers = await asyncio.gather(*(reranker.rerank(PANDA) for _ in range(50)))
    assert leaf.asked == 1
    assert [answer.cached for answer in answers] == [False] + [True] * 49
    assert {answer.results for answer in answers} == {answers[0].results}
    assert (answers[1].usage, answers[1].steps[0].outcome, shelf.tally.counts().shared) == (Usage(), "shared", 49)


@pytest.mark.parametrize(
    "raw", [b"garbage", b'{"v": 1, "provider": "p", "model": "m", "results": [[7, 1.0], [0, 0.5], [1, 0.1]]}']
)
async def test_what_is_no_ranking_of_these_documents_is_a_miss_and_goes(raw: bytes) -> None:
    leaf, store = Counting(), DictStore()
    reranker, _ = cached(leaf, store)
    await reranker.rerank(PANDA)
    (key,) = store.kept
    await store.set(key, raw, ttl_s=60.0)
    assert not (await reranker.rerank(PANDA)).cached
    assert (await reranker.rerank(PANDA)).cached


@pytest.mark.parametrize(
    "results",
    [
        (Ranked(0, 1.0),),
        (Ranked(0, 1.0), Ranked(0, 0.5), Ranked(1, 0.1)),
        (Ranked(0, math.inf), Ranked(1, 0.5), Ranked(2, 0.1)),
    ],
    ids=["too few", "twice", "no number"],
)
async def test_a_broken_ranking_is_given_and_not_kept(results: tuple[Ranked, ...]) -> None:
    store = DictStore()
    reranker, shelf = cached(Counting(RerankResponse(results, provider="p", model="m")), store)
    assert (await reranker.rerank(PANDA)).results == results
    assert (store.kept, shelf.tally.counts().refused) == ({}, 1)


async def test_errors_are_not_kept() -> None:
    store = DictStore()
    reranker, _ = cached(Ranker(LLMRateLimitError("slow down")), store)
    with pytest.raises(LLMRateLimitError):
        await reranker.rerank(PANDA)
    assert store.kept == {}


async def test_while_it_is_renewed_the_old_ranking_is_given() -> None:
    clock = FakeClock()
    store, leaf = DictStore(clock), Counting()
    policy = CachePolicy(ttl_s=100.0, ttl_jitter=0.0, swr_s=50.0)
    shelf = Shelf(store=store, identity=b"m", policy=policy, clock=clock)
    reranker = CachedReranker(leaf, shelf)
    await reranker.rerank(PANDA)
    await clock.advance(120.0)
    answers = await asyncio.gather(*(reranker.rerank(PANDA) for _ in range(3)))
    assert [(answer.cached, answer.steps[0].outcome) for answer in answers] == [(True, "stale")] * 3
    await turns()
    assert leaf.asked == 2
    assert (await reranker.rerank(PANDA)).steps[0].outcome == "hit"
    assert shelf.tally.counts().stale == 3


async def test_when_nobody_answers_an_old_ranking_does_and_else_the_error_goes_on() -> None:
    clock = FakeClock()
    store = DictStore(clock)
    policy = CachePolicy(ttl_s=100.0, ttl_jitter=0.0, stale_if_error_s=50.0)
    shelf = Shelf(store=store, identity=b"m", policy=policy, clock=clock)
    await CachedReranker(Counting(), shelf).rerank(PANDA)
    failing = CachedReranker(Ranker(LLMTemporaryError("down").with_step(Step("attempt", "p/m", "failed"))), shelf)
    await clock.advance(120.0)
    answer = await failing.rerank(PANDA)
    assert (answer.cached, answer.cost, [step.layer for step in answer.steps]) == (True, FREE, ["cache", "attempt"])
    assert (answer.steps[0].outcome, answer.steps[0].reason) == ("stale", LLMTemporaryError("down").reason)
    with pytest.raises(LLMValidationError):
        await CachedReranker(Ranker(LLMValidationError("bad")), shelf).rerank(PANDA)
    await clock.advance(40.0)
    with pytest.raises(LLMTemporaryError):
        await failing.rerank(PANDA)


async def test_what_was_renewed_meanwhile_is_not_asked_for_again() -> None:
    clock = FakeClock()

    class Renewed(DictStore):
        @override
        async def get(self, key: CacheKey) -> CacheEntry | None:
            found = await super().get(key)
            if found is not None and not found.is_fresh:
                await self.set(key, found.value, ttl_s=100.0)
            return found

    leaf = Counting()
    policy = CachePolicy(ttl_s=100.0, ttl_jitter=0.0, swr_s=50.0)
    reranker = CachedReranker(leaf, Shelf(store=(store := Renewed(clock)), identity=b"m", policy=policy, clock=clock))
    await reranker.rerank(PANDA)
    await clock.advance(120.0)
    assert (await reranker.rerank(PANDA)).steps[0].outcome == "stale"
    await turns()
    assert (leaf.asked, store.looks) == (1, 3)

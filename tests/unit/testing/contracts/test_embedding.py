"""The contracts of embedders and rerankers notice every broken promise."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from typing_extensions import override

from loomwire.domain.ports.embedding import IEmbedder, IReranker
from loomwire.domain.pricing import Usage
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, Ranked, RerankRequest, RerankResponse
from loomwire.testing import HashEmbedder, WordReranker
from loomwire.testing.contracts.contract import Contract
from loomwire.testing.contracts.embedding import EmbedderContract, RerankerContract


class Embeds(IEmbedder):
    """An embedder that keeps its promises; the others break one each."""

    def __init__(self) -> None:
        self.inner = HashEmbedder()
        self.out = 0

    def spoiled(self, answer: EmbedResponse, request: EmbedRequest) -> EmbedResponse:
        return answer

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        return self.spoiled(await self.inner.embed(request), request)


class Backwards(Embeds):
    @override
    def spoiled(self, answer: EmbedResponse, request: EmbedRequest) -> EmbedResponse:
        return replace(answer, vectors=answer.vectors[::-1])


class OneShort(Embeds):
    @override
    def spoiled(self, answer: EmbedResponse, request: EmbedRequest) -> EmbedResponse:
        return replace(answer, vectors=answer.vectors[:100])


class Ragged(Embeds):
    @override
    def spoiled(self, answer: EmbedResponse, request: EmbedRequest) -> EmbedResponse:
        return replace(answer, vectors=(*answer.vectors[:-1], answer.vectors[-1][:5]))


class NotANumber(Embeds):
    @override
    def spoiled(self, answer: EmbedResponse, request: EmbedRequest) -> EmbedResponse:
        return replace(answer, vectors=tuple([math.nan] * len(vector) for vector in answer.vectors))


class OwnSize(Embeds):
    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        return await self.inner.embed(replace(request, dimensions=None))


class Anonymous(Embeds):
    @override
    def spoiled(self, answer: EmbedResponse, request: EmbedRequest) -> EmbedResponse:
        return replace(answer, model="")


class InventsUsage(Embeds):
    @override
    def spoiled(self, answer: EmbedResponse, request: EmbedRequest) -> EmbedResponse:
        return replace(answer, usage=Usage())


class Chats(Embeds):
    @override
    def spoiled(self, answer: EmbedResponse, request: EmbedRequest) -> EmbedResponse:
        return replace(answer, usage=Usage(1, 1))


class Scribbles(Embeds):
    @override
    def spoiled(self, answer: EmbedResponse, request: EmbedRequest) -> EmbedResponse:
        object.__setattr__(request, "purpose", "document")
        return answer


class Timeless(Embeds):
    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        return await self.inner.embed(replace(request, bound=None))


class Leaks(Embeds):
    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        self.out += 1
        await asyncio.sleep(0)
        self.out -= 1
        return await self.inner.embed(request)


class Deaf(Embeds):
    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return await self.inner.embed(request)
        return await self.inner.embed(request)


class Shared(Embeds):
    last: tuple[str, ...] = ()

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        self.last = request.texts
        await asyncio.sleep(0)
        return await self.inner.embed(replace(request, texts=self.last))


class OneLoop(Embeds):
    loop: asyncio.AbstractEventLoop | None = None

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        self.loop = self.loop or asyncio.get_running_loop()
        if self.loop is not asyncio.get_running_loop():
            raise RuntimeError("another loop")
        return await self.inner.embed(request)


class Suite(EmbedderContract):
    def __init__(self, make: Callable[[], Embeds]) -> None:
        self.make = make

    @override
    @asynccontextmanager
    async def embedder(self) -> AsyncGenerator[IEmbedder]:
        yield self.make()

    @override
    def in_use(self, embedder: IEmbedder) -> int:
        return embedder.out if isinstance(embedder, Embeds) else 0


EMBED_BREACHES = [
    ("there_is_one_vector_for_each_text_in_order", Backwards, "is another one when it is asked alone"),
    ("many_texts_keep_their_order", Backwards, "text 0 got another one's vector"),
    ("many_texts_keep_their_order", OneShort, "the number of vectors is 100 and not 150"),
    ("vectors_are_finite_and_of_one_size", Ragged, "sizes are [5, 64]"),
    ("vectors_are_finite_and_of_one_size", NotANumber, "a number is not finite"),
    ("vectors_have_the_size_that_is_asked_for", OwnSize, "the sizes is {64} and not {16}"),
    ("the_answer_says_who_gave_it_and_what_it_took", Anonymous, "provider or model is empty"),
    ("the_answer_says_who_gave_it_and_what_it_took", InventsUsage, "known usage of nothing"),
    ("the_answer_says_who_gave_it_and_what_it_took", Chats, "the output tokens is 1"),
    ("the_request_is_never_changed", Scribbles, "the request afterwards"),
    ("a_bound_that_has_passed_ends_the_call", Timeless, "in place of raising LLMTimeoutError"),
    ("cancelling_leaves_nothing", Leaks, "what is out, cancelled after 1 turns"),
    ("cancelling_leaves_nothing", Deaf, "it returned"),
    ("tasks_may_ask_at_the_same_time", Shared, "a task got another one's vector"),
    ("threads_may_ask_at_the_same_time", OneLoop, "RuntimeError: another loop"),
]


@pytest.mark.parametrize(
    ("claim", "broken", "seen"), EMBED_BREACHES, ids=[f"{claim}-{kind.__name__}" for claim, kind, _ in EMBED_BREACHES]
)
def test_a_broken_embedder_is_noticed(
    claim: str, broken: type[Embeds], seen: str, breach: Callable[[Contract, str], str]
) -> None:
    assert seen in breach(Suite(broken), f"test_{claim}")


class Reranks(IReranker):
    """A reranker that keeps its promises; the others break one each."""

    def __init__(self) -> None:
        self.inner = WordReranker()
        self.out = 0

    def spoiled(self, answer: RerankResponse, request: RerankRequest) -> RerankResponse:
        return answer

    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        return self.spoiled(await self.inner.rerank(request), request)


class Twice(Reranks):
    @override
    def spoiled(self, answer: RerankResponse, request: RerankRequest) -> RerankResponse:
        return replace(answer, results=answer.results[:1] * len(answer.results))


class WorstFirst(Reranks):
    @override
    def spoiled(self, answer: RerankResponse, request: RerankRequest) -> RerankResponse:
        return replace(answer, results=answer.results[::-1])


class Endless(Reranks):
    @override
    def spoiled(self, answer: RerankResponse, request: RerankRequest) -> RerankResponse:
        return replace(answer, results=(Ranked(0, math.inf),))


class AllOfThem(Reranks):
    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        return await self.inner.rerank(replace(request, top_n=None))


class Unnamed(Reranks):
    @override
    def spoiled(self, answer: RerankResponse, request: RerankRequest) -> RerankResponse:
        return replace(answer, provider="")


class Rewrites(Reranks):
    @override
    def spoiled(self, answer: RerankResponse, request: RerankRequest) -> RerankResponse:
        object.__setattr__(request, "top_n", 1)
        return answer


class Patient(Reranks):
    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        return await self.inner.rerank(replace(request, bound=None))


class Keeps(Reranks):
    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        self.out += 1
        await asyncio.sleep(0)
        self.out -= 1
        return await self.inner.rerank(request)


class Bound(Reranks):
    loop: asyncio.AbstractEventLoop | None = None

    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        self.loop = self.loop or asyncio.get_running_loop()
        if self.loop is not asyncio.get_running_loop():
            raise RuntimeError("another loop")
        return await self.inner.rerank(request)


class RankSuite(RerankerContract):
    def __init__(self, make: Callable[[], Reranks]) -> None:
        self.make = make

    @override
    @asynccontextmanager
    async def reranker(self) -> AsyncGenerator[IReranker]:
        yield self.make()

    @override
    def in_use(self, reranker: IReranker) -> int:
        return reranker.out if isinstance(reranker, Reranks) else 0


RANK_BREACHES = [
    ("every_document_has_its_place_once", Twice, "the indexes is [0, 0, 0]"),
    ("the_best_come_first", WorstFirst, "the order of scores"),
    ("the_best_come_first", Endless, "scores are [inf]"),
    ("there_are_as_many_as_are_asked_for", AllOfThem, "for top_n=1 is 3 and not 1"),
    ("the_answer_says_who_gave_it", Unnamed, "provider or model is empty"),
    ("the_request_is_never_changed", Rewrites, "the request afterwards"),
    ("a_bound_that_has_passed_ends_the_call", Patient, "in place of raising LLMTimeoutError"),
    ("cancelling_leaves_nothing", Keeps, "what is out, cancelled after 1 turns"),
    ("threads_may_ask_at_the_same_time", Bound, "RuntimeError: another loop"),
]


@pytest.mark.parametrize(
    ("claim", "broken", "seen"), RANK_BREACHES, ids=[f"{claim}-{kind.__name__}" for claim, kind, _ in RANK_BREACHES]
)
def test_a_broken_reranker_is_noticed(
    claim: str, broken: type[Reranks], seen: str, breach: Callable[[Contract, str], str]
) -> None:
    assert seen in breach(RankSuite(broken), f"test_{claim}")


def test_every_claim_is_broken_by_somebody() -> None:
    for suite, breaches in ((EmbedderContract, EMBED_BREACHES), (RerankerContract, RANK_BREACHES)):
        claims = {name.removeprefix("test_") for name in dir(suite) if name.startswith("test_")}
        assert claims == {claim for claim, _, _ in breaches}


def test_a_suite_without_connections_has_none_in_use() -> None:
    assert EmbedderContract.in_use(Suite(Embeds), HashEmbedder()) == 0
    assert RerankerContract.in_use(RankSuite(Reranks), WordReranker()) == 0

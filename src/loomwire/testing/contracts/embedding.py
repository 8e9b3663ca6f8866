"""The contracts of `IEmbedder` and `IReranker`, for every one: a leaf, a chain, a fake."""

from __future__ import annotations

import asyncio
import math
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import ClassVar

from typing_extensions import override

from loomwire.domain.ports.embedding import IEmbedder, IReranker
from loomwire.domain.requests import Bound
from loomwire.domain.vectors.embeddings import EmbedRequest, RerankRequest
from loomwire.testing.contracts.calls.asking import AskingContract
from loomwire.testing.contracts.contract import claim, expect, needs, same

_MANY = 150
_TEXTS = ("a giant panda", "a small car", "snow in winter")
_AT_ONCE = 20


class EmbedderContract(AskingContract[IEmbedder, EmbedRequest]):
    """Claims what `IEmbedder` promises; subclass it as `TestMyEmbedder` and give it embedders.

    Attributes:
        knows_dimensions: It can be told how many numbers a vector should have.
        threads: It works on any thread and event loop.

    Example:
        >>> from collections.abc import AsyncGenerator
        >>> from contextlib import asynccontextmanager
        >>> from loomwire.testing import HashEmbedder
        >>> class TestMyEmbedder(EmbedderContract):
        ...     @asynccontextmanager
        ...     async def embedder(self) -> AsyncGenerator[IEmbedder]:
        ...         yield HashEmbedder()
        >>> TestMyEmbedder().test_there_is_one_vector_for_each_text_in_order()
    """

    port: ClassVar[str] = "loomwire.domain.ports.embedding.IEmbedder"
    knows_dimensions: ClassVar[bool] = True

    @abstractmethod
    def embedder(self) -> AbstractAsyncContextManager[IEmbedder]:
        """Return a context manager over a fresh embedder that works."""
        raise self.unwritten("embedder")

    @override
    def lent(self) -> AbstractAsyncContextManager[IEmbedder]:
        return self.embedder()

    @override
    def question(self, bound: Bound | None = None) -> EmbedRequest:
        return EmbedRequest(_TEXTS, purpose="query", bound=bound)

    @override
    async def ask(self, port: IEmbedder, question: EmbedRequest) -> object:
        return len((await port.embed(question)).vectors)

    @claim
    async def test_there_is_one_vector_for_each_text_in_order(self) -> None:
        """There is one vector for each text, in the order of the texts."""
        async with self.embedder() as embedder:
            whole = await embedder.embed(EmbedRequest(_TEXTS))
            same(len(whole.vectors), len(_TEXTS), "the number of vectors")
            for text, vector in zip(_TEXTS, whole.vectors, strict=True):
                alone = await embedder.embed(EmbedRequest.of(text))
                expect(_near(alone.vectors[0], vector), f"the vector of {text!r} is another one when it is asked alone")

    @claim
    async def test_many_texts_keep_their_order(self) -> None:
        """However many texts there are, and whatever batches they go in, their order stays."""
        texts = tuple(f"text number {number}" for number in range(_MANY))
        async with self.embedder() as embedder:
            whole = await embedder.embed(EmbedRequest(texts))
            same(len(whole.vectors), _MANY, "the number of vectors")
            for place in (0, _MANY // 3, _MANY - 1):
                alone = await embedder.embed(EmbedRequest.of(texts[place]))
                expect(_near(alone.vectors[0], whole.vectors[place]), f"text {place} got another one's vector")

    @claim
    async def test_vectors_are_finite_and_of_one_size(self) -> None:
        """All vectors have the same size, at least one number, and every number is finite."""
        async with self.embedder() as embedder:
            answer = await embedder.embed(EmbedRequest(_TEXTS))
            sizes = {len(vector) for vector in answer.vectors}
            expect(len(sizes) == 1 and 0 not in sizes, f"sizes are {sorted(sizes)}")
            same(answer.dimensions, sizes.pop(), "`dimensions`")
            expect(all(map(math.isfinite, (n for vector in answer.vectors for n in vector))), "a number is not finite")

    @claim
    @needs("knows_dimensions")
    async def test_vectors_have_the_size_that_is_asked_for(self) -> None:
        """Vectors have as many numbers as `dimensions` says."""
        async with self.embedder() as embedder:
            answer = await embedder.embed(EmbedRequest(_TEXTS, dimensions=16))
            same({len(vector) for vector in answer.vectors}, {16}, "the sizes")

    @claim
    async def test_the_answer_says_who_gave_it_and_what_it_took(self) -> None:
        """The answer names provider and model, and says no usage rather than one that cannot be."""
        async with self.embedder() as embedder:
            answer = await embedder.embed(EmbedRequest(_TEXTS))
            expect(answer.provider and answer.model, "provider or model is empty")
            expect(answer.usage.input_tokens > 0 or not answer.usage.known, "known usage of nothing")
            same(answer.usage.output_tokens, 0, "the output tokens")

    @claim
    async def test_tasks_may_ask_at_the_same_time(self) -> None:
        """Tasks may ask at the same time; nobody gets another one's vectors."""
        async with self.embedder() as embedder:
            asks = [embedder.embed(EmbedRequest.of(f"task {number}")) for number in range(_AT_ONCE)]
            together = await asyncio.gather(*asks)
            alone = await embedder.embed(EmbedRequest.of("task 7"))
            expect(_near(together[7].vectors[0], alone.vectors[0]), "a task got another one's vector")
            same(self.in_use(embedder), 0, "what is out afterwards")


class RerankerContract(AskingContract[IReranker, RerankRequest]):
    """Claims what `IReranker` promises; subclass it as `TestMyReranker` and give it rerankers.

    Attributes:
        threads: It works on any thread and event loop.

    Example:
        >>> from collections.abc import AsyncGenerator
        >>> from contextlib import asynccontextmanager
        >>> from loomwire.testing import WordReranker
        >>> class TestMyReranker(RerankerContract):
        ...     @asynccontextmanager
        ...     async def reranker(self) -> AsyncGenerator[IReranker]:
        ...         yield WordReranker()
        >>> TestMyReranker().test_every_document_has_its_place_once()
    """

    port: ClassVar[str] = "loomwire.domain.ports.embedding.IReranker"

    @abstractmethod
    def reranker(self) -> AbstractAsyncContextManager[IReranker]:
        """Return a context manager over a fresh reranker that works."""
        raise self.unwritten("reranker")

    @override
    def lent(self) -> AbstractAsyncContextManager[IReranker]:
        return self.reranker()

    @override
    def question(self, bound: Bound | None = None) -> RerankRequest:
        return RerankRequest("car", _TEXTS, 2, bound=bound)

    @override
    async def ask(self, port: IReranker, question: RerankRequest) -> object:
        return len((await port.rerank(question)).results)

    @claim
    async def test_every_document_has_its_place_once(self) -> None:
        """Without `top_n` every document is there once, by its index in the request."""
        async with self.reranker() as reranker:
            answer = await reranker.rerank(RerankRequest("giant panda", _TEXTS))
            same(sorted(rank.index for rank in answer.results), [0, 1, 2], "the indexes")

    @claim
    async def test_the_best_come_first(self) -> None:
        """Results are ordered by their score, best first, and every score is finite."""
        async with self.reranker() as reranker:
            answer = await reranker.rerank(RerankRequest("snow in winter", _TEXTS))
            scores = [rank.score for rank in answer.results]
            expect(all(map(math.isfinite, scores)), f"scores are {scores}")
            same(scores, sorted(scores, reverse=True), "the order of scores")

    @claim
    async def test_there_are_as_many_as_are_asked_for(self) -> None:
        """There are `top_n` results, or as many as there are documents if those are fewer."""
        async with self.reranker() as reranker:
            for asked, wanted in ((1, 1), (2, 2), (9, 3)):
                answer = await reranker.rerank(RerankRequest("car", _TEXTS, asked))
                same(len(answer.results), wanted, f"the number of results for top_n={asked}")

    @claim
    async def test_the_answer_says_who_gave_it(self) -> None:
        """The answer names provider and model."""
        async with self.reranker() as reranker:
            answer = await reranker.rerank(RerankRequest("car", _TEXTS))
            expect(answer.provider and answer.model, "provider or model is empty")


def _near(one: Sequence[float], other: Sequence[float]) -> bool:
    # Models compute in batches, which changes the last digits.
    product = sum(a * b for a, b in zip(one, other, strict=True))
    lengths = math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))
    return lengths == 0 or product / lengths > 0.99

"""An embedder that fails costs its first call a moment, is left alone for a while, and nobody sees an error."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest
from typing_extensions import override

from loomwire.application.caching.semantic.vectors import REST_S, QuestionVectors
from loomwire.domain.errors import LLMTemporaryError
from loomwire.domain.ports.embedding import IEmbedder
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse
from loomwire.testing.clock import FakeClock
from support.similar import WordEmbedder, word_vector

ASKS = replace(LLMRequest.of("red"), tenant="acme", session="s1")


class Hanging(IEmbedder):
    """Never answers; says when it was left."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.left = asyncio.Event()

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        self.entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        raise AssertionError("nobody sets it")


class Vectors:
    """Question vectors over fakes."""

    def __init__(self, embedder: IEmbedder | None = None) -> None:
        self.embedder = WordEmbedder()
        self.clock = FakeClock(100.0)
        self.built: list[str] = []
        self.refuses: Exception | None = None
        chosen = embedder or self.embedder

        def build() -> IEmbedder:
            self.built.append("embedder")
            if self.refuses is not None:
                raise self.refuses
            return chosen

        self.it = QuestionVectors("planner", build, lambda: self.built.append("warm"), timeout_s=2.0, clock=self.clock)

    async def vector(self, request: LLMRequest = ASKS) -> object:
        return await self.it.vector("red", request)


async def test_a_question_is_embedded_in_time_and_on_behalf_of_its_tenant() -> None:
    vectors = Vectors()
    assert vectors.built == []
    assert await vectors.vector() == word_vector("red")
    assert await vectors.vector() is not None
    assert vectors.built == ["warm", "embedder"]
    (asks, _) = vectors.embedder.requests
    assert (asks.texts, asks.tenant, asks.session, asks.bound) == (("red",), "acme", "s1", Bound(102.0))
    sooner = ASKS.with_bound(Bound(104.0))
    await vectors.vector(sooner)
    assert vectors.embedder.requests[-1].bound == Bound(101.0)


async def test_an_embedder_that_fails_is_left_alone_and_then_tried_by_one_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "loomwire.cache")
    vectors = Vectors()
    vectors.embedder.fails = LLMTemporaryError("CANARY", reason="server")
    assert await vectors.vector() is None
    assert await vectors.vector() is None
    assert len(vectors.embedder.texts) == 1
    vectors.clock.move(REST_S)
    assert await vectors.vector() is None
    assert await vectors.vector() is None
    assert len(vectors.embedder.texts) == 2
    vectors.clock.move(REST_S)
    vectors.embedder.fails = None
    assert await vectors.vector() is not None
    assert await vectors.vector() is not None
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "planner" in caplog.text
    assert "CANARY" not in caplog.text


async def test_an_answer_that_was_on_its_way_does_not_end_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "loomwire.cache")
    vectors = Vectors()

    def failing(text: str) -> list[float]:
        vectors.embedder.vector = word_vector
        vectors.it._fails(OSError())  # pyright: ignore[reportPrivateUsage]  # as another call does meanwhile
        return word_vector(text)

    vectors.embedder.vector = failing
    assert await vectors.vector() is not None
    assert await vectors.vector() is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_what_cannot_be_built_is_a_miss_too() -> None:
    vectors = Vectors()
    vectors.refuses = ImportError("no numpy")
    assert await vectors.vector() is None
    vectors.refuses = None
    vectors.clock.move(REST_S)
    assert await vectors.vector() is not None


async def test_a_slow_embedder_is_a_miss() -> None:
    hanging = Hanging()
    vectors = Vectors(hanging)
    call = asyncio.create_task(vectors.vector())
    await hanging.entered.wait()
    await vectors.clock.advance(2.0)
    assert await call is None
    assert hanging.left.is_set()


async def test_a_call_that_is_short_of_time_says_nothing_about_the_embedder(caplog: pytest.LogCaptureFixture) -> None:
    hanging = Hanging()
    vectors = Vectors(hanging)
    call = asyncio.create_task(vectors.vector(ASKS.with_bound(Bound(100.5))))
    await hanging.entered.wait()
    await vectors.clock.advance(0.125)
    assert await call is None
    assert not caplog.records
    assert await vectors.vector(ASKS.with_bound(Bound(100.125))) is None


async def test_an_embedder_that_hangs_takes_a_quarter_of_one_call_and_nothing_of_the_next() -> None:
    hanging = Hanging()
    vectors = Vectors(hanging)
    asks = ASKS.with_bound(Bound(102.0))
    call = asyncio.create_task(vectors.vector(asks))
    await hanging.entered.wait()
    await vectors.clock.advance(0.5)
    assert await call is None
    hanging.entered.clear()
    assert await vectors.vector(asks) is None
    assert not hanging.entered.is_set()


async def test_a_call_that_is_cancelled_leaves_the_embedder() -> None:
    hanging = Hanging()
    vectors = Vectors(hanging)
    call = asyncio.create_task(vectors.vector())
    await hanging.entered.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert hanging.left.is_set()

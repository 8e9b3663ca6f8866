from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.embedding.batches import Batched, cut
from loomwire.application.embedding.layers import Named
from loomwire.domain.errors import LLMError, LLMProtocolError, LLMRateLimitError
from loomwire.domain.ports.embedding import BatchPolicy
from loomwire.domain.pricing import NO_USAGE, Cost, Unpriced, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse
from loomwire.testing import hashed_vector
from support.chains import turns
from support.embedding import Watched, for_ever, one_turn

TEN = tuple(f"text {number}" for number in range(10))


def batched(leaf: Watched, texts: int = 3, at_once: int = 2, characters: int = 10_000) -> Batched:
    return Batched(Named(leaf.embed, leaf), BatchPolicy(texts, characters, at_once), "p/m")


@given(st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=40), st.integers(1, 7), st.integers(1, 20))
def test_cutting_keeps_every_text_in_order_and_within_the_sizes(texts: list[str], most: int, characters: int) -> None:
    batches = list(cut(texts, BatchPolicy(most, characters)))
    assert [text for batch in batches for text in batch] == texts
    assert all(1 <= len(batch) <= most for batch in batches)
    assert all(len(batch) == 1 or sum(map(len, batch)) <= characters for batch in batches)


def test_a_batch_is_as_large_as_it_may_be() -> None:
    assert list(map(len, cut(TEN, BatchPolicy(4)))) == [4, 4, 2]
    assert list(cut(("aaaa", "bb", "c", "dddd"), BatchPolicy(9, 4))) == [("aaaa",), ("bb", "c"), ("dddd",)]


async def test_vectors_come_in_the_order_of_the_texts_with_few_requests_at_once() -> None:
    leaf = Watched()
    answer = await batched(leaf)(EmbedRequest(TEN))
    assert [list(vector) for vector in answer.vectors] == [list(hashed_vector(text, 8)) for text in TEN]
    assert [len(request.texts) for request in leaf.requests] == [3, 3, 3, 1]
    assert leaf.most == 2


async def test_one_batch_goes_through_as_it_is() -> None:
    leaf = Watched()
    request = EmbedRequest(TEN[:3])
    await batched(leaf)(request)
    assert leaf.requests == [request]
    assert leaf.requests[0] is request


async def test_usage_cost_and_steps_are_those_of_all_batches() -> None:
    def priced(request: EmbedRequest) -> EmbedResponse:
        vectors = tuple(hashed_vector(text, 4) for text in request.texts)
        step = Step("attempt", "p/m", "answered", request.texts[0], 0.0, 0.0)
        return EmbedResponse(
            vectors,
            provider="p",
            model="m",
            usage=Usage(len(vectors)),
            cost=Cost(2),
            request_id=request.texts[0],
            steps=(step,),
        )

    answer = await batched(Watched(priced))(EmbedRequest(TEN))
    assert (answer.usage, answer.cost, answer.request_id) == (Usage(10), Cost(8), "text 0")
    assert [step.reason for step in answer.steps] == ["text 0", "text 3", "text 6", "text 9"]


async def test_what_one_batch_does_not_tell_is_not_known_of_the_sum() -> None:
    def half(request: EmbedRequest) -> EmbedResponse:
        known = request.texts[0] == "text 0"
        vectors = tuple(hashed_vector(text, 4) for text in request.texts)
        usage, cost = (Usage(5), Cost(1)) if known else (NO_USAGE, Unpriced("no_usage"))
        return EmbedResponse(vectors, provider="p", model="m", usage=usage, cost=cost)

    answer = await batched(Watched(half))(EmbedRequest(TEN))
    assert not answer.usage.known
    assert answer.usage.input_tokens == 5
    assert answer.cost == Unpriced("no_usage")


async def test_the_first_failure_cancels_the_others_and_tells_what_became_of_each() -> None:
    def third_fails(request: EmbedRequest) -> EmbedResponse | None:
        if request.texts[0] == "text 6":
            step = Step("attempt", "p/m", "failed", "throttled", 0.0, 0.0)
            raise LLMRateLimitError("slow down").with_step(step)
        return None

    async def fourth_waits(request: EmbedRequest) -> None:
        await (for_ever(request) if request.texts[0] == "text 9" else one_turn(request))

    leaf = Watched(third_fails, fourth_waits)
    with pytest.raises(LLMRateLimitError) as caught:
        await batched(leaf)(EmbedRequest(TEN + TEN))
    told = caught.value.metadata["batches"]
    assert isinstance(told, dict)
    assert (told["of"], told["answered"], told["failed"]) == (7, 2, 1)
    assert "input_tokens" in str(told["usage"])
    assert len(leaf.requests) == 4
    assert leaf.cancelled == 1
    assert [step.outcome for step in caught.value.steps] == ["failed"]


async def test_when_the_very_first_fails_no_usage_is_told() -> None:
    def fails(_: EmbedRequest) -> EmbedResponse:
        raise LLMRateLimitError("slow down")

    with pytest.raises(LLMRateLimitError) as caught:
        await batched(Watched(fails), at_once=1)(EmbedRequest(TEN))
    assert caught.value.metadata["batches"] == {"of": 4, "answered": 0, "failed": 1}


async def test_an_embedder_that_breaks_its_promise_is_heard() -> None:
    def breaks(_: EmbedRequest) -> EmbedResponse:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await batched(Watched(breaks))(EmbedRequest(TEN))


async def test_cancelling_cancels_every_batch() -> None:
    leaf = Watched(waits=for_ever)
    task = asyncio.create_task(_ask(leaf))
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (leaf.cancelled, len(leaf.requests)) == (2, 2)


async def test_a_batch_that_ends_by_a_cancellation_of_its_own_ends_the_call_so() -> None:
    def gone(request: EmbedRequest) -> EmbedResponse | None:
        if request.texts[0] == "text 3":
            raise asyncio.CancelledError
        return None

    with pytest.raises(asyncio.CancelledError):
        await _ask(Watched(gone))


async def test_vectors_that_change_their_size_between_batches_are_a_protocol_error() -> None:
    def grows(request: EmbedRequest) -> EmbedResponse:
        size = 4 if request.texts[0] == "text 0" else 5
        vectors = tuple(hashed_vector(text, size) for text in request.texts)
        return EmbedResponse(vectors, provider="p", model="m")

    with pytest.raises(LLMProtocolError, match="p/m gives vectors of several sizes"):
        await batched(Watched(grows))(EmbedRequest(TEN))


async def test_an_error_without_further_steps_keeps_its_own() -> None:
    def fails(request: EmbedRequest) -> EmbedResponse | None:
        if request.texts[0] == "text 0":
            raise LLMError("no")
        return None

    with pytest.raises(LLMError, match="no"):
        await batched(Watched(fails), at_once=4)(EmbedRequest(TEN))


async def _ask(leaf: Watched) -> EmbedResponse:
    return await batched(leaf)(EmbedRequest(TEN))

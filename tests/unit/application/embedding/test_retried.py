"""Retried: what is no conversation is sent again on the terms of the chat."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from loomwire.application.embedding.layers import Named
from loomwire.application.embedding.retried import Retried
from loomwire.application.state.retry_tokens import RetryTokens
from loomwire.domain.errors import LLMAuthenticationError, LLMRateLimitError, LLMTemporaryError, LLMTimeoutError
from loomwire.domain.policies import RetryBudgetPolicy, RetryPolicy
from loomwire.domain.ports.embedding import BatchPolicy, IEmbedder
from loomwire.domain.requests import Bound
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse
from loomwire.testing import FakeClock
from support.chains import turns
from support.retrying import ended, terms
from support.sending import Playlist, embedder_of, sent_to, told

ASK = EmbedRequest.of("one", "two")
DOWN = LLMTemporaryError("down")


async def embedded(embedder: IEmbedder, request: EmbedRequest = ASK) -> EmbedResponse:
    """Embed."""
    return await embedder.embed(request)


async def test_a_throttled_send_is_made_again_after_the_wait_that_was_asked_for_and_never_before() -> None:
    clock = FakeClock()
    leaf = Playlist(LLMRateLimitError("slow", retry_after=20.0), clock=clock)
    embedder, _ = embedder_of({"": leaf}, clock, sent_to(retry=RetryPolicy()))
    answer = await ended(clock, embedded(embedder))
    assert 20.0 <= leaf.times[1] - leaf.times[0] <= 22.0
    assert told(answer.steps) == [
        "attempt vendor/m failed throttled",
        "retry vendor/m retried throttled",
        "attempt vendor/m answered",
    ]


@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
async def test_every_batch_is_sent_as_often_as_the_policy_says(attempts: int) -> None:
    clock = FakeClock()
    leaf = Playlist(clock=clock, then=DOWN)
    target = sent_to(retry=RetryPolicy(attempts=attempts))
    embedder, _ = embedder_of({"": leaf}, clock, target, policy=BatchPolicy(1, 100, 1))
    with pytest.raises(LLMTemporaryError) as caught:
        await ended(clock, embedded(embedder))
    assert [request.texts for request in leaf.requests] == [("one",)] * attempts
    assert caught.value.steps[-1].outcome == "attempts_used"
    assert caught.value.metadata["batches"] == {"of": 2, "answered": 0, "failed": 1}


async def test_each_batch_has_its_own_attempts() -> None:
    clock = FakeClock()
    leaf = Playlist(DOWN, DOWN, None, DOWN, DOWN, clock=clock)
    once = replace(sent_to(), retry=RetryPolicy(attempts=3, total_attempts=3))
    embedder, _ = embedder_of({"": leaf}, clock, once, policy=BatchPolicy(1, 100, 1))
    answer = await ended(clock, embedded(embedder))
    assert len(answer.vectors) == 2
    assert [request.texts[0] for request in leaf.requests] == ["one"] * 3 + ["two"] * 3


async def test_what_no_further_send_can_heal_is_raised_at_once() -> None:
    clock = FakeClock()
    leaf = Playlist(LLMAuthenticationError("who"), clock=clock)
    embedder, _ = embedder_of({"": leaf}, clock, sent_to(retry=RetryPolicy()))
    with pytest.raises(LLMAuthenticationError):
        await embedder.embed(ASK)
    assert len(leaf.requests) == 1


async def test_no_send_begins_with_too_little_time_left() -> None:
    clock = FakeClock()
    leaf = Playlist(clock=clock)
    embedder, _ = embedder_of({"": leaf}, clock, sent_to())
    with pytest.raises(LLMTimeoutError) as caught:
        await embedder.embed(ASK.with_bound(Bound(clock.now() + 0.2)))
    assert (caught.value.reason, leaf.requests) == ("deadline", [])


async def test_nobody_waits_beyond_the_deadline() -> None:
    clock = FakeClock()
    leaf = Playlist(clock=clock, then=LLMRateLimitError("slow", retry_after=20.0))
    embedder, _ = embedder_of({"": leaf}, clock, sent_to(retry=RetryPolicy()))
    with pytest.raises(LLMRateLimitError) as caught:
        await embedder.embed(replace(ASK, deadline_s=10.0))
    assert caught.value.steps[-1].outcome == "no_time"
    assert len(leaf.requests) == 1


async def test_cancellation_in_the_wait_gives_back_what_the_send_would_have_cost() -> None:
    clock, tokens = FakeClock(), RetryTokens()
    budget = RetryBudgetPolicy(floor_per_s=0.0)
    leaf = Playlist(clock=clock, then=DOWN)
    retried = Retried(Named(leaf.embed, leaf), terms(clock, RetryPolicy(base_s=5.0), budget, tokens))
    allowance = tokens.allowance("http://vendor", budget)
    for _ in range(10):
        allowance.first_sent(clock.now())
    before = allowance.counts(clock.now()).available

    async def asked() -> EmbedResponse:
        return await retried(ASK)

    task = asyncio.create_task(asked())
    await turns()
    assert allowance.counts(clock.now()).available < before
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The send that failed earned a part of one.
    assert before <= allowance.counts(clock.now()).available <= before + 1
    assert len(leaf.requests) == 1
    assert repr(retried) == "Retried(3) > Playlist()"

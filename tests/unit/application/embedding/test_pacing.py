"""Limits and circuits of what is no conversation: the lanes and circuits of the chat."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from typing_extensions import override

from loomwire.application.embedding.chains import build_reranker
from loomwire.application.embedding.counting import build_counter
from loomwire.application.embedding.layers import Guarded, Named
from loomwire.application.guards.limit import Limit
from loomwire.application.pipeline import Parts
from loomwire.application.selection.options import options_of
from loomwire.application.state.pacing.statistics import LaneStatistics
from loomwire.application.state.slots import LaneKey
from loomwire.domain.config import ClientConfig
from loomwire.domain.counting.counts import TokenCount
from loomwire.domain.errors import CircuitOpenError, LLMRateLimitError, LLMTemporaryError
from loomwire.domain.policies import BreakerPolicy, RatePolicy
from loomwire.domain.ports.embedding import BatchPolicy, IEmbedder
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import RateLimits
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, RerankRequest
from loomwire.testing import FakeClock, hashed_vector
from support.chains import turns
from support.counting import WordCounter, counting_parts
from support.embedding import Fixed, Watched, for_ever, parts_of
from support.retrying import ended
from support.sending import Playlist, embedder_of, sent_to

ASK = EmbedRequest.of("a" * 40, "b" * 40)
HI = LLMRequest.of("one two three")
NONE_LEFT = RateLimits(requests_limit=6_000, requests_remaining=0)
WIDE = RatePolicy(rpm=6_000, tpm=60_000, burst_s=60)


class Told(WordCounter):
    """Counts, and says that nobody may count any more."""

    @override
    async def count(self, request: LLMRequest) -> TokenCount:
        return replace(await super().count(request), rate_limits=NONE_LEFT)


def known(request: EmbedRequest) -> EmbedResponse:
    """Answer with what was used, and what is left."""
    left = RateLimits(tokens_limit=60_000, tokens_remaining=100)
    vectors = tuple(hashed_vector(text, 4) for text in request.texts)
    return EmbedResponse(vectors, provider="vendor", model="m", usage=Usage(7), rate_limits=left)


def lanes(made: Parts) -> dict[str, LaneStatistics]:
    """Return the lanes by model; "" is that of the provider."""
    return {key.model: lane for key, lane in made.states.slots.statistics().items()}


async def asked(embedder: IEmbedder, request: EmbedRequest = ASK) -> EmbedResponse:
    """Embed."""
    return await embedder.embed(request)


async def test_a_send_is_charged_the_estimate_of_its_texts_and_settled_by_what_was_used() -> None:
    clock = FakeClock()
    target = replace(sent_to(), rate=WIDE, provider_rate=WIDE)
    waiting, made = embedder_of({"": Watched(waits=for_ever)}, clock, target)
    task = asyncio.create_task(asked(waiting))
    await turns()
    assert {model: (lane.requests, lane.tokens) for model, lane in lanes(made).items()} == {"m": (1, 20), "": (1, 20)}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # It may have been read: the request and its texts count, and the slots are back.
    assert {(lane.in_use, lane.tokens) for lane in lanes(made).values()} == {(0, 20)}
    settled, made = embedder_of({"": Watched(lambda request: replace(known(request), rate_limits=None))}, clock, target)
    await settled.embed(ASK)
    assert {(lane.in_use, lane.tokens) for lane in lanes(made).values()} == {(0, 7)}


async def test_what_the_provider_says_is_left_is_believed() -> None:
    clock = FakeClock()
    embedder, made = embedder_of({"": Watched(known)}, clock, replace(sent_to(), rate=WIDE))
    await embedder.embed(ASK)
    assert lanes(made)["m"].tokens > 59_800


async def test_batches_go_no_faster_than_the_limit_allows() -> None:
    clock = FakeClock()
    leaf = Playlist(clock=clock)
    target = replace(sent_to(), rate=RatePolicy(rpm=60, burst_s=1.0))
    embedder, _ = embedder_of({"": leaf}, clock, target, policy=BatchPolicy(1, 100, 4))
    answer = await ended(clock, asked(embedder, EmbedRequest.of(*"abcdef")))
    assert [round(at - leaf.times[0]) for at in leaf.times] == [0, 1, 2, 3, 4, 5]
    assert "limit" in {step.layer for step in answer.steps}


async def test_a_throttled_send_stops_the_whole_lane_until_it_may_be_asked_again() -> None:
    clock = FakeClock()
    leaf = Playlist(LLMRateLimitError("slow", retry_after=5.0), clock=clock)
    embedder, made = embedder_of({"": leaf}, clock, replace(sent_to(), rate=WIDE))
    with pytest.raises(LLMRateLimitError):
        await embedder.embed(ASK)
    assert lanes(made)["m"].paused_s == 5.0
    await ended(clock, asked(embedder))
    assert leaf.times[1] - leaf.times[0] >= 5.0


async def test_a_wait_for_a_slot_gives_it_back_when_it_is_cancelled() -> None:
    clock = FakeClock()
    leaf = Watched(waits=for_ever)
    target = replace(sent_to(), rate=RatePolicy(concurrency=1))
    embedder, made = embedder_of({"": leaf}, clock, target, policy=BatchPolicy(1, 100, 4))
    task = asyncio.create_task(asked(embedder, EmbedRequest.of(*"abcd")))
    await turns()
    assert (lanes(made)["m"].in_use, lanes(made)["m"].waiting, len(leaf.requests)) == (1, 3, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (lanes(made)["m"].in_use, lanes(made)["m"].waiting) == (0, 0)


async def test_a_reranker_reads_the_query_with_every_document() -> None:
    target = replace(sent_to(), rate=WIDE)
    made = parts_of(Fixed(Watched()))
    reranker = build_reranker(ClientConfig(name="search", targets=(target,)), made)
    # 10 and 10, and 40 and 60 of the documents: 120 bytes. The reranker of the test tells no usage.
    answer = await reranker.rerank(RerankRequest.of("q" * 10, "d" * 40, "e" * 60))
    assert lanes(made)["m"].tokens == (answer.usage.total_tokens if answer.usage.known else 30)


async def test_what_nobody_can_measure_takes_a_request_and_no_tokens() -> None:
    made = parts_of(Fixed(Watched()))
    lane = made.states.slots.lane(LaneKey("vendor", "", "m"), WIDE)
    leaf = Watched()
    paced = Guarded(Named(leaf.embed, leaf), Limit(lane), "embeddings")
    answer = await paced(ASK)
    spent = answer.usage.total_tokens if answer.usage.known else 0
    assert (lanes(made)["m"].requests, lanes(made)["m"].tokens) == (1, spent)


async def test_counting_has_limits_of_its_own_and_takes_nothing_from_the_models() -> None:
    made, _ = counting_parts(Told())
    target = replace(sent_to(), rate=WIDE)
    counter = build_counter(ClientConfig(name="teller", targets=(target,)), made)
    assert (await counter.count(HI)).rate_limits == NONE_LEFT
    assert lanes(made) == {}


class Throttled(WordCounter):
    """Is asked for counts too often."""

    @override
    async def count(self, request: LLMRequest) -> TokenCount:
        raise LLMRateLimitError("slow down", retry_after=120.0)


async def test_a_count_that_is_throttled_lets_the_chat_go_on() -> None:
    made, _ = counting_parts(Throttled())
    config = ClientConfig(name="teller", targets=(sent_to(),))
    with pytest.raises(LLMRateLimitError):
        await build_counter(config, made).count(HI)
    (option,) = options_of(config, made.states)
    assert option.resting.left_s(made.clock.now()) == 0


async def test_failures_open_the_circuit_that_the_chat_has() -> None:
    clock = FakeClock()
    leaf = Playlist(clock=clock, then=LLMTemporaryError("down"))
    target = replace(sent_to(), breaker=BreakerPolicy(consecutive=2, min_calls=2, open_s=5.0))
    embedder, made = embedder_of({"": leaf}, clock, target)
    for _ in range(2):
        with pytest.raises(LLMTemporaryError):
            await embedder.embed(ASK)
    with pytest.raises(CircuitOpenError):
        await embedder.embed(ASK)
    assert len(leaf.requests) == 2
    circuit = made.states.circuit(target)
    assert not circuit.is_closed
    await clock.advance(circuit.wait_s() or 0.0)
    leaf.then = None
    await embedder.embed(ASK)
    assert circuit.wait_s() == 0

"""Rotated: several keys of one provider, and never another model."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from loomwire.application.embedding.keys import Keys, Rotated
from loomwire.application.embedding.layers import Named
from loomwire.application.selection.options import options_of
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import (
    AllTargetsFailedError,
    CircuitOpenError,
    LLMAuthenticationError,
    LLMError,
    LLMPermissionError,
    LLMRateLimitError,
    LLMTemporaryError,
    LLMTimeoutError,
)
from loomwire.domain.policies import BalancePolicy, RatePolicy, RetryPolicy
from loomwire.domain.ports.embedding import BatchPolicy
from loomwire.domain.requests import Bound
from loomwire.domain.vectors.embeddings import EmbedRequest
from loomwire.testing import FakeClock
from support.chains import turns
from support.embedding import Watched, for_ever
from support.retrying import ended
from support.sending import LISTED, Playing, Playlist, embedder_of, sent_to, told

ASK = EmbedRequest.of("one", "two")
REFUSED = LLMAuthenticationError("who")
SLOW = LLMRateLimitError("slow", retry_after=70.0)


def two(clock: FakeClock, first: Playing, second: Playing = None) -> dict[str, Playlist]:
    """Return embedders of two keys whose every send ends so."""
    return {"k1": Playlist(clock=clock, then=first), "k2": Playlist(clock=clock, then=second)}


@pytest.mark.parametrize("error", [REFUSED, SLOW, LLMPermissionError("denied")], ids=["401", "429", "403"])
async def test_the_other_key_answers_when_one_is_refused_or_throttled(error: LLMError) -> None:
    clock = FakeClock()
    keys = two(clock, error)
    embedder, made = embedder_of(keys, clock, sent_to("k1", "k2"))
    first, second = await embedder.embed(ASK), await embedder.embed(ASK)
    assert [len(leaf.requests) for leaf in keys.values()] == [1, 2]
    assert [step for step in told(first.steps) if step.startswith("fallback")] == [
        f"fallback vendor/m failed {error.reason}",
        "fallback vendor/m#2 chosen",
    ]
    # What is known of a key is known for as long as it rests, and to the client's chat too.
    assert told(second.steps)[0] == f"fallback vendor/m passed_over {error.reason}"
    assert [rest.what.model for rest in made.states.cooldowns.statuses(clock.now())] in (["m"], [""])


async def test_a_rested_key_is_asked_again() -> None:
    clock = FakeClock()
    keys = two(clock, None)
    keys["k1"] = Playlist(REFUSED, clock=clock)
    embedder, _ = embedder_of(keys, clock, sent_to("k1", "k2"))
    await embedder.embed(ASK)
    await clock.advance(60.0)
    answer = await embedder.embed(ASK)
    assert [step.layer for step in answer.steps] == ["attempt"]
    assert [len(leaf.requests) for leaf in keys.values()] == [2, 1]


async def test_a_failure_that_says_nothing_about_the_key_is_raised_as_it_came() -> None:
    clock = FakeClock()
    keys = two(clock, LLMTemporaryError("down"))
    embedder, _ = embedder_of(keys, clock, sent_to("k1", "k2"))
    with pytest.raises(LLMTemporaryError, match="down"):
        await embedder.embed(ASK)
    assert [len(leaf.requests) for leaf in keys.values()] == [1, 0]


async def test_when_every_key_failed_all_of_them_are_told() -> None:
    clock = FakeClock()
    keys = two(clock, REFUSED, SLOW)
    embedder, _ = embedder_of(keys, clock, sent_to("k1", "k2"))
    with pytest.raises(AllTargetsFailedError) as caught:
        await embedder.embed(ASK)
    assert [error.reason for error in caught.value.errors] == ["credentials", "throttled"]
    assert caught.value.retry_after == 70.0
    assert told(caught.value.steps)[-1] == "fallback exhausted"
    # Both rest. That is no reason to refuse: the one that is over first is asked.
    with pytest.raises(AllTargetsFailedError):
        await embedder.embed(ASK)
    assert [len(leaf.requests) for leaf in keys.values()] == [2, 2]


async def test_an_odd_end_after_a_refused_key_has_the_steps_of_both() -> None:
    clock = FakeClock()
    embedder, _ = embedder_of(two(clock, REFUSED, LLMTemporaryError("down")), clock, sent_to("k1", "k2"))
    with pytest.raises(LLMTemporaryError) as caught:
        await embedder.embed(ASK)
    assert [step.outcome for step in caught.value.steps if step.layer == "attempt"] == ["failed", "failed"]


async def test_the_only_keys_error_is_raised_as_it_came() -> None:
    clock = FakeClock()
    embedder, made = embedder_of({"k1": Playlist(REFUSED, clock=clock)}, clock, sent_to("k1"))
    with pytest.raises(LLMAuthenticationError) as caught:
        await embedder.embed(ASK)
    assert [step.layer for step in caught.value.steps] == ["attempt"]
    assert len(made.states.cooldowns.statuses(clock.now())) == 1


async def test_the_sends_of_all_keys_count_together() -> None:
    clock = FakeClock()
    keys = two(clock, LLMRateLimitError("slow"), None)
    target = sent_to("k1", "k2", retry=RetryPolicy(attempts=5, total_attempts=2))
    embedder, _ = embedder_of(keys, clock, target)

    async def asked() -> None:
        await embedder.embed(ASK)

    with pytest.raises(LLMRateLimitError) as caught:
        await ended(clock, asked())
    assert [len(leaf.requests) for leaf in keys.values()] == [2, 0]
    assert told(caught.value.steps)[-1] == "fallback vendor/m#2 total_attempts_used"


async def test_another_key_is_not_asked_when_no_time_is_left() -> None:
    clock = FakeClock()

    async def late(request: EmbedRequest) -> None:
        await clock.sleep(9.9)

    def refuses(_: EmbedRequest) -> None:
        raise LLMAuthenticationError("who")

    spare = Playlist(clock=clock)
    embedder, _ = embedder_of({"k1": Watched(refuses, late), "k2": spare}, clock, sent_to("k1", "k2"))

    async def asked() -> None:
        await embedder.embed(replace(ASK, deadline_s=10.0))

    with pytest.raises(LLMAuthenticationError) as caught:
        await ended(clock, asked())
    assert told(caught.value.steps)[-1] == "fallback vendor/m#2 no_time"
    assert spare.requests == []


async def test_the_layers_below_know_what_was_sent_and_whether_a_key_is_left() -> None:
    clock = FakeClock()
    keys = two(clock, REFUSED)
    options = options_of(ClientConfig(name="c", targets=(sent_to("k1", "k2"),)), TargetStates(clock))
    terms = Keys(name="c", options=options, balance=LISTED, clock=clock, draw=lambda: 0.0)
    rotated = Rotated([Named(leaf.embed, leaf) for leaf in keys.values()], terms)
    await rotated(ASK.with_bound(Bound(100.0, sent=3)))
    bounds = [leaf.requests[0].bound for leaf in keys.values()]
    # Nothing observes the leaves here, so nothing notes that the first was sent to.
    assert bounds == [Bound(100.0, sent=3, further=True, patience_s=0.0), Bound(100.0, sent=3)]
    await rotated(ASK)
    assert keys["k2"].requests[1].bound is None
    assert repr(rotated) == "Rotated(2) > Playlist()"


@pytest.mark.parametrize(
    ("balance", "most"),
    [(BalancePolicy(), 2), (BalancePolicy(policy="weighted"), 2), (BalancePolicy(policy="ordered"), 2), (LISTED, 4)],
)
async def test_the_batches_of_a_call_are_spread_over_keys_unless_their_order_is_wanted(
    balance: BalancePolicy, most: int
) -> None:
    clock = FakeClock()
    keys = {"k1": Watched(waits=for_ever), "k2": Watched(waits=for_ever)}
    embedder, _ = embedder_of(keys, clock, sent_to("k1", "k2"), balance, BatchPolicy(1, 100, 4))

    async def asked() -> None:
        await embedder.embed(EmbedRequest.of(*"abcd"))

    task = asyncio.create_task(asked())
    await turns()
    assert [leaf.most for leaf in keys.values()] == [most, 4 - most]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [leaf.cancelled for leaf in keys.values()] == [most, 4 - most]


async def test_a_slot_belongs_to_a_key() -> None:
    clock = FakeClock()
    narrow = replace(sent_to("k1", "k2"), rate=RatePolicy(concurrency=1, queue=0))
    keys = {"k1": Watched(waits=for_ever), "k2": Watched()}
    embedder, made = embedder_of(keys, clock, narrow)

    async def asked() -> None:
        await embedder.embed(ASK)

    held = asyncio.create_task(asked())
    await turns()
    answer = await embedder.embed(ASK)
    assert "fallback vendor/m failed queue" in told(answer.steps)
    assert [len(leaf.requests) for leaf in keys.values()] == [1, 1]
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held
    assert {lane.in_use for lane in made.states.slots.statistics().values()} == {0}


async def test_an_open_circuit_is_told_at_once_and_before_any_wait() -> None:
    clock = FakeClock()
    keys = two(clock, REFUSED)
    target = replace(sent_to("k1", "k2"), rate=RatePolicy(rpm=1))
    embedder, made = embedder_of(keys, clock, target)
    await embedder.embed(ASK)
    made.states.circuits.find("vendor/m").trip("operator")
    with pytest.raises(CircuitOpenError) as caught:
        await embedder.embed(ASK)
    assert told(caught.value.steps) == ["breaker vendor/m refused circuit_open"]
    assert [len(leaf.requests) for leaf in keys.values()] == [1, 1]


async def test_a_circuit_that_opens_between_two_keys_ends_the_send() -> None:
    clock = FakeClock()

    def opens(_: EmbedRequest) -> None:
        made.states.circuits.find("vendor/m").trip("operator")
        raise LLMAuthenticationError("who")

    keys = {"k1": Watched(opens), "k2": Watched()}
    embedder, made = embedder_of(keys, clock, sent_to("k1", "k2"))
    with pytest.raises(AllTargetsFailedError) as caught:
        await embedder.embed(ASK)
    assert [error.reason for error in caught.value.errors] == ["credentials", "circuit_open"]
    assert keys["k2"].requests == []


async def test_calls_in_flight_are_counted_and_latencies_are_not() -> None:
    clock = FakeClock()
    embedder, made = embedder_of({"k1": Playlist(clock=clock)}, clock, sent_to("k1"))
    await embedder.embed(ASK)
    (load,) = made.states.loads.readings(clock.now()).values()
    assert (load.in_flight, load.latency_s, load.failures) == (0, None, 0)


async def test_a_deadline_that_a_queue_cannot_keep_is_the_only_keys_own_error() -> None:
    clock = FakeClock()
    target = replace(sent_to("k1"), rate=RatePolicy(rpm=1))
    embedder, _ = embedder_of({"k1": Playlist(clock=clock)}, clock, target)
    await embedder.embed(ASK)
    with pytest.raises(LLMTimeoutError) as caught:
        await embedder.embed(replace(ASK, deadline_s=10.0))
    assert caught.value.reason == "queue"

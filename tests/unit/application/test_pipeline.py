from __future__ import annotations

from dataclasses import replace

import pytest

from loomwire.application.caching.states import CacheStates
from loomwire.application.memory.gate import ALL_REFUSED
from loomwire.application.pipeline import Parts, build_client, client_key, target_key
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.caching.policies import NO_CACHE, CachePolicy
from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import LLMTemporaryError
from loomwire.domain.policies import BalancePolicy, ExhaustedPolicy, RatePolicy, RetryPolicy
from loomwire.domain.pricing import FREE
from loomwire.domain.values import Secret
from loomwire.infrastructure.caching.stores import CacheStores
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.vectors.table import SimilarityIndexes
from loomwire.testing import FakeClock, RecordingSink, ScriptedClient
from support.chains import HI, ScriptedFactory, parts, target


def test_a_chain_has_its_layers_in_the_one_right_order() -> None:
    config = ClientConfig(name="planner", targets=(target(),), system="Be brief.")
    client = build_client(config, parts(ScriptedClient(model="m")))
    assert repr(client) == (
        "Observe(call) > Admitted > Deadline > Instructed > Resumed > Fallback > Fitted(vendor/m) > Retrying(1) > "
        "Breaker > Observe(attempt) > Timed > ScriptedClient(scripted/m)"
    )


def test_what_a_client_keeps_is_kept_below_its_instructions_and_above_whatever_costs() -> None:
    config = ClientConfig(name="planner", targets=(target(),), system="Be brief.")
    made = replace(parts(ScriptedClient(model="m")), caches=CacheStates(CacheStores(), SimilarityIndexes()))
    assert "Deadline > Instructed > Cached > Resumed > Fallback" in repr(build_client(config, made))
    assert "Cached" not in repr(build_client(replace(config, cache=NO_CACHE), made))


async def test_a_kept_answer_stands_in_where_the_client_says_so_and_nothing_else_does() -> None:
    leaf, clock = ScriptedClient("Hello.", LLMTemporaryError("busy")), FakeClock()
    made = replace(parts(leaf), caches=CacheStates(CacheStores(now=clock.now), SimilarityIndexes()))
    exhausted = ExhaustedPolicy("stale_cache")
    config = ClientConfig(name="planner", targets=(target(),), cache=CachePolicy("always"), on_exhausted=exhausted)
    client = build_client(config, made)
    assert "Degraded" not in repr(client)
    assert not (await client.generate(HI)).degraded
    await clock.advance(86_400)
    late = await client.generate(HI)
    assert (late.text, late.degraded, late.cached, late.cost) == ("Hello.", True, True, FREE)


async def test_what_a_lesser_model_stood_in_with_is_kept_for_nobody_whatever_the_priority() -> None:
    config = ClientConfig(
        name="planner",
        targets=(target("one"), target("two")),
        cache=CachePolicy("always"),
        balance=BalancePolicy("weighted"),
    )
    best, least = ScriptedClient(LLMTemporaryError("busy"), "best"), ScriptedClient("least")
    made = replace(
        parts({"one": best, "two": least}), caches=CacheStates(CacheStores(), SimilarityIndexes()), draw=lambda: 0.0
    )
    client, asked = build_client(config, made), replace(HI, priority="quality")
    assert [(await client.generate(asked)).text for _ in range(3)] == ["least", "best", "best"]
    assert len(best.requests) == 2


async def test_no_call_begins_while_memory_is_short() -> None:
    leaf = ScriptedClient("Hello.")
    made = parts(leaf)
    client = build_client(ClientConfig(name="planner", targets=(target(),)), made)
    made.gate.level = ALL_REFUSED
    with pytest.raises(LLMTemporaryError) as caught:
        await client.generate(HI)
    assert (caught.value.code, caught.value.retry_after, leaf.requests) == ("TMP004", 1.0, ())


async def test_a_chain_without_a_system_text_has_no_layer_for_it() -> None:
    leaf = ScriptedClient("Hello.")
    client = build_client(ClientConfig(name="planner", targets=(target(),)), parts(leaf))
    assert (await client.generate(HI)).text == "Hello."
    assert leaf.requests[0].messages == HI.messages


async def test_several_targets_are_asked_in_their_order() -> None:
    first, second = ScriptedClient("first", LLMTemporaryError("busy")), ScriptedClient("second")
    config = ClientConfig(name="planner", targets=(target("one"), target("two")))
    client = build_client(config, parts({"one": first, "two": second}))
    assert (await client.generate(HI)).text == "first"
    assert second.requests == ()
    assert (await client.generate(HI)).text == "second"


def test_a_chain_has_a_chain_of_its_own_for_every_target_and_key() -> None:
    two_keys = replace(target("one"), keys=(Secret("k1"), Secret("k2")))
    config = ClientConfig(name="planner", targets=(two_keys, target("two")))
    client = build_client(config, parts({"one": ScriptedClient(model="one"), "two": ScriptedClient(model="two")}))
    below = "Retrying(1) > Breaker > Observe(attempt) > Timed > ScriptedClient"
    assert repr(client) == (
        "Observe(call) > Admitted > Deadline > Resumed > Fallback(ordered) > ["
        f"Fitted(vendor/one) > {below}(scripted/one) | Fitted(vendor/one) > {below}(scripted/one) | "
        f"Fitted(vendor/two) > {below}(scripted/two)]"
    )


def test_limits_and_hedging_are_layers_of_the_targets_that_ask_for_them() -> None:
    limited = replace(target(), rate=RatePolicy(rpm=10), provider_rate=RatePolicy(rpm=100))
    hedged = replace(limited, retry=RetryPolicy(hedge=True))
    client = build_client(ClientConfig(name="planner", targets=(hedged,)), parts(ScriptedClient(model="m")))
    assert "Retrying(3) > Hedged > Limit > Limit > Breaker > Observe(attempt)" in repr(client)


async def test_a_call_leaves_one_record_and_each_send_another() -> None:
    sink = RecordingSink()
    client = build_client(
        ClientConfig(name="planner", targets=(target(),)), parts(ScriptedClient("a", "b"), sinks=[sink])
    )
    await client.generate(HI)
    async with client.stream(HI) as stream:
        _ = [event async for event in stream]
    assert [(record.level, record.streamed) for record in sink.records] == [
        ("attempt", False),
        ("call", False),
        ("attempt", True),
        ("call", True),
    ]


async def test_a_rebuilt_chain_goes_on_counting_where_the_old_one_stopped() -> None:
    stats = CallStats()
    made = Parts(
        ScriptedFactory({"m": ScriptedClient(then="Hello.")}), SystemClock(), stats, TargetStates(SystemClock())
    )
    config = ClientConfig(name="planner", targets=(target(),))
    for _ in range(2):
        await build_client(config, made).generate(HI)
    assert stats.counts(client_key("planner")).answered == 2
    assert stats.counts(target_key(target())).answered == 2


def test_the_factorys_refusal_to_build_is_passed_on() -> None:
    with pytest.raises(KeyError):
        build_client(ClientConfig(name="planner", targets=(target("other"),)), parts(ScriptedClient()))

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from loomwire.application.composed import ComposedFactory
from loomwire.application.embedding.counting import build_counter
from loomwire.application.embedding.first_use import FurtherChains
from loomwire.application.pipeline import client_key, target_key
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import ClientConfig
from loomwire.domain.counting.counts import TokenCount
from loomwire.domain.errors import CapabilityError, LLMRateLimitError, LLMTimeoutError
from loomwire.domain.policies import TimeoutPolicy
from loomwire.domain.ports.counting import ITokenCounter
from loomwire.domain.pricing import Cost, Usage
from loomwire.domain.requests import LLMRequest, Parameters
from loomwire.domain.tools import Tool
from loomwire.testing import FakeClock, RecordingSink
from support.chains import parts, target, turns
from support.counting import WordCounter, counting_parts

HI = LLMRequest.of("one two three")
TOOL = Tool("weather", "Tells it.")
TELLER = ClientConfig(name="teller", targets=(target(), target("other")), total_s=60.0)


async def test_the_chain_has_its_layers_in_the_order_of_the_clients_own() -> None:
    made, _ = counting_parts(WordCounter())
    assert repr(build_counter(TELLER, made)) == (
        "Observe(call) > Admitted > Deadline > Fitted(vendor/m) > Rotated(1) > Located(vendor/m) > Retried(1) > "
        "Breaker > Observe(attempt) > Timed > WordCounter()"
    )
    toolless = replace(target(can=ModelCapabilities(supports_tools=False)), emulate_tools=True)
    whole = replace(TELLER, system="Be brief.", targets=(toolless,))
    assert "Deadline > Instructed > Emulated > Fitted" in repr(build_counter(whole, made))


async def test_what_is_counted_is_what_the_client_would_send() -> None:
    leaf = WordCounter()
    made, factory = counting_parts(leaf)
    warm = replace(target(), parameters=Parameters(temperature=0.5))
    config = replace(TELLER, system="Be very brief.", targets=(warm, target("other")))
    counted = await build_counter(config, made).count(HI)
    assert counted.input_tokens == 6
    assert factory.made == [warm]
    assert [message.role for message in leaf.requests[0].messages] == ["system", "user"]
    assert leaf.requests[0].parameters.temperature == 0.5
    await build_counter(config, made).count(LLMRequest.of("one", system="two"))
    assert leaf.requests[1].messages[0].text == "two"


async def test_emulated_tools_count_as_the_prompt_that_describes_them() -> None:
    leaf = WordCounter()
    made, _ = counting_parts(leaf)
    toolless = replace(target(can=ModelCapabilities(supports_tools=False)), emulate_tools=True)
    counter = build_counter(replace(TELLER, targets=(toolless,)), made)
    bare = await counter.count(HI)
    tooled = await counter.count(replace(HI, tools=(TOOL,)))
    assert tooled.input_tokens > bare.input_tokens == 3
    assert leaf.requests[1].tools == ()
    assert "weather" in "".join(message.text for message in leaf.requests[1].messages)


async def test_what_the_model_cannot_do_is_refused_before_anything_is_sent() -> None:
    leaf = WordCounter()
    made, _ = counting_parts(leaf)
    toolless = replace(target(can=ModelCapabilities(supports_tools=False)), emulate_tools=False)
    with pytest.raises(CapabilityError, match="tools"):
        await build_counter(replace(TELLER, targets=(toolless,)), made).count(replace(HI, tools=(TOOL,)))
    assert leaf.requests == []


async def test_the_warning_of_what_nobody_knows_is_left_to_the_client(caplog: pytest.LogCaptureFixture) -> None:
    made, _ = counting_parts(WordCounter())
    unknown = replace(target(can=ModelCapabilities()), base_url="https://x.test/v1")
    assert (await build_counter(replace(TELLER, targets=(unknown,)), made).count(replace(HI, tools=(TOOL,)))).model
    assert "nobody knows" not in caplog.text


async def test_a_call_leaves_its_records_under_its_own_name_and_uses_nothing() -> None:
    sink = RecordingSink()
    made, _ = counting_parts(WordCounter(), sinks=[sink])
    request = replace(HI, tenant="t", session="s", tags=frozenset({"x"}))
    counted = await build_counter(TELLER, made).count(request)
    assert [(each.level, each.operation, each.outcome) for each in sink.records] == [
        ("attempt", "count_tokens", "answered"),
        ("call", "count_tokens", "answered"),
    ]
    call = sink.records[-1]
    assert (call.client, call.model, call.tenant, call.session, call.tags) == ("teller", "m", "t", "s", request.tags)
    assert (call.usage, call.cost) == (Usage(), Cost(0))
    assert [step.layer for step in counted.steps] == ["attempt"]
    assert made.stats.counts(client_key("teller")).answered == 1
    assert made.stats.counts(target_key(target())).answered == 1


async def test_an_error_says_where_it_came_from_and_is_counted() -> None:
    sink = RecordingSink()
    made, _ = counting_parts(WordCounter(LLMRateLimitError("slow down")), sinks=[sink])
    with pytest.raises(LLMRateLimitError) as caught:
        await build_counter(TELLER, made).count(HI)
    assert (caught.value.provider, caught.value.model) == ("vendor", "m")
    assert [each.outcome for each in sink.records] == ["failed", "failed"]


async def count(counter: ITokenCounter, request: LLMRequest) -> TokenCount:
    """Count."""
    return await counter.count(request)


@pytest.mark.parametrize(("attempt_s", "deadline_s", "reason"), [(2.0, None, "attempt"), (9.0, 2.0, "deadline")])
async def test_attempt_and_deadline_end_a_call(attempt_s: float, deadline_s: float | None, reason: str) -> None:
    clock, leaf = FakeClock(), WordCounter(waits=True)
    made, _ = counting_parts(leaf, clock)
    hurried = replace(TELLER, targets=(target(timeouts=TimeoutPolicy(attempt_s=attempt_s)),))
    task = asyncio.create_task(count(build_counter(hurried, made), replace(HI, deadline_s=deadline_s)))
    await turns()
    await clock.advance(2.0)
    with pytest.raises(LLMTimeoutError) as caught:
        await task
    assert caught.value.reason == reason


async def test_a_host_builds_one_by_hand_with_the_whole_chain() -> None:
    made, factory = counting_parts(WordCounter())
    counter = ComposedFactory(made).counter(target())
    assert repr(counter).startswith("Observe(call) > Admitted > Deadline > Fitted(vendor/m)")
    assert ((await counter.count(HI)).input_tokens, factory.made) == (3, [target()])


def test_a_factory_that_counts_nothing_says_so() -> None:
    with pytest.raises(CapabilityError, match="ScriptedFactory builds nothing that counts tokens"):
        build_counter(TELLER, parts({}))


def test_it_is_built_when_it_is_first_asked_for_and_from_the_client_that_chats() -> None:
    made, factory = counting_parts(WordCounter())
    chains = FurtherChains(replace(TELLER, targets=(target("embeds"),)), made, TELLER)
    assert factory.made == []
    assert chains.counter() is chains.counter()
    assert [config.model for config in factory.made] == ["m"]

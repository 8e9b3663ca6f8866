from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from decimal import Decimal

import pytest

from loomwire.application.state.loads import LoadKey
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import (
    AllTargetsFailedError,
    CapabilityError,
    CircuitOpenError,
    ContentFilterError,
    ContextLengthError,
    LLMAuthenticationError,
    LLMError,
    LLMNetworkError,
    LLMPermissionError,
    LLMRateLimitError,
    LLMTemporaryError,
    LLMTimeoutError,
    LLMValidationError,
    PluginError,
)
from loomwire.domain.faults import ErrorCategory
from loomwire.domain.messages import Message
from loomwire.domain.policies import BalancePolicy, BreakerPolicy, RetryPolicy, TimeoutPolicy
from loomwire.domain.pricing import Prices
from loomwire.domain.requests import LLMRequest
from loomwire.testing import FakeClock, ScriptedClient
from support.chains import HI, BreakingClient, hanging, turns
from support.falling import Falling, at, bare, client_of, falling, says, scripted, told
from support.retrying import ended, streamed

FRAGILE = BreakerPolicy(consecutive=1)
DOWN = LLMTemporaryError("down")


def fragile(name: str) -> LLMConfig:
    """Return a target whose circuit opens at once."""
    return replace(at(name), breaker=FRAGILE)


async def failure(made: Falling, request: LLMRequest = HI) -> LLMError:
    """Return the error a call ends with."""
    with pytest.raises(LLMError) as caught:
        await made.client.generate(request)
    return caught.value


async def test_the_next_target_answers_when_the_first_fails() -> None:
    made = falling(client_of(at("a/x"), at("b/y")), {"a/x": says(DOWN), **scripted("b/y")})
    response = await made.client.generate(HI)
    assert (response.text, response.provider) == ("b/y", "b")
    assert told(response) == (
        "attempt a/x failed server",
        "retry a/x attempts_used server",
        "fallback a/x failed server",
        "fallback b/y chosen",
        "attempt b/y answered",
    )


async def test_an_answer_of_the_first_target_has_no_step_of_the_fallback() -> None:
    made = falling(client_of(at("a/x"), at("b/y")), scripted("a/x", "b/y"))
    assert await made.steps(HI) == ("attempt a/x answered",)


async def test_a_stream_falls_back_while_it_is_entered() -> None:
    made = falling(client_of(at("a/x"), at("b/y")), {"a/x": says(DOWN, DOWN), **scripted("b/y")})
    assert await streamed(made.client, HI) == (
        "attempt failed",
        "retry attempts_used",
        "fallback failed",
        "fallback chosen",
        "attempt answered",
    )
    async with made.client.stream(HI) as stream:
        assert stream.error is None
        assert not stream.finished
        _ = [event async for event in stream]
        assert stream.finished


async def test_nobody_falls_back_once_a_stream_was_entered() -> None:
    second = says()
    made = falling(
        client_of(at("a/x"), at("b/y"), at("c/z")),
        {"a/x": says(DOWN), "b/y": BreakingClient(), "c/z": second},
    )
    with pytest.raises(LLMError) as caught:
        async with made.client.stream(HI) as stream:
            _ = [event async for event in stream]
    assert caught.value.reason == "stream_interrupted"
    assert told(caught.value)[:4] == (
        "attempt a/x failed server",
        "retry a/x attempts_used server",
        "fallback a/x failed server",
        "fallback b/y chosen",
    )
    assert second.requests == ()
    assert made.states.loads.readings(0.0)[LoadKey("b", "", "y")].failures == 1


async def test_a_stream_of_the_first_target_is_handed_out_as_it_is_and_counted_off() -> None:
    made = falling(client_of(at("a/x"), at("b/y")), scripted("a/x", "b/y"))
    async with made.client.stream(HI) as stream:
        assert made.states.loads.readings(0.0)[LoadKey("a", "", "x")].in_flight == 1
        _ = [event async for event in stream]
    assert made.states.loads.readings(0.0)[LoadKey("a", "", "x")].in_flight == 0


async def test_all_failures_are_told_when_every_target_failed() -> None:
    made = falling(
        client_of(at("a/x"), at("b/y")),
        {
            "a/x": says(LLMRateLimitError("slow", retry_after=90.0)),
            "b/y": says(LLMNetworkError("cut")),
        },
    )
    error = await failure(made)
    assert isinstance(error, AllTargetsFailedError)
    assert [one.reason for one in error.errors] == ["throttled", "reset"]
    assert (error.category, error.retryable, error.retry_after) == (ErrorCategory.NETWORK, True, 90.0)
    assert told(error)[-1] == "fallback exhausted"
    assert [one.__traceback__ for one in error.errors] == [None, None]
    assert error.__context__ is None


async def test_the_only_targets_error_is_raised_as_it_is() -> None:
    made = falling(client_of(at("a/x")), {"a/x": says(then=LLMNetworkError("cut"))})
    error = await failure(made)
    assert type(error) is LLMNetworkError
    assert told(error) == ("attempt a/x failed reset", "retry a/x attempts_used reset")
    with pytest.raises(LLMNetworkError):
        await streamed(made.client, HI)


async def test_a_refused_request_is_not_sent_to_another_target() -> None:
    second = says()
    made = falling(client_of(at("a/x"), at("b/y")), {"a/x": says(then=LLMValidationError("bad")), "b/y": second})
    assert type(await failure(made)) is LLMValidationError
    with pytest.raises(LLMValidationError):
        await streamed(made.client, HI)
    assert second.requests == ()


async def test_a_refusal_after_a_failure_is_raised_with_the_steps_of_both() -> None:
    leaves = {"a/x": says(DOWN), "b/y": says(ContentFilterError("no"))}
    error = await failure(falling(client_of(at("a/x"), at("b/y")), leaves))
    assert type(error) is ContentFilterError
    assert [step.split()[1] for step in told(error)] == ["a/x", "a/x", "a/x", "b/y"]


async def test_what_a_content_filter_refused_goes_on_only_where_that_is_allowed() -> None:
    def leaves() -> dict[str, ScriptedClient]:
        return {"a/x": says(ContentFilterError("no")), **scripted("b/y")}

    config = client_of(at("a/x"), at("b/y"))
    assert type(await failure(falling(config, leaves()))) is ContentFilterError
    allowed = falling(replace(config, content_filter_fallback=True), leaves())
    assert (await allowed.client.generate(HI)).text == "b/y"


async def test_a_refused_key_is_not_tried_with_another_model() -> None:
    same_key, third = says(), says("fine")
    made = falling(
        client_of(at("a/x", "k1"), at("a/y", "k1"), at("a/z", "k2")),
        {"a/x": says(LLMAuthenticationError("who")), "a/y": same_key, "a/z": third},
    )
    assert (await made.client.generate(HI)).text == "fine"
    assert same_key.requests == ()


async def test_a_refused_key_without_another_one_is_the_callers_matter() -> None:
    made = falling(
        client_of(at("a/x", "k"), at("a/y", "k")),
        {"a/x": says(LLMAuthenticationError("who")), "a/y": says()},
    )
    assert type(await failure(made)) is LLMAuthenticationError


async def test_a_refused_key_rests_and_the_providers_other_key_is_asked_meanwhile() -> None:
    dead, good = says(LLMAuthenticationError("who"), then="back"), says(then="good")
    made = falling(
        replace(client_of(at("a/x", "k1", "k2")), balance=BalancePolicy(equals="ordered")),
        {"a/x#k1": dead, "a/x#k2": good},
    )
    assert "fallback a/x#2 chosen" in await made.steps(HI)
    assert await made.steps(HI) == (
        "fallback a/x passed_over credentials",
        "fallback a/x#2 chosen",
        "attempt a/x answered",
    )
    assert len(dead.requests) == 1
    made.clock.move(61.0)
    assert (await made.client.generate(HI)).text == "back"


async def test_resting_targets_are_asked_when_nobody_else_is_left() -> None:
    made = falling(
        client_of(at("a/x"), at("b/y")),
        {
            "a/x": says(LLMPermissionError("broke", reason="quota_exhausted"), then="a"),
            "b/y": says("b", DOWN),
        },
    )
    assert (await made.client.generate(HI)).text == "b"
    assert (await made.client.generate(HI)).text == "a"


@pytest.mark.parametrize("larger", [200_000, None, 1_000])
async def test_what_is_too_long_goes_only_to_a_larger_window(larger: int | None) -> None:
    def window(name: str, size: int | None) -> LLMConfig:
        return replace(at(name), capabilities=ModelCapabilities(context_window=size))

    made = falling(
        client_of(window("a/x", 10_000), window("b/y", larger)),
        {"a/x": says(ContextLengthError("long")), **scripted("b/y")},
    )
    if larger == 200_000:
        assert (await made.client.generate(HI)).text == "b/y"
    else:
        assert type(await failure(made)) is ContextLengthError


async def test_a_target_of_unknown_window_is_taken_for_as_large_as_what_it_refused() -> None:
    wide = replace(at("b/y"), capabilities=ModelCapabilities(context_window=100))
    made = falling(client_of(at("a/x"), wide), {"a/x": says(ContextLengthError("long")), **scripted("b/y")})
    assert (await made.client.generate(HI)).text == "b/y"


TALK = LLMRequest((Message.user("a"), Message.assistant("b"), Message.user("c")))


async def test_a_fallback_that_rejects_the_history_does_not_end_the_call() -> None:
    leaves = {"a/x": says(DOWN), "b/y": says(LLMValidationError("signature")), **scripted("c/z")}
    made = falling(client_of(at("a/x"), at("b/y"), at("c/z")), leaves)
    assert (await made.client.generate(TALK)).text == "c/z"


async def test_a_fallback_that_rejects_the_history_never_hides_why_the_first_failed() -> None:
    leaves = {"a/x": says(DOWN), "b/y": says(LLMValidationError("signature"))}
    error = await failure(falling(client_of(at("a/x"), at("b/y")), leaves), TALK)
    assert isinstance(error, AllTargetsFailedError)
    assert [one.reason for one in error.errors] == ["server", "invalid_request"]
    assert (error.category, error.retryable) == (ErrorCategory.TEMPORARY, True)


async def test_a_fallback_that_rejects_a_question_without_history_ends_the_call() -> None:
    leaves = {"a/x": says(DOWN), "b/y": says(LLMValidationError("bad")), **scripted("c/z")}
    assert type(await failure(falling(client_of(at("a/x"), at("b/y"), at("c/z")), leaves))) is LLMValidationError


async def test_errors_that_are_none_of_a_model_pass_with_all_steps() -> None:
    def broken(_: LLMRequest) -> str:
        raise PluginError("host code")

    made = falling(client_of(at("a/x"), at("b/y")), {"a/x": says(DOWN), "b/y": says(broken)})
    with pytest.raises(PluginError) as caught:
        await made.client.generate(HI)
    assert "fallback a/x failed server" in told(caught.value)


async def test_a_target_that_cannot_is_not_asked_and_told_of() -> None:
    blind = replace(at("a/x"), capabilities=ModelCapabilities(supports_streaming=False))
    made = falling(client_of(blind, at("b/y")), scripted("a/x", "b/y"))
    async with made.client.stream(HI) as stream:
        _ = [event async for event in stream]
        assert told(stream.response) == (
            "fallback a/x dropped capability",
            "fallback b/y chosen",
            "attempt b/y answered",
        )


async def test_when_no_target_can_the_first_one_says_what_is_missing() -> None:
    blind = [replace(at(name), capabilities=ModelCapabilities(supports_streaming=False)) for name in ("a/x", "b/y")]
    with pytest.raises(CapabilityError, match="a/x cannot do what the request needs: streaming"):
        await streamed(falling(client_of(*blind), scripted("a/x", "b/y")).client, HI)


async def test_a_call_is_never_sent_more_often_than_total_attempts() -> None:
    retry = RetryPolicy(attempts=2, total_attempts=3, base_s=0.0)
    names = ("a/x", "b/y", "c/z")
    leaves = {name: says(then=DOWN) for name in names}
    made = falling(client_of(*(at(name, retry=retry) for name in names)), leaves)
    error = await ended(made.clock, failure(made))
    assert [len(leaf.requests) for leaf in leaves.values()] == [2, 1, 0]
    assert "fallback c/z total_attempts_used" in told(error)
    assert isinstance(error, AllTargetsFailedError)
    assert len(error.errors) == 2


async def test_a_hanging_target_uses_its_share_of_the_time_and_no_more() -> None:
    clock = FakeClock()
    made = falling(
        client_of(at("a/x"), at("b/y"), at("c/z")), {"a/x": hanging(), "b/y": hanging(), **scripted("c/z")}, clock=clock
    )
    call = asyncio.ensure_future(made.client.generate(replace(HI, deadline_s=9.0)))
    await clock.advance(5.9)
    assert not call.done()
    await clock.advance(0.2)
    response = await call
    assert response.text == "c/z"
    assert [(s.target, s.latency_s) for s in response.steps if s.layer == "attempt"] == [
        ("a/x", 3.0),
        ("b/y", 3.0),
        ("c/z", 0.0),
    ]


async def test_a_target_that_hangs_past_its_share_has_failed() -> None:
    config = client_of(fragile("a/x"), at("b/y"))
    made = falling(config, {"a/x": hanging(), **scripted("b/y")})
    await ended(made.clock, made.client.generate(replace(HI, deadline_s=4.0)))
    assert not made.states.circuit(config.targets[0]).is_closed


async def test_a_stream_that_does_not_begin_in_its_share_of_the_time_is_left() -> None:
    made = falling(client_of(at("a/x"), at("b/y")), {"a/x": hanging(), **scripted("b/y")})
    steps = await ended(made.clock, streamed(made.client, replace(HI, deadline_s=4.0)))
    assert steps[-2:] == ("fallback chosen", "attempt answered")


async def test_the_keys_of_a_target_share_its_time() -> None:
    leaf = says(then="fine")
    await falling(client_of(at("a/x", "k1", "k2")), {"a/x": leaf}).client.generate(replace(HI, deadline_s=4.0))
    bound = leaf.requests[0].bound
    assert bound is not None
    assert bound.at == 4.0


async def test_no_target_is_asked_when_the_time_is_nearly_over() -> None:
    second = says()
    slow = replace(at("a/x"), timeouts=TimeoutPolicy(min_attempt_s=0.9))
    late = replace(at("b/y"), timeouts=TimeoutPolicy(min_attempt_s=0.9))
    made = falling(client_of(slow, late), {"a/x": hanging(), "b/y": second})
    error = await ended(made.clock, failure(made, replace(HI, deadline_s=1.0)))
    assert type(error) is LLMTimeoutError
    assert error.reason == "attempt"
    assert told(error)[-1] == "fallback b/y no_time"
    assert second.requests == ()


async def test_cancellation_counts_for_nobody_and_leaves_nothing() -> None:
    made = falling(client_of(fragile("a/x"), at("b/y")), {"a/x": hanging(), **scripted("b/y")})
    for work in (made.client.generate(HI), streamed(made.client, HI)):
        call = asyncio.ensure_future(work)
        await turns()
        assert made.states.loads.readings(0.0)[LoadKey("a", "", "x")].in_flight == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    load = made.states.loads.readings(0.0)[LoadKey("a", "", "x")]
    assert (load.in_flight, load.failures, load.latency_s) == (0, 0, None)
    assert made.states.circuit(made.config.targets[0]).is_closed


async def test_errors_of_the_caller_count_for_no_target() -> None:
    made = falling(client_of(at("a/x")), {"a/x": says(LLMValidationError("bad"))})
    await failure(made)
    assert made.states.loads.readings(0.0)[LoadKey("a", "", "x")].failures == 0


async def opened(made: Falling) -> None:
    """Open every circuit."""
    for target in made.config.targets:
        made.states.circuits.find(target.target).force_open()


async def test_an_open_circuit_is_passed_over() -> None:
    made = falling(client_of(at("a/x"), at("b/y")), scripted("a/x", "b/y"))
    made.states.circuits.find("a/x").force_open()
    assert await made.steps(HI) == (
        "fallback a/x passed_over circuit_open",
        "fallback b/y chosen",
        "attempt b/y answered",
    )


async def test_in_panic_one_target_is_tried_and_the_other_calls_fail_at_once() -> None:
    leaves = {"a/x": says(then=DOWN), "b/y": says(then=DOWN)}
    made = falling(client_of(replace(at("a/x"), breaker=BreakerPolicy(open_s=20.0)), at("b/y")), leaves)
    await opened(made)
    errors = [await failure(made) for _ in range(20)]
    assert [len(leaf.requests) for leaf in leaves.values()] == [0, 1]
    assert "fallback b/y panic" in told(errors[0])
    for error in errors[1:]:
        assert isinstance(error, AllTargetsFailedError)
        assert [type(one) for one in error.errors] == [CircuitOpenError, CircuitOpenError]
        assert error.retry_after == made.states.circuits.find("b/y").wait_s()


async def test_an_answer_in_panic_says_so_and_the_next_try_waits_for_its_turn() -> None:
    made = falling(client_of(at("a/x")), scripted("a/x"))
    await opened(made)
    assert await made.steps(HI) == ("fallback a/x panic", "fallback a/x chosen", "attempt a/x answered")


async def test_without_panic_probes_every_call_fails_at_once() -> None:
    config = replace(client_of(at("a/x")), balance=BalancePolicy(panic_probe_per_s=0.0))
    made = falling(config, scripted("a/x"))
    await opened(made)
    error = await failure(made)
    assert type(error) is CircuitOpenError
    assert error.retry_after == made.states.circuits.find("a/x").wait_s()
    assert told(error) == ("breaker a/x refused circuit_open",)


async def test_what_an_operator_isolated_is_not_even_tried_in_panic() -> None:
    made = falling(client_of(at("a/x", "k1", "k2")), scripted("a/x"))
    made.states.circuits.find("a/x").isolate()
    error = await failure(made)
    assert type(error) is CircuitOpenError, "its keys have one circuit, so it is refused once"
    assert error.retry_after is None


async def test_without_a_deadline_the_request_goes_down_as_it_is() -> None:
    leaves = {"a/x": says(DOWN), **scripted("b/y")}
    response = await bare(client_of(at("a/x"), at("b/y")), leaves).generate(HI)
    assert told(response) == ("fallback a/x failed server", "fallback b/y chosen")
    assert leaves["b/y"].requests == (HI,)


async def test_the_last_target_is_told_that_nobody_is_left() -> None:
    leaves = {"a/x": says(DOWN), **scripted("b/y")}
    made = falling(client_of(at("a/x"), at("b/y")), leaves)
    await made.client.generate(HI)
    first, last = leaves["a/x"].requests[0].bound, leaves["b/y"].requests[0].bound
    assert first is not None
    assert last is not None
    assert last.at == 600.0, "its own attempt's end"


async def test_a_stream_that_no_target_begins_ends_with_all_their_errors() -> None:
    leaves = {"a/x": says(DOWN), "b/y": says(LLMNetworkError("cut"))}
    with pytest.raises(AllTargetsFailedError) as caught:
        await streamed(falling(client_of(at("a/x"), at("b/y")), leaves).client, HI)
    assert [one.reason for one in caught.value.errors] == ["server", "reset"]


async def test_a_stream_is_counted_off_once() -> None:
    leaves = scripted("a/x")
    client = bare(client_of(at("a/x")), leaves)
    context = client.stream(HI)
    await context.__aenter__()
    other = client.stream(HI)
    await other.__aenter__()
    for _ in range(2):
        await context.__aexit__(None, None, None)
    assert leaves["a/x"].open_streams == 1
    await other.__aexit__(None, None, None)


async def test_equal_targets_share_the_calls() -> None:
    leaves = scripted("a/m", "b/m")
    made = falling(client_of(at("a/m"), at("b/m")), leaves, draw=random.Random(1).random)
    for _ in range(40):
        await made.client.generate(HI)
    assert all(len(leaf.requests) > 5 for leaf in leaves.values())


async def test_the_cheaper_target_is_asked_first_where_the_caller_prefers_it() -> None:
    dear = replace(at("a/x"), prices=Prices.per_mtok(Decimal(5), Decimal(25)))
    made = falling(client_of(dear, replace(at("b/y"), free=True)), scripted("a/x", "b/y"))
    assert (await made.client.generate(HI)).text == "a/x"
    assert (await made.client.generate(replace(HI, priority="cost"))).text == "b/y"


async def test_whoever_stands_in_for_a_resting_target_may_dislike_its_conversation() -> None:
    leaves = {**scripted("a/x"), "b/y": says(LLMValidationError("signature")), **scripted("c/z")}
    made = falling(client_of(at("a/x"), at("b/y"), at("c/z")), leaves)
    made.states.circuits.find("a/x").force_open()
    assert (await made.client.generate(TALK)).text == "c/z"


async def test_a_conversation_that_nobody_accepts_is_the_callers_matter() -> None:
    bad = LLMValidationError("bad")
    leaves = {"a/x": says(LLMRateLimitError("slow"), bad), "b/y": says(then=bad)}
    made = falling(client_of(at("a/x"), at("b/y")), leaves)
    await failure(made, TALK)
    error = await failure(made, TALK)
    assert isinstance(error, AllTargetsFailedError)
    assert "fallback a/x passed_over throttled" in told(error)
    assert (error.category, error.retryable) == (ErrorCategory.VALIDATION, False)

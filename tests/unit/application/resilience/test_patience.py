"""How long a call waits because a target asks for it, while others could be asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import LLMRateLimitError
from loomwire.domain.policies import BalancePolicy, RetryPolicy
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.responses import LLMResponse
from support.chains import HI
from support.falling import at, client_of, falling, says, told
from support.retrying import ended

TWICE = RetryPolicy(attempts=2)


def slow(wait_s: float) -> LLMRateLimitError:
    """Return a refusal that asks for a wait."""
    return LLMRateLimitError("slow down", retry_after=wait_s)


def two(*, wait_s: float) -> dict[str, ILLMClient]:
    """Return a target that asks for a wait once, and one that is well."""
    return {
        "a/x": says(slow(wait_s), then="a/x", name="a/x"),
        "b/y": says(then="b/y", name="b/y"),
    }


def waited(response: LLMResponse[str]) -> float:
    """Return the seconds that the call waited."""
    return sum(step.waited_s for step in response.steps)


LISTED = client_of(at("a/x", retry=TWICE), at("b/y", retry=TWICE))


@pytest.mark.parametrize(("wait_s", "by", "waited_s"), [(8.0, "a/x", 8.5), (8.1, "b/y", 0.0), (59.0, "b/y", 0.0)])
async def test_a_wait_longer_than_any_of_our_own_is_left_to_nobody_while_another_target_is_free(
    wait_s: float, by: str, waited_s: float
) -> None:
    made = falling(LISTED, two(wait_s=wait_s))
    response = await ended(made.clock, made.client.generate(HI))
    assert response.text == by
    assert waited(response) == waited_s


async def test_the_steps_say_that_the_wait_was_too_long() -> None:
    assert await falling(LISTED, two(wait_s=30.0)).steps(HI) == (
        "attempt a/x failed throttled",
        "retry a/x wait_too_long throttled",
        "fallback a/x failed throttled",
        "fallback b/y chosen",
        "attempt b/y answered",
    )


async def test_the_last_target_is_waited_for() -> None:
    made = falling(client_of(at("a/x", retry=TWICE)), two(wait_s=30.0))
    response = await ended(made.clock, made.client.generate(HI))
    assert response.text == "a/x"
    assert waited(response) == 31.5


async def test_nobody_goes_on_to_a_target_that_rests_itself() -> None:
    made = falling(LISTED, two(wait_s=30.0))
    made.states.cooldowns.candidate("b", "", "y").failed(slow(50.0), made.clock.now())
    response = await ended(made.clock, made.client.generate(HI))
    assert response.text == "a/x"
    assert waited(response) == 31.5


async def test_another_key_is_asked_at_once() -> None:
    one, two_ = says(slow(0.5), then="k1", name="a/x"), says(then="k2", name="a/x")
    config = replace(client_of(at("a/x", "k1", "k2", retry=TWICE)), balance=BalancePolicy(equals="ordered"))
    made = falling(config, {"a/x#k1": one, "a/x#k2": two_})
    response = await made.client.generate(HI)
    assert response.text == "k2"
    assert "retry a/x wait_too_long throttled" in told(response)


@pytest.mark.parametrize(
    ("policy", "by"),
    [
        (BalancePolicy(policy="latency"), "b/y"),
        (BalancePolicy(policy="least_busy"), "b/y"),
        (BalancePolicy(policy="cost"), "a/x"),
    ],
    ids=["latency", "least_busy", "cost"],
)
async def test_where_it_is_open_who_answers_nobody_is_waited_for(policy: BalancePolicy, by: str) -> None:
    config: ClientConfig = replace(LISTED, balance=policy)
    made = falling(config, two(wait_s=0.5), draw=lambda: 0.0)
    assert (await ended(made.clock, made.client.generate(HI))).text == by

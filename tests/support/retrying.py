"""Retrying clients over scripted leaves, with a chance that is no chance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from loomwire.application.clients.guarded import GuardedClient
from loomwire.application.clients.retrying import RetryingClient
from loomwire.application.guards.observe import Observe
from loomwire.application.resilience.course import Retries
from loomwire.application.state.retry_tokens import RetryTokens
from loomwire.application.state.stats import Tally
from loomwire.domain.policies import RetryBudgetPolicy, RetryPolicy
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import LLMRequest
from loomwire.testing import FakeClock

T = TypeVar("T")

PLENTY = RetryBudgetPolicy(floor_per_s=1000.0)
TARGET = "vendor/m"


def longest() -> float:
    """Draw the longest delay."""
    return 1.0


def observed(leaf: ILLMClient, clock: IClock) -> ILLMClient:
    """Return the leaf as the chain has it: every send notes a step."""
    guard = Observe("attempt", client="planner", tally=Tally(), clock=clock, provider="vendor", model="m")
    return GuardedClient(leaf, guard)


def terms(
    clock: IClock,
    policy: RetryPolicy = RetryPolicy(),
    budget: RetryBudgetPolicy = PLENTY,
    tokens: RetryTokens | None = None,
    draw: Callable[[], float] = longest,
) -> Retries:
    """Return the terms of a target; its delays are the longest there are."""
    allowance = (tokens or RetryTokens()).allowance("http://vendor", budget)
    return Retries(policy=policy, allowance=allowance, clock=clock, target=TARGET, draw=draw)


def retrying(
    leaf: ILLMClient,
    clock: IClock,
    policy: RetryPolicy = RetryPolicy(),
    budget: RetryBudgetPolicy = PLENTY,
    tokens: RetryTokens | None = None,
    draw: Callable[[], float] = longest,
) -> RetryingClient:
    """Return a retrying client over an observed leaf."""
    return RetryingClient(observed(leaf, clock), terms(clock, policy, budget, tokens, draw))


async def streamed(client: ILLMClient, request: LLMRequest) -> tuple[str, ...]:
    """Read a stream to its end; return the layers and outcomes of its response's steps."""
    async with client.stream(request) as stream:
        async for _ in stream:
            pass
        return tuple(f"{step.layer} {step.outcome}" for step in stream.response.steps)


async def ended(clock: FakeClock, work: Awaitable[T], within_s: float = 1000.0) -> T:
    """Let time pass until the work has ended, and return or raise what it came to."""
    task = asyncio.ensure_future(work)
    await clock.advance(within_s)
    assert task.done(), f"still running after {within_s} s"
    return await task

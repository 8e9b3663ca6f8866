"""One owner of retries (T6): a failing provider is asked exactly as often as configured, by every dialect."""

from __future__ import annotations

import asyncio

import pytest

from loomwire.application.resilience.delays import sends_of
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.requests import Bound
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.table import DIALECTS
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider, Fault
from support.chains import HI
from support.retrying import retrying, streamed

STATUSES = (400, 401, 404, 408, 409, 413, 429, 500, 501, 502, 503, 529)
BROKEN = ("reset", "close_early", "half_body", "cut_reset", "bad_json", "empty_choices", "html", "error_in_200")
FAULTS = [*(Fault("status", status=status) for status in STATUSES), *map(Fault, BROKEN)]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("attempts", [1, 3, 5])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_provider_counts_what_the_policy_says(dialect: str, attempts: int, stream: bool) -> None:
    clock = SystemClock()
    policy = RetryPolicy(attempts=attempts, base_s=0.0, throttle_base_s=0.0)
    counted: dict[str, tuple[int, int, int]] = {}
    playing = [FAULTS[0]]
    async with FakeProvider(then=lambda _: playing[0]) as provider:
        pool = ConnectionPool()
        config = LLMConfig(
            type="custom", model="m", dialect=dialect, base_url=provider.base_url, allow_private=True, free=True
        )
        leaf = await asyncio.to_thread(ClientFactory(pool, clock).create, config)
        client = retrying(leaf, clock, policy)
        for fault in FAULTS:
            playing[0] = fault
            before = len(provider.requests)
            request = HI.with_bound(Bound(clock.now() + 10.0))
            with pytest.raises(LLMError) as caught:
                _ = await (streamed(client, request) if stream else client.generate(request))
            may = caught.value.disposition
            allowed = attempts if may.retry_limit is None else min(attempts, 1 + may.retry_limit)
            wanted = allowed if may.retry_same else 1
            counted[repr(fault)] = (len(provider.requests) - before, sends_of(caught.value.steps), wanted)
        await pool.aclose()
    assert {fault: counts for fault, counts in counted.items() if len(set(counts)) > 1} == {}
    assert max(sends for sends, _, _ in counted.values()) == attempts

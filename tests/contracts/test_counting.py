"""Everything that counts tokens keeps its contract: a fake, and every row of the table as a whole chain."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from loomwire.application.embedding.counting import build_counter
from loomwire.application.pipeline import Parts
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.errors import CapabilityError, LLMRateLimitError
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.ports.counting import ITokenCounter
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import Secret
from loomwire.infrastructure.providers.counting.columns import COUNTS
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.table import PROVIDERS
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import Failure, FakeProvider, RecordingSink, Reply
from loomwire.testing.contracts.counting import TokenCounterContract
from support.counting import WordCounter

CASES = [(name, counts.dialect) for name, column in COUNTS.items() for counts in column if name != "local"]
"""`local` is proved in tests/llama, against llama.cpp itself."""

SPOKEN = [
    (row.name, dialect) for row in PROVIDERS.values() for dialect in (row.dialect, *(a.dialect for a in row.also))
]
ELSE = [case for case in SPOKEN if case[1] is not None and case not in CASES and case[0] != "local"]
ASK = LLMRequest.of("How many tokens?", system="You are brief.")


def over(name: str, dialect: str | None, base_url: str) -> LLMConfig:
    """Return a target of a row whose vendor listens at `base_url`."""
    key = (Secret("table-key"),)
    once = RetryPolicy(attempts=1)
    return LLMConfig(type=name, model="m", dialect=dialect, base_url=base_url, keys=key, allow_private=True, retry=once)


def counting(config: LLMConfig, pool: ConnectionPool, sink: RecordingSink | None = None) -> ITokenCounter:
    """Return the whole chain over a target."""
    clock = SystemClock()
    parts = Parts(ClientFactory(pool, clock), clock, CallStats(), TargetStates(clock), () if sink is None else (sink,))
    return build_counter(ClientConfig(name="teller", targets=(parts.factory.resolved(config),)), parts)


@pytest.mark.parametrize(("name", "dialect"), CASES)
async def test_every_row_reads_the_number_its_server_tells_and_records_it_as_a_count(name: str, dialect: str) -> None:
    pool, sink = ConnectionPool(), RecordingSink()
    refused = Reply(failure=Failure("throttled"))
    async with FakeProvider(Reply("Hi.", usage=Usage(41, 7)), refused) as provider:
        counter = counting(over(name, dialect, provider.base_url), pool, sink)
        assert (await counter.count(ASK)).input_tokens == 41
        with pytest.raises(LLMRateLimitError):
            await counter.count(ASK)
        assert {(record.operation, record.usage) for record in sink.records[:2]} == {("count_tokens", Usage())}
        assert [record.outcome for record in sink.records] == ["answered", "answered", "failed", "failed"]
        assert provider.books.overall.usage.total_tokens == 0
        assert pool.get_stats().active == 0
    await pool.aclose()


@pytest.mark.parametrize(("name", "dialect"), ELSE)
def test_every_other_row_says_that_it_cannot_and_who_can(name: str, dialect: str) -> None:
    with pytest.raises(CapabilityError, match=f"type {name} cannot count tokens over {dialect}") as caught:
        counting(over(name, dialect, "http://127.0.0.1:1/v1"), ConnectionPool())
    assert "Types that count tokens: anthropic" in caught.value.hint


class TestWordCounter(TokenCounterContract):
    """The fake that tests use keeps the contract it stands in for."""

    @override
    @asynccontextmanager
    async def counter(self) -> AsyncGenerator[ITokenCounter]:
        yield WordCounter()


class TestEveryRowThatCounts(TokenCounterContract):
    """The whole chain of a vendor's row over a server on this machine."""

    case: tuple[str, str]
    pool: ConnectionPool

    @pytest.fixture(autouse=True, params=CASES, ids="-".join)
    def row(self, request: pytest.FixtureRequest) -> None:
        """Take one row."""
        self.case = request.param

    @override
    @asynccontextmanager
    async def counter(self) -> AsyncGenerator[ITokenCounter]:
        self.pool = ConnectionPool()
        async with FakeProvider() as provider:
            yield counting(over(*self.case, provider.base_url), self.pool)
            await self.pool.aclose()

    @override
    def in_use(self, counter: ITokenCounter) -> int:
        return self.pool.get_stats().active

"""The contract of token counters notices every broken promise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from typing_extensions import override

from loomwire.domain.counting.counts import TokenCount
from loomwire.domain.ports.counting import ITokenCounter
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import LLMRequest
from loomwire.testing.contracts.contract import Contract
from loomwire.testing.contracts.counting import TokenCounterContract
from support.counting import WordCounter


class Counts(ITokenCounter):
    """A counter that keeps its promises; the others break one each."""

    def __init__(self) -> None:
        self.inner = WordCounter()
        self.out = 0
        self.asked = 0

    def spoiled(self, count: TokenCount, request: LLMRequest) -> TokenCount:
        return count

    @override
    async def count(self, request: LLMRequest) -> TokenCount:
        self.asked += 1
        return self.spoiled(await self.inner.count(request), request)


class Nothing(Counts):
    @override
    def spoiled(self, count: TokenCount, request: LLMRequest) -> TokenCount:
        return replace(count, input_tokens=0)


class Guesses(Counts):
    @override
    def spoiled(self, count: TokenCount, request: LLMRequest) -> TokenCount:
        return replace(count, input_tokens=count.input_tokens + self.asked)


class LastOnly(Counts):
    @override
    async def count(self, request: LLMRequest) -> TokenCount:
        return await self.inner.count(LLMRequest(request.messages[:1], bound=request.bound))


class Anonymous(Counts):
    @override
    def spoiled(self, count: TokenCount, request: LLMRequest) -> TokenCount:
        return replace(count, model="")


class Books(Counts):
    @override
    def spoiled(self, count: TokenCount, request: LLMRequest) -> TokenCount:
        return replace(count, usage=Usage(count.input_tokens))


class Scribbles(Counts):
    @override
    def spoiled(self, count: TokenCount, request: LLMRequest) -> TokenCount:
        object.__setattr__(request, "tools", ())
        return count


class Timeless(Counts):
    @override
    async def count(self, request: LLMRequest) -> TokenCount:
        return await self.inner.count(replace(request, bound=None))


class Leaks(Counts):
    @override
    async def count(self, request: LLMRequest) -> TokenCount:
        self.out += 1
        counted = await self.inner.count(request)
        self.out -= 1
        return counted


class Deaf(Counts):
    @override
    async def count(self, request: LLMRequest) -> TokenCount:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return await self.inner.count(request)
        return await self.inner.count(request)


class OneLoop(Counts):
    loop: asyncio.AbstractEventLoop | None = None

    @override
    async def count(self, request: LLMRequest) -> TokenCount:
        self.loop = self.loop or asyncio.get_running_loop()
        if self.loop is not asyncio.get_running_loop():
            raise RuntimeError("another loop")
        return await self.inner.count(request)


class Suite(TokenCounterContract):
    def __init__(self, make: Callable[[], Counts]) -> None:
        self.make = make

    @override
    @asynccontextmanager
    async def counter(self) -> AsyncGenerator[ITokenCounter]:
        self.made = self.make()
        yield self.made

    @override
    def in_use(self, counter: ITokenCounter) -> int:
        return self.made.out


BREACHES = [
    ("the_same_request_counts_the_same", Nothing, "a request without tokens"),
    ("the_same_request_counts_the_same", Guesses, "the second count"),
    ("a_longer_conversation_counts_more", LastOnly, "has not more tokens"),
    ("tools_count", LastOnly, "tools have no tokens"),
    ("the_count_says_who_counted_and_that_nothing_was_used", Anonymous, "provider or model is empty"),
    ("the_count_says_who_counted_and_that_nothing_was_used", Books, "what counting used"),
    ("the_request_is_never_changed", Scribbles, "the request afterwards"),
    ("a_bound_that_has_passed_ends_the_call", Timeless, "in place of raising LLMTimeoutError"),
    ("cancelling_leaves_nothing", Leaks, "what is out, cancelled after 1 turns"),
    ("cancelling_leaves_nothing", Deaf, "it returned"),
    ("threads_may_ask_at_the_same_time", OneLoop, "RuntimeError: another loop"),
]


@pytest.mark.parametrize(
    ("claim", "broken", "seen"), BREACHES, ids=[f"{claim}-{kind.__name__}" for claim, kind, _ in BREACHES]
)
def test_a_broken_counter_is_noticed(
    claim: str, broken: type[Counts], seen: str, breach: Callable[[Contract, str], str]
) -> None:
    assert seen in breach(Suite(broken), f"test_{claim}")


def test_every_claim_is_broken_by_somebody() -> None:
    claims = {name.removeprefix("test_") for name in dir(TokenCounterContract) if name.startswith("test_")}
    assert claims == {claim for claim, _, _ in BREACHES}


def test_a_suite_without_connections_has_none_in_use() -> None:
    assert TokenCounterContract.in_use(Suite(Counts), WordCounter()) == 0

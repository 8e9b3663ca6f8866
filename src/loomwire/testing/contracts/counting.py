"""The contract of `ITokenCounter`, for every one: a leaf, a chain, a fake."""

from __future__ import annotations

import copy
from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import ClassVar

from typing_extensions import override

from loomwire.domain.messages import Message
from loomwire.domain.ports.counting import ITokenCounter
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.tools import Tool
from loomwire.testing.contracts.calls.asking import AskingContract
from loomwire.testing.contracts.contract import claim, expect, needs, same

_ASK = LLMRequest.of("What is a giant panda?", system="You are brief.")
_MORE = _ASK.extended(Message.assistant("A bear of the mountains of China."), Message.user("And what does it eat?"))
_TOOL = Tool("weather", "Tells the weather of a city.", {"type": "object", "properties": {"city": {"type": "string"}}})
_TOOLED = LLMRequest(_ASK.messages, tools=(_TOOL,))


class TokenCounterContract(AskingContract[ITokenCounter, LLMRequest]):
    """Claims what `ITokenCounter` promises; subclass it as `TestMyCounter` and give it counters.

    Attributes:
        tools: It counts tools, too.
        threads: It works on any thread and event loop.
    """

    port: ClassVar[str] = "loomwire.domain.ports.counting.ITokenCounter"
    tools: ClassVar[bool] = True

    @abstractmethod
    def counter(self) -> AbstractAsyncContextManager[ITokenCounter]:
        """Return a context manager over a fresh counter that works."""
        raise self.unwritten("counter")

    @override
    def lent(self) -> AbstractAsyncContextManager[ITokenCounter]:
        return self.counter()

    @override
    def question(self, bound: Bound | None = None) -> LLMRequest:
        question = copy.deepcopy(_TOOLED if self.tools else _MORE)
        return question if bound is None else question.with_bound(bound)

    @override
    async def ask(self, port: ITokenCounter, question: LLMRequest) -> object:
        return (await port.count(question)).input_tokens

    @claim
    async def test_the_same_request_counts_the_same(self) -> None:
        """A request has some tokens, and the same request has as many."""
        async with self.counter() as counter:
            first, second = await counter.count(_ASK), await counter.count(_ASK)
            expect(first.input_tokens > 0, "a request without tokens")
            same(second.input_tokens, first.input_tokens, "the second count")

    @claim
    async def test_a_longer_conversation_counts_more(self) -> None:
        """A conversation that goes on has more tokens."""
        async with self.counter() as counter:
            short, long = await counter.count(_ASK), await counter.count(_MORE)
            expect(long.input_tokens > short.input_tokens, "a longer conversation has not more tokens")

    @claim
    @needs("tools")
    async def test_tools_count(self) -> None:
        """Tools are a part of what is counted."""
        async with self.counter() as counter:
            bare, tooled = await counter.count(_ASK), await counter.count(_TOOLED)
            expect(tooled.input_tokens > bare.input_tokens, "tools have no tokens")

    @claim
    async def test_the_count_says_who_counted_and_that_nothing_was_used(self) -> None:
        """The count names provider and model, and using it is not using the model."""
        async with self.counter() as counter:
            count = await counter.count(_ASK)
            expect(count.provider and count.model, "provider or model is empty")
            same(count.usage.total_tokens, 0, "what counting used")

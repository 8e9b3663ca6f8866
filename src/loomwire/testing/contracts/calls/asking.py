"""The claims about every port that is asked one question and gives one answer."""

from __future__ import annotations

import copy
from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Generic, TypeVar

from loomwire.domain.errors import LLMTimeoutError
from loomwire.domain.requests import Bound
from loomwire.testing.contracts.contract import Contract, cancelled_after, claim, in_threads, needs, raised, same

P = TypeVar("P")
Q = TypeVar("Q")

_LONG_AGO = Bound(0.0)
_THREADS = 3
_TURNS = 30


class AskingContract(Contract, Generic[P, Q]):
    """Claims what every such port promises; a suite for one of them says how it is asked.

    Attributes:
        threads: It works on any thread and event loop.
    """

    threads: ClassVar[bool] = True

    @abstractmethod
    def lent(self) -> AbstractAsyncContextManager[P]:
        """Return a context manager over a fresh implementation that works."""

    @abstractmethod
    def question(self, bound: Bound | None = None) -> Q:
        """Return a fresh request, always the same, under a bound or none."""

    @abstractmethod
    async def ask(self, port: P, question: Q) -> object:
        """Ask, and return what of the answer is the same for the same question."""

    def in_use(self, port: P, /) -> int:  # noqa: ARG002
        """Return how many connections or permits are out; 0 where there are none."""
        return 0

    @claim
    async def test_the_request_is_never_changed(self) -> None:
        """The request is never changed."""
        question = self.question()
        before = copy.deepcopy(question)
        async with self.lent() as port:
            await self.ask(port, question)
            same(question, before, "the request afterwards")

    @claim
    async def test_a_bound_that_has_passed_ends_the_call(self) -> None:
        """A bound that has passed raises LLMTimeoutError with the bound's reason."""
        async with self.lent() as port:
            error = await raised(LLMTimeoutError, self.ask(port, self.question(_LONG_AGO)))
            same(error.reason, _LONG_AGO.reason, "the reason")

    @claim
    async def test_cancelling_leaves_nothing(self) -> None:
        """Cancellation is never swallowed, and afterwards nothing is out."""
        async with self.lent() as port:
            for count in range(1, _TURNS):
                await cancelled_after(count, self.ask(port, self.question()))
                same(self.in_use(port), 0, f"what is out, cancelled after {count} turns of the loop,")
            await self.ask(port, self.question())

    @claim
    @needs("threads")
    async def test_threads_may_ask_at_the_same_time(self) -> None:
        """Threads with event loops of their own may ask at the same time."""
        async with self.lent() as port:
            alone = await self.ask(port, self.question())
            found = await in_threads(_THREADS, lambda: self.ask(port, self.question()))
            same(found, [alone] * _THREADS, "what the threads got")

"""Callers that come, go and are failed at any moment: who gets what, what was sent, and that nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typing_extensions import override

from loomwire.domain.errors import LLMError, LLMTemporaryError, StreamInterruptedError
from loomwire.domain.events import Finished, StreamEvent, TextDelta
from loomwire.domain.pricing import FREE
from loomwire.domain.responses import LLMResponse
from support.chains import HI, turns
from support.feeding import Fed, Read, fed, tasks_of_flights
from support.keeping import Saved, ask

T = TypeVar("T")


class Caller:
    """One caller: a plain call or a reader."""

    def __init__(self, saved: Saved, streamed: bool) -> None:
        self.read = Read(saved) if streamed else None
        self.task: asyncio.Task[LLMResponse[str]] = ask(saved, HI) if self.read is None else self.read.task

    @property
    def events(self) -> list[StreamEvent]:
        """What a reader has read."""
        return [] if self.read is None else self.read.events


class Callers(RuleBasedStateMachine):
    """Whatever callers do, one request at most is on its way, and it is on its way for somebody."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.leaf: Fed
        self.saved: Saved
        self.leaf, self.saved = self.run(self._made())
        # The model: who waits, whether they read a stream, what of it was said, how often was sent, what is kept.
        self.waiting: list[Caller] = []
        self.leader: Caller | None = None
        self.streamed = False
        self.said: list[StreamEvent] = []
        self.sent = 0
        self.kept: str | None = None

    async def _made(self) -> tuple[Fed, Saved]:
        return fed()

    def run(self, work: Awaitable[T]) -> T:
        """Do something on the loop, and let the others run."""

        async def worked() -> T:
            done = await work
            await turns(40)
            return done

        return self.loop.run_until_complete(worked())

    @rule(streamed=st.booleans())
    def comes(self, streamed: bool) -> None:
        """Somebody asks: he is answered from what is kept, joins, or is the first."""

        async def come() -> Caller:
            return Caller(self.saved, streamed)

        caller = self.run(come())
        if self.waiting:
            self.waiting.append(caller)
        elif self.kept is not None:
            answer = caller.task.result()
            assert (answer.response_id, answer.cached, answer.cost) == (self.kept, True, FREE)
        else:
            self._leads(caller, streamed)

    def _leads(self, caller: Caller, streamed: bool) -> None:
        self.waiting.append(caller)
        self.leader, self.streamed, self.said = caller, streamed, []
        self.sent += 1

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 99), twice=st.booleans())
    def leaves(self, which: int, twice: bool) -> None:
        """Somebody is cancelled, and nobody else notices."""
        caller = self.waiting.pop(which % len(self.waiting))

        async def leave() -> None:
            caller.task.cancel()
            if twice:
                await asyncio.sleep(0)
                caller.task.cancel()

        self.run(leave())
        assert caller.task.cancelled()

    @precondition(lambda self: self.waiting and self.streamed)
    @rule()
    def goes_on(self) -> None:
        """The provider says a word: every reader has all of them, late ones too."""
        self.said.append(TextDelta(f"{len(self.said)} "))
        self._feed(self.said[-1])
        assert all(caller.events == self.said for caller in self.waiting if caller.read is not None)

    @precondition(lambda self: self.waiting)
    @rule()
    def ends(self) -> None:
        """The answer is whole: everybody has it, and who sent for it pays."""
        self._feed(Finished("stop"))
        self.kept = str(self.sent)
        for caller in self.waiting:
            answer = caller.task.result()
            assert answer.response_id == self.kept
            assert (answer.cost == FREE) == answer.cached == (caller is not self.leader)
        self.waiting = []

    @precondition(lambda self: self.waiting)
    @rule(broken=st.booleans())
    def fails(self, broken: bool) -> None:
        """The provider fails: everybody has an error of his own, but plain calls outlive the break of a stream."""
        self._feed(StreamInterruptedError("broke") if broken else LLMTemporaryError("down"))
        stay = [caller for caller in self.waiting if broken and self.streamed and caller.read is None]
        failed = [caller.task.exception() for caller in self.waiting if caller not in stay]
        assert all(isinstance(error, LLMError) for error in failed)
        assert len({id(error) for error in failed}) == len(failed)
        self.waiting = []
        for caller in stay:
            if self.waiting:
                self.waiting.append(caller)
            else:
                self._leads(caller, streamed=False)

    @rule()
    def forgets(self) -> None:
        """What was kept is gone."""
        self.saved.place.kept.clear()
        self.kept = None

    def _feed(self, event: StreamEvent | BaseException) -> None:
        async def feed() -> None:
            self.leaf.feed(event)

        self.run(feed())

    @invariant()
    def nothing_is_left_and_nothing_is_sent_twice(self) -> None:
        """What is on its way is what somebody waits for."""

        async def flying() -> int:
            return tasks_of_flights()

        is_awaited = int(bool(self.waiting))
        assert (self.leaf.begun, self.leaf.open) == (self.sent, is_awaited)
        # A call that waits is a task of the test that names the flight too, so only none can be told.
        assert self.waiting or not self.run(flying())
        assert not any(caller.task.done() for caller in self.waiting)
        assert bool(self.saved.place.kept) == (self.kept is not None)

    @override
    def teardown(self) -> None:
        """Everybody goes, and so does everything else."""
        while self.waiting:
            self.leaves(0, twice=False)
        self.nothing_is_left_and_nothing_is_sent_twice()
        self.loop.close()


Callers.TestCase.settings = settings(max_examples=25, stateful_step_count=30)
TestCallers = Callers.TestCase

"""The contract of `IEventSink`."""

from __future__ import annotations

import asyncio
import statistics
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, TypeAlias, final

from typing_extensions import override

from loomwire.application.clients.guarded import GuardedClient
from loomwire.application.guards.observe import Observe
from loomwire.application.state.stats import CallStats
from loomwire.domain.errors import LLMError, LLMTemporaryError
from loomwire.domain.events import CallRecord
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.pricing import NO_USAGE, Cost, Unpriced, Usage
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing.contracts.contract import Contract, claim, expect, in_threads, raised, same
from loomwire.testing.scripted import ScriptedClient
from loomwire.testing.sink import RecordingSink

_Outcome: TypeAlias = Literal["answered", "failed", "cancelled", "abandoned"]
_OUTCOMES: tuple[_Outcome, ...] = ("answered", "failed", "cancelled", "abandoned")
_MANY = 200
_THREADS = 4


class EventSinkContract(Contract):
    """Claims what `loomwire.domain.ports.events` promises; subclass it as `TestMySink` and give it sinks.

    Attributes:
        fast_s: The most that one record may take, in seconds, in the middle of many: the caller's loop waits for it.

    Example:
        >>> from loomwire.testing import RecordingSink
        >>> class TestMySink(EventSinkContract):
        ...     def sink(self) -> IEventSink:
        ...         return RecordingSink()
        >>> TestMySink().test_it_takes_every_record()
    """

    port: ClassVar[str] = "loomwire.domain.ports.events.IEventSink"
    fast_s: ClassVar[float] = 0.002

    @abstractmethod
    def sink(self) -> IEventSink:
        """Return a fresh sink."""
        raise self.unwritten("sink")

    def taken(self, sink: IEventSink) -> int | None:  # noqa: ARG002  # for those who can say
        """Return how many records the sink has taken, or None when nobody can say."""
        return None

    def _same_count(self, sink: IEventSink, wanted: int) -> None:
        taken = self.taken(sink)
        same(wanted if taken is None else taken, wanted, "the number of records taken")

    @claim
    async def test_it_takes_every_record(self) -> None:
        """`emit` takes every kind of record, with and without usage, cost, names and tags, and returns nothing."""
        sink = self.sink()
        records = _records()
        emit: Callable[[CallRecord], object] = sink.emit
        same([emit(record) for record in records], [None] * len(records), "what it returned")
        self._same_count(sink, len(records))

    @claim
    async def test_it_never_changes_a_record(self) -> None:
        """A record is handed to every sink, so none changes it."""
        sink = self.sink()
        records = _records()
        for record in records:
            sink.emit(record)
        same(records, _records(), "what became of the records")

    @claim
    async def test_it_never_blocks(self) -> None:
        """`emit` runs on the caller's loop, so it is fast and never waits."""
        sink = self.sink()
        record = _records()[0]
        took: list[float] = []
        for _ in range(_MANY):
            start = time.perf_counter()
            sink.emit(record)
            took.append(time.perf_counter() - start)
        # The middle one: the machine may be busy with something else now and then.
        usual = statistics.median(took)
        expect(usual <= self.fast_s, f"a record took {usual:.4f} s, at most {self.fast_s} s are allowed")

    @claim
    async def test_threads_may_emit_at_the_same_time(self) -> None:
        """Calls on several threads and loops emit at the same time; no record is lost."""
        sink = self.sink()

        async def emit() -> None:
            """Emit every record ten times."""
            for record in _records() * 10:
                sink.emit(record)

        await in_threads(_THREADS, emit)
        self._same_count(sink, _THREADS * len(_records()) * 10)

    @claim
    async def test_calls_that_it_observes_go_on(self) -> None:
        """A chain that it observes answers, fails and streams as without it, and tells it of each call."""
        sink = self.sink()
        client = _observed(ScriptedClient("Paris.", LLMTemporaryError("broken"), then="Paris."), sink)
        same((await client.generate(LLMRequest.of("Hi"))).text, "Paris.", "the answer")
        await raised(LLMError, client.generate(LLMRequest.of("Hi")))
        async with client.stream(LLMRequest.of("Hi")) as stream:
            async for _ in stream:
                pass
        same(stream.response.text, "Paris.", "the streamed answer")
        self._same_count(sink, 3)

    @claim
    async def test_a_sink_that_raises_harms_nobody(self) -> None:
        """What a sink raises never reaches a caller, and the sinks beside it are told all the same."""
        sink, after = self.sink(), RecordingSink()
        client = _observed(ScriptedClient(then="Paris."), _Raising(sink), after)
        answers = await asyncio.gather(*(client.generate(LLMRequest.of("Hi")) for _ in range(3)))
        same([answer.text for answer in answers], ["Paris."] * 3, "the answers")
        same(len(after.records), 3, "the number of records of the sink behind it")


@final
class _Raising(IEventSink):
    """Tells a sink and then raises."""

    def __init__(self, sink: IEventSink) -> None:
        self._sink = sink

    @override
    def emit(self, record: CallRecord) -> None:
        self._sink.emit(record)
        raise RuntimeError("a sink raised on purpose")


def _observed(leaf: ILLMClient, *sinks: IEventSink) -> ILLMClient:
    tally = CallStats().tally("client:contract")
    return GuardedClient(leaf, Observe("call", client="contract", tally=tally, clock=SystemClock(), sinks=sinks))


def _records() -> list[CallRecord]:
    full = CallRecord(
        "attempt",
        "planner",
        "vendor",
        "model",
        "answered",
        0.25,
        usage=Usage(12, 34),
        cost=Cost(56),
        streamed=True,
        tenant="tenant",
        session="session",
        tags=frozenset({"a", "b"}),
    )
    bare = [CallRecord("call", "planner", "", "", outcome, 0.0) for outcome in _OUTCOMES]
    odd = CallRecord("call", "ein Name\n🗼", "v", "m", "failed", 1e6, "TMP001", NO_USAGE, Unpriced("no_price"))
    return [full, odd, *bare]

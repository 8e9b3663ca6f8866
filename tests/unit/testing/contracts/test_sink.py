"""The sink's contract notices every broken promise."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import ClassVar

import pytest
from typing_extensions import override

from loomwire.domain.events import CallRecord
from loomwire.domain.ports.events import IEventSink
from loomwire.testing.contracts.contract import Contract
from loomwire.testing.contracts.sink import EventSinkContract


class Sink(IEventSink):
    """A sink that keeps its promises; the others break one each."""

    def __init__(self) -> None:
        self.taken: list[CallRecord] = []

    @override
    def emit(self, record: CallRecord) -> None:
        self.taken.append(record)


class WantsUsage(Sink):
    @override
    def emit(self, record: CallRecord) -> None:
        assert record.usage is not None, "a record without usage"
        super().emit(record)


class FailuresOnly(Sink):
    @override
    def emit(self, record: CallRecord) -> None:
        if record.outcome == "failed":
            super().emit(record)


class TakesNothing(Sink):
    @override
    def emit(self, record: CallRecord) -> None:
        return


class LeavesItToTheCaller(Sink):
    """What it returns must be awaited, and nobody does."""

    @override
    def emit(self, record: CallRecord) -> asyncio.Future[None]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        super().emit(record)
        return asyncio.get_running_loop().create_future()


class Scrubs(Sink):
    @override
    def emit(self, record: CallRecord) -> None:
        object.__setattr__(record, "tenant", None)
        super().emit(record)


class Waits(Sink):
    @override
    def emit(self, record: CallRecord) -> None:
        end = time.perf_counter() + 0.004
        while time.perf_counter() < end:
            pass
        super().emit(record)


class FirstThreadOnly(Sink):
    def __init__(self) -> None:
        super().__init__()
        self.first = 0

    @override
    def emit(self, record: CallRecord) -> None:
        here = threading.get_ident()
        self.first = self.first or here
        if here == self.first:
            super().emit(record)


class CancelsItsCaller(Sink):
    @override
    def emit(self, record: CallRecord) -> None:
        if record.client == "contract":
            raise asyncio.CancelledError
        super().emit(record)


class Suite(EventSinkContract):
    patience_s: ClassVar[float] = 5.0

    def __init__(self, broken: type[Sink]) -> None:
        self.broken = broken

    @override
    def sink(self) -> IEventSink:
        return self.broken()

    @override
    def taken(self, sink: IEventSink) -> int | None:
        return len(sink.taken) if isinstance(sink, Sink) else None


BROKEN: list[tuple[str, type[Sink], str]] = [
    ("it_takes_every_record", WantsUsage, "a record without usage"),
    ("it_takes_every_record", FailuresOnly, "the number of records taken is 2 and not 6"),
    ("it_takes_every_record", TakesNothing, "the number of records taken is 0 and not 6"),
    ("it_takes_every_record", LeavesItToTheCaller, "what it returned is"),
    ("threads_may_emit_at_the_same_time", TakesNothing, "the number of records taken is 0 and not 240"),
    ("it_never_changes_a_record", Scrubs, "what became of the records is"),
    ("it_never_blocks", Waits, "at most 0.002 s are allowed"),
    ("threads_may_emit_at_the_same_time", FirstThreadOnly, "the number of records taken is 60 and not 240"),
    ("calls_that_it_observes_go_on", FailuresOnly, "the number of records taken is 1 and not 3"),
    ("calls_that_it_observes_go_on", CancelsItsCaller, "CancelledError"),
    ("a_sink_that_raises_harms_nobody", CancelsItsCaller, "CancelledError"),
]


@pytest.mark.parametrize(("claim", "broken", "seen"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_promise_is_noticed(
    claim: str, broken: type[Sink], seen: str, breach: Callable[[Contract, str], str]
) -> None:
    assert seen in breach(Suite(broken), f"test_{claim}")


def test_every_claim_of_the_contract_is_proved_to_fail() -> None:
    claims = {name.removeprefix("test_") for name in dir(EventSinkContract) if name.startswith("test_")}
    assert claims == {claim for claim, _, _ in BROKEN}

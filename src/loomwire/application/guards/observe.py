"""Observe: one record per call and one per attempt, answers from a cache and stand-ins included."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

from typing_extensions import override

from loomwire.application.guard import Guard, Operation, Outcome
from loomwire.application.state.stats import Tally
from loomwire.domain.errors import LoomError
from loomwire.domain.events import CallOutcome, CallRecord
from loomwire.domain.faults import FAULTS
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.events import IEventSink, ISelectiveSink
from loomwire.domain.pricing import Charge, Usage
from loomwire.domain.reports.steps import Step

_log = logging.getLogger("loomwire.observe")

# One for all: two sets of its own for each of a thousand clients are work for every garbage collection.
_NOTHING: frozenset[tuple[type, type]] = frozenset()


class Observe(Guard):
    """Times operations, counts them in a tally and tells the sinks. At attempt level it also notes a step.

    Args:
        level: The whole call, or one attempt on one target.
        client: The client's name.
        provider: The target's provider; "" at call level, where the answer says who gave it.
        model: The target's model; "" at call level.
        tally: Where to count.
        sinks: Whom to tell. A sink that raises is logged and never harms the call.
        clock: For the latency.
    """

    __slots__ = (
        "_complained",
        "_selective",
        "_takes_all",
        "client",
        "clock",
        "level",
        "model",
        "provider",
        "sinks",
        "tally",
        "target",
    )

    def __init__(
        self,
        level: Literal["call", "attempt"],
        *,
        client: str,
        tally: Tally,
        clock: IClock,
        sinks: Sequence[IEventSink] = (),
        provider: str = "",
        model: str = "",
    ) -> None:
        """Keep what every record of this place has in common."""
        self.level: Literal["call", "attempt"] = level
        self.client = client
        self.provider = provider
        self.model = model
        self.target = f"{provider}/{model}" if provider else ""
        self.tally = tally
        self.sinks = tuple(sinks)
        self._selective = tuple(sink for sink in self.sinks if isinstance(sink, ISelectiveSink))
        self._takes_all = len(self._selective) < len(self.sinks)
        self.clock = clock
        self._complained = _NOTHING

    @override
    def around(self, operation: Operation) -> _Observation:
        return _Observation(self, operation)

    def is_heard(self, outcome: CallOutcome) -> bool:
        """Return whether anybody would look at a record of an operation that ended so."""
        if self._takes_all:
            return True
        for sink in self._selective:  # noqa: SIM110  # the generator of `any()` costs as much as what is asked
            if sink.wants(outcome):
                return True
        return False

    def tell(self, record: CallRecord) -> None:
        """Hand a record to every sink, each on its own risk."""
        for sink in self.sinks:
            try:
                sink.emit(record)
            except Exception as error:  # noqa: BLE001  # a sink is host code; whatever it does, the call goes on
                kind = (type(sink), type(error))
                if kind not in self._complained:
                    self._complained |= {kind}
                    _log.warning("event sink %s raised; its records are lost", type(sink).__name__, exc_info=True)

    @override
    def __repr__(self) -> str:
        return f"Observe({self.level})"


class _Observation(Outcome):
    """One observed operation; hand-written, because `@asynccontextmanager` costs a third more per call."""

    __slots__ = ("_error", "_guard", "_operation", "_started", "_step", "_stood_in", "_used")

    def __init__(self, guard: Observe, operation: Operation) -> None:
        self._guard = guard
        self._operation = operation
        self._started = 0.0
        self._used: tuple[Usage, Charge, str] | None = None
        self._error: LoomError | None = None
        self._step: Step | None = None
        self._stood_in: str | None = None

    async def __aenter__(self) -> Self:
        self._started = self._guard.clock.now()
        return self

    @property
    @override
    def step(self) -> Step | None:
        return self._step

    @override
    def answered(self, usage: Usage, cost: Charge, model: str) -> None:
        self._used = (usage, cost, model)
        self._note("answered", "")

    @override
    def failed(self, error: LoomError) -> None:
        self._error = error
        self._note("failed", error.reason)

    @override
    def stood_in(self, reason: str) -> None:
        fault = FAULTS.get(reason)
        self._stood_in = fault.code if fault else ""

    def _note(self, outcome: str, reason: str) -> None:
        guard = self._guard
        if guard.level == "attempt":
            self._step = Step("attempt", guard.target, outcome, reason, 0.0, guard.clock.now() - self._started)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        guard = self._guard
        latency = guard.clock.now() - self._started
        if self._used is not None:
            outcome: CallOutcome = "answered"
            guard.tally.answered(latency, self._used[0], self._used[1])
        elif self._stood_in is not None or self._error is not None:
            outcome = "failed"
            guard.tally.failed(latency, self._code)
        else:
            outcome = "cancelled" if kind is not None and issubclass(kind, asyncio.CancelledError) else "abandoned"
            guard.tally.left(cancelled=outcome == "cancelled")
        if guard.is_heard(outcome):
            guard.tell(self._record(outcome, latency))

    @property
    def _code(self) -> str:
        return self._error.code if self._error else self._stood_in or ""

    def _record(self, outcome: CallOutcome, latency: float) -> CallRecord:
        guard, operation, error = self._guard, self._operation, self._error
        usage, cost, model = self._used or (None, None, error.model if error else None)
        return CallRecord(
            guard.level,
            guard.client,
            guard.provider or (error and error.provider) or "",
            model or guard.model,
            outcome,
            latency,
            self._code,
            usage,
            cost,
            operation.streamed,
            operation.tenant,
            operation.session,
            operation.tags,
            operation.name,
            self._stood_in is not None,
        )

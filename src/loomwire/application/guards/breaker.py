"""Breaker: leaves a target alone while it fails, and looks carefully whether it is well again."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from typing_extensions import override

from loomwire.application.guard import Guard, Operation, Outcome
from loomwire.application.state.breaking.endpoint import TargetCircuit
from loomwire.application.state.breaking.permits import Permit, Refused
from loomwire.domain.errors import CircuitOpenError, LoomError
from loomwire.domain.pricing import Charge, Usage
from loomwire.domain.reports.steps import Step


class Breaker(Guard):
    """Refuses operations while the target's circuit is open, before anything is sent.

    Only errors whose disposition trips count; the caller's errors, rate limits, cancellation and streams that their
    reader left say nothing about the target and give the permit back. A refusal carries a step, an operation that was
    let through leaves none.

    Args:
        circuit: The target's circuit; it lives in `state` and outlives this guard.
        provider: The target's provider, for the error.
        model: The target's model, for the error.
    """

    __slots__ = ("circuit", "model", "provider")

    def __init__(self, circuit: TargetCircuit, *, provider: str, model: str) -> None:
        """Guard one target."""
        self.circuit = circuit
        self.provider = provider
        self.model = model

    @override
    def around(self, operation: Operation) -> _Passage:
        return _Passage(self)

    def refusal(self, refused: Refused) -> CircuitOpenError:
        """Return the error that says why nothing was sent, with its step."""
        error = CircuitOpenError(
            refused.message, provider=self.provider, model=self.model, retry_after=refused.retry_after_s
        )
        return error.with_step(Step("breaker", f"{self.provider}/{self.model}", "refused", error.reason))

    @override
    def __repr__(self) -> str:
        return "Breaker"


class _Passage(Outcome):
    """One guarded operation: takes a permit and gives it back exactly once; the first verdict counts."""

    __slots__ = ("_guard", "_permit")

    def __init__(self, guard: Breaker) -> None:
        self._guard = guard
        self._permit: Permit | None = None

    async def __aenter__(self) -> Self:
        permit = self._guard.circuit.admit()
        if isinstance(permit, Refused):
            raise self._guard.refusal(permit)
        self._permit = permit
        return self

    @property
    @override
    def step(self) -> Step | None:
        return None

    @override
    def began(self) -> None:
        """Note that the stream's first event came."""
        if self._permit is not None:
            self._guard.circuit.began(self._permit)

    @override
    def answered(self, usage: Usage, cost: Charge, model: str) -> None:
        permit, self._permit = self._permit, None
        if permit is not None:
            self._guard.circuit.succeeded(permit)

    @override
    def failed(self, error: LoomError) -> None:
        permit, self._permit = self._permit, None
        if permit is None:
            return
        if error.disposition.trips_breaker:
            self._guard.circuit.failed(permit, error.code)
        else:
            self._guard.circuit.ignored(permit)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        permit, self._permit = self._permit, None
        if permit is not None:
            self._guard.circuit.ignored(permit)

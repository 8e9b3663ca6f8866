"""Passage: one block or call that a circuit lets through, judged by what leaves it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import final

from typing_extensions import override

from loomwire.application.state.breaking.circuit import Circuit
from loomwire.application.state.breaking.permits import Permit, Refused
from loomwire.domain.errors import CircuitOpenError, LoomError
from loomwire.domain.reports.steps import Step


@final
class Passage(AbstractContextManager[None, None], AbstractAsyncContextManager[None, None]):
    """One guarded block; see `CircuitBreaker.around`. It is entered once."""

    __slots__ = ("_circuit", "_counts", "_permit")

    def __init__(self, circuit: Circuit, counts: Callable[[Exception], bool]) -> None:
        """Stand before the circuit."""
        self._circuit = circuit
        self._counts = counts
        self._permit: Permit | None = None

    def handed_on(self) -> Passage:
        """Return a passage that has this one's permit, for who goes on with the work; this one is over."""
        heir = Passage(self._circuit, self._counts)
        heir._permit, self._permit = self._permit, None
        return heir

    @override
    def __enter__(self) -> None:
        if self._permit is not None:
            return
        permit = self._circuit.admit()
        if isinstance(permit, Refused):
            error = CircuitOpenError(permit.message, retry_after=permit.retry_after_s)
            raise error.with_step(Step("breaker", permit.name, "refused", error.reason))
        self._permit = permit

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        permit, self._permit = self._permit, None
        if permit is None:
            return
        try:
            if error is None:
                self._circuit.succeeded(permit)
            elif isinstance(error, Exception) and self._counts(error):
                self._circuit.failed(permit, error.code if isinstance(error, LoomError) else type(error).__name__)
        finally:
            # Gives the permit back when it was not used up, also when the host's `counts` raises.
            self._circuit.ignored(permit)

    @override
    async def __aenter__(self) -> None:
        self.__enter__()

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.__exit__(kind, error, trace)

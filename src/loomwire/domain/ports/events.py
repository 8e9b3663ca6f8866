"""The port for observers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, runtime_checkable

from loomwire.domain.events import CallOutcome, CallRecord


class IEventSink(Protocol):
    """Is told of every call and attempt. Called on the caller's thread or loop: it must be fast and never block."""

    @abstractmethod
    def emit(self, record: CallRecord) -> None:
        """Take a record. Whatever it raises is logged, once per kind and place, and never reaches a caller."""


@runtime_checkable
class ISelectiveSink(IEventSink, Protocol):
    """A sink that can say beforehand that it would throw a record away; then none is made, and every call is faster."""

    @abstractmethod
    def wants(self, outcome: CallOutcome) -> bool:
        """Return whether a record of a call or attempt that ended so would be looked at now. Must not raise."""

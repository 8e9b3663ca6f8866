"""The port for observers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from loomwire.domain.events import CallRecord


class IEventSink(Protocol):
    """Is told of every call and attempt. Called on the caller's thread or loop: it must be fast and never block."""

    @abstractmethod
    def emit(self, record: CallRecord) -> None:
        """Take a record. Whatever it raises is logged, once per kind and place, and never reaches a caller."""

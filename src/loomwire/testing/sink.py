"""An observer that remembers."""

from __future__ import annotations

from typing import Literal, final

from typing_extensions import override

from loomwire.domain.events import CallRecord
from loomwire.domain.ports.events import IEventSink


@final
class RecordingSink(IEventSink):
    """Keeps every record in order. Safe from any thread.

    Example:
        >>> sink = RecordingSink()
        >>> sink.emit(CallRecord("call", "planner", "offline", "helper", "answered", 0.25))
        >>> [record.outcome for record in sink.calls]
        ['answered']
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._records: list[CallRecord] = []

    @override
    def __repr__(self) -> str:
        return f"RecordingSink({len(self._records)} records)"

    @property
    def records(self) -> tuple[CallRecord, ...]:
        """Every record so far, oldest first."""
        return tuple(self._records)

    @property
    def calls(self) -> tuple[CallRecord, ...]:
        """The records of whole calls."""
        return self._of("call")

    @property
    def attempts(self) -> tuple[CallRecord, ...]:
        """The records of single attempts."""
        return self._of("attempt")

    @override
    def emit(self, record: CallRecord) -> None:
        self._records.append(record)

    def clear(self) -> None:
        """Forget what was recorded."""
        self._records.clear()

    def _of(self, level: Literal["call", "attempt"]) -> tuple[CallRecord, ...]:
        return tuple(record for record in tuple(self._records) if record.level == level)

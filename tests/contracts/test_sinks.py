"""Our event sinks keep the contract of IEventSink."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from typing_extensions import override

from loomwire.domain.ports.events import IEventSink
from loomwire.infrastructure.telemetry.sinks import LoggingSink
from loomwire.testing import RecordingSink
from loomwire.testing.contracts.sink import EventSinkContract


class TestRecordingSink(EventSinkContract):
    @override
    def sink(self) -> IEventSink:
        return RecordingSink()

    @override
    def taken(self, sink: IEventSink) -> int | None:
        return len(sink.records) if isinstance(sink, RecordingSink) else None


class TestLoggingSink(EventSinkContract):
    """With the level on, so that every record becomes a line."""

    @pytest.fixture(autouse=True)
    def lines(self, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
        """Let every line through."""
        with caplog.at_level(logging.DEBUG, logger="loomwire.calls"):
            self.caplog = caplog
            yield

    @override
    def sink(self) -> IEventSink:
        return LoggingSink()

    @override
    def taken(self, sink: IEventSink) -> int | None:
        return sum(record.name == "loomwire.calls" for record in self.caplog.records)

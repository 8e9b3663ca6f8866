"""Where call records go."""

from __future__ import annotations

import logging
from typing import final

from typing_extensions import override

from loomwire.domain.events import CallOutcome, CallRecord
from loomwire.domain.ports.events import ISelectiveSink
from loomwire.domain.pricing import Cost

_LOGGER = logging.getLogger("loomwire.calls")


@final
class LoggingSink(ISelectiveSink):
    """Writes one line per record to the logger `loomwire.calls`: INFO for failures, DEBUG for everything else.

    The line holds names, numbers and codes as `key=value`, never a prompt, an answer, a tenant or a session. Names
    may come from a server, so whatever is not printable, and the blanks that would forge a field, is escaped.
    Formats nothing while the level is off. Safe from any thread.
    """

    __slots__ = ()

    @override
    def emit(self, record: CallRecord) -> None:
        if self.wants(record.outcome):
            _LOGGER.log(_level(record.outcome), "%s", _line(record))

    @override
    def wants(self, outcome: CallOutcome) -> bool:
        return _LOGGER.isEnabledFor(_level(outcome))


def _level(outcome: CallOutcome) -> int:
    return logging.INFO if outcome == "failed" else logging.DEBUG


def _line(record: CallRecord) -> str:
    fields = [
        ("client", _shown(record.client)),
        ("operation", "" if record.operation == "chat" else record.operation),
        ("target", f"{_shown(record.provider)}/{_shown(record.model)}" if record.provider or record.model else ""),
        ("outcome", record.outcome),
        ("code", record.code),
        ("latency_s", f"{record.latency_s:.3f}"),
        ("streamed", "yes" if record.streamed else ""),
        ("tokens", f"{record.usage.input_tokens}+{record.usage.output_tokens}" if record.usage is not None else ""),
        ("degraded", "yes" if record.degraded else ""),
        ("cost_usd", f"{record.cost.usd:f}" if isinstance(record.cost, Cost) else ""),
    ]
    return " ".join((record.level, *(f"{name}={value}" for name, value in fields if value)))


def _shown(text: str) -> str:
    if text.isprintable() and " " not in text:
        return text
    return "".join(c if c.isprintable() and c != " " else f"\\x{ord(c):02x}" for c in text)

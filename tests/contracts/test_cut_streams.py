"""A stream of any dialect that is cut, at whatever byte, is whole or says exactly what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, StreamInterruptedError
from loomwire.domain.events import StreamEvent, TextDelta
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import LLMRequest
from loomwire.domain.tools import Tool
from loomwire.domain.values import ToolCall
from loomwire.infrastructure.providers.offline.reply import Reply
from loomwire.infrastructure.providers.rows.kinds import Also
from loomwire.infrastructure.providers.speech import dialect_of
from loomwire.infrastructure.providers.table import DIALECTS
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect
from loomwire.testing.speakers.table import speaker_of
from loomwire.testing.speaking import Saying
from loomwire.testing.wire import ReceivedRequest
from support.dialects import target_of

SAID: Final = Reply(
    "Wörds 🌧.",
    reasoning="Hm…",
    signature="c2ln",
    tool_calls=(ToolCall("call_a", "look", {"city": "Łódź"}), ToolCall("call_b", "time", {})),
    usage=Usage(100, 20),
)


@dataclass(frozen=True)
class Ended:
    """How a stream ended.

    Attributes:
        answer: What came.
        text: What was handed out as visible text.
        error: What was raised, or None.
    """

    answer: Answer
    text: str
    error: LLMError | None


def ended(dialect: Dialect, config: LLMConfig, data: bytes) -> Ended:
    """Read a stream that ends after some bytes, as the client does."""
    answer = Answer(config)
    framer, reader = dialect.framer(config.limits), dialect.reader(answer)
    events: list[StreamEvent] = []
    error = None
    try:
        for event, piece in (*framer.feed(data), *framer.flush()):
            events += () if answer.finished else reader.decode_event(event, piece)
        events += reader.end()
    except LLMError as caught:
        error = caught
    return Ended(answer, "".join(each.text for each in events if isinstance(each, TextDelta)), error)


def said(answer: Answer) -> tuple[str, object, object, object]:
    """Return what must not depend on where a stream is cut once it is whole; ids are made up where there are none."""
    whole = answer.response()
    return whole.text, whole.finish, whole.reasoning, [(call.name, call.arguments) for call in whole.tool_calls]


@pytest.mark.parametrize("name", DIALECTS)
def test_a_stream_cut_at_any_byte_is_whole_or_interrupted_with_what_came(
    pytestconfig: pytest.Config, name: str
) -> None:
    config = target_of(name, "http://127.0.0.1:1/v1")
    dialect = dialect_of(Also(dialect=name), DIALECTS)
    body = dialect.encode(LLMRequest.of("Hi", tools=(Tool("look"), Tool("time"))), config, stream=True)
    request = ReceivedRequest("POST", dialect.path(config, stream=True), b"", body, (0, 0, 0))
    saying = speaker_of(name).words(SAID, request)
    assert isinstance(saying, Saying)
    data = b"".join(saying.events)
    whole = said(ended(dialect, config, data).answer)
    assert whole[0] == SAID.text
    assert whole[3] == [(call.name, call.arguments) for call in SAID.tool_calls]
    # Every third byte up to the last is inside every event and every letter of several; all of them with --full.
    step = 1 if pytestconfig.getoption("--full") else 3
    ends = [ended(dialect, config, data[:cut]) for cut in range((len(data) - 1) % step, len(data), step)]
    first = next(at for at, end in enumerate(ends) if end.error is None)
    # Half of the first event could be half of anything: no answer. What is whole once stays so.
    assert {end.error.reason for end in ends[:first] if end.error is not None} == {"protocol", "stream_interrupted"}
    assert [end for end in ends[first:] if end.error is not None or said(end.answer) != whole] == []
    for end in ends[:first]:
        assert whole[0].startswith(end.text)
        if isinstance(end.error, StreamInterruptedError):
            assert end.error.partial_text == end.text

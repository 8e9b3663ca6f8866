"""A dialect that is spoken with quirks needs to say only what is its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.events import Finished, StreamEvent, TextDelta
from loomwire.domain.policies import WireLimits
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.providers.quirks import Quirks
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.tuned import AnswerReader, TunedDialect
from loomwire.infrastructure.transport.framing.sse import SSEDecoder

CONFIG = LLMConfig.custom("m", name="vendor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loudness(Quirks):
    """How loud a vendor is."""

    loud: bool = False


class Echo(AnswerReader):
    """Takes bodies and events for text."""

    def __init__(self, answer: Answer) -> None:
        """Read into an answer."""
        self._answer = answer

    @override
    def decode_event(self, event: str, data: bytes) -> Sequence[StreamEvent]:
        return (self._answer.add_text(data.decode()),)

    @override
    def end(self) -> Sequence[StreamEvent]:
        return self._answer.end()

    @override
    def decode_whole(self, body: bytes) -> Sequence[StreamEvent]:
        return (*self.decode_event("", body), *self.end())


@final
class Shouting(TunedDialect[Loudness]):
    """A dialect of nothing but text."""

    __slots__ = ()

    answer_mark: ClassVar[bytes] = b""

    @override
    def path(self, config: LLMConfig, *, stream: bool) -> str:
        return "/shout"

    @override
    def encode(self, request: LLMRequest, config: LLMConfig, *, stream: bool) -> bytes:
        said = request.messages[0].text
        return (said.upper() if self._quirks.loud else said).encode()

    @override
    def reader(self, answer: Answer) -> Echo:
        return Echo(answer)

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        return llm_error("server", "no")


def test_a_dialect_speaks_by_its_quirks() -> None:
    request = LLMRequest.of("Hi")
    assert Shouting(Loudness()).encode(request, CONFIG, stream=False) == b"Hi"
    assert Shouting(Loudness(loud=True)).encode(request, CONFIG, stream=False) == b"HI"


def test_unless_it_says_otherwise_it_streams_events_and_adds_no_header() -> None:
    dialect = Shouting(Loudness())
    assert isinstance(dialect.framer(WireLimits()), SSEDecoder)
    assert dialect.headers(CONFIG) == {}
    assert dialect.path(CONFIG, stream=True) == "/shout"


def test_its_reader_reads_whole_answers_too() -> None:
    answer = Answer(CONFIG)
    assert Shouting(Loudness()).decode(b"Hi", answer) == (TextDelta("Hi"), Finished(None))
    assert answer.result().text == "Hi"
    assert Shouting(Loudness()).error_for(500, {}, b"", CONFIG).reason == "server"

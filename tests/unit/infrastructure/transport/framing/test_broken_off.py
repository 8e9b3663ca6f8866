"""What came whole before a fault is delivered first, whatever framing it is and however the network cut it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMError
from loomwire.domain.policies import WireLimits
from loomwire.infrastructure.providers.ollama.framing import LineFramer
from loomwire.infrastructure.transport.framing.eventstream import EventStreamDecoder
from loomwire.infrastructure.transport.framing.json_stream import JSONStreamDecoder
from loomwire.infrastructure.transport.framing.ndjson import NDJSONDecoder
from loomwire.infrastructure.transport.framing.sniffed import SniffedDecoder
from loomwire.infrastructure.transport.framing.sse import SSEDecoder
from loomwire.testing.speakers.bedrock.frames import event
from support.cuts import Decoder, cut

LIMIT = 30


def lines() -> LineFramer:
    return LineFramer(WireLimits(event=LIMIT))


FRAMINGS: dict[str, tuple[Callable[[], Decoder[object]], bytes, bytes]] = {
    "SSE, an endless line": (lambda: SSEDecoder(LIMIT), b'data: {"a":1}\n\n', b"data: " + b"x" * 90),
    "SSE, a long event": (lambda: SSEDecoder(LIMIT), b'data: {"a":1}\n\n', b"data: 12345678\n" * 5 + b"\n"),
    "SSE, a long line": (
        lambda: SSEDecoder(LIMIT),
        b"event: e\r\ndata: {}\r\n\r\n",
        b"data: " + b"x" * 90 + b"\n",
    ),
    "NDJSON, an endless line": (lambda: NDJSONDecoder(LIMIT), b'{"a":1}\n', b"x" * 90),
    "NDJSON, a long line": (lambda: NDJSONDecoder(LIMIT), b'{"a":1}\n', b"x" * 90 + b"\n{}\n"),
    "Ollama's lines": (lines, b'{"a":1}\n', b"x" * 90),
    "JSON, an endless value": (lambda: JSONStreamDecoder(LIMIT), b'{"a":1}', b'{"b":"' + b"x" * 90),
    "JSON, a long value": (lambda: JSONStreamDecoder(LIMIT), b'{"a":1}', b'{"b":"' + b"x" * 90 + b'"}'),
    "Google's events": (lambda: SniffedDecoder(LIMIT), b'data: {"a":1}\r\n\r\n', b"data: " + b"x" * 90),
    "Google's array": (lambda: SniffedDecoder(LIMIT), b'{"a":1}', b'{"b":"' + b"x" * 90),
    "messages, no message": (lambda: EventStreamDecoder(LIMIT), event("e", b"{}"), b"data: " + b"x" * 90),
    "messages, a long one": (lambda: EventStreamDecoder(LIMIT), event("e", b"{}"), event("e", b"x" * 90)),
    "messages, a spoiled one": (lambda: EventStreamDecoder(LIMIT), event("e", b"{}"), event("e", b"{}")[:-1] + b"?"),
}


def told(decoder: Decoder[object], parts: list[bytes]) -> tuple[list[object], str]:
    found: list[object] = []
    for part in parts:
        try:
            found += decoder.feed(part)
        except LLMError as error:
            return found, error.reason
        if decoder.failure is not None:
            return found, decoder.failure.reason
    return found, ""


@pytest.mark.parametrize("name", FRAMINGS)
@given(before=st.integers(0, 3), places=st.lists(st.integers(0, 500), max_size=6))
def test_no_cut_changes_what_is_delivered_before_a_fault(name: str, before: int, places: list[int]) -> None:
    make, whole, fault = FRAMINGS[name]
    good, reason = told(make(), [whole] * before)
    assert (len(good), reason) == (before, "")
    found, reason = told(make(), cut(whole * before + fault, places))
    assert found == good
    assert reason == ("protocol" if name in ("messages, no message", "messages, a spoiled one") else "too_large")


@pytest.mark.parametrize("name", FRAMINGS)
def test_a_fault_behind_nothing_is_raised_at_once(name: str) -> None:
    make, _, fault = FRAMINGS[name]
    decoder = make()
    with pytest.raises(LLMError):
        decoder.feed(fault)
    assert decoder.failure is None


@pytest.mark.parametrize("name", FRAMINGS)
def test_who_goes_on_after_a_fault_is_told_again(name: str) -> None:
    make, whole, fault = FRAMINGS[name]
    decoder = make()
    decoder.feed(whole + fault)
    assert decoder.failure is not None
    with pytest.raises(LLMError) as caught:
        decoder.feed(whole)
    assert caught.value is decoder.failure
    with pytest.raises(LLMError) as caught:
        decoder.flush()
    assert caught.value is decoder.failure

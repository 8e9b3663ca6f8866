"""Messages of an AWS event stream: the same for every cut of the same bytes, checked, capped, and never guessed."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from contextlib import suppress
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMProtocolError
from loomwire.infrastructure.transport.framing.eventstream import MOST_HEADERS, EventStreamDecoder
from loomwire.testing.speakers.bedrock.frames import event, exception, framed
from support.cuts import cut, fed

ONE, TWO = event("messageStart", b'{"role":"assistant"}'), event("contentBlockDelta", b'{"p":"\n\r\n\n"}')
SAID = [("messageStart", b'{"role":"assistant"}'), ("contentBlockDelta", b'{"p":"\n\r\n\n"}')]


def read(*parts: bytes, limit: int = 1000) -> tuple[list[tuple[str, bytes]], bytes, bool]:
    """Return messages, stray text, and whether the body was cut."""
    decoder = EventStreamDecoder(limit, 64)
    found: list[tuple[str, bytes]] = [*fed(decoder, parts)]
    found += [(each.event, each.data) for each in decoder.flush()]
    return found, decoder.stray, decoder.unfinished


def raw(headers: bytes, payload: bytes = b"{}") -> bytes:
    """Return a message with any bytes for headers, lengths and checksums right."""
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    whole = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return whole + struct.pack(">I", crc32(whole))


@pytest.mark.parametrize(
    ("body", "messages", "stray", "unfinished"),
    [
        (b"", [], b"", False),
        (ONE + TWO, SAID, b"", False),
        (ONE + TWO[:-1], SAID[:1], b"", True),
        (ONE + TWO[:5], SAID[:1], b"", True),
        (event("empty", b""), [("empty", b"")], b"", False),
        (b'{"message":"no"}', [], b'{"message":"no"}', False),
        (b'\r\n [{"a":1}]', [], b'[{"a":1}]', False),
        (b"{}", [], b"{}", False),
        (ONE + b' {"message": "late"}', SAID[:1], b'{"message": "late"}', False),
        (ONE + b" " * 40, SAID[:1], b"", False),
        (b"\n" * 5, [], b"", False),
        (exception("slowDown", b'{"message":"no"}'), [("exception:slowDown", b'{"message":"no"}')], b"", False),
        (
            framed(((":message-type", "error"), (":error-code", "Bad"), (":error-message", 'no"')), b""),
            [("error:Bad", b'{"message":"no\\""}')],
            b"",
            False,
        ),
    ],
)
def test_messages_are_read_right_for_every_split(
    body: bytes, messages: list[tuple[str, bytes]], stray: bytes, unfinished: bool
) -> None:
    expected = (messages, stray, unfinished)
    assert read(body) == expected
    assert read(*(body[at : at + 1] for at in range(len(body)))) == expected
    for place in range(len(body)):
        assert read(body[:place], body[place:]) == expected


@given(st.lists(st.tuples(st.text(max_size=9), st.binary(max_size=40)), max_size=6), st.lists(st.integers(0, 500)))
def test_no_cut_changes_the_messages(said: list[tuple[str, bytes]], places: list[int]) -> None:
    body = b"".join(event(kind, payload) for kind, payload in said)
    assert read(*cut(body, places)) == (said, b"", False)


@given(st.binary(max_size=200), st.lists(st.integers(0, 300)), st.booleans())
def test_any_bytes_are_messages_or_a_typed_error(body: bytes, places: list[int], after: bool) -> None:
    with suppress(LLMProtocolError):
        read(*cut(ONE + body if after else body, places))


@given(st.integers(0, len(ONE) - 1), st.integers(1, 255))
def test_no_changed_byte_passes(place: int, by: int) -> None:
    spoiled = bytearray(ONE)
    spoiled[place] ^= by
    try:
        messages, stray, unfinished = read(bytes(spoiled))
    except LLMProtocolError:
        return
    assert messages == []
    assert stray or unfinished


@given(st.lists(st.integers(0, 255), max_size=60).map(bytes))
def test_any_headers_give_a_name_or_a_typed_error(headers: bytes) -> None:
    with suppress(LLMProtocolError):
        ((name, data),) = read(raw(headers))[0]
        assert isinstance(name, str)
        assert data == b"{}" or name.startswith("error:")


def test_headers_that_are_no_texts_are_passed_over() -> None:
    kinds: Sequence[tuple[int, bytes]] = (
        (0, b""), (1, b""), (2, b"x"), (3, b"xx"), (4, b"xxxx"), (5, b"x" * 8), (6, b"\0\2xx"), (8, b"x" * 8),
        (9, b"x" * 16),
    )  # fmt: skip
    headers = b"".join(b"\x01h" + bytes([kind]) + value for kind, value in kinds)
    named = b"\x0b:event-type\x07\0\x04ping"
    assert read(raw(headers + named))[0] == [("ping", b"{}")]


@pytest.mark.parametrize(
    "headers",
    [b"\x05ab", b"\x01h", b"\x01h\x07", b"\x01h\x07\0", b"\x01h\x07\0\x09ab", b"\x01h\x0a", b"\x01h\x05abc"],
    ids=repr,
)
def test_cut_headers_are_a_protocol_error(headers: bytes) -> None:
    with pytest.raises(LLMProtocolError, match="headers of a message"):
        read(raw(headers))


def test_a_message_above_the_limit_is_refused_before_it_is_read() -> None:
    large = event("m", b"x" * 1001)
    for parts in ((large,), (large[:40],), (large[:12], large[12:])):
        with pytest.raises(LLMProtocolError, match=r"limits\.event") as caught:
            read(*parts)
        assert caught.value.reason == "too_large"
    with pytest.raises(LLMProtocolError, match=r"limits\.event"):
        read(raw(b"\x01h\x06" + b"\xff\xff" + b"x" * MOST_HEADERS))
    assert read(event("m", b"x" * 1000))[0] == [("m", b"x" * 1000)]


def test_lengths_that_contradict_each_other_are_a_protocol_error() -> None:
    lengths = struct.pack(">II", 20, 10)
    with pytest.raises(LLMProtocolError, match="shorter than its headers"):
        read(lengths + struct.pack(">I", crc32(lengths)) + b"x" * 30)


def test_a_page_is_a_protocol_error() -> None:
    with pytest.raises(LLMProtocolError, match="no message of an event stream"):
        read(b"<!DOCTYPE html><html></html>")


def test_stray_text_is_kept_up_to_its_limit() -> None:
    text = json.dumps({"message": "x" * 200}).encode()
    for parts in ((text,), tuple(text[at : at + 1] for at in range(len(text)))):
        assert read(*parts)[1] == text[:64]


def test_messages_with_equal_headers_keep_their_own_payload() -> None:
    bodies = [event("delta", b"%d" % number) for number in range(5)]
    odd = [framed(((":event-type", f"e{number}"), ("long", "x" * 600)), b"") for number in range(40)]
    messages, _, _ = read(*bodies, *odd)
    assert [data for name, data in messages if name == "delta"] == [b"%d" % number for number in range(5)]
    assert [name for name, _ in messages[5:]] == [f"e{number}" for number in range(40)]

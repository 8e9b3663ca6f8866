"""Server-sent events: the same for every cut of the same bytes, linear in the bytes, and honest about a cut body."""

from __future__ import annotations

import json
import random
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMProtocolError
from loomwire.domain.policies import MIB
from loomwire.infrastructure.transport.framing.sse import SSEDecoder, SSEEvent
from support.cuts import cut, fed


def whole(body: bytes, limit: int = MIB) -> tuple[list[SSEEvent], bool, bytes]:
    return pieces([body], limit)


def pieces(parts: list[bytes], limit: int = MIB) -> tuple[list[SSEEvent], bool, bytes]:
    decoder = SSEDecoder(limit)
    events = fed(decoder, parts)
    events += decoder.flush()
    return events, decoder.unfinished, decoder.stray


def messages(*data: str) -> list[SSEEvent]:
    return [SSEEvent("message", each.encode()) for each in data]


OTHER_ENDS = '{"a":"\u2028\u2029\x85\x0b\x0c"}'
CORPUS: list[tuple[str, bytes, list[SSEEvent]]] = [
    ("line feeds", b'data: {"a":1}\n\ndata: [DONE]\n\n', messages('{"a":1}', "[DONE]")),
    ("carriage returns", b"data: a\r\rdata: b\r\r", messages("a", "b")),
    ("both", b"data: a\r\n\r\ndata: b\r\n\r\n", messages("a", "b")),
    ("a return between", b"data: a\rdata: b\n\n", messages("a\nb")),
    ("several named", b"event: e\ndata: a\n\nevent: e\ndata: b\n\n", [SSEEvent("e", b"a"), SSEEvent("e", b"b")]),
    ("mixed ends", b"data: a\n\r\ndata: b\r\n\ndata: c\r\n\r", messages("a", "b", "c")),
    ("a mark at the start", b"\xef\xbb\xbfdata: a\n\n", messages("a")),
    ("a mark later is text", b"data: a\n\n\xef\xbb\xbfdata: b\n\n", messages("a")),
    ("comments", b": OPENROUTER PROCESSING\n\n:\n\ndata: a\n: x\ndata: b\n\n", messages("a\nb")),
    ("several data lines", b"data: {\ndata: }\n\n", messages("{\n}")),
    ("no blank after the colon", b"data:a\n\ndata:  b\n\n", messages("a", " b")),
    ("names", b"event: ping\ndata: {}\n\ndata: x\n\n", [SSEEvent("ping", b"{}"), SSEEvent("message", b"x")]),
    ("a name without a blank", b"event:ping\ndata:{}\n\n", [SSEEvent("ping", b"{}")]),
    ("a name after its data", b"data: {}\nevent: ping\n\n", [SSEEvent("ping", b"{}")]),
    ("a name without data is dropped", b"event: ping\n\ndata: x\n\n", messages("x")),
    ("ids and retries", b"id: 7\nretry: 10\ndata: a\n\n", messages("a")),
    ("a field without a colon", b"data\n\ndata\ndata\n\n", messages("", "\n")),
    ("unknown fields", b"foo: 1\ndata: a\nbar\n\n", messages("a")),
    ("other line ends are text", f"data: {OTHER_ENDS}\n\n".encode(), messages(OTHER_ENDS)),
    ("many blank lines", b"\n\n\ndata: a\n\n\n\n\n", messages("a")),
    ("blank event names", b"event:\ndata: a\n\n", messages("a")),
    ("a name that is no text", b"event: \xff\ndata: a\n\n", [SSEEvent("\ufffd", b"a")]),
    ("nothing", b"", []),
]


@pytest.mark.parametrize(("body", "events"), [row[1:] for row in CORPUS], ids=[row[0] for row in CORPUS])
def test_the_corpus_is_read_right_for_every_split(body: bytes, events: list[SSEEvent]) -> None:
    assert whole(body) == (events, False, b"")
    assert pieces([body[i : i + 1] for i in range(len(body))]) == (events, False, b"")
    for place in range(len(body)):
        assert pieces([body[:place], body[place:]]) == (events, False, b"")
    for size in (2, 3, 7):
        assert pieces([body[i : i + size] for i in range(0, len(body), size)]) == (events, False, b"")


_LINES = st.sampled_from(
    [b"data: ", b"data:", b"event: e", b"{", b'"a":1}', b":", b": c", b"id: 1", b"dat", b"\xef\xbb\xbf", b"x" * 30, b"",
     b"data: {}", b"data: [DONE]", "data: \u2028".encode()]
)  # fmt: skip
_ENDS = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b""])
_BODIES = st.lists(st.tuples(_LINES, _ENDS), max_size=25).map(lambda rows: b"".join(line + end for line, end in rows))


@given(_BODIES, st.lists(st.integers(0, 10_000), max_size=30))
@example(b"\r\ndata: {}\n\n\ndata: a\n\n", [1, 2, 12, 13])
@example(b"data: a\r\ndata: b\n\n", [8])
def test_no_cut_changes_what_is_read(body: bytes, places: list[int]) -> None:
    assert pieces(cut(body, places)) == whole(body)


@given(_BODIES, st.lists(st.integers(0, 10_000), max_size=10))
def test_no_cut_changes_what_is_too_large(body: bytes, places: list[int]) -> None:
    def refused(parts: list[bytes]) -> bool:
        try:
            pieces(parts, limit=20)
        except LLMProtocolError:
            return True
        return False

    assert refused(cut(body, places)) == refused([body])


@given(st.lists(st.tuples(st.sampled_from(["message", "delta"]), st.text()), max_size=8), st.integers(1, 9))
def test_what_a_server_writes_is_what_is_read(sent: list[tuple[str, str]], size: int) -> None:
    body = b"".join(
        (f"event: {name}\n" if name != "message" else "").encode() + f"data: {json.dumps(text)}\n\n".encode()
        for name, text in sent
    )
    events, unfinished, _ = pieces([body[i : i + size] for i in range(0, len(body), size)])
    assert [(event.event, json.loads(event.data)) for event in events] == sent
    assert not unfinished


@pytest.mark.parametrize(
    ("tail", "events", "unfinished"),
    [
        (b'data: {"a":1}', messages('{"a":1}'), False),
        (b'data: {"a":1}\n', messages('{"a":1}'), False),
        (b'data: {"a":1}\r', messages('{"a":1}'), False),
        (b"data: [DONE]", messages("[DONE]"), False),
        (b'data: {"a":1}\nid: 4', messages('{"a":1}'), False),
        (b'data: {"a":', [], True),
        (b"data: hello", [], True),
        (b"data: ", [], True),
        (b"data:", [], True),
        (b"da", [], True),
        (b"event: message_st", [], True),
        (b"event: message_stop\n", [], True),
        (b'data: {"a":1}\nda', [], True),
        (b'data: {"a":"\xe2\x80', [], True),
        (b"data: " + b"[" * 100_000, [], True),
        (b": comment", [], False),
        (b"id: 5", [], False),
        (b"</html>", [], False),
    ],
)
def test_the_end_delivers_what_is_whole_and_admits_what_is_not(
    tail: bytes, events: list[SSEEvent], unfinished: bool
) -> None:
    before = b"data: first\n\n"
    assert whole(before + tail)[:2] == ([*messages("first"), *events], unfinished)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"no"}}',
        b'\n\n  {"error":{"message":"no"}}',
        b'{\n  "error": {\n    "message": "no"\n  }\n}\n',
        b'\r\n{\r\n  "error":\r\n{"message": "no"}}',
        b'[{\n  "error": {\n    "message": "no"\n  }\n}\n]',
    ],
)
def test_json_instead_of_events_is_collected(body: bytes) -> None:
    for parts in ([body], [body[i : i + 1] for i in range(len(body))]):
        events, unfinished, stray = pieces(parts)
        assert (events, unfinished) == ([], False)
        assert json.loads(stray) == json.loads(body)


def test_stray_text_is_kept_up_to_its_limit_only() -> None:
    decoder = SSEDecoder(stray_limit=50)
    for _ in range(1000):
        decoder.feed(b'{"a": 1}\n')
    assert len(decoder.stray) <= 60


def test_html_is_neither_events_nor_stray() -> None:
    assert whole(b"<html>\n<body>data: x</body>\n</html>\n") == ([], False, b"")


@pytest.mark.parametrize(
    "body", [b"data: " + b"x" * 200, b"x" * 200, b": " + b"x" * 200 + b"\n", b"data: x\n" * 200, b"data:\n" * 200]
)
def test_a_line_or_event_above_the_limit_is_refused(body: bytes) -> None:
    for parts in ([body], [body[i : i + 1] for i in range(len(body))]):
        with pytest.raises(LLMProtocolError) as caught:
            pieces(parts, limit=100)
        assert (caught.value.reason, caught.value.phase) == ("too_large", "body")


def test_an_endless_line_is_refused_at_the_limit_and_not_later() -> None:
    decoder = SSEDecoder(limit=100_000)
    for _ in range(100):
        decoder.feed(b"x" * 1000)
    with pytest.raises(LLMProtocolError):
        decoder.feed(b"x")


def _seconds(parts: list[bytes]) -> float:
    decoder = SSEDecoder(limit=8 * MIB)
    started = time.process_time()
    for part in parts:
        decoder.feed(part)
    return time.process_time() - started


@pytest.mark.parametrize("line", [b"x", b"x\n", b"data: x\n", b'data: {"a":1}\n\n', b"{\n", b"\r"])
def test_the_work_grows_with_the_bytes_and_not_with_their_square(line: bytes) -> None:
    small, large = (line * (size // len(line)) for size in (16 * 1024, 256 * 1024))
    cuts = [[body[i : i + 256] for i in range(0, len(body), 256)] for body in (small, large)]
    took = [min(_seconds(parts) for _ in range(2)) for parts in cuts]
    # Sixteen times the bytes would take 256 times as long in a quadratic decoder.
    assert took[1] < 64 * max(took[0], 0.0005)


def test_random_bytes_never_raise_anything_else() -> None:
    dice = random.Random(7)
    for _ in range(300):
        body = bytes(dice.choices(b"data: event\n\r{}[]\xe2\x80\xa8\x00\xff", k=dice.randrange(200)))
        assert whole(body) == pieces(cut(body, [dice.randrange(300) for _ in range(5)]))

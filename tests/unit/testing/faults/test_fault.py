"""Each fault is what its row says, spoils exactly the answers that it can spoil, and tells the server's books."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable
from itertools import islice

import pytest

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.values import ToolCall
from loomwire.testing import FAULTS, End, Failure, FakeResolver, Fault, ReceivedRequest, Reply
from loomwire.testing.wire import Piece

REPLY = Reply("One two three four.", tool_calls=(ToolCall("a", "first", {"n": 1}), ToolCall("b", "second", {"n": 2})))
ENDLESS = {"endless_body", "endless_line", "endless_header"}
PLAYED = sorted(name for name, kind in FAULTS.items() if kind.play is not None)
RIGHT = {"ok", "slow_ok", "slow_loris"}
"""What differs from the right answer in time alone, if at all."""


def asked(*, stream: bool = False, path: str = "/v1/chat/completions", body: bytes | None = None) -> ReceivedRequest:
    """Return a request as a server would have read it."""
    said = json.dumps({"model": "m", "messages": [], "stream": stream}).encode()
    request = ReceivedRequest("POST", path, b"", said if body is None else body, (1, 1, 1))
    request.elsewhere = "http://127.0.0.1:2/v1"
    return request


def sent(pieces: Iterable[Piece], most: int = 20_000) -> bytes:
    """Return the bytes of the first pieces."""
    return b"".join(piece for piece in islice(pieces, most) if isinstance(piece, bytes))


def played(name: str, *, stream: bool = False, reply: Reply = REPLY) -> bytes:
    return sent(Fault(name, reply).pieces(asked(stream=stream)), most=10 if name in ENDLESS else 20_000)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", PLAYED)
def test_a_fault_spoils_the_answers_that_it_can_and_no_others(name: str, stream: bool) -> None:
    right = played("ok", stream=stream)
    spoiled = played(name, stream=stream)
    touches = FAULTS[name].spoils(stream=stream) and name not in RIGHT
    assert (spoiled != right) is touches


@pytest.mark.parametrize("name", PLAYED)
def test_a_fault_tells_the_log_its_name_and_the_books_whether_the_model_ran(name: str) -> None:
    request = asked(stream=True)
    sent(Fault(name, REPLY).pieces(request), most=3)
    assert request.fault == name
    assert (request.saying is not None) is FAULTS[name].ran


@pytest.mark.parametrize("name", sorted(ENDLESS))
def test_an_endless_fault_ends_only_with_the_connection(name: str) -> None:
    last = list(islice(Fault(name).pieces(asked(stream=True)), 500))
    assert len(last) == 500
    assert last[-1] == last[-2]


@pytest.mark.parametrize("name", sorted(set(PLAYED) - ENDLESS))
def test_every_other_fault_has_an_end(name: str) -> None:
    pieces = list(islice(Fault(name, "Hi.").pieces(asked(stream=True)), 5000))
    assert len(pieces) < 5000


def test_the_names_are_short_words_and_every_row_is_complete() -> None:
    for name, kind in FAULTS.items():
        assert name == kind.name
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+){0,3}", name)
        assert kind.says.endswith(".")
        assert (kind.play is None) is bool(kind.setup)
        assert kind.spoils(stream=True) or kind.spoils(stream=False)


@pytest.mark.parametrize(("name", "hint"), [("reset_cut", "cut_reset"), ("stal", "stall"), ("qqq", "FAULTS")])
def test_an_unknown_fault_is_refused_with_what_may_be_meant(name: str, hint: str) -> None:
    with pytest.raises(LLMValidationError, match="no fault") as caught:
        Fault(name)
    assert hint in (caught.value.hint or "")


def test_a_fault_of_servers_and_networks_is_no_reply_and_says_how_to_get_it() -> None:
    with pytest.raises(LLMValidationError, match="none of a reply") as caught:
        Fault("tls_expired")
    assert 'tls="expired"' in (caught.value.hint or "")


@pytest.mark.parametrize(("name", "status"), [("hang", 500), ("status", 99), ("status", 1000)])
def test_a_status_is_only_for_faults_that_take_one(name: str, status: int) -> None:
    with pytest.raises(LLMValidationError, match=f"takes no status {status}"):
        Fault(name, status=status)


def test_a_wait_is_only_for_statuses() -> None:
    with pytest.raises(LLMValidationError, match="takes no retry_after"):
        Fault("hang", retry_after=1)


@pytest.mark.parametrize(
    ("wait", "header"),
    [
        (None, None),
        (2, "2"),
        (0.5, "0.5"),
        (float("nan"), "nan"),
        (1e308, "1e+308"),
        (-1, "-1"),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT"),
    ],
)
def test_a_status_says_any_wait(wait: str | float | None, header: str | None) -> None:
    said = sent(Fault("status", status=429, retry_after=wait).pieces(asked())).decode()
    assert said.startswith("HTTP/1.1 429 Too Many Requests\r\n")
    found = re.search(r"\r\nretry-after: ([^\r]*)\r\n", said)
    assert (found[1] if found else None) == header


@pytest.mark.parametrize("status", [100, 204, 304])
def test_a_status_without_a_body_has_none(status: int) -> None:
    said = sent(Fault("status", status=status, retry_after="soon").pieces(asked()))
    assert said == b"HTTP/1.1 %d Fault\r\nretry-after: soon\r\n\r\n" % status


def test_a_status_is_503_unless_chosen_and_a_redirect_points_to_the_other_origin() -> None:
    assert played("status").startswith(b"HTTP/1.1 503 ")
    moved = sent(Fault("redirect", status=302).pieces(asked()))
    assert moved.startswith(b"HTTP/1.1 302 ")
    assert b"\r\nlocation: http://127.0.0.1:2/v1/chat/completions\r\n" in moved
    assert played("redirect").startswith(b"HTTP/1.1 307 ")


def test_an_echo_quotes_the_headers_and_the_body() -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer sk-test"
    request = ReceivedRequest("POST", "/v1/chat/completions", head, b'{"model": "asked"}', (1, 1, 1))
    said = sent(Fault("echo").pieces(request))
    assert said.startswith(b"HTTP/1.1 500 ")
    assert b"Bearer sk-test" in said
    assert b"asked" in said


def test_a_request_that_is_none_is_refused_as_ever_unless_the_fault_needs_no_words() -> None:
    bad = asked(body=b"{")
    assert sent(Fault("empty_choices").pieces(bad)).startswith(b"HTTP/1.1 400 ")
    assert sent(Fault("ok").pieces(bad)).startswith(b"HTTP/1.1 400 ")
    assert list(Fault("reset").pieces(bad)) == [End.RESET]
    assert sent(Fault("half_body").pieces(asked(path="/elsewhere", body=b""))).startswith(b"HTTP/1.1 200 ")
    assert bad.saying is None


def test_a_described_failure_is_an_error_whatever_the_fault() -> None:
    pieces = Fault("null_data", Reply(failure=Failure("throttled"))).pieces(asked())
    assert sent(pieces).startswith(b"HTTP/1.1 429 ")


def test_a_delay_is_waited_for_before_the_fault() -> None:
    slow = Reply("Late.", delay_s=0.25)
    assert list(Fault("reset", slow).pieces(asked())) == [0.25, End.RESET]
    assert list(Fault("ok", slow).pieces(asked()))[:2] == [0.25, played("ok", reply=Reply("Late."))]


def test_what_a_fault_says_is_what_a_right_client_returns() -> None:
    assert Fault("hang", "Hello.").said == "Hello."
    assert Fault("lone_surrogates", "Hello.").said == "Hello. \ufffd"
    assert Fault("u2028", "Hello.").said == "Hello.\u2028\u2029\x85after the separators"
    assert "\u2028".encode() in played("u2028")


def test_a_fault_shows_what_it_plays() -> None:
    assert repr(Fault("stall")) == "Fault('stall')"
    assert repr(Fault("status", status=429, retry_after=1)) == "Fault('status', status=429, retry_after='1')"


def test_the_bomb_unpacks_to_a_thousand_times_its_size() -> None:
    pieces = list(Fault("gzip_bomb").pieces(asked()))
    assert len(pieces) > 1000
    body = b"".join(piece.split(b"\r\n", 1)[1][:-2] for piece in pieces[1:40] if isinstance(piece, bytes))
    unpacked = zlib.decompressobj(31).decompress(
        sent(pieces[:1]).split(b"\r\n\r\n", 1)[1].split(b"\r\n", 1)[1][:-2] + body
    )
    assert len(unpacked) > 500 * len(body)
    assert not unpacked.strip()


def parted(name: str, *, stream: bool = False) -> tuple[bytes, bytes]:
    """Return head and body of what a fault plays, and of nothing else."""
    head, _, body = played(name, stream=stream).partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_lies_about_the_length_are_told_with_the_whole_answer(stream: bool) -> None:
    whole = unchunked(played("ok", stream=stream)) if stream else parted("ok")[1]
    for name, length in (("short_length", len(whole) // 2), ("body_in_204", len(whole))):
        head, body = parted(name, stream=stream)
        assert head.endswith(b"content-length: %d" % length)
        assert body == whole
    assert played("body_in_204", stream=stream).startswith(b"HTTP/1.1 204 ")


def unchunked(answer: bytes) -> bytes:
    """Return the body of a chunked answer."""
    return b"".join(re.findall(rb"[0-9a-f]+\r\n(data: .*?\n\n)\r\n", answer, re.DOTALL))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_chunks_are_cut_and_spoiled_where_the_rows_say(stream: bool) -> None:
    head, body = parted("no_last_chunk", stream=stream)
    assert head.endswith(b"transfer-encoding: chunked")
    assert not body.endswith(b"0\r\n\r\n")
    assert (b"[DONE]" if stream else b'"usage"') in body
    first, _, rest = parted("bad_chunk", stream=stream)[1].partition(b"\r\n-1\r\n")
    assert first
    assert rest


def test_a_packed_body_that_is_cut_has_a_right_length_and_no_end() -> None:
    head, body = parted("gzip_cut")
    assert head.endswith(b"content-encoding: gzip\r\ncontent-length: %d" % len(body))
    unpacker = zlib.decompressobj(31)
    assert parted("ok")[1].startswith(unpacker.decompress(body))
    assert not unpacker.eof


def test_encodings_and_documents_are_what_the_rows_say() -> None:
    whole = parted("ok")[1]
    assert parted("bom")[1] == b"\xef\xbb\xbf" + whole
    assert parted("utf16")[1].decode("utf-16-le").encode() == whole
    assert parted("two_documents")[1] == whole * 2
    assert unchunked(played("two_documents", stream=True)) == unchunked(played("ok", stream=True)) * 2
    assert unchunked(played("no_end_sign", stream=True)) + b"data: [DONE]\n\n" == unchunked(played("ok", stream=True))


def test_the_dialects_own_faults_stay_json_and_change_one_thing() -> None:
    reply = Reply('He said "}]".', tool_calls=REPLY.tool_calls)
    right = json.loads(parted_of("ok", reply))["choices"][0]
    assert json.loads(parted_of("no_finish_reason", reply))["choices"] == [{**right, "finish_reason": None}]
    parts = json.loads(parted_of("content_parts", reply))["choices"][0]["message"]
    assert parts == {**right["message"], "content": [{"type": "text", "text": reply.text}]}
    first, second = json.loads(parted_of("two_choices", reply))["choices"]
    assert (first, second["index"], second["message"]["content"]) == (right, 1, "said by nobody")
    calls = json.loads(parted_of("no_call_id", reply))["choices"][0]["message"]["tool_calls"]
    assert [call.keys() for call in calls] == [{"type", "function"}] * 2


def parted_of(name: str, reply: Reply) -> bytes:
    """Return the body of a plain answer."""
    return played(name, reply=reply).partition(b"\r\n\r\n")[2]


async def test_a_fake_resolver_knows_its_hosts_and_no_others() -> None:
    resolver = FakeResolver({"llm.test": ["127.0.0.1", "::1"]})
    assert await resolver("llm.test", 80) == ("127.0.0.1", "::1")
    with pytest.raises(OSError, match="unknown"):
        await resolver("other.test", 80)


def test_the_log_names_only_a_fault_that_was_played() -> None:
    request = asked()
    assert sent(Fault("comments", REPLY).pieces(request)) == played("ok")
    assert request.fault is None
    assert request.saying is not None

"""The recorder over real sockets: what it writes, what it leaves out, and that nobody waits for it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Literal

import pytest
from typing_extensions import override

from loomwire.domain.errors import ConfigError, LLMError, LLMValidationError
from loomwire.domain.policies import TransportPolicy
from loomwire.domain.ports.pool import ConnectionLease, IConnectionPool, PoolStats, WireAnswer, WireRequest
from loomwire.infrastructure.recordings.capture import Captured, CapturedAnswer
from loomwire.infrastructure.recordings.folder import Stored, read_any
from loomwire.infrastructure.recordings.writer import RecordingWriter
from loomwire.testing import End, FakeProvider, HttpReply, Recorder
from loomwire.testing.recorder import RecorderMode

POLICY = TransportPolicy(allow_private=True)
HEADERS = (("content-type", "application/json"), ("authorization", "Bearer sk-canary-77"))


async def send(pool: IConnectionPool, base_url: str, body: bytes = b'{"n":1}') -> tuple[ConnectionLease, WireAnswer]:
    """Send a request; whoever asked releases the lease."""
    lease = await pool.acquire(base_url, POLICY)
    return lease, await lease.send(WireRequest("/chat/completions", HEADERS, body))


async def said(pool: IConnectionPool, base_url: str, body: bytes = b'{"n":1}') -> bytes:
    """Send a request and return the whole answer."""
    lease, answer = await send(pool, base_url, body)
    try:
        return await answer.read()
    finally:
        pool.release(lease)
        pool.release(lease)


async def stored_in(folder: Path) -> tuple[Stored, ...]:
    """Return the recordings of a folder, read off the loop."""
    return await asyncio.to_thread(read_any, folder)


async def test_what_was_recorded_is_replayed_when_the_server_is_gone(tmp_path: Path) -> None:
    async with FakeProvider(HttpReply(200, b"one"), HttpReply(200, b"two"), HttpReply(418, {"a": 1})) as server:
        url = server.base_url
        async with Recorder(tmp_path, "record") as recorder:
            assert [await said(recorder, url) for _ in range(2)] == [b"one", b"two"]
            assert await said(recorder, url, b'{"n":2}') == b'{"a": 1}'
            assert recorder.get_stats().opened >= 1
            assert repr(recorder) == f"Recorder({tmp_path.name!r}, 'record')"
    names = [each.name for each in await stored_in(tmp_path)]
    assert [f"{each.exchange.id}.json" for each in await stored_in(tmp_path)] == names
    assert [name[:-12] for name in names] == [f"000{at}-local-chat_completions" for at in (1, 2, 3)]
    async with Recorder(tmp_path) as replay:
        assert replay.unused() == tuple(names)
        assert [await said(replay, url) for _ in range(3)] == [b"one", b"two", b"two"]
        assert replay.unused() == (names[2],)
        assert (replay.get_stats().total, replay.get_stats().opened) == (3, 0)
        with pytest.raises(LLMError, match="no recording"):
            await said(replay, url, b'{"n":3}')
    with pytest.raises(LLMError, match="closed"):
        await said(replay, url)


async def test_auto_asks_the_network_only_for_what_is_missing(tmp_path: Path) -> None:
    async with FakeProvider(HttpReply(200, b"one"), HttpReply(200, b"two"), HttpReply(200, b"three")) as server:
        async with Recorder(tmp_path, "record") as recorder:
            await said(recorder, server.base_url)
        async with Recorder(tmp_path, "auto") as recorder:
            assert await said(recorder, server.base_url) == b"one"
            assert await said(recorder, server.base_url, b'{"n":2}') == b"two"
            # Equal to one that was recorded just now: the order of the answers is the network's.
            assert await said(recorder, server.base_url, b'{"n":2}') == b"three"
            assert (recorder.get_stats().total, server.stats.requests) == (3, 3)
    assert [each.exchange.answered.body for each in await stored_in(tmp_path)] == [b"one", b"two", b"three"]


async def test_recording_anew_takes_over_the_files_of_equal_requests(tmp_path: Path) -> None:
    replies = [HttpReply(200, word.encode()) for word in ("a", "b", "c", "d", "A", "B")]
    async with FakeProvider(*replies) as server:
        async with Recorder(tmp_path, "record") as recorder:
            for number in (1, 1, 1, 2):
                await said(recorder, server.base_url, b'{"n":%d}' % number)
        before = [each.name for each in await stored_in(tmp_path)]
        async with Recorder(tmp_path, "record") as recorder:
            for _ in range(2):
                await said(recorder, server.base_url)
    after = await stored_in(tmp_path)
    assert [each.name for each in after] == [before[0], before[1], before[3]]
    assert [each.exchange.answered.body for each in after] == [b"A", b"B", b"d"]


async def test_a_body_that_breaks_or_is_left_is_recorded_as_far_as_it_came(tmp_path: Path) -> None:
    broken = HttpReply(chunks=[b"half"], end=End.CLOSE)
    endless = HttpReply(chunks=[b"first", asyncio.Event()])
    plain = HttpReply(200, b"abc", {"content-length": "9"}, end=End.CLOSE)
    replies = (broken, endless, plain, HttpReply(204))
    async with FakeProvider(*replies) as server, Recorder(tmp_path, "record") as recorder:
        lease, answer = await send(recorder, server.base_url)
        with pytest.raises(LLMError):
            [_ async for _ in answer.chunks()]
        recorder.release(lease)
        lease, answer = await send(recorder, server.base_url)
        assert await answer.chunks().__anext__() == b"first"
        answer.close()
        recorder.release(lease)
        with pytest.raises(LLMError):
            await said(recorder, server.base_url)
        lease, answer = await send(recorder, server.base_url)
        recorder.release(lease)
    found = [each.exchange.answered for each in await stored_in(tmp_path)]
    assert [(each.status, each.body) for each in found] == [(200, b"half"), (200, b"first"), (200, b""), (204, b"")]
    assert [each.cut for each in found][1::2] == ["abandoned", "abandoned"]
    assert {found[0].cut, found[2].cut} <= {"eof", "reset", "protocol"}


async def test_a_failure_without_a_response_is_raised_and_not_recorded(tmp_path: Path) -> None:
    async with FakeProvider() as server:
        gone = server.base_url
    recorder = Recorder(tmp_path / "never", "record")
    with pytest.raises(LLMError) as caught:
        await said(recorder, gone)
    assert caught.value.reason == "refused"
    await recorder.aclose()
    assert not await stored_in(tmp_path / "never")


async def test_a_response_that_is_too_large_is_delivered_and_not_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replies = [HttpReply(chunks=[b"x" * 6, b"y" * 6]), HttpReply(200, b"z" * 11), HttpReply(200, b"w" * 10)]
    async with FakeProvider(*replies) as server:
        with caplog.at_level(logging.WARNING, "loomwire.recorder"):
            async with Recorder(tmp_path, "record", limit_bytes=10) as recorder:
                lease, answer = await send(recorder, server.base_url)
                assert b"".join([piece async for piece in answer.chunks()]) == b"x" * 6 + b"y" * 6
                recorder.release(lease)
                assert [len(await said(recorder, server.base_url)) for _ in range(2)] == [11, 10]
                assert recorder.skipped == 2
    assert [record.getMessage() for record in caplog.records] == ["a response of more than 10 bytes is not recorded"]
    assert [each.exchange.answered.body for each in await stored_in(tmp_path)] == [b"w" * 10]


async def test_no_piece_of_a_stream_waits_for_the_recorder(tmp_path: Path) -> None:
    gate = asyncio.Event()
    reply = HttpReply(chunks=[b"first", gate, b"last"])
    async with FakeProvider(reply) as server, Recorder(tmp_path, "record") as recorder:
        lease, answer = await send(recorder, server.base_url)
        pieces = answer.chunks()
        assert await pieces.__anext__() == b"first"
        gate.set()
        assert await pieces.__anext__() == b"last"
        assert [piece async for piece in pieces] == []
        recorder.release(lease)
    assert (await stored_in(tmp_path))[0].exchange.answered.cut is None


async def test_what_cannot_be_written_is_told_once_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    recorder = Recorder(tmp_path / "file", "record")
    async with FakeProvider() as server:
        await said(recorder, server.base_url)
        with pytest.raises(ConfigError, match="not everything could be written") as caught:
            await recorder.aclose()
    assert caught.value.reason == "recordings"
    await recorder.aclose()


def test_a_fault_of_the_writer_is_told_by_its_name_only(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path, ())
    writer.put(captured("http://[canary"))
    with pytest.raises(ConfigError, match=r"\(ValueError\)") as caught:
        writer.close()
    assert "canary" not in str(caught.value)


def test_a_recorder_can_be_closed_without_a_loop(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "record")

    async def asked() -> None:
        async with FakeProvider() as server:
            await said(recorder, server.base_url)

    asyncio.run(asked())
    recorder.close()
    recorder.close()
    assert len(read_any(tmp_path)) == 1
    Recorder(tmp_path).close()


@pytest.mark.parametrize("mode", ["replay", "record", "auto"])
async def test_a_broken_folder_is_told_before_anything_is_sent(tmp_path: Path, mode: RecorderMode) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ConfigError, match=r"a\.json"):
        await Recorder(tmp_path, mode).acquire("http://127.0.0.1:9/v1", POLICY)


def test_recording_must_be_asked_for_and_nothing_else_is_accepted(tmp_path: Path) -> None:
    assert "replay" in repr(Recorder(tmp_path))
    mode: Literal["both"] = "both"
    with pytest.raises(LLMValidationError, match="mode"):
        Recorder(tmp_path, mode)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(LLMValidationError, match="limit_bytes"):
        Recorder(tmp_path, limit_bytes=-1)
    with pytest.raises(ConfigError, match="has no recordings"):
        Recorder(tmp_path).unused()


async def test_a_replay_has_no_network_at_all(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    with pytest.raises(LLMError, match="never asks the network"):
        recorder.network.get_stats()
    recorder.release(await Silent().acquire("x"))
    assert recorder.get_stats().total == 0
    await recorder.aclose()


class Silent(IConnectionPool):
    """Lends leases that nobody uses."""

    @override
    async def acquire(self, base_url: str, policy: object = None, bound: object = None) -> ConnectionLease:
        return SilentLease()

    @override
    def get_stats(self) -> PoolStats:
        return PoolStats()

    @override
    def release(self, lease: ConnectionLease) -> None:
        """Nothing to do."""

    @override
    async def aclose(self) -> None:
        """Nothing to do."""


class SilentLease(ConnectionLease):
    """Not one of the recorder's."""

    @property
    @override
    def base_url(self) -> str:
        return "x"

    @override
    async def send(self, request: WireRequest) -> WireAnswer:
        raise NotImplementedError


class Dying(WireAnswer):
    """An answer whose reading fails in a way of the test."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    @property
    @override
    def status(self) -> int:
        return 200

    @property
    @override
    def headers(self) -> Mapping[str, str]:
        return {}

    @override
    async def read(self) -> bytes:
        raise self._error

    @override
    def chunks(self) -> AsyncIterator[bytes]:
        raise self._error

    @override
    def close(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize(
    ("error", "cut"),
    [
        (LLMError("x", reason="idle"), "idle"),
        (LLMError("x", reason="deadline"), "abandoned"),
        (LLMError("x", reason="closed"), "abandoned"),
        (asyncio.CancelledError(), "abandoned"),
    ],
)
async def test_a_limit_of_the_caller_is_a_caller_who_left(error: BaseException, cut: str) -> None:
    kept: list[Captured] = []
    answer = CapturedAnswer(Dying(error), WireRequest("/x", (), b""), "http://h", kept.append, 10)
    with pytest.raises(type(error)):
        await answer.read()
    answer.close()
    assert [each.cut for each in kept] == [cut]
    assert "canary" not in repr(kept)


def captured(url: str, status: int = 200, media: str = "application/json") -> Captured:
    """Return an exchange as it is caught."""
    return Captured(url, WireRequest("/x", HEADERS, b"{}"), status, {"content-type": media}, b"", None)


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://api.openai.com/v1/chat/completions", "0001-openai-chat_completions"),
        ("https://gw/v1/models/g:generateContent", "0001-gw-generate_content"),
        ("http://[::1]:8080/v1/messages", "0001-local-messages"),
        ("http://localhost/api/chat", "0001-local-ollama_chat"),
        ("https://api.cohere.com/v2/rerank", "0001-cohere-rerank_v2"),
        ("https://gw/v1/models/g:countTokens", "0001-gw-count_tokens"),
        ("https://gw/v1/responses/input_tokens", "0001-gw-count_tokens"),
        ("https://gw/model/m/count-tokens", "0001-gw-count_tokens"),
        ("https://example.org", "0001-example-other"),
    ],
)
def test_a_file_is_named_after_who_answered_and_what_was_spoken(tmp_path: Path, base_url: str, name: str) -> None:
    base, _, path = base_url.rpartition("/") if base_url.count("/") > 2 else (base_url, "", "")
    writer = RecordingWriter(tmp_path, ())
    writer.put(Captured(base, WireRequest(f"/{path}", HEADERS, b"{}"), 200, {}, b"", None))
    writer.close()
    writer.put(captured("http://late"))
    writer.close()
    assert [each.name[:-12] for each in read_any(tmp_path)] == [name]


def test_a_scenario_says_what_a_recording_shows(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path, ())
    writer.put(captured("http://h"))
    writer.put(captured("http://h", 429))
    writer.put(captured("http://h", media="text/event-stream"))
    writer.put(Captured("http://h", WireRequest("/x", (), b""), 200, {}, b"", "eof"))
    writer.close()
    found = [json.loads(path.read_text()) for path in sorted(tmp_path.iterdir())]
    assert [each["scenario"] for each in found] == ["plain", "error_429", "stream", "plain_cut"]


def test_two_that_record_into_one_folder_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for status in (200, 201):
        writer = RecordingWriter(tmp_path, ())
        writer.put(captured("http://h", status))
        writer.close()
    assert [each.exchange.answered.status for each in read_any(tmp_path)] == [200, 201]

"""The server at a control socket, with real clients: patient with nobody, open for questions alone."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from loomwire.domain.errors import UnknownNameError
from loomwire.domain.values import JSON
from loomwire.infrastructure.control.client import Heard, ask, ask_all
from loomwire.infrastructure.control.places import Place, open_place
from loomwire.infrastructure.control.protocol import LONGEST_QUESTION, Question
from loomwire.infrastructure.control.server import ControlServer, Work

if TYPE_CHECKING:
    import pytest


async def echo(question: Question) -> Mapping[str, JSON]:
    """Tell what was asked."""
    if question.do == "unknown":
        raise UnknownNameError("nobody is called so")
    if question.do == "broken":
        raise RuntimeError("sk-secret")
    return {"do": question.do, **question.values}


@asynccontextmanager
async def served(where: Path, work: Work = echo, *, patience_s: float = 5, at_once: int = 8) -> AsyncGenerator[Place]:
    """Serve a socket below a folder."""
    place = await asyncio.to_thread(open_place, where / "l.sock")
    server = ControlServer(place.listening, work, patience_s=patience_s, at_once=at_once)
    serving = asyncio.get_running_loop().create_task(server.run())
    try:
        yield place
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await asyncio.to_thread(place.close)


async def talk(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect."""
    return await asyncio.open_unix_connection(place.path)


async def is_served(place: Place) -> bool:
    """Return whether somebody who asks is answered."""
    answer = await asyncio.to_thread(ask, place.path, Question("a", {}))
    return answer is not None and answer.error is None


async def said(reader: asyncio.StreamReader) -> dict[str, JSON]:
    """Return the next answer."""
    async with asyncio.timeout(10):
        answer: dict[str, JSON] = json.loads(await reader.readline())
        return answer


async def ended(reader: asyncio.StreamReader) -> bool:
    """Return whether a talk is ended by the other side."""
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            return await reader.read() == b""
    return True


async def test_every_line_is_a_question_and_gets_a_line(tmp_path: Path) -> None:
    async with served(tmp_path) as place:
        reader, writer = await talk(place)
        writer.write(Question("a", {"x": 1}).line() + Question("b", {}).line())
        assert [(await said(reader))["answer"] for _ in "12"] == [{"do": "a", "x": 1}, {"do": "b"}]
        writer.close()


async def test_garbage_is_refused_and_the_next_question_answered(tmp_path: Path) -> None:
    async with served(tmp_path) as place:
        reader, writer = await talk(place)
        writer.write(b"\x00\xff garbage\nGET / HTTP/1.1\n" + Question("a", {}).line())
        refused = [await said(reader) for _ in "12"]
        assert [error["reason"] for told in refused if isinstance(error := told["error"], dict)] == [
            "invalid_request",
            "invalid_request",
        ]
        assert (await said(reader))["answer"] == {"do": "a"}
        writer.close()


async def test_a_question_without_end_is_refused_and_its_client_left(tmp_path: Path) -> None:
    async with served(tmp_path) as place:
        reader, writer = await talk(place)
        writer.write(b"x" * (LONGEST_QUESTION + 2) + b"\n")
        assert "at most" in str((await said(reader))["error"])
        assert await ended(reader)
        writer.close()


async def test_a_client_that_says_nothing_is_left_and_holds_up_nobody(tmp_path: Path) -> None:
    async with served(tmp_path, patience_s=0.05) as place:
        reader, writer = await talk(place)
        writer.write(b'{"do": ')
        assert await asyncio.to_thread(ask, place.path, Question("a", {})) is not None
        assert await ended(reader)
        writer.close()


async def test_a_client_that_takes_nothing_is_left(tmp_path: Path) -> None:
    async def much(_: Question) -> Mapping[str, JSON]:
        return {"much": "x" * 4_000_000}

    async with served(tmp_path, much, patience_s=0.05, at_once=1) as place:
        _, writer = await talk(place)
        writer.write(Question("a", {}).line())
        async with asyncio.timeout(10):
            while not await is_served(place):
                pass
        writer.close()


async def test_who_comes_when_there_are_too_many_is_told_so(tmp_path: Path) -> None:
    async with served(tmp_path, at_once=1) as place:
        reader, writer = await talk(place)
        writer.write(Question("a", {}).line())
        await said(reader)
        answer = await asyncio.to_thread(ask, place.path, Question("a", {}))
        assert answer is not None
        assert "too many" in str(answer.error)
        writer.close()


async def test_errors_are_told_and_those_that_are_none_of_ours_by_their_type_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as place:
        with caplog.at_level(logging.DEBUG):
            unknown = await asyncio.to_thread(ask, place.path, Question("unknown", {}))
            broken = await asyncio.to_thread(ask, place.path, Question("broken", {}))
    assert unknown is not None
    assert broken is not None
    assert (str(unknown.error).startswith("CFG030"), "RuntimeError" in str(broken.error)) == (True, True)
    assert "sk-secret" not in f"{broken} {broken.error} {caplog.text}"
    assert "RuntimeError" in caplog.text


async def test_cancelling_ends_talks_and_closes_the_socket(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with served(tmp_path) as place:
        reader, writer = await talk(place)
        writer.write(Question("a", {}).line())
        await said(reader)
    assert await reader.read() == b""
    writer.close()
    assert place.listening.fileno() == -1
    assert asyncio.all_tasks() == before


async def test_everybody_who_listens_is_asked(tmp_path: Path) -> None:
    async with served(tmp_path) as one, served(tmp_path) as other:
        heard = await asyncio.to_thread(ask_all, tmp_path / "l.sock", Question("a", {}))
        assert [answer.said for answer in heard.answers] == [{"do": "a"}] * 2
        assert heard.silent == ()
        assert one.path != other.path
    assert await asyncio.to_thread(ask_all, tmp_path / "l.sock", Question("a", {})) == Heard()


async def test_who_listens_and_does_not_answer_is_told_too(tmp_path: Path) -> None:
    async def endless(_: Question) -> Mapping[str, JSON]:
        await asyncio.get_running_loop().create_future()
        return {}

    async with served(tmp_path, endless) as place:
        asked = asyncio.to_thread(ask_all, tmp_path / "l.sock", Question("a", {}), timeout_s=0.05)
        assert await asked == Heard((), (place.path,))


async def test_an_answer_that_is_cut_is_none(tmp_path: Path) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"schema": "loomwire/control/1", "pid": 1')
        writer.close()

    async with await asyncio.start_unix_server(cut, tmp_path / "x.sock"):
        assert await asyncio.to_thread(ask, tmp_path / "x.sock", Question("a", {})) is None

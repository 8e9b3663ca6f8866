"""Hosts on dependency-injector (around ours, and as its parent), dishka and FastAPI: the examples are the hosts."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, MutableMapping
from contextlib import asynccontextmanager, nullcontext
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from dishka import make_async_container
from fastapi import FastAPI  # noqa: TC002  # pytest evaluates annotations
from starlette.requests import ClientDisconnect

from examples.hosts import with_child, with_dishka, with_fastapi, with_parent
from loomwire import LLMContainer
from loomwire.container.pinning import PinnedContainer
from loomwire.domain.errors import ClientRemovedError, StreamInterruptedError
from loomwire.domain.ports.clock import IClock
from loomwire.domain.values import JSON
from loomwire.testing import FakeClock, FakeProvider, Fault
from loomwire.testing.pacing import Pace
from support.chains import HI
from support.folders import REPOSITORY, folder, served

HOSTS = REPOSITORY / "examples" / "hosts"
FILES = sorted(HOSTS.glob("*.py"))


def says(where: Path, word: str) -> Path:
    """Write a configuration whose planner says a word."""
    return folder(where, [{"text": word, "repeat": True}])


def test_a_host_embeds_the_wiring_as_a_child_and_gives_it_a_part(tmp_path: Path) -> None:
    host = with_child.Host()
    host.config.from_dict({"llm_root": str(says(tmp_path, "one"))})
    host.wiring.clock.override(FakeClock(5.0))
    host.init_resources()
    container: LLMContainer = host.llm()
    assert isinstance(container, LLMContainer)
    container.check_wiring()
    assert asyncio.run(host.travel().plan("Where to?")) == "one"
    assert host.ledger().calls == {"planner": 1}
    assert container.resolve(IClock).now() == 5.0
    assert "event_sink" in container.mermaid()
    health = container.health()
    assert health.watcher is not None
    host.shutdown_resources()
    assert container.closed


def test_a_child_follows_edits_like_any_container(tmp_path: Path) -> None:
    host = with_child.Host()
    host.config.from_dict({"llm_root": str(says(tmp_path, "one"))})
    host.init_resources()
    try:
        container: LLMContainer = host.llm()
        travel = host.travel()
        assert asyncio.run(travel.plan("Where to?")) == "one"
        says(tmp_path, "two")
        container.reload()
        assert asyncio.run(travel.plan("Where to?")) == "two"
    finally:
        host.shutdown_resources()


async def test_two_containers_of_one_parent_share_its_pool_and_its_ledger(tmp_path: Path) -> None:
    host = with_parent.Host()
    async with FakeProvider("one", "two") as provider:
        folders = [str(served(tmp_path / name, provider.base_url)) for name in ("sales", "support")]
        assert await with_parent.ask_all(host, folders, "Where to?") == ["one", "two"]
        assert provider.stats.connections == 1
        assert (host.event_sink().calls, host.event_sink().spent_usd) == (2, Decimal(0))
        assert await with_parent.ask_all(host, folders[:1], "Where to?") != []  # the pool outlived its children
        assert provider.stats.connections == 1
        await host.connection_pool().aclose()
        await provider.until(lambda stats: stats.open_connections == 0)


async def test_dishka_opens_and_closes_the_container_with_the_application(tmp_path: Path) -> None:
    app = make_async_container(with_dishka.LLMProvider(str(says(tmp_path, "one"))))
    assert await with_dishka.plan(app, "Where to?") == "one"
    container = await app.get(LLMContainer)
    assert await app.get(LLMContainer) is container
    await app.close()
    assert container.closed


async def test_a_unit_of_work_of_dishka_keeps_its_configuration_across_a_reload(tmp_path: Path) -> None:
    app = make_async_container(with_dishka.LLMProvider(str(says(tmp_path, "one"))))
    container = await app.get(LLMContainer)
    async with app() as work:
        travel = await work.get(with_dishka.Travel)
        run = await work.get(PinnedContainer)
        await asyncio.to_thread(says, tmp_path, "two")
        await container.areload()
        assert await travel.plan("Where to?") == "one"
        assert await with_dishka.plan(app, "Where to?") == "two"
    with pytest.raises(ClientRemovedError):
        await run.llm_client("planner").generate(HI)
    await app.close()


@asynccontextmanager
async def running(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    """Run an application's lifespan and deliver a client of it."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host") as browser,
    ):
        yield browser


async def test_fastapi_answers_at_once_and_word_by_word(tmp_path: Path) -> None:
    app = with_fastapi.create_app(str(says(tmp_path, "Go to Porto by train.")))
    async with running(app) as browser:
        assert (await browser.get("/plan", params={"q": "Where to?"})).json() == {"text": "Go to Porto by train."}
        told = await browser.get("/tell", params={"q": "Where to?"})
        assert (told.status_code, told.text) == (200, "Go to Porto by train.")
        health = (await browser.get("/health")).json()
        assert (health["generation"], health["in_flight"], health["clients"]["planner"]["answered"]) == (1, 0, 2)
        container: LLMContainer = app.state.llm
    assert container.closed


@pytest.mark.parametrize("path", ["/plan", "/tell"])
async def test_fastapi_gives_a_failure_before_the_first_word_its_own_status(path: str, tmp_path: Path) -> None:
    busy = Fault("status", status=429, retry_after=6.5)
    async with FakeProvider(busy, Fault("reset"), Fault("status", status=401)) as provider:
        app = with_fastapi.create_app(str(served(tmp_path, provider.base_url)))
        async with running(app) as browser:
            answers = [await browser.get(path, params={"q": "a secret wish"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 503, 502]
    assert answers[0].headers["retry-after"] == "7"
    assert all("secret" not in answer.text for answer in answers)


class Reader:
    """Asks an application as a server would.

    Args:
        spec: The version of ASGI it speaks: up to 2.3 the server tells that the reader left, from 2.4 on sending fails.
        patient: Reads to the end, instead of leaving after the first words.
    """

    def __init__(self, spec: str, *, patient: bool = False) -> None:
        self._spec = spec
        self._patient = patient
        self._left = asyncio.Event()
        self.status = 0
        self.seen = b""
        self.whole = False

    async def ask(self, app: FastAPI, path: str, query: str) -> None:
        """Run one request to its end."""
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": self._spec}, "http_version": "1.1",
            "method": "GET", "scheme": "http", "path": path, "raw_path": path.encode(), "root_path": "",
            "query_string": query.encode(), "headers": [], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        await app(scope, self._receive, self._send)

    async def _receive(self) -> MutableMapping[str, JSON]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, JSON | bytes]) -> None:
        if self._left.is_set() and self._spec >= "2.4":
            raise OSError("the reader has left")
        status, body = message.get("status"), message.get("body")
        self.status = status if isinstance(status, int) else self.status
        self.seen += body if isinstance(body, bytes) else b""
        self.whole = message.get("more_body") is False
        if self.seen and not self._patient:
            self._left.set()


@pytest.mark.parametrize("spec", ["2.3", "2.4"])
async def test_a_reader_of_fastapi_who_leaves_ends_our_stream_and_the_providers(spec: str, tmp_path: Path) -> None:
    async with FakeProvider("many words " * 100, pace=Pace(tokens_per_s=50)) as provider:
        app = with_fastapi.create_app(str(served(tmp_path, provider.base_url)))
        async with running(app) as browser:
            container: LLMContainer = app.state.llm
            reader = Reader(spec)
            with pytest.raises(ClientDisconnect) if spec == "2.4" else nullcontext():
                await reader.ask(app, "/tell", "q=hi")
            stats = await provider.until(lambda stats: stats.abandoned == 1)
            health = await asyncio.to_thread(container.health)
            assert (reader.status, stats.answered) == (200, 0)
            assert 0 < len(reader.seen) < 500
            assert not reader.whole
            assert (health.in_flight, health.clients["planner"].abandoned) == (0, 1)
            assert (await browser.get("/health")).status_code == 200


async def test_a_stream_that_breaks_off_breaks_the_response_of_fastapi_off_too(tmp_path: Path) -> None:
    async with FakeProvider(Fault("cut_reset", "Go to Porto by train."), "Go to Porto by train.") as provider:
        app = with_fastapi.create_app(str(served(tmp_path, provider.base_url)))
        async with running(app):
            cut, whole = Reader("2.3", patient=True), Reader("2.3", patient=True)
            with pytest.raises(RuntimeError, match="already started") as caught:
                await cut.ask(app, "/tell", "q=hi")
            assert isinstance(caught.value.__cause__, StreamInterruptedError)
            assert (cut.status, cut.whole) == (200, False)
            await whole.ask(app, "/tell", "q=hi")
            assert (whole.seen, whole.whole) == (b"Go to Porto by train.", True)


async def test_requests_of_fastapi_survive_edits_good_and_bad(tmp_path: Path) -> None:
    app = with_fastapi.create_app(str(says(tmp_path, "0")))
    async with running(app) as browser:
        container: LLMContainer = app.state.llm
        done = asyncio.Event()

        async def ask() -> list[str]:
            seen = []
            while not done.is_set():
                answer = await browser.get("/plan", params={"q": "Where to?"})
                seen.append(answer.json()["text"] if answer.status_code == 200 else answer.text)
            return seen

        askers = [asyncio.create_task(ask()) for _ in range(4)]
        for number in range(1, 6):
            await asyncio.to_thread(says, tmp_path, str(number))
            await container.areload()
            await asyncio.to_thread((tmp_path / "loomwire.yaml").write_text, "version: [", encoding="utf-8")
            assert (await container.areload()).outcome in {"rejected", "unchanged"}
            answer = await browser.get("/plan", params={"q": "Where to?"})
            assert answer.json() == {"text": str(number)}
        health = (await browser.get("/health")).json()
        done.set()
        for seen in await asyncio.gather(*askers):
            assert len(seen) > 1
            assert seen == sorted(seen)
            assert set(seen) <= set("012345")
        assert (health["generation"], health["rejection"]["code"]) == (6, "CFG001")


@pytest.mark.parametrize("name", ["with_child", "with_parent", "with_dishka"])
def test_a_host_runs_as_a_program(name: str) -> None:
    command = [sys.executable, "-W", "error", "-m", f"examples.hosts.{name}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("A weekend in Lisbon\n")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_host_is_short_and_silences_no_type_checker(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    assert not re.search(r"type: ignore|pyright:|cast\(|\bAny\b", text)


@pytest.mark.full
@pytest.mark.timeout(180)
def test_the_hosts_are_strictly_typed_as_a_users_code(tmp_path: Path) -> None:
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nmypy_path = {REPOSITORY / 'src'}\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(config), "--cache-dir", str(tmp_path)]
    done = subprocess.run([*command, *map(str, FILES)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("Success")) == (0, 1), done.stdout + done.stderr

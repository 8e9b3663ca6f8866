"""A host records its workflow once, and runs it for ever without network, key and cost."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from loomwire import ILLMClient, LLMContainer, LLMRequest, Tool
from loomwire.cli.check import check
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, ConfigRejectedError, LLMError, LLMRateLimitError, StreamInterruptedError
from loomwire.domain.events import TextDelta
from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.transport.deferred import DeferredPool
from loomwire.testing import Cutting, End, FakeProvider, HttpReply, Recorder, Reply, chat_events
from loomwire.testing.queued import Queued
from loomwire.testing.recorder import RecorderMode

WEATHER = Tool("weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
CANARY = "sk-canary-31415926535"
GONE = "http://127.0.0.1:9/v1"


def configured(where: Path, base_url: str, *, key: str | None = None, **client: JSON) -> Path:
    """Write a configuration whose client `planner` asks a server, and return its folder."""
    provider: dict[str, JSON] = {"type": "vllm", "base_url": base_url, "allow_private": True, "free": True}
    if key is not None:
        provider["api_key"] = key
    described: Mapping[str, JSON] = {
        "version": 1,
        "providers": {"local": provider},
        "models": {"quick": {"provider": "local", "model": "m"}},
        "clients": {"planner": {"models": ["quick"], "retry": {"attempts": 1}, **client}},
    }
    where.mkdir(parents=True, exist_ok=True)
    (where / "loomwire.yaml").write_text(json.dumps(described), encoding="utf-8")
    return where


@asynccontextmanager
async def planner(config: Path, recorder: Recorder | None = None) -> AsyncGenerator[ILLMClient]:
    """Open a container with a recorder for its connections, and give its client."""
    overrides = {} if recorder is None else {"connection_pool": recorder}
    async with LLMContainer.aopen(config, overrides=overrides) as container:
        yield container.resolve(ILLMClient, "planner")


async def workflow(client: ILLMClient) -> Sequence[object]:
    """Ask, stream, let it call a tool, and run into an error; return what came of it."""
    said = await client.generate(LLMRequest.of("Plan a weekend"))
    async with client.stream(LLMRequest.of("Tell a story")) as stream:
        words = [event.text async for event in stream if isinstance(event, TextDelta)]
        told = stream.response
    called = await client.generate(LLMRequest.of("Weather?", tools=(WEATHER,)))
    with pytest.raises(LLMRateLimitError) as caught:
        await client.generate(LLMRequest.of("Too much"))
    error = caught.value
    return (
        *(said.text, said.usage, said.model, said.finish, said.response_id),
        *("".join(words), told.text, told.usage, told.finish, called.tool_calls, called.finish),
        *(error.code, error.status, error.retry_after, error.provider_message),
    )


REPLIES: Sequence[Queued] = (
    "A weekend in Lisbon.",
    Reply("Once upon a time, in a town by the sea, ünïcödé."),
    Reply(tool_calls=(ToolCall("call_1", "weather", {"city": "Lisbon"}),)),
    HttpReply(429, {"error": {"message": "slow down"}}, {"retry-after": "7"}),
)


async def recorded(folder: Path, config: Path, replies: Sequence[Queued] = REPLIES) -> Sequence[object]:
    """Run the workflow against a server and record it; the server is gone afterwards."""
    async with FakeProvider(*replies) as server:
        await asyncio.to_thread(configured, config, server.base_url)
        async with planner(config, Recorder(folder, "record")) as client:
            return await workflow(client)


@pytest.mark.parametrize("cutting", [Cutting(), Cutting(1), Cutting(9, seed=3)], ids=["whole", "bytes", "cuts"])
async def test_a_workflow_runs_again_with_the_same_outcome_and_no_socket(tmp_path: Path, cutting: Cutting) -> None:
    first = await recorded(tmp_path / "tapes", tmp_path / "config")
    await asyncio.to_thread(configured, tmp_path / "config", GONE)
    recorder = Recorder(tmp_path / "tapes", cutting=cutting)
    async with planner(tmp_path / "config", recorder) as client:
        assert list(await workflow(client)) == list(first)
        assert recorder.unused() == ()
        assert await workflow(client) == first
    stats = recorder.get_stats()
    assert (stats.total, stats.opened, stats.active) == (8, 0, 0)
    assert [path.name[:4] for path in await asyncio.to_thread(lambda: sorted((tmp_path / "tapes").iterdir()))] == [
        *("0001", "0002", "0003", "0004")
    ]


async def test_a_changed_prompt_is_a_typed_error_that_says_where(tmp_path: Path) -> None:
    await recorded(tmp_path / "tapes", tmp_path / "config")
    async with planner(tmp_path / "config", Recorder(tmp_path / "tapes")) as client:
        with pytest.raises(LLMError) as caught:
            await client.generate(LLMRequest.of("Plan a fortnight"))
    error = caught.value
    assert (error.reason, error.provider, error.model, error.retryable) == ("no_recording", "local", "m", False)
    assert "0001-local-chat_completions-" in error.hint
    assert "$.messages[0].content" in error.hint
    assert "fortnight" not in str(error.to_dict())


async def test_a_stream_that_broke_breaks_again_and_one_that_was_left_can_be_left_again(tmp_path: Path) -> None:
    events = chat_events(Reply("one two three four"))
    cut = HttpReply(chunks=events[:3], end=End.RESET)
    left = HttpReply(chunks=[*events[:3], asyncio.Event()])
    config, tapes = tmp_path / "config", tmp_path / "tapes"

    async def broken(client: ILLMClient) -> tuple[str, str]:
        with pytest.raises(StreamInterruptedError) as caught:
            async with client.stream(LLMRequest.of("break")) as stream:
                [_ async for _ in stream]
        return caught.value.reason, caught.value.partial_text

    async def leave(client: ILLMClient) -> str:
        async with client.stream(LLMRequest.of("leave")) as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    return event.text
        return ""

    async with FakeProvider(cut, left) as server:
        await asyncio.to_thread(configured, config, server.base_url)
        async with planner(config, Recorder(tapes, "record")) as client:
            outcome = (await broken(client), await leave(client))
    async with planner(config, Recorder(tapes)) as client:
        assert (await broken(client), await leave(client)) == outcome
        assert outcome[0][1]
        with pytest.raises(StreamInterruptedError):
            async with client.stream(LLMRequest.of("leave")) as stream:
                [_ async for _ in stream]


@pytest.mark.parametrize("mode", ["record", "auto"])
async def test_no_key_is_anywhere_in_the_folder(tmp_path: Path, mode: RecorderMode) -> None:
    echo = json.dumps(CANARY)
    coded = base64.b64encode(f"Bearer {CANARY}".encode()).decode()
    headers = {
        "set-cookie": f"session={CANARY}",
        "x-request-id": f"req-{CANARY}",
        "x-ratelimit-key": CANARY,
        "www-authenticate": f"Bearer {CANARY}",
        "location": f"/v1?key={CANARY}",
    }
    replies: Sequence[Queued] = (
        HttpReply(401, {"error": {"message": f"Incorrect API key provided: {CANARY}, sk-ca***6535"}}, headers),
        HttpReply(401, f'{{"error": {{"message": {json.dumps(echo)}, "debug": "{coded}"}}}}'.encode(), headers),
        Reply(f"Your key is {CANARY}."),
        Reply(f"Once more: {CANARY}"),
    )
    config, tapes = tmp_path / "config", tmp_path / "tapes"
    async with FakeProvider(*replies) as server:
        await asyncio.to_thread(configured, config, f"{server.base_url}/{CANARY}", key=CANARY, system=f"Key: {CANARY}")
        async with planner(config, Recorder(tapes, mode)) as client:
            with pytest.raises(LLMError):
                await client.generate(LLMRequest.of(f"My key is {CANARY}"))
            with pytest.raises(LLMError):
                await client.generate(LLMRequest.of(f"In JSON {echo}"))
            said = await client.generate(LLMRequest.of(f"Say {coded}"))
            async with client.stream(LLMRequest.of(f"Stream {CANARY}")) as stream:
                [_ async for _ in stream]
        assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {CANARY}"] * 4
    assert CANARY in said.text

    def written() -> bytes:
        return b"\n".join(path.name.encode() + path.read_bytes() for path in sorted(tapes.iterdir()))

    bytes_ = await asyncio.to_thread(written)
    for form in (CANARY, CANARY[3:], coded, base64.b64encode(CANARY.encode()).decode(), "ca***6535", "session="):
        assert form.encode() not in bytes_
    assert b"Say Bearer" not in bytes_
    assert b"authorization" not in bytes_.lower()
    assert len(bytes_.split(b'"response"')) == 5
    # And still it is found again, with the key that was taken out and with another one.
    async with planner(config, Recorder(tapes)) as client:
        assert "REDACTED" in (await client.generate(LLMRequest.of(f"Say {coded}"))).text


async def test_concurrent_equal_requests_get_one_answer_each(tmp_path: Path) -> None:
    config, tapes = tmp_path / "config", tmp_path / "tapes"
    ask = LLMRequest.of("a number")
    async with FakeProvider(*(f"{number}" for number in range(20))) as server:
        await asyncio.to_thread(configured, config, server.base_url)
        async with planner(config, Recorder(tapes, "record")) as client:
            first = await asyncio.gather(*(client.generate(ask) for _ in range(20)))
    async with planner(config, Recorder(tapes, repeat=False)) as client:
        again = await asyncio.gather(*(client.generate(ask) for _ in range(20)))
        assert sorted(each.text for each in again) == sorted(each.text for each in first)
        with pytest.raises(LLMError, match="was used 20 times"):
            await client.generate(ask)


def test_one_recorder_serves_the_loops_of_several_threads(tmp_path: Path) -> None:
    config, tapes = tmp_path / "config", tmp_path / "tapes"
    first = asyncio.run(recorded(tapes, config))
    outcomes: list[Sequence[object]] = []
    recorder = Recorder(tapes)
    with LLMContainer.open(config, overrides={"connection_pool": recorder}) as container:
        client = container.resolve(ILLMClient, "planner")
        threads = [threading.Thread(target=lambda: outcomes.append(asyncio.run(workflow_of(client)))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert container.sync_client("planner").generate(LLMRequest.of("Plan a weekend")).text == first[0]
    assert outcomes == [first] * 4
    assert recorder.get_stats().total == 17


async def workflow_of(client: ILLMClient) -> Sequence[object]:
    """Run the workflow on this thread's own loop."""
    return await workflow(client)


def test_a_synchronous_host_finds_everything_written_when_its_container_is_closed(tmp_path: Path) -> None:
    config, tapes = tmp_path / "config", tmp_path / "tapes"

    async def serving(ready: threading.Event, done: threading.Event) -> None:
        async with FakeProvider("Hello.") as server:
            configured(config, server.base_url)
            ready.set()
            await asyncio.to_thread(done.wait)

    ready, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serving(ready, done)))
    thread.start()
    try:
        ready.wait(10)
        with LLMContainer.open(config, overrides={"connection_pool": Recorder(tapes, "record")}) as container:
            container.sync_client("planner").generate(LLMRequest.of("Hi"))
            container.sync_client("planner").generate(LLMRequest.of("Hi"))
        assert len(list(tapes.iterdir())) == 2
        # Without a call on a loop of the container's own: what was recorded anew is finished all the same.
        with LLMContainer.open(config, overrides={"connection_pool": Recorder(tapes, "record")}) as container:
            asyncio.run(container.resolve(ILLMClient, "planner").generate(LLMRequest.of("Hi")))
        assert len(list(tapes.iterdir())) == 1
    finally:
        done.set()
        thread.join()
    assert [each.name for each in threading.enumerate() if each.name.startswith("loomwire-recorder")] == []


async def test_a_client_on_replay_in_yaml_needs_neither_network_nor_key(tmp_path: Path) -> None:
    config = tmp_path / "config"
    first = await recorded(config / "recordings" / "planner", config)
    await asyncio.to_thread(configured, config, GONE, replay="recordings/planner")
    async with LLMContainer.aopen(config) as container:
        client = container.resolve(ILLMClient, "planner")
        assert await workflow(client) == first
        assert "OpenAIChat(local/m, replay)" in repr(client)
        assert container.wiring.connection_pool().get_stats().total == 0
        assert isinstance(container.wiring.connection_pool(), DeferredPool)
        warnings = container.health().warnings
    assert [(each.code, each.severity, each.path, each.line > 0) for each in warnings] == [
        ("CFG022", "warning", "clients.planner.replay", True)
    ]
    assert "on replay" in warnings[0].message


async def test_clients_on_one_folder_share_its_answers_in_the_order_they_were_recorded(tmp_path: Path) -> None:
    tapes, ask = tmp_path / "tapes", LLMRequest.of("Who is next?")
    async with FakeProvider("Ada.", "Bob.") as server:
        await asyncio.to_thread(configured, tmp_path / "config", server.base_url)
        async with planner(tmp_path / "config", Recorder(tapes, "record")) as client:
            assert [(await client.generate(ask)).text for _ in range(2)] == ["Ada.", "Bob."]
    config = LLMConfig.vllm("m", base_url=GONE, allow_private=True, replay=str(tapes))
    async with await asyncio.to_thread(LLMContainer.of, {"one": config, "two": config}) as container:
        assert [(await container.llm_client(name).generate(ask)).text for name in ("one", "two")] == ["Ada.", "Bob."]


def problems(config: Path) -> Sequence[Problem]:
    """Open what must be refused, and return the errors."""
    with pytest.raises(ConfigRejectedError) as caught:
        LLMContainer.open(config)
    return [problem for problem in caught.value.problems if problem.severity == "error"]


def openai(config: Path, clients: Mapping[str, JSON]) -> Path:
    """Write a configuration of a provider that needs a key and has none."""
    described: Mapping[str, JSON] = {
        "version": 1,
        "providers": {
            "openai": {"type": "openai"},
            "rules": {"type": "rule", "rules": [{"default": True, "answer": "x"}]},
        },
        "models": {"quick": {"provider": "openai", "model": "m"}, "off": {"provider": "rules", "model": "m"}},
        "clients": clients,
    }
    config.mkdir(exist_ok=True)
    (config / "loomwire.yaml").write_text(json.dumps(described), encoding="utf-8")
    return config


def test_a_key_may_be_absent_when_every_client_of_the_provider_replays(tmp_path: Path) -> None:
    config = tmp_path / "config"
    asyncio.run(recorded(config / "tapes", config))
    replayed: Mapping[str, JSON] = {"models": ["quick"], "replay": "tapes"}
    with LLMContainer.open(openai(config, {"a": replayed, "b": replayed})) as container:
        assert len(container.health().warnings) == 2
    found = problems(openai(config, {"a": replayed, "b": {"models": ["quick"]}}))
    assert [(each.code, each.path) for each in found] == [("CFG013", "providers.openai")]


@pytest.mark.parametrize(
    ("named", "code", "says"),
    [
        ("absent", "CFG022", "there is no such folder of recordings"),
        ("empty", "CFG022", "the folder has no recordings"),
        ("broken", "CFG022", "0001-a.json: it is no JSON"),
        ("../tapes", "CFG012", "the folder is not allowed"),
        ("/tapes", "CFG012", "the folder is not allowed"),
    ],
)
def test_a_folder_that_cannot_be_replayed_is_refused_when_it_is_loaded(
    tmp_path: Path, named: str, code: str, says: str
) -> None:
    config = configured(tmp_path / "config", GONE, replay=named)
    (config / "empty").mkdir()
    (config / "broken").mkdir()
    (config / "broken" / "0001-a.json").write_text("{")
    (found,) = problems(config)
    assert (found.code, found.path) == (code, "clients.planner.replay")
    assert says in found.message
    written = (config / "loomwire.yaml").read_text(encoding="utf-8")
    assert (found.line, found.column) == (1, written.index(json.dumps(named)) + 1)


def test_a_client_of_an_offline_provider_has_nothing_to_replay(tmp_path: Path) -> None:
    keyless, found = problems(openai(tmp_path, {"a": {"models": ["off"], "replay": "tapes"}}))
    assert keyless.path == "providers.openai"
    assert (found.code, found.path) == ("CFG012", "clients.a.replay")
    assert "type rule has no network" in found.message


async def test_a_replay_can_be_cancelled_and_asked_again(tmp_path: Path) -> None:
    await recorded(tmp_path / "tapes", tmp_path / "config")
    async with planner(tmp_path / "config", Recorder(tmp_path / "tapes", cutting=Cutting(1))) as client:
        await client.generate(LLMRequest.of("Plan a weekend"))
        task = asyncio.create_task(client.generate(LLMRequest.of("Plan a weekend")))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.generate(LLMRequest.of("Plan a weekend"))).text == "A weekend in Lisbon."


def test_a_client_written_in_code_answers_from_a_folder_too(tmp_path: Path) -> None:
    first = asyncio.run(recorded(tmp_path / "tapes", tmp_path / "config"))
    # Another vendor, another host and no key: only what is asked counts.
    config = LLMConfig.openai("m", base_url="https://elsewhere.example.com/v1", replay=str(tmp_path / "tapes"))
    with LLMContainer.of({"planner": config}) as container:
        assert container.sync_client("planner").generate(LLMRequest.of("Plan a weekend")).text == first[0]
    with pytest.raises(ConfigError, match="there is no such folder"):
        LLMContainer.of({"planner": replace(config, replay=str(tmp_path / "absent"))})


def test_check_says_who_is_on_replay_and_strict_refuses_it(tmp_path: Path) -> None:
    config = tmp_path / "config"
    asyncio.run(recorded(config / "tapes", config))
    configured(config, GONE, replay="tapes")
    plain, strict = (CliRunner().invoke(check, [str(config), *more]) for more in ((), ("--strict",)))
    assert (plain.exit_code, strict.exit_code) == (0, 3)
    assert plain.output.count("the client is on replay") == 1

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import pickle
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomwire import ILLMClient, LLMConfig, LLMContainer, LLMRequest, SyncLLMClient
from loomwire.application.reload.results import Diff
from loomwire.container.pinning import PinnedContainer
from loomwire.container.process import process_container
from loomwire.domain.config import Snapshot
from loomwire.domain.errors import ClientRemovedError, LLMValidationError, UnknownNameError
from loomwire.domain.values import JSON
from loomwire.testing import FakeProvider, Recorder, Reply, ScriptedClient
from loomwire.testing.pacing import Pace
from support.chains import HI, ScriptedFactory
from support.folders import folder
from support.reloading import Watched
from support.scripts import run_python

WORDS = [{"text": "one", "repeat": True}]


def says(where: Path, word: str, *names: str, defaults: JSON = None) -> Path:
    """Write a configuration whose clients say a word."""
    return folder(where, [{"text": word, "repeat": True}], clients=names or ("planner",), defaults=defaults)


def break_off(where: Path) -> None:
    """Save half a file."""
    file = where / "loomwire.yaml"
    file.write_text(file.read_text(encoding="utf-8")[:120], encoding="utf-8")


def asked(container: LLMContainer | PinnedContainer, name: str = "planner") -> str:
    """Return a client's answer."""
    return container.sync_client(name).generate(HI).text


def test_what_is_saved_is_in_force_and_what_is_broken_changes_nothing(tmp_path: Path) -> None:
    with LLMContainer.open(says(tmp_path, "one")) as container:
        watched = Watched(container)
        client = container.sync_client("planner")
        assert client.generate(HI).text == "one"
        says(tmp_path, "two")
        watched.until(lambda: watched.updates == [Diff(changed=("planner",))])
        assert client.generate(HI).text == "two"
        break_off(tmp_path)
        watched.until(lambda: len(watched.rejections) == 1)
        assert client.generate(HI).text == "two"
        health = container.health()
        assert (health.generation, health.since) == (2, {"planner": 2})
        assert health.rejection is not None
        first = health.rejection.first
        assert first is not None
        assert (first.code, first.file, first.line > 0) == ("CFG001", f"{tmp_path}/loomwire.yaml", True)
        assert health.watcher is not None
        assert health.watcher.running
        assert json.loads(json.dumps(health.to_dict()))["rejection"]["code"] == "CFG001"
        says(tmp_path, "three", "planner", "chat")
        watched.until(lambda: len(watched.updates) == 2)
        assert (asked(container), asked(container, "chat")) == ("three", "three")
        assert container.health().rejection is None
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loomwire")]


def test_without_watching_an_edit_comes_into_force_when_it_is_asked_for(tmp_path: Path) -> None:
    with LLMContainer.open(says(tmp_path, "one", "planner", "chat"), watch=False) as container:
        assert container.health().watcher is None
        assert container.reload().outcome == "unchanged"
        gone = container.sync_client("chat")
        says(tmp_path, "one", "planner")
        result = container.reload()
        assert (result.outcome, result.diff) == ("adopted", Diff(removed=("chat",)))
        with pytest.raises(ClientRemovedError, match="'chat' was removed"):
            gone.generate(HI)
        with pytest.raises(UnknownNameError):
            container.llm_client("chat")
        assert container.names() == ("planner",)


async def test_a_reload_in_a_loop_is_refused_and_has_an_async_twin(tmp_path: Path) -> None:
    await asyncio.to_thread(says, tmp_path, "one")
    async with LLMContainer.aopen(tmp_path, watch=False) as container:
        with pytest.raises(LLMValidationError, match=r"await container.areload\(\)"):
            container.reload()
        await asyncio.to_thread(says, tmp_path, "two")
        assert (await container.areload()).outcome == "adopted"
        assert (await container.llm_client("planner").generate(HI)).text == "two"


async def test_calls_and_streams_in_flight_end_on_the_configuration_they_began_with(tmp_path: Path) -> None:
    going = asyncio.Event()

    async def slow(request: LLMRequest) -> str:
        await going.wait()
        return "old words"

    await asyncio.to_thread(says, tmp_path, "x")
    factory = ScriptedFactory({"helper": ScriptedClient(slow, "old words", then="new")})
    async with LLMContainer.aopen(tmp_path, watch=False, overrides={"client_factory": factory}) as container:
        planner = container.llm_client("planner")
        call = asyncio.create_task(planner.generate(HI))
        await asyncio.sleep(0)
        async with planner.stream(HI) as stream:
            await asyncio.to_thread(says, tmp_path, "x", "other")
            assert (await container.areload()).diff == Diff(added=("other",), removed=("planner",))
            assert container.health().draining == 1
            with pytest.raises(ClientRemovedError):
                await planner.generate(HI)
            _ = [event async for event in stream]
        assert stream.response.text == "old words"
        going.set()
        assert (await call).text == "old words"
        assert container.health().draining == 0


def served(where: Path, near: str, far: str | None = None, system: str = "") -> Path:
    """Write a configuration with a client per server."""
    urls = {"near": near, **({} if far is None else {"far": far})}
    common: dict[str, JSON] = {"type": "custom", "dialect": "openai_chat", "allow_private": True, "free": True}
    return folder(
        where,
        providers={name: {**common, "base_url": url} for name, url in urls.items()},
        models={name: {"provider": name, "model": "m"} for name in urls},
        clients={name: {"models": [name], **({"system": system} if system else {})} for name in urls},
    )


async def test_warm_connections_are_kept_and_those_of_a_server_that_went_are_closed(tmp_path: Path) -> None:
    async with FakeProvider(then=Reply("hi")) as near, FakeProvider(then=Reply("hi")) as far:
        await asyncio.to_thread(served, tmp_path, near.base_url, far.base_url)
        async with LLMContainer.aopen(tmp_path, watch=False) as container:
            await container.llm_client("near").generate(HI)
            await container.llm_client("far").generate(HI)
            assert container.health().pool.idle == 2
            # Another chain, the same connections.
            await asyncio.to_thread(served, tmp_path, near.base_url, far.base_url, "Be brief.")
            assert (await container.areload()).diff.changed == ("far", "near")
            await container.llm_client("near").generate(HI)
            assert container.health().pool.opened == 2
            await asyncio.to_thread(served, tmp_path, near.base_url, None, "Be brief.")
            assert (await container.areload()).diff.removed == ("far",)
            await far.until(lambda stats: not stats.open_connections)
            assert near.stats.open_connections == 1
            assert container.health().pool.idle == 1
            await container.llm_client("near").generate(HI)
            assert container.health().pool.opened == 2


async def test_a_stream_of_a_server_that_went_ends_undisturbed_and_then_its_connection_closes(tmp_path: Path) -> None:
    slow = Pace(tokens_per_s=100)
    said = FakeProvider(then=Reply("one two three"), pace=slow)
    async with FakeProvider(then=Reply("hi")) as near, said as far:
        await asyncio.to_thread(served, tmp_path, near.base_url, far.base_url)
        async with LLMContainer.aopen(tmp_path, watch=False) as container:
            async with container.llm_client("far").stream(HI) as stream:
                await asyncio.to_thread(served, tmp_path, near.base_url)
                await container.areload()
                _ = [event async for event in stream]
            assert stream.response.text == "one two three"
            await far.until(lambda stats: not stats.open_connections)


@pytest.fixture
def variable() -> Iterator[str]:
    """Name a variable that is not set afterwards."""
    name = "LOOMWIRE_TEST_RELOADED_WORD"
    yield name
    os.environ.pop(name, None)


def test_a_rotated_secret_file_and_a_variable_of_the_running_process_reload_their_clients(
    tmp_path: Path, variable: str
) -> None:
    (tmp_path / "key").write_text("key-one", encoding="utf-8")
    common: dict[str, JSON] = {"type": "custom", "dialect": "openai_chat", "base_url": "http://127.0.0.1:1/v1"}
    providers: dict[str, JSON] = {
        "filed": {**common, "allow_private": True, "free": True, "api_key": "${file:key}"},
        "other": {**common, "allow_private": True, "free": True},
    }
    models: dict[str, JSON] = {name: {"provider": name, "model": f"${{{variable}:-m}}"} for name in providers}
    models["fixed"] = {"provider": "filed", "model": "m"}
    clients: dict[str, JSON] = {name: {"models": [name]} for name in models}
    folder(tmp_path, providers=providers, models=models, clients=clients)
    with LLMContainer.open(tmp_path) as container:
        watched = Watched(container)
        (tmp_path / "key").write_text("key-two", encoding="utf-8")
        watched.until(lambda: watched.updates == [Diff(changed=("filed", "fixed"))])
        assert [key.reveal() for key in container.client_config("fixed").targets[0].keys] == ["key-two"]
        (tmp_path / "key").unlink()
        watched.until(lambda: len(watched.rejections) == 1)
        assert watched.rejections[0][0].code == "CFG021"
        (tmp_path / "key").write_text("key-two\n", encoding="utf-8")
        assert container.reload().outcome == "unchanged"
        os.environ[variable] = "n"
        assert container.reload().diff == Diff(changed=("filed", "other"))
        assert container.configs.get_client_config("other").targets[0].model == "n"


def test_most_clients_do_not_go_by_accident(tmp_path: Path) -> None:
    says(tmp_path, "one", "a", "b", "c", "d")
    with LLMContainer.open(tmp_path, watch=False) as container:
        says(tmp_path, "one", "a")
        assert [problem.code for problem in container.reload().problems] == ["CFG040"]
        assert container.names() == ("a", "b", "c", "d")
        says(tmp_path, "one", "a", defaults={"reload": {"allow_shrink": True}})
        assert container.reload().diff.removed == ("b", "c", "d")


def test_a_file_that_says_where_it_ends_is_never_taken_when_it_is_cut_off(tmp_path: Path) -> None:
    text = (
        "version: 1\nproviders:\n  p: {type: mock, script: [{text: hi, repeat: true}]}\n"
        "models: {m: {provider: p, model: m}}\nclients:\n  a: {models: [m]}\n  b: {models: [m]}\nend: true\n"
    )
    file = tmp_path / "a.yaml"
    file.write_text(text, encoding="utf-8")
    with LLMContainer.open(tmp_path, watch=False) as container:
        before = container.health()
        for end in range(len(text) - 1):
            file.write_text(text[:end], encoding="utf-8")
            assert container.reload().outcome == "rejected", text[:end]
        assert container.health().generation == before.generation
        file.write_text(text, encoding="utf-8")
        assert container.reload().outcome == "unchanged"
        (tmp_path / "b.yaml").write_text("version: 1\n", encoding="utf-8")
        problems = container.reload().problems
        assert [(problem.code, problem.file) for problem in problems] == [("CFG013", f"{tmp_path}/b.yaml")]
        (tmp_path / "b.yaml").write_text("end: true\nversion: 1\n", encoding="utf-8")
        problems = container.reload().problems
        assert [(problem.code, problem.line) for problem in problems] == [("CFG012", 1)]
        (tmp_path / "b.yaml").write_text("version: 1\nend: true\n", encoding="utf-8")
        assert container.reload().outcome == "adopted"


def test_an_earlier_generation_can_be_put_in_force_again(tmp_path: Path) -> None:
    with LLMContainer.open(says(tmp_path, "one"), watch=False) as container:
        says(tmp_path, "two")
        container.reload()
        assert container.configs.rollback(1).generation == 3
        assert asked(container) == "one"
        assert container.reload().outcome == "unchanged"
        assert asked(container) == "one"
        says(tmp_path, "three")
        container.reload()
        assert asked(container) == "three"
        assert [each.rolled_back_to for each in container.configs.history] == [None, None, 1, None]


async def test_a_pinned_run_stays_on_one_configuration_and_everybody_else_goes_on(tmp_path: Path) -> None:
    await asyncio.to_thread(says, tmp_path, "one")
    async with LLMContainer.aopen(tmp_path, watch=False) as container:
        live = container.llm_client("planner")
        async with container.pinned() as run:
            with run.pinned() as inner:
                await asyncio.to_thread(says, tmp_path, "two", "planner", "added")
                await container.areload()
                clients = [run.llm_client("planner"), run.resolve(ILLMClient, "planner"), inner.llm_client("planner")]
                assert [(await client.generate(HI)).text for client in clients] == ["one"] * 3
                assert (run.generation, inner.generation, run.names()) == (1, 1, ("planner",))
                assert (await asyncio.to_thread(asked, run)) == "one"
                assert (await live.generate(HI)).text == "two"
                assert container.health().draining == 1
            assert (await clients[0].generate(HI)).text == "one"
        assert container.health().draining == 0
        with pytest.raises(ClientRemovedError, match="after its pinned run ended"):
            await clients[0].generate(HI)
        async with container.pinned() as run:
            assert (await run.llm_client("added").generate(HI)).text == "two"


async def test_async_listeners_run_in_their_loop(tmp_path: Path) -> None:
    await asyncio.to_thread(says, tmp_path, "one")
    async with LLMContainer.aopen(tmp_path) as container:
        told: asyncio.Queue[Diff] = asyncio.Queue()

        async def listener(old: Snapshot, new: Snapshot, diff: Diff) -> None:
            told.put_nowait(diff)

        container.on_config_updated(listener)
        await asyncio.to_thread(says, tmp_path, "two")
        async with asyncio.timeout(5):
            assert await told.get() == Diff(changed=("planner",))


def test_a_container_in_code_never_reloads() -> None:
    rules: JSON = [{"when": "hi", "answer": "Hello."}]
    config = LLMConfig(type="rule", model="any", options={"rules": rules})
    with LLMContainer.of({"greeter": config}) as container:
        assert container.health().watcher is None
        assert container.reload().outcome == "unchanged"
        with container.pinned() as run:
            assert asked(run, "greeter") == "Hello."
        with pytest.raises(TypeError, match="send its name"):
            pickle.dumps(container.llm_client("greeter"))


def test_generations_are_freed_once_their_last_call_ended(tmp_path: Path) -> None:
    with LLMContainer.open(says(tmp_path, "0"), watch=False) as container:
        seen = [weakref.ref(container._registry.generation)]
        for number in range(1, 6):
            says(tmp_path, str(number))
            container.reload()
            assert asked(container) == str(number)
            seen.append(weakref.ref(container._registry.generation))
        gc.collect()
        assert [pointer() is None for pointer in seen] == [True] * 5 + [False]


async def test_recordings_that_change_reload_the_clients_that_answer_from_them(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    async with FakeProvider(then="new words") as provider:
        await asyncio.to_thread(served, tmp_path, provider.base_url, provider.base_url)
        pool = {"connection_pool": Recorder(tmp_path / "take", "record")}
        async with LLMContainer.aopen(tmp_path, watch=False, overrides=pool) as container:
            await container.llm_client("near").generate(HI)
    take = next(iter((tmp_path / "take").glob("*.json")))

    def replayed(words: str) -> None:
        recordings.mkdir(exist_ok=True)
        text = take.read_text(encoding="utf-8").replace("new words", words)
        (recordings / take.name).write_text(text, encoding="utf-8")

    await asyncio.to_thread(replayed, "old words")
    file = tmp_path / "loomwire.yaml"
    described = json.loads(await asyncio.to_thread(file.read_text, encoding="utf-8"))
    described["clients"]["near"]["replay"] = "recordings"
    await asyncio.to_thread(file.write_text, json.dumps(described), encoding="utf-8")
    async with LLMContainer.aopen(tmp_path, watch=False) as container:
        near = container.llm_client("near")
        assert (await near.generate(HI)).text == "old words"
        assert (await container.areload()).outcome == "unchanged"
        await asyncio.to_thread(replayed, "new words")
        assert (await container.areload()).diff == Diff(changed=("near",))
        assert (await near.generate(HI)).text == "new words"
        await asyncio.to_thread((recordings / take.name).write_text, "{", encoding="utf-8")
        assert [problem.code for problem in (await container.areload()).problems] == ["CFG022"]


def test_a_process_has_one_container_of_a_configuration_and_pickled_clients_find_it(tmp_path: Path) -> None:
    says(tmp_path, "one")
    container = process_container(tmp_path)
    try:
        assert process_container(f"{tmp_path}/../{tmp_path.name}/") is container
        with LLMContainer.open(tmp_path, watch=False) as opened:
            handle: ILLMClient = pickle.loads(pickle.dumps(opened.llm_client("planner")))
            sync: SyncLLMClient = pickle.loads(pickle.dumps(opened.sync_client("planner")))
        assert handle is container.llm_client("planner")
        assert sync.generate(HI).text == "one"
        with (
            LLMContainer.open(tmp_path, watch=False, overrides={"clock": container.wiring.clock()}) as own,
            pytest.raises(TypeError, match="send its name"),
        ):
            pickle.dumps(own.llm_client("planner"))
    finally:
        container.close()
    again = process_container(tmp_path)
    with contextlib.closing(again):
        assert again is not container
        assert asked(again) == "one"


def test_a_folder_above_a_linked_one_is_watched_and_found_by_clients_that_come_out_of_a_pickle(tmp_path: Path) -> None:
    (tmp_path / "far" / "v1").mkdir(parents=True)
    (tmp_path / "current").symlink_to(tmp_path / "far" / "v1")
    says(tmp_path / "far" / "conf", "one")
    root = f"{tmp_path}/current/../conf"
    with LLMContainer.open(root) as container:
        watched = Watched(container)
        says(tmp_path / "far" / "conf", "two")
        watched.until(lambda: watched.updates == [Diff(changed=("planner",))])
        found: SyncLLMClient = pickle.loads(pickle.dumps(container.sync_client("planner")))
    with contextlib.closing(process_container(root)):
        assert found.generate(HI).text == "two"


def test_a_process_container_can_be_opened_in_a_running_loop_by_whoever_waits_for_it(tmp_path: Path) -> None:
    # In a process of its own: here a loop that waits fails the test, and it does wait, once.
    root = str(says(tmp_path, "one"))
    assert run_python("-c", IN_A_LOOP, root) == "one True"


IN_A_LOOP = """
import asyncio, sys
from loomwire import LLMRequest
from loomwire.container.process import process_container

async def main():
    async with process_container(sys.argv[1]) as container:
        answer = await container.llm_client("planner").generate(LLMRequest.of("hi"))
        print(answer.text, process_container(sys.argv[1]) is container)

asyncio.run(main())
"""


def test_many_threads_that_ask_for_the_first_time_get_one_container(tmp_path: Path) -> None:
    says(tmp_path, "one")
    found: list[LLMContainer] = []
    together = threading.Barrier(6)

    def ask() -> None:
        together.wait()
        found.append(process_container(tmp_path))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with contextlib.closing(found[0]):
        assert len(set(map(id, found))) == 1

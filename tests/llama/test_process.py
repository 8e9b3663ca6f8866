"""The server of a local model lives in this process: one for all, quiet, gone with its container, anew after a fork."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loomwire.container.facade import LLMContainer
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMNotFoundError, LLMTimeoutError
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest, Parameters

ASK = LLMRequest.of("Hello?", deadline_s=20)


@asynccontextmanager
async def opened(clients: Mapping[str, LLMConfig]) -> AsyncGenerator[LLMContainer, None]:
    """Give a container in code, built off the loop, because building looks at the model file."""
    container = await asyncio.to_thread(LLMContainer.of, clients)
    async with container:
        yield container


def run(program: str, models: Path) -> tuple[int, list[str], str]:
    """Run a program on the plain model in a process of its own."""
    words = [sys.executable, "-c", program, str(models / "plain.gguf")]
    done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", timeout=30, check=False)
    return done.returncode, done.stdout.split(), done.stderr


def config(models: Path) -> LLMConfig:
    return LLMConfig.local(str(models / "plain.gguf"), context=512, threads=1)


PROGRAM = """
import os, sys
from loomwire import LLMConfig, LLMContainer, LLMRequest
container = LLMContainer.of({"c": LLMConfig.local(sys.argv[1], context=512, threads=1)})
ask = lambda: container.sync_client("c").generate(LLMRequest.of("Hello?", deadline_s=20)).finish
"""
FORK = """
print(ask(), flush=True)
child = os.fork()
if child == 0:
    print(ask(), flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), ask(), flush=True)
container.close()
"""
LEFT_OPEN = """
print(ask(), flush=True)
"""


def listening() -> int:
    """Return how many sockets this process listens on."""
    lines = Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]
    inodes = {line.split()[9] for line in lines if line.split()[3] == "0A"}
    ours = set()
    for entry in os.scandir("/proc/self/fd"):
        try:
            ours.add(str(Path(entry.path).readlink()))
        except OSError:
            continue
    return sum(f"socket:[{inode}]" in ours for inode in inodes)


async def test_clients_and_containers_share_one_server_which_goes_with_the_last(models: Path) -> None:
    before = listening()
    async with opened({"a": config(models), "b": config(models)}) as one:
        assert listening() == before
        await one.resolve(ILLMClient, "a").generate(ASK)
        async with opened({"c": config(models)}) as two:
            await asyncio.gather(*(one.resolve(ILLMClient, name).generate(ASK) for name in "ab"))
            await two.resolve(ILLMClient, "c").generate(ASK)
            assert listening() == before + 1
        await one.resolve(ILLMClient, "b").generate(ASK)
        assert listening() == before + 1
    assert listening() == before


def test_first_calls_of_many_threads_start_one_server(models: Path) -> None:
    before = listening()
    ends: list[str | None] = []
    with LLMContainer.of({"c": config(models)}) as container:

        def ask() -> None:
            ends.append(asyncio.run(container.resolve(ILLMClient, "c").generate(ASK)).finish)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert listening() == before + 1
    assert ends == ["stop"] * 6
    assert listening() == before


async def test_a_truncated_model_is_a_typed_error_and_the_process_goes_on(models: Path, tmp_path: Path) -> None:
    whole = (models / "plain.gguf").read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: len(whole) // 2])
    async with opened({"c": LLMConfig.local(str(path), threads=1)}) as container:
        client = container.resolve(ILLMClient, "c")
        with pytest.raises(LLMNotFoundError, match="cannot load the model file") as caught:
            await client.generate(ASK)
        assert caught.value.provider == "local"
        path.write_bytes(whole)
        assert (await client.generate(ASK)).complete


@pytest.mark.parametrize("at", [8, 16, 24, 100, 2000, 5000])
async def test_a_corrupt_header_is_a_typed_error_too(models: Path, tmp_path: Path, at: int) -> None:
    data = bytearray((models / "plain.gguf").read_bytes())
    data[at : at + 8] = b"\xff" * 8
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    async with opened({"c": LLMConfig.local(str(path), threads=1)}) as container:
        with pytest.raises(LLMNotFoundError, match="cannot load the model file"):
            await container.resolve(ILLMClient, "c").generate(ASK)


async def test_a_deadline_holds_while_the_model_loads(models: Path) -> None:
    async with opened({"c": config(models)}) as container:
        client = container.resolve(ILLMClient, "c")
        with pytest.raises(LLMTimeoutError) as caught:
            await client.generate(LLMRequest.of("Hello?", deadline_s=0.001))
        assert caught.value.reason == "deadline"
        assert (await client.generate(ASK)).complete


async def test_closing_while_a_stream_is_open_neither_hangs_nor_stops_the_server_under_it(models: Path) -> None:
    before = listening()
    long = LLMRequest.of("Go on.", deadline_s=20, parameters=Parameters(max_tokens=400))
    container = await asyncio.to_thread(LLMContainer.of, {"c": config(models)})
    async with container.resolve(ILLMClient, "c").stream(long):
        await asyncio.to_thread(container.close)
    for _ in range(500):
        if listening() == before:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the server is still there")


async def test_the_engine_writes_nothing_to_the_streams_of_the_host(
    models: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.gguf").write_bytes((models / "plain.gguf").read_bytes()[:9000])
    clients = {"c": config(models), "cut": LLMConfig.local(str(tmp_path / "cut.gguf"))}
    async with opened(clients) as container:
        await container.resolve(ILLMClient, "c").generate(ASK)
        with pytest.raises(LLMNotFoundError):
            await container.resolve(ILLMClient, "cut").generate(ASK)
    assert capfd.readouterr() == ("", "")


def test_a_forked_child_starts_its_own_server_and_the_parent_keeps_its(models: Path) -> None:
    assert run(PROGRAM + FORK, models) == (0, ["stop", "stop", "0", "stop"], "")


def test_a_process_that_closes_nothing_ends_all_the_same(models: Path) -> None:
    assert run(PROGRAM + LEFT_OPEN, models) == (0, ["stop"], "")

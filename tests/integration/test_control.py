"""Processes that run on one folder, and a command line that asks and operates them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from loomwire.domain.values import JSON
from support.commands import environment, loomwire
from support.folders import REPOSITORY, folder

WORKER = """
import sys
from loomwire import LLMContainer, LLMRequest
with LLMContainer.open(sys.argv[1]) as container:
    client = container.sync_client("planner")
    print("up", flush=True)
    for line in sys.stdin:
        try:
            print(client.generate(LLMRequest.of(line)).text, flush=True)
        except Exception as error:
            print(error.code, flush=True)
"""


@asynccontextmanager
async def worker(config: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run a process that answers every line with its client's answer."""
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, str(config), "--key=sk-secret"),
        stdin=pipe,
        stdout=pipe,
        env=environment(),
        cwd=REPOSITORY,
    )
    try:
        assert await line(running) == "up"
        yield running
    finally:
        if running.returncode is None:
            assert running.stdin is not None
            running.stdin.close()
            async with asyncio.timeout(15):
                await running.wait()


async def line(running: asyncio.subprocess.Process, said: str = "") -> str:
    """Return what a worker says next, after it was told something."""
    assert running.stdin is not None
    assert running.stdout is not None
    if said:
        running.stdin.write(f"{said}\n".encode())
    async with asyncio.timeout(15):
        return (await running.stdout.readline()).decode().strip()


def processes(ran_out: str) -> dict[int, dict[str, JSON]]:
    """Return what a document says of every process."""
    return {process["pid"]: process for process in json.loads(ran_out)["processes"]}


async def test_all_processes_on_a_folder_are_asked_and_operated(tmp_path: Path) -> None:
    config = folder(tmp_path, control={"socket": "run/l.sock"})
    async with worker(config) as one, worker(config) as other:
        both = {one.pid, other.pid}
        sockets = await asyncio.to_thread(lambda: sorted((tmp_path / "run").iterdir()))
        modes = await asyncio.to_thread(lambda: {stat.S_IMODE(path.stat().st_mode) for path in sockets})
        assert ({path.name for path in sockets}, modes) == ({f"l-{pid}.sock" for pid in both}, {0o600})
        ran = await asyncio.to_thread(loomwire, "breaker", "trip", "offline/helper", config, "--json")
        assert (ran.code, set(processes(ran.out))) == (0, both)
        assert [await line(each, "Hi") for each in (one, other)] == ["CIR001", "CIR001"]
        ran = await asyncio.to_thread(loomwire, "health", config, "--json")
        assert ran.code == 6
        assert "sk-secret" not in ran.out
        assert [told["program"] for told in processes(ran.out).values()] == ["-c", "-c"]
        ran = await asyncio.to_thread(loomwire, "breaker", "reset", "all", config)
        assert ran.code == 0
        assert [await line(each, "Hi") for each in (one, other)] == ["Hello.", "Hello."]
    assert await asyncio.to_thread(lambda: list((tmp_path / "run").iterdir())) == []


async def test_what_a_killed_process_left_is_no_process_and_is_removed(tmp_path: Path) -> None:
    config = folder(tmp_path, control={"socket": "l.sock"})
    async with worker(config) as killed, worker(config) as living:
        killed.send_signal(signal.SIGKILL)
        await killed.wait()
        left = tmp_path / f"l-{killed.pid}.sock"
        await asyncio.to_thread(os.utime, left, (0, 0))
        ran = await asyncio.to_thread(loomwire, "breaker", "list", config, "--json")
        assert (ran.code, ran.err, set(processes(ran.out))) == (0, "", {living.pid})
        assert not await asyncio.to_thread(left.exists)


async def test_a_running_process_takes_up_a_socket_that_comes_by_an_edit(tmp_path: Path) -> None:
    config = folder(tmp_path)
    async with worker(config) as running:
        assert (await asyncio.to_thread(loomwire, "breaker", "list", config)).code == 6
        await asyncio.to_thread(folder, tmp_path, control={"socket": "l.sock"})
        async with asyncio.timeout(15):
            while (ran := await asyncio.to_thread(loomwire, "breaker", "list", config, "--json")).code:
                pass
        assert set(processes(ran.out)) == {running.pid}


async def test_a_process_that_ends_without_closing_leaves_no_socket(tmp_path: Path) -> None:
    await asyncio.to_thread(folder, tmp_path, control={"socket": "l.sock"})
    script = "import os; from loomwire import LLMContainer; kept = LLMContainer.open(os.curdir); print(os.listdir())"
    ending = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
        cwd=tmp_path,
    )
    async with asyncio.timeout(15):
        out, _ = await ending.communicate()
    assert (ending.returncode, f"l-{ending.pid}.sock" in out.decode()) == (0, True)
    assert not await asyncio.to_thread((tmp_path / f"l-{ending.pid}.sock").exists)

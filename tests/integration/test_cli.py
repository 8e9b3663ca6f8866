"""The command line as its own process: what only a process can show."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loomwire.testing import FakeProvider, Reply
from support.commands import environment, process
from support.folders import REPOSITORY, folder, served

COMMAND = (sys.executable, "-m", "loomwire")


def test_data_goes_to_stdout_and_everything_else_to_stderr(tmp_path: Path) -> None:
    ran = process("ask", "planner", "-", "--config", folder(tmp_path), stdin="Hi")
    assert (ran.code, ran.out) == (0, "Hello.\n")
    assert ran.err.startswith("offline/helper: ")


def test_a_missing_key_ends_with_exit_code_3_and_says_what_to_do(tmp_path: Path) -> None:
    providers = {"openai": {"type": "openai", "api_key": "${OPENAI_API_KEY}"}}
    where = folder(tmp_path, providers=providers, models={"helper": {"provider": "openai", "model": "gpt"}})
    ran = process("check", where)
    assert (ran.code, ran.out) == (3, "")
    for said in ("OPENAI_API_KEY is not set", "providers.openai.api_key", "loomwire.yaml:", "Set it"):
        assert said in ran.err


@pytest.mark.parametrize(("words", "code"), [((), 2), (("frob",), 2), (("explain", "CFG010"), 0), (("--help",), 0)])
def test_the_process_leaves_with_the_exit_code(words: tuple[str, ...], code: int) -> None:
    ran = process(*words)
    assert ran.code == code
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("words", [("explain", "all"), ("schema",), ("demo",), ("frob", "--json")])
def test_a_reader_that_goes_away_is_no_failure(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*COMMAND, *words], stdout=writing, stderr=subprocess.PIPE, env=environment(), cwd=REPOSITORY, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_gets_colours_and_a_pipe_does_not() -> None:
    ours, theirs = pty.openpty()
    env = environment(TERM="xterm")
    done = subprocess.run([*COMMAND, "explain", "CFG010"], stdout=theirs, env=env, cwd=REPOSITORY, check=False)
    os.close(theirs)
    shown = os.read(ours, 10_000)
    os.close(ours)
    assert done.returncode == 0
    assert b"\x1b[1mCFG010" in shown
    assert "\x1b[" not in process("explain", "CFG010").out


async def test_an_interrupt_leaves_with_130_and_closes_the_connection(tmp_path: Path) -> None:
    async with FakeProvider(then=Reply("late", delay_s=60.0)) as provider:
        asking = await asyncio.create_subprocess_exec(
            *(*COMMAND, "ask", "planner", "Hi", "--config", str(served(tmp_path, provider.base_url))),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
            cwd=REPOSITORY,
        )
        await provider.until(lambda stats: stats.requests == 1, within_s=15)
        asking.send_signal(signal.SIGINT)
        out, err = await asking.communicate()
    assert asking.returncode == 130
    assert (out, err.decode().strip()) == (b"", "interrupted")


async def test_an_answer_over_a_real_connection_streams_as_json_lines(tmp_path: Path) -> None:
    async with FakeProvider("one two") as provider:
        words = ("ask", "planner", "Hi", "--stream", "--json", "--config", served(tmp_path, provider.base_url))
        ran = await asyncio.to_thread(process, *words)
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert "".join(line["text"] for line in lines[:-1]) == lines[-1]["text"] == "one two"


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from loomwire.cli.main import cli; cli(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"aiohttp", "httpx", "pydantic", "yaml", "dependency_injector", "asyncio"}

"""`loomwire mock serve` as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

from support.commands import environment, loomwire

RULES = "rules: [{requests: 2, error: overloaded, retry_after: 7}]\nmodels: [m1]\n"


@contextmanager
def serving(*words: str | Path) -> Generator[subprocess.Popen[str]]:
    """Serve in another process, which is gone afterwards."""
    command = [sys.executable, "-m", "loomwire", "mock", "serve", *map(str, words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    """Return the next line on stdout."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def statuses(url: str, count: int) -> list[int]:
    """Ask some times."""
    body = {"model": "m1", "messages": []}
    with httpx.Client(trust_env=False) as http:
        return [http.post(f"{url}/chat/completions", json=body).status_code for _ in range(count)]


def test_the_address_can_be_taken_from_stdout_and_sigterm_ends_it_well(tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(RULES, encoding="utf-8")
    with serving("--script", file) as process:
        assert statuses(line_of(process), 3) == [200, 503, 200]
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate()
        assert process.returncode == 0
    assert "3 requests in " in told


def test_ctrl_c_is_130_and_json_ends_with_the_summary() -> None:
    with serving("--json") as process:
        assert statuses(json.loads(line_of(process))["base_url"], 2) == [200, 200]
        process.send_signal(signal.SIGINT)
        said, told = process.communicate()
        assert process.returncode == 130
    assert [json.loads(line)["event"] for line in said.splitlines()] == ["request", "request", "summary"]
    assert told == ""


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    with serving("--json") as process:
        url = json.loads(line_of(process))["base_url"]
        assert process.stdout is not None
        process.stdout.close()
        statuses(url, 1)
        assert process.wait(timeout=5) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_the_line_for_loomwire_is_a_provider_that_works(tmp_path: Path) -> None:
    with serving() as process:
        line_of(process)
        assert process.stderr is not None
        told = [process.stderr.readline() for _ in range(4)]
        provider = "".join(told[2:]).split("loomwire", 1)[1].strip()
        clients = "models: {m: {provider: fake, model: any}}\nclients: {planner: {models: [m]}}\n"
        (tmp_path / "loomwire.yaml").write_text(f"version: 1\nproviders:\n  fake: {provider}\n{clients}", "utf-8")
        ran = loomwire("ask", "planner", "Hi", "--config", tmp_path)
    assert (ran.code, ran.out) == (0, "Hello from the loopback provider.\n")

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from typing_extensions import override

from loomwire.cli.mock_log import Log
from loomwire.testing import FAULTS, FakeProvider
from loomwire.testing.wire import ReceivedRequest
from support.commands import Ran, loomwire

ASK = {"model": "m1", "messages": []}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    while True:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.02)


def served(*words: str | Path, drive: Callable[[str], None], end: int = signal.SIGTERM, scheme: str = "http") -> Ran:
    """Serve in this process while a thread drives it, and end it with a signal."""
    port = free_port()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            wait_for(port)
            drive(f"{scheme}://127.0.0.1:{port}/v1")
        except BaseException as error:  # noqa: BLE001 - told in the test's own thread
            failed.append(error)
        os.kill(os.getpid(), end)

    driver = threading.Thread(target=run)
    driver.start()
    ran = loomwire("mock", "serve", "--port", str(port), *words)
    driver.join()
    if failed:
        raise failed[0]
    return ran


def script(folder: Path, text: str) -> Path:
    """Write a script."""
    file = folder / "faults.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def ask(url: str, **extra: object) -> httpx.Response:
    """Ask once."""
    return httpx.post(f"{url}/chat/completions", json={**ASK, **extra}, trust_env=False)


def once(url: str) -> None:
    """Ask once."""
    ask(url)


def nothing(_url: str) -> None:
    """Ask nothing."""


def test_a_person_sees_the_address_every_request_and_a_table(tmp_path: Path) -> None:
    rules = script(tmp_path, "rules: [{requests: 2, fault: byte_split}, {requests: 3, status: 503}]\napi_key: k\n")

    def drive(url: str) -> None:
        for stream in (False, True, False):
            httpx.post(
                f"{url}/chat/completions?key=secret",
                json={**ASK, "stream": stream},
                headers={"authorization": "Bearer k"},
                trust_env=False,
            )
        ask(url, model="\x1b[31mred")

    ran = served("--script", rules, drive=drive)
    lines = ran.err.splitlines()
    assert ran.code == 0
    assert ran.out.startswith("http://127.0.0.1:")
    assert len(ran.out.splitlines()) == 1
    assert "2 rules, seed 0" in ran.err
    assert "     1  200  POST /v1/chat/completions  m1  " in ran.err
    assert "     2  200  POST /v1/chat/completions  m1, stream  fault byte_split  " in ran.err
    assert "     3  503  POST /v1/chat/completions  m1  " in ran.err
    assert "     4  401  POST /v1/chat/completions  '\\x1b[31mred'  " in ran.err
    assert "secret" not in ran.err
    assert any(
        line.startswith("4 requests in ") and line.endswith("4 answered, 0 broken, 0 abandoned") for line in lines
    )
    assert "faults: byte_split 1" in lines
    assert lines[-1] == "cost: unknown, a script has no prices"
    assert [line.split()[:3] for line in lines if line.startswith("m1 ")] == [["m1", "3", "2"]]


def test_a_program_reads_json_lines() -> None:
    def drive(url: str) -> None:
        ask(url)
        httpx.get(f"{url}/models", trust_env=False)

    ran = served("--json", drive=drive)
    started, first, second, summary = map(json.loads, ran.out.splitlines())
    assert (started["schema"], started["event"], started["script"]) == ("loomwire/mock/1", "started", None)
    assert (first["event"], first["status"], first["model"], first["outcome"]) == ("request", 200, "m1", "answered")
    assert first["usage"]["output_tokens"] > 0
    assert (second["path"], second["usage"]) == ("/v1/models", None)
    assert (summary["event"], summary["requests"], summary["answered"], summary["faults"]) == ("summary", 2, 2, {})
    assert summary["models"]["m1"]["billed"] == 1
    assert ran.err == ""


def test_what_never_had_a_first_byte_says_so(tmp_path: Path) -> None:
    def drive(url: str) -> None:
        with pytest.raises(httpx.ReadError):
            ask(url)

    file = script(tmp_path, "rules: [{fault: reset}]")
    request = json.loads(served("--json", "--script", file, drive=drive).out.splitlines()[1])
    assert (request["fault"], request["first_byte_ms"], request["status"]) == ("reset", None, None)
    assert request["ms"] >= 0


def test_ctrl_c_ends_it_with_the_table_and_130() -> None:
    ran = served("-q", drive=nothing, end=signal.SIGINT)
    assert ran.code == 130
    assert ran.err.splitlines()[-1].startswith("no request in ")


def test_quiet_says_nothing_of_requests() -> None:
    ran = served("--quiet", drive=once)
    assert "POST" not in ran.err
    assert "1 request in " in ran.err


def test_the_authority_is_written_for_the_clients(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    rules = script(tmp_path, "tls: true\n")

    def drive(url: str) -> None:
        trusted = ssl.create_default_context(cafile=str(authority))
        assert httpx.get(f"{url}/models", verify=trusted, trust_env=False).status_code == 200

    ran = served("--script", rules, "--ca-file", authority, drive=drive, scheme="https")
    assert ran.out.startswith("https://")


def test_an_authority_that_there_is_not_or_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    ran = loomwire("mock", "serve", "--ca-file", tmp_path / "ca.pem")
    assert (ran.code, "needs a script with `tls`" in ran.err) == (2, True)
    ran = loomwire("mock", "serve", "--ca-file", tmp_path / "no" / "ca.pem", "--script", script(tmp_path, "tls: true"))
    assert (ran.code, ran.out) == (2, "")
    assert "ca.pem cannot be written: No such file" in ran.err


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = loomwire("mock", "serve", "--port", str(port))
    assert ran.code == 2
    assert ran.err == f"Error: port {port} of 127.0.0.1 is in use; without --port a free one is taken\n"


def test_an_address_that_is_not_ours_is_one_clear_line() -> None:
    ran = loomwire("mock", "serve", "--host", "203.0.113.7")
    assert ran.code == 2
    assert "port 0 of 203.0.113.7 cannot be had: " in ran.err


def test_a_script_with_problems_exits_with_3_and_carets(tmp_path: Path) -> None:
    ran = loomwire("mock", "serve", "--script", script(tmp_path, "sed: 1\nrules: [{fault: hnag}]\n"))
    assert ran.code == 3
    assert "^^^ did you mean `seed`?" in ran.err
    assert "^^^^ did you mean `hang`?" in ran.err
    assert ran.err.endswith(
        "faults.yaml cannot be played: line 1: sed: unknown key; did you mean `seed`? (the first of 2 problems)\n"
    )


def test_faults_are_listed_for_people_and_programs() -> None:
    told, listed = loomwire("mock", "faults"), loomwire("mock", "faults", "--json")
    assert len(told.out.splitlines()) == len(FAULTS)
    assert "Not in a script" in told.out
    rows = json.loads(listed.out)["faults"]
    assert list(rows) == list(FAULTS)
    assert rows["hang"]["in_script"] is True


async def test_a_reader_that_left_is_told_once_and_breaks_nothing() -> None:
    left: list[bool] = []

    class Closed(Log):
        @override
        def tell(self, request: ReceivedRequest) -> None:
            raise BrokenPipeError

    log = Closed(as_json=False, quiet=False, reader_left=lambda: left.append(True))
    async with FakeProvider() as provider, httpx.AsyncClient(trust_env=False) as http:
        provider.listen(log.request)
        assert (await http.get(f"{provider.base_url}/models")).status_code == 200
    assert left == [True]

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from loomwire import LLMContainer
from loomwire.application.state.breaking.permits import Permit
from loomwire.cli.main import cli
from support.commands import loomwire
from support.folders import folder
from support.operating import Running

WIDE = {"COLUMNS": "140"}


def words(line: str) -> list[str]:
    """Return the cells of a line of a table."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_every_circuit_is_listed_with_its_state_and_why(running: Running) -> None:
    running.container.circuits.find("offline/small").force_open(600)
    ran = loomwire("breaker", "list", running.config, env=WIDE)
    title, head, *lines = ran.out.splitlines()
    assert (ran.code, ran.err, title.partition(" (")[0]) == (0, "", f"process {os.getpid()}")
    assert words(head) == ["circuit", "state", "since", "asked again", "failed", "why"]
    assert [words(line)[:2] for line in lines] == [
        ["offline", "closed"],
        ["offline/big", "closed"],
        ["offline/small", "open"],
    ]
    assert words(lines[2])[3:] == ["in 10 min", "0 of 0", "an operator decided so"]


def test_a_circuit_is_opened_until_it_is_reset(running: Running) -> None:
    ran = loomwire("breaker", "trip", "offline/small", running.config, env=WIDE)
    assert ran.code == 0
    assert words(ran.out.splitlines()[2])[0:5:3] == ["offline/small", "when reset"]
    assert running.container.circuits.find("offline/small").status().hold == "isolated"
    ran = loomwire("breaker", "reset", "offline/small", running.config, env=WIDE)
    assert "an operator reset it" in ran.out
    assert running.container.circuits.find("offline/small").is_closed


def test_a_circuit_is_opened_for_a_while_and_all_are_reset(running: Running) -> None:
    ran = loomwire("breaker", "trip", "offline", running.config, "--for", "90", "--json")
    (process,) = json.loads(ran.out)["processes"]
    assert (process["pid"], [row["name"] for row in process["circuits"]]) == (
        os.getpid(),
        ["offline", "offline/big", "offline/small"],
    )
    assert 80 < process["circuits"][0]["retry_after_s"] <= 90
    assert loomwire("breaker", "reset", "all", running.config).code == 0
    assert running.container.circuits.find("offline").is_closed


def test_a_circuit_that_is_due_or_being_tried_says_so(running: Running) -> None:
    circuit = running.container.circuits.find("offline/big")
    circuit.force_open(1e-9)
    assert "half open" in (said := loomwire("breaker", "list", running.config, env=WIDE).out)
    assert words(next(line for line in said.splitlines() if "offline/big" in line))[3] == "now"
    for _ in range(circuit.policy.probes):
        circuit.admit()
    said = loomwire("breaker", "list", running.config, env=WIDE).out
    assert words(next(line for line in said.splitlines() if "offline/big" in line))[3] == "unknown"


def test_a_circuit_that_opened_by_itself_says_with_which_error(running: Running) -> None:
    circuit = running.container.circuits.find("offline/big")
    for _ in range(circuit.policy.consecutive):
        permit = circuit.admit()
        assert isinstance(permit, Permit)
        circuit.failed(permit, "NET002")
    said = loomwire("breaker", "list", running.config, env={"COLUMNS": "200"}).out
    assert "failed many times in a row, last with NET002" in said


def test_a_circuit_that_nobody_has_is_an_error_with_those_there_are(running: Running) -> None:
    ran = loomwire("breaker", "trip", "offline/huge", running.config)
    assert (ran.code, ran.out) == (3, "")
    for said in ("CFG030", "offline/huge", "There are: offline, offline/big, offline/small"):
        assert said in ran.err


def test_without_a_process_it_is_said_where_one_was_looked_for(idle: Path) -> None:
    ran = loomwire("breaker", "list", idle)
    assert (ran.code, ran.out) == (6, "")
    assert "NOT005" in ran.err
    assert str(idle / "l-*.sock") in ran.err


def test_without_a_socket_it_is_said_how_to_switch_it_on(tmp_path: Path) -> None:
    ran = loomwire("breaker", "trip", "offline", folder(tmp_path), "--json")
    assert ran.code == 6
    told = json.loads(ran.out)
    assert (told["code"], told["reason"]) == ("NOT005", "no_process")
    assert "control: {socket: run/loomwire.sock}" in told["hint"]


def test_a_configuration_that_is_broken_now_does_not_lock_the_operator_out(running: Running) -> None:
    (running.config / "more.yaml").write_text("version: [", encoding="utf-8")
    assert loomwire("breaker", "list", running.config).code == 3
    ran = loomwire("breaker", "trip", "offline", running.config, "--socket", running.config / "l.sock")
    assert ran.code == 0
    assert not running.container.circuits.find("offline").is_closed


def test_who_did_not_do_it_is_told_although_others_did(running: Running) -> None:
    other = running.config / "other"
    folder(other, control={"socket": str(running.config / "l.sock")}, models={"helper": running_model()})
    with LLMContainer.open(other):
        ran = loomwire("breaker", "trip", "offline/small", running.config)
    assert ran.code == 8
    assert "did not: CFG030 no circuit is called 'offline/small'" in ran.err
    assert not running.container.circuits.find("offline/small").is_closed


def test_who_listens_and_says_nothing_is_told(running: Running) -> None:
    def leave(mute: socket.socket) -> None:
        with suppress(OSError):
            while True:
                mute.accept()[0].close()

    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(running.config / "l-1.sock"))
        mute.listen()
        leaving = threading.Thread(target=leave, args=(mute,))
        leaving.start()
        ran = loomwire("breaker", "list", running.config)
        mute.shutdown(socket.SHUT_RDWR)
        leaving.join()
    assert ran.code == 8
    assert f"somebody listens at {running.config / 'l-1.sock'} and did not answer" in ran.err
    assert "offline/small" in ran.out


def running_model() -> dict[str, str]:
    """Return a model of the same provider with another name."""
    return {"provider": "offline", "model": "other"}


@pytest.mark.parametrize("for_s", ["0", "-1", "x", "1e9"])
def test_a_time_that_is_none_is_refused(running: Running, for_s: str) -> None:
    assert loomwire("breaker", "trip", "offline", running.config, "--for", for_s).code == 2


def test_circuits_of_the_configuration_are_offered(idle: Path, tmp_path: Path) -> None:
    def offered(where: Path) -> list[str]:
        words = ["breaker", "trip", "--socket", "x"]
        complete = ShellComplete(cli, {}, "loomwire", "_X")
        # The folder comes behind the name, where a shell does not look while the name is typed.
        context = complete.cli.make_context("loomwire", words, resilient_parsing=True)
        context.params["config"] = where
        from loomwire.cli.operating.breaker import complete_circuits, trip

        return complete_circuits(context, trip.params[0], "offline/")

    assert offered(idle) == ["offline/big", "offline/small"]
    assert offered(tmp_path / "none") == []

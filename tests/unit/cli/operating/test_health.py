from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from loomwire import LLMContainer, LLMRequest
from loomwire.domain.errors import LLMError, LLMRateLimitError
from support.commands import loomwire
from support.folders import folder, served
from support.operating import Running

WIDE = {"COLUMNS": "120"}


def test_a_running_process_is_asked_how_its_calls_ended(running: Running) -> None:
    running.container.sync_client("planner").generate(LLMRequest.of("Hi"))
    ran = loomwire("health", running.config, env=WIDE)
    title, provider, *targets = ran.out.splitlines()
    assert (ran.code, ran.err) == (0, "")
    assert title.startswith(f"process {os.getpid()} (")
    assert "): generation 1 for " in title
    assert title.endswith(", 0 calls in flight")
    assert provider.startswith("offline: healthy, 100.0% of 1 call lately answered, 95 of 100 in ")
    assert targets[0].startswith("  offline/big: healthy, 100.0% of 1 call lately answered")
    assert targets[1] == "  offline/small: unknown"


def test_what_is_not_well_comes_with_why_since_when_and_what_to_do(running: Running) -> None:
    running.container.circuits.find("offline/small").isolate()
    ran = loomwire("health", running.config, env=WIDE)
    assert ran.code == 6
    assert "  offline/small: unhealthy, isolated, circuit open for " in ran.out
    assert "asked again when it is reset" in ran.out
    assert "   -> An operator isolated offline/small" in ran.out
    assert ran.out.endswith("nobody is left to ask for lonely\n")


def test_circuits_are_told_in_every_state(running: Running) -> None:
    running.container.circuits.find("offline/big").force_open(600)
    assert ", asked again in 10 min" in loomwire("health", running.config, env=WIDE).out
    circuit = running.container.circuits.find("offline/big")
    circuit.force_open(1e-9)
    said = loomwire("health", running.config, env=WIDE).out
    assert "circuit half open for " in said
    assert ", the next call tries it\n" in said
    for _ in range(circuit.policy.probes):
        circuit.admit()
    assert ", being tried\n" in loomwire("health", running.config, env=WIDE).out


def test_rests_and_calls_in_flight_are_told(running: Running) -> None:
    states = running.container.wiring.target_states()
    throttled = LLMRateLimitError("too many", retry_after=600)
    states.cooldowns.candidate("offline", "", "big").failed(throttled, states.now())
    states.loads.target("offline", "", "big").began()
    said = loomwire("health", running.config, env=WIDE).out
    assert "  offline/big: degraded, throttled, rests for 10 min, 1 in flight\n" in said


def test_nobody_looked_until_somebody_does(running: Running) -> None:
    assert "offline: unknown, no call lately, and nobody looked\n" in loomwire("health", running.config, env=WIDE).out
    assert "offline: healthy, answered\n" in loomwire("health", running.config, "--look", env=WIDE).out


def test_an_edit_that_is_not_in_force_is_told(running: Running) -> None:
    (running.config / "more.yaml").write_text("version: [", encoding="utf-8")
    running.container.reload()
    ran = loomwire("health", running.config, "--socket", running.config / "l.sock", env=WIDE)
    assert ran.code == 0
    assert "  the last edit is not in force: CFG001" in ran.out


def test_without_a_process_providers_are_looked_at_from_here(idle: Path) -> None:
    ran = loomwire("health", idle, env={"COLUMNS": "400"})
    assert (ran.code, ran.out.splitlines()[0]) == (0, "offline: healthy, answered")
    assert "looked from here: no process listens at " in ran.err


def test_a_provider_that_is_gone_is_told_with_its_error_and_ends_with_6(tmp_path: Path) -> None:
    ran = loomwire("health", served(tmp_path, "http://127.0.0.1:9"), env=WIDE)
    assert ran.code == 6
    assert "local: unhealthy, did not answer " in ran.out
    assert "nobody is left to ask for planner" in ran.out
    assert "control: {socket: run/loomwire.sock}" in ran.err
    assert "NET002" in ran.out


def test_a_program_gets_it_all_as_one_document(running: Running, tmp_path: Path) -> None:
    told = json.loads(loomwire("health", running.config, "--json").out)
    assert (told["schema"], told["live"], told["processes"][0]["pid"]) == (
        "loomwire/health-report/1",
        True,
        os.getpid(),
    )
    assert told["processes"][0]["health"]["schema"] == "loomwire/health/1"
    told = json.loads(loomwire("health", folder(tmp_path / "x"), "--json").out)
    assert (told["live"], told["processes"][0]["unserved"]) == (False, [])


def test_a_configuration_that_is_not_valid_ends_with_3(tmp_path: Path) -> None:
    assert loomwire("health", tmp_path / "none").code == 3


def test_calls_that_failed_are_told_with_the_last_error(tmp_path: Path) -> None:
    config = folder(tmp_path, [{"error": "server", "repeat": True}], control={"socket": "l.sock"})
    with LLMContainer.open(config) as container:
        for _ in range(2):
            with pytest.raises(LLMError):
                container.sync_client("planner").generate(LLMRequest.of("Hi"))
        said = loomwire("health", config, env=WIDE).out
    assert "0.0% of " in said
    assert "last error TMP" in said

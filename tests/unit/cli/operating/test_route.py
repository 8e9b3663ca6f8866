from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from loomwire import LLMRequest
from loomwire.cli.operating.route import PRIORITIES
from loomwire.domain.requests import Priority
from support.commands import loomwire
from support.operating import Running

WIDE = {"COLUMNS": "140"}


def cells(line: str) -> list[str]:
    """Return the cells of a line of a table."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_targets_are_told_in_order_with_who_is_left_out_and_by_whose_word(idle: Path) -> None:
    ran = loomwire("explain", "route", "planner", idle, "--tools", "--in-tokens", "500", env=WIDE)
    head, *lines = ran.out.splitlines()
    assert ran.code == 0
    assert cells(head) == ["target", "cost", "window", "in flight", "latency", "why"]
    assert [cells(line) for line in lines] == [
        ["1", "offline/big", "free", "9,000", "0", "tools yes (yaml)"],
        ["-", "offline/small", "100", "not asked: cannot do what the request needs: tools (tools no (yaml))"],
    ]
    assert ran.err.splitlines() == [
        "rule: ordered",
        "of a process that has just begun: no circuit, rest or latency is known here",
    ]


def test_a_request_that_is_too_long_leaves_out_the_small_window(idle: Path) -> None:
    ran = loomwire("explain", "route", "planner", idle, "--in-tokens", "500", env=WIDE)
    assert "not asked: about 500 tokens are more than its window of 100\n" in ran.out


def test_a_running_process_tells_of_circuits_and_latencies(running: Running) -> None:
    running.container.sync_client("lonely").generate(LLMRequest.of("Hi"))
    running.container.circuits.find("offline/big").force_open(600)
    ran = loomwire("explain", "route", "planner", running.config, "--json-schema", env=WIDE)
    title, _, *lines = ran.out.splitlines()
    assert title.startswith("process ")
    assert [cells(line)[:2] for line in lines] == [["1", "offline/small"], ["2", "offline/big"]]
    assert cells(lines[0])[5].endswith("ms")
    assert "resting for 600.0 s: circuit_open, json_schema not known" in lines[1]
    assert "just begun" not in ran.err


def test_when_every_circuit_is_open_it_says_what_happens_then(running: Running) -> None:
    running.container.circuits.find("offline").isolate()
    ran = loomwire("explain", "route", "lonely", running.config, env=WIDE)
    assert "all circuits are open, so only the first is tried" in ran.err


def test_failures_and_prompted_tools_are_told(running: Running) -> None:
    options = running.container.configs.snapshot.clients["lonely"].targets[0]
    running.container.wiring.target_states().loads.target(options.name, "", options.model).failed(1.0, 0.0)
    said = loomwire("explain", "route", "lonely", running.config, env=WIDE).out
    assert "1 failure in a row" in said


def test_a_model_without_tools_gets_them_by_prompt(tmp_path: Path) -> None:
    from support.folders import folder

    config = folder(tmp_path, model={"capabilities": {"tools": False}})
    assert cells(loomwire("explain", "route", "planner", config, "--tools", env=WIDE).out.splitlines()[1])[-1] == (
        "tools by prompt"
    )


def test_a_program_gets_one_document(running: Running) -> None:
    ran = loomwire("explain", "route", "planner", running.config, "--stream", "--priority", "cost", "--json")
    told = json.loads(ran.out)
    assert (told["schema"], told["live"], told["needs"]["stream"]) == ("loomwire/route/1", True, True)
    (process,) = told["processes"]
    assert (process["rule"], [row["target"] for row in process["kept"]]) == ("cost", ["offline/big", "offline/small"])


@pytest.mark.parametrize("live", [True, False])
def test_a_client_that_nobody_has_ends_with_3(running: Running, live: bool) -> None:
    if not live:
        running.container.close()
    ran = loomwire("explain", "route", "plannr", running.config)
    assert (ran.code, ran.out) == (3, "")
    assert "Did you mean 'planner'?" in ran.err


def test_the_priorities_are_those_of_a_request() -> None:
    assert get_args(Priority) == PRIORITIES

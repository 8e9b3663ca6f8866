from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from loomwire import LLMContainer
from loomwire.cli.workflow import main, run
from support.commands import loomwire, process
from support.folders import REPOSITORY, SAMPLE


def test_the_demo_shows_an_answer_a_stream_and_a_typed_object() -> None:
    ran = loomwire("demo")
    assert (ran.code, ran.err) == (0, "")
    titles = [line for line in ran.out.splitlines() if line[:2] in {"1.", "2.", "3."}]
    assert titles == [
        "1. plan: generate, client `planner`: the whole answer at once",
        "2. story: stream, client `storyteller`: words as they come",
        "3. invoice: typed, client `reader`: a checked Invoice object",
    ]
    assert "A weekend in Lisbon\n" in ran.out
    assert "Ada owes 9.70 for 2 items\n" in ran.out
    assert "no key, no network, no cost" in ran.out


def test_the_demo_runs_in_a_process_of_its_own_from_anywhere(tmp_path: Path) -> None:
    ran = process("demo", cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert "\x1b[" not in ran.out


def test_the_demo_as_json_holds_answers_and_totals() -> None:
    said = json.loads(loomwire("demo", "--json").out)
    assert said["schema"] == "loomwire/demo/1"
    assert said["answers"]["plan"].startswith("A weekend in Lisbon")
    assert said["events"]["story"] > 10
    assert {name: totals["answered"] for name, totals in said["clients"].items()} == {
        "planner": 1,
        "storyteller": 1,
        "reader": 1,
    }
    assert said["chain"].startswith("planner: Observe(call) > Deadline > ")


def test_the_demo_runs_on_an_edited_copy_of_the_configuration(tmp_path: Path) -> None:
    copy = tmp_path / "config"
    shutil.copytree(SAMPLE, copy)
    rules = copy / "rules" / "demo.yaml"
    rules.write_text(rules.read_text(encoding="utf-8").replace("Arrive, drop the bags", "Sleep"), encoding="utf-8")
    ran = loomwire("demo", "--config", copy)
    assert "Friday    Sleep" in ran.out
    assert "no network" not in ran.out


def test_the_demo_without_its_clients_says_which_is_missing(tmp_path: Path) -> None:
    assert loomwire("demo", "--config", tmp_path / "nowhere").code == 3


@pytest.mark.parametrize("columns", ["30", "80", "200"])
def test_the_demos_summary_fits_the_terminal(columns: str) -> None:
    ran = loomwire("demo", env={"COLUMNS": columns})
    summary = ran.out.partition("What happened\n")[2].splitlines()
    words = max(len(word) for line in summary for word in line.split())
    assert max(map(len, summary)) <= max(int(columns), 40, words + 10)


def test_the_example_for_readers_is_the_demos_own_workflow() -> None:
    example = REPOSITORY / "examples" / "workflow.py"
    assert example.read_bytes() == (REPOSITORY / "src" / "loomwire" / "cli" / "workflow.py").read_bytes()


def test_the_workflow_engine_stays_small() -> None:
    lines = (REPOSITORY / "examples" / "workflow.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 70


async def test_the_workflow_fills_its_state() -> None:
    shown: list[tuple[str, str]] = []
    async with LLMContainer.aopen(SAMPLE) as container:
        state = await run(container, lambda node, text: shown.append((node, text)))
    assert set(state) == {"plan", "story"}
    assert "".join(text for node, text in shown if node == "story") == state["story"]


async def test_the_workflow_runs_as_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    await main()
    assert "invoice: Ada owes 9.70 for 2 items" in capsys.readouterr().out

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import click
import pytest

from loomwire import LLMContainer
from loomwire.cli.configuring.live import TYPO, LiveEdits
from loomwire.cli.workflow import main, run
from support.commands import loomwire, process
from support.folders import REPOSITORY, SAMPLE


def test_the_demo_shows_an_answer_a_stream_and_a_typed_object() -> None:
    ran = loomwire("demo")
    assert (ran.code, ran.err) == (0, "")
    titles = [line for line in ran.out.splitlines() if line[:2] in {"1.", "2.", "3.", "4.", "5."}][:3]
    assert titles == [
        "1. plan: generate, client `planner`: the whole answer at once",
        "2. story: stream, client `storyteller`: words as they come",
        "3. invoice: typed, client `reader`: a checked Invoice object",
    ]
    assert "A weekend in Lisbon\n" in ran.out
    assert "Ada owes 9.70 for 2 items\n" in ran.out
    assert "no key, no network, no cost" in ran.out


def test_the_demo_edits_its_configuration_in_the_middle_of_a_stream() -> None:
    out = loomwire("demo").out
    edit = out.partition("4. edit: ")[2].partition("5. typo: ")[0].splitlines()
    old = "Sunday    A slow breakfast, the tower by the water, pastries for the way home."
    new = "Sunday    The train to Cascais, a swim, grilled fish, the last train home."
    assert edit[0] == "rules/demo.yaml is saved while `planner` streams an answer"
    assert edit[1:3] == [f"- {old}", f"+ {new}"]
    assert re.fullmatch(r"in force \d+ ms after the save: generation 1 -> 2", edit[3])
    assert edit[6] == f"  {old}", "the stream that was under way"
    assert edit[8] == f"  {new}", "the next answer"
    assert max(map(len, edit)) <= 80


def test_the_demo_shows_where_a_bad_edit_is_wrong_and_that_the_last_good_generation_stays() -> None:
    out = loomwire("demo").out
    typo = out.partition("5. typo: ")[2].partition("What happened")[0].splitlines()
    assert typo[1:5] == [
        "error[CFG010]: unknown key `totel` in clients.planner.timeouts",
        "  --> config/loomwire.yaml:71:16",
        "71 |     timeouts: {totel: 60}",
        "   |                ^^^^^ did you mean `total`?",
    ]
    assert re.fullmatch(r"refused \d+ ms after the save: generation 2 stays, `planner` answers:", typo[5])
    assert typo[6].startswith("  Sunday    The train to Cascais")
    assert max(map(len, typo)) <= 80


@pytest.mark.parametrize("columns", [80, 100])
def test_no_line_of_the_demo_is_longer_than_the_terminal_and_none_shows_a_template(columns: int) -> None:
    shown, _, after = loomwire("demo", env={"COLUMNS": str(columns)}).out.partition("What to do next")
    assert max(map(len, shown.splitlines())) <= columns
    assert "{" not in shown.partition("5. typo: ")[0]
    story = shown.partition("2. story: ")[2].partition("3. invoice: ")[0]
    assert "\n> (the answer of 1)\nMira stepped off the yellow tram at the top of Alfama" in story
    assert " ".join(story.split()).endswith(
        "her guitar, and the whole hill seemed to hold its breath. By Sunday evening "
        "she had traded her map for a paper bag of warm pastéis, and the river, wide as a promise, knew her name."
    )
    assert after.count(" ask planner 'Plan a weekend in Porto'") == 1


@pytest.mark.parametrize("number", range(3))
def test_what_the_demo_proposes_works_as_it_stands(number: int) -> None:
    proposed = loomwire("demo").out.partition("What to do next\n")[2].splitlines()[number].partition("#")[0]
    _, *words = shlex.split(proposed)
    ran = loomwire(*words, *(["--count", "1", "--help"] if "watch" in words else []))
    assert ran.code == 0


def test_the_proposed_command_is_the_one_of_this_environment(tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "loomwire"
    assert script.is_file()
    below = process("demo", cwd=script.parents[2]).out
    assert f"\n  {script.relative_to(script.parents[2])} --help\n" in below
    assert "\n  loomwire --help\n" in process("demo", cwd=tmp_path).out


def test_the_demo_runs_in_a_process_of_its_own_from_anywhere_and_leaves_nothing_behind(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    ran = process("demo", cwd=tmp_path, TMPDIR=str(temporary))
    assert (ran.code, ran.err) == (0, "")
    assert "\x1b[" not in ran.out
    assert list(temporary.iterdir()) == []


def test_the_demo_never_edits_a_folder_of_somebody_else(tmp_path: Path) -> None:
    copy = tmp_path / "config"
    shutil.copytree(SAMPLE, copy)
    before = {file: file.read_bytes() for file in copy.rglob("*.yaml")}
    ran = loomwire("demo", "--config", copy)
    assert "edits   none: the folder is yours" in ran.out
    assert {file: file.read_bytes() for file in copy.rglob("*.yaml")} == before
    assert json.loads(loomwire("demo", "--config", copy, "--json").out)["live"] is None


async def test_an_edit_that_nobody_notices_ends_the_demo_with_a_message(tmp_path: Path) -> None:
    copy = tmp_path / "config"
    shutil.copytree(SAMPLE, copy)
    async with LLMContainer.aopen(copy, watch=False) as container:
        live = LiveEdits(container, copy, lambda _: None, lambda _: None, patience_s=0.05)
        with pytest.raises(click.ClickException, match=r"rules/demo.yaml was not noticed in 0.05 s"):
            await live.run()


def test_a_sample_without_the_words_to_edit_ends_the_demo_with_a_message(tmp_path: Path) -> None:
    (tmp_path / TYPO.file).write_text("version: 1\n", encoding="utf-8")
    with pytest.raises(click.ClickException, match=r"loomwire.yaml lacks the words"):
        TYPO.save(tmp_path)


def test_the_demo_as_json_holds_answers_and_totals() -> None:
    said = json.loads(loomwire("demo", "--json").out)
    assert said["schema"] == "loomwire/demo/1"
    assert said["answers"]["plan"].startswith("A weekend in Lisbon")
    assert said["events"]["story"] > 10
    assert {name: totals["answered"] for name, totals in said["clients"].items()} == {
        "planner": 4,
        "storyteller": 1,
        "reader": 1,
    }
    assert all(totals["failed"] == 0 for totals in said["clients"].values())
    assert said["chain"].startswith("planner: Observe(call) > Admitted > Deadline > ")
    edit, typo = said["live"]["edit"], said["live"]["typo"]
    assert (edit["generations"], edit["changed"]) == ([1, 2], ["planner", "reader", "storyteller"])
    assert (edit["stream"], edit["next_answer"]) == (said["answers"]["plan"], typo["next_answer"])
    assert edit["stream"] != edit["next_answer"]
    assert (typo["generation"], [problem["code"] for problem in typo["problems"]]) == (2, ["CFG010"])
    assert 0 < edit["seconds"] < 5 > typo["seconds"] > 0


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
    summary = ran.out.partition("What happened\n")[2].partition("What to do next\n")[0].splitlines()
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

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loomwire.domain.values import JSON
from support.commands import loomwire
from support.folders import SAMPLE, folder

TWO_TOKENS = {"input_tokens": 5, "output_tokens": 2}


def test_the_answer_goes_to_stdout_and_the_rest_to_stderr(tmp_path: Path) -> None:
    where = folder(tmp_path, [{"text": "Hello.", "usage": TWO_TOKENS}])
    ran = loomwire("ask", "planner", "Hi", "--config", where)
    assert ran == (0, "Hello.\n", "offline/helper: 5 in, 2 out, 0 USD, finish stop\n")


@pytest.mark.parametrize("how", [(), ("--stream",), ("--json",)])
def test_a_stand_in_is_never_shown_as_a_models_answer(tmp_path: Path, how: tuple[str, ...]) -> None:
    exhausted: JSON = {"mode": "static", "text": "Later."}
    client: JSON = {"models": ["helper"], "retry": {"attempts": 1}, "on_exhausted": exhausted}
    where = folder(tmp_path, [{"error": "overloaded", "repeat": True}], clients={"planner": client})
    ran = loomwire("ask", "planner", "Hi", *how, "--config", where)
    assert (ran.code, "Later." in ran.out) == (0, True)
    assert ran.err.splitlines() == [
        "warning[TMP002]: no model answered; these words are the stand-in of `on_exhausted`, mode static",
        "  meaning: The provider is overloaded.",
        "  what to do: Retry later, or ask another model.",
    ]


def test_a_free_model_costs_nothing() -> None:
    ran = loomwire("ask", "planner", "Hi", "--config", SAMPLE)
    assert "0 USD" in ran.err


def test_a_stream_is_printed_as_it_comes_and_ends_with_a_line_break(tmp_path: Path) -> None:
    ran = loomwire("ask", "planner", "Hi", "--stream", "--config", folder(tmp_path, [{"text": "one two"}]))
    assert (ran.code, ran.out) == (0, "one two\n")


def test_json_holds_the_whole_answer(tmp_path: Path) -> None:
    ran = loomwire("ask", "planner", "Hi", "--json", "--config", folder(tmp_path))
    said = json.loads(ran.out)
    assert (said["schema"], said["text"], said["provider"]) == ("loomwire/response/1", "Hello.", "offline")
    assert [step["outcome"] for step in said["steps"]] == ["answered"]


def test_a_stream_as_json_is_one_object_per_line(tmp_path: Path) -> None:
    ran = loomwire("ask", "planner", "Hi", "--stream", "--json", "--config", folder(tmp_path, [{"text": "one two"}]))
    *deltas, whole = map(json.loads, ran.out.splitlines())
    assert [delta["text"] for delta in deltas] == ["one ", "two"]
    assert (whole["schema"], whole["text"]) == ("loomwire/response/1", "one two")


def test_the_question_can_come_from_standard_input(tmp_path: Path) -> None:
    ran = loomwire("ask", "planner", "-", "--config", SAMPLE, stdin="Plan a weekend in Porto")
    assert ran.out.startswith("A weekend in Porto\n")


def test_words_that_are_no_text_are_a_usage_error() -> None:
    stdin = loomwire("ask", "planner", "-", "--config", SAMPLE, stdin=b"\xff\xfe\xff")
    text = loomwire("ask", "planner", "\udcff", "--config", SAMPLE)
    system = loomwire("ask", "planner", "Hi", "--system", "\udcff", "--config", SAMPLE)
    for ran, name in ((stdin, "TEXT"), (text, "TEXT"), (system, "--system")):
        assert ran.code == 2
        assert f"Invalid value for {name}: this is not text in UTF-8" in ran.err


def test_an_unknown_client_lists_the_clients_and_the_one_probably_meant() -> None:
    ran = loomwire("ask", "planer", "Hi", "--config", SAMPLE)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.splitlines() == [
        "error[CFG030]: there is no client named 'planer'",
        "  meaning: Nothing has this name.",
        "  what to do: Did you mean 'planner'? Configured clients: planner, reader, storyteller.",
    ]


def test_a_dry_run_says_what_would_be_asked_and_sends_nothing(tmp_path: Path) -> None:
    ran = loomwire("ask", "planner", "Hi", "--dry-run", "--config", folder(tmp_path, [{"error": "server"}]))
    assert ran.code == 0
    assert "client: planner\n" in ran.out
    assert "structured: no\n" in ran.out
    assert "max tokens: not set\n" in ran.out
    assert ran.err == "nothing was sent\n"


def test_a_dry_run_as_json_holds_the_same_facts(tmp_path: Path) -> None:
    words = ("ask", "planner", "12345", "--dry-run", "--json", "--max-tokens", "9", "--config", folder(tmp_path))
    said = json.loads(loomwire(*words).out)
    assert (said["schema"], said["input_tokens_about"], said["max_tokens"]) == ("loomwire/dry-run/1", 2, 9)


def test_a_dry_run_knows_unknown_clients_too(tmp_path: Path) -> None:
    assert loomwire("ask", "planer", "Hi", "--dry-run", "--config", folder(tmp_path)).code == 3


def schema_file(where: Path, text: str) -> Path:
    """Write a schema file."""
    path = where / "schema.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_schema_file_asks_for_an_object(tmp_path: Path) -> None:
    schema = schema_file(tmp_path, '{"type": "object", "properties": {"customer": {"type": "string"}}}')
    words = ("ask", "reader", "Invoice for Ada: 2 notebooks 8.50, 1 pen 1.20", "--config", SAMPLE, "--schema", schema)
    ran = loomwire(*words)
    assert json.loads(ran.out)["customer"] == "Ada"


def test_an_answer_that_is_no_json_is_shown_and_is_an_error(tmp_path: Path) -> None:
    schema = schema_file(tmp_path, '{"type": "object"}')
    ran = loomwire("ask", "planner", "Hi", "--config", folder(tmp_path / "c"), "--schema", schema)
    assert (ran.code, ran.out) == (9, "Hello.\n")
    assert "the answer is not JSON" in ran.err


def test_a_schema_file_that_is_no_json_is_a_usage_error(tmp_path: Path) -> None:
    ran = loomwire("ask", "planner", "Hi", "--config", SAMPLE, "--schema", schema_file(tmp_path, "{"))
    assert ran.code == 2
    assert "is not JSON" in ran.err


def test_a_schema_that_is_no_json_schema_is_refused(tmp_path: Path) -> None:
    ran = loomwire("ask", "planner", "Hi", "--config", SAMPLE, "--schema", schema_file(tmp_path, '{"type": 5}'))
    assert ran.code == 9
    assert "output.schema is no JSON Schema" in ran.err


def test_every_kind_of_failure_has_its_exit_code(tmp_path: Path) -> None:
    codes = {
        "refused": 6,
        "server": 6,
        "model": 6,
        "credentials": 4,
        "denied": 4,
        "budget_exceeded": 5,
        "throttled": 7,
        "invalid_request": 9,
        "content_filter": 9,
        "attempt": 10,
        "internal": 1,
    }
    for reason, code in codes.items():
        once: JSON = {"retry": {"attempts": 1}}
        config = folder(tmp_path / reason, [{"error": reason}], defaults=once)
        ran = loomwire("ask", "planner", "Hi", "--config", config)
        assert (reason, ran.code, ran.out) == (reason, code, "")
        assert ran.err.startswith("error[")


def test_a_deadline_ends_with_exit_code_10(tmp_path: Path) -> None:
    where = folder(tmp_path, [{"text": "late", "delay_s": 30}])
    ran = loomwire("ask", "planner", "Hi", "--timeout", "0.05", "--config", where)
    assert ran.code == 10
    assert "error[TIM" in ran.err


def test_a_bad_option_is_a_usage_error() -> None:
    for words in (("--max-tokens", "0"), ("--timeout", "0"), ("--schema", "/nowhere"), ("--frob",)):
        assert loomwire("ask", "planner", "Hi", *words).code == 2

"""`--json` of every command: stdout is always one JSON document, or one per line of a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from loomwire.cli.main import COMMANDS, cli
from loomwire.cli.output import error_json, wants_json
from loomwire.domain.values import JSON
from support.commands import Ran, loomwire
from support.folders import SAMPLE, folder

NO_DATA = {"completion"}
"""Commands that print something else than data."""


def document(ran: Ran) -> Mapping[str, JSON]:
    """Return what stdout holds."""
    said: Mapping[str, JSON] = json.loads(ran.out)
    return said


def commands(group: click.Group, *path: str) -> dict[tuple[str, ...], click.Command]:
    """Return every command below a group."""
    found: dict[tuple[str, ...], click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found |= commands(command, *path, name) if isinstance(command, click.Group) else {(*path, name): command}
    return found


def test_every_command_whose_output_is_data_has_the_flag() -> None:
    listed = {
        path: {option for param in command.params for option in param.opts} for path, command in commands(cli).items()
    }
    assert {path[0] for path in listed} == set(COMMANDS)
    assert {path[0] for path, options in listed.items() if "--json" not in options} == NO_DATA


@pytest.mark.parametrize(
    ("words", "schema"),
    [
        (("ask", "planner", "Plan a weekend in Lisbon", "--config", SAMPLE), "loomwire/response/1"),
        (("ask", "planner", "Hi", "--dry-run", "--config", SAMPLE), "loomwire/dry-run/1"),
        (("check", SAMPLE), "loomwire/check/1"),
        (("config", "diff", SAMPLE, SAMPLE), "loomwire/config-diff/1"),
        (("config", "show", "--config", SAMPLE), "loomwire/config/1"),
        (("demo",), "loomwire/demo/1"),
        (("explain", "CFG010"), "loomwire/explain/1"),
        (("explain", "all"), "loomwire/explain/1"),
        (("explain", "key", "clients.planner.system", "--config", SAMPLE), "loomwire/explain-key/1"),
        (("explain", "route", "planner", SAMPLE), "loomwire/route/1"),
        (("health", SAMPLE), "loomwire/health-report/1"),
        (("models", "list", "--config", SAMPLE), "loomwire/models/1"),
        (("typegen", "--config", SAMPLE), "loomwire/typegen/1"),
    ],
)
def test_a_document_names_its_schema(words: tuple[str | Path, ...], schema: str) -> None:
    ran = loomwire(*words, "--json")
    assert (ran.code, document(ran)["schema"]) == (0, schema)
    assert "{" not in ran.err


def test_the_schema_of_the_configuration_is_the_same_with_the_flag() -> None:
    assert loomwire("schema", "--json") == loomwire("schema")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("ask", "planner", "Hi", "--config", "/nowhere"), "CFG050"),
        (("ask", "planer", "Hi", "--config", SAMPLE), "CFG030"),
        (("ask", "planer", "Hi", "--stream", "--config", SAMPLE), "CFG030"),
        (("ask", "planer", "Hi", "--dry-run", "--config", SAMPLE), "CFG030"),
        (("demo", "--config", "/nowhere"), "CFG050"),
        (("models", "list", "--config", "/nowhere"), "CFG050"),
    ],
)
def test_a_failure_is_a_document_too_and_a_person_finds_it_on_stderr(words: tuple[str | Path, ...], code: str) -> None:
    plain, ran = loomwire(*words), loomwire(*words, "--json")
    said = document(ran)
    assert (said["schema"], said["code"]) == ("loomwire/error/1", code)
    assert said["message"]
    assert said["hint"]
    assert (ran.code, ran.err) == (plain.code, plain.err)
    assert plain.out == ""


def test_a_configuration_that_is_not_in_force_lists_its_problems(tmp_path: Path) -> None:
    where = folder(tmp_path, providers={"odd": {"type": "opnai"}}, models={"helper": {"provider": "od", "model": "m"}})
    for words in (("ask", "planner", "Hi", "--config", where), ("models", "list", "--config", where), ("check", where)):
        ran = loomwire(*words, "--json")
        problems = document(ran)["problems"]
        assert ran.code == 3
        assert isinstance(problems, list)
        assert len(problems) == 2
        for problem in problems:
            assert isinstance(problem, dict)
            assert problem["file"] == str(where / "loomwire.yaml")
            assert all(problem[key] for key in ("code", "line", "column", "message", "hint"))


@pytest.mark.parametrize(
    "words",
    [
        ("frob", "--json"),
        ("--frob", "check", "--json"),
        ("check", "--frob", "--json"),
        ("check", "--frob", "--format", "json"),
        ("check", "--frob", "--format=json"),
        ("ask", "--json"),
        ("ask", "planner", "Hi", "--max-tokens", "0", "--json"),
        ("explain", "CFG01", "--json"),
        ("models", "frob", "--json"),
        ("schema", "--frob", "--json"),
    ],
)
def test_a_wrong_command_line_is_a_document_too(words: tuple[str, ...]) -> None:
    ran = loomwire(*words)
    said = document(ran)
    assert (ran.code, said["schema"], said["type"]) == (2, "loomwire/error/1", "UsageError")
    assert str(said["message"]) in ran.err


def test_words_behind_two_dashes_are_no_options() -> None:
    assert wants_json(["explain", "x", "--json"])
    assert not wants_json(["explain", "--", "--json"])
    assert not wants_json(["check", "--format", "github", "json"])
    assert loomwire("explain", "--", "--json").out == ""


def test_a_stream_that_fails_ends_with_the_error_on_a_line_of_its_own(tmp_path: Path) -> None:
    where = folder(tmp_path, [{"text": "one two three", "cut_after": 8}])
    ran = loomwire("ask", "planner", "Hi", "--stream", "--json", "--config", where)
    *deltas, last = map(json.loads, ran.out.splitlines())
    assert "".join(delta["text"] for delta in deltas) == "one two "
    assert {delta["schema"] for delta in deltas} == {"loomwire/delta/1"}
    assert (ran.code, last["schema"], last["reason"]) == (6, "loomwire/error/1", "stream_interrupted")


@pytest.mark.parametrize("streamed", [(), ("--stream",)])
def test_an_answer_that_is_no_json_is_told_with_its_error_in_one_document(
    tmp_path: Path, streamed: tuple[str, ...]
) -> None:
    (tmp_path / "schema.json").write_text('{"type": "object"}', encoding="utf-8")
    words: tuple[str | Path, ...] = ("ask", "planner", "Hi", *streamed, "--schema", tmp_path / "schema.json")
    ran = loomwire(*words, "--json", "--config", folder(tmp_path / "c"))
    said = json.loads(ran.out.splitlines()[-1] if streamed else ran.out)
    assert (ran.code, said["schema"], said["text"]) == (9, "loomwire/response/1", "Hello.")
    assert said["error"]["message"] == "the answer is not JSON"
    assert "the answer is not JSON" in ran.err


def test_an_answer_with_tool_calls_is_a_document(tmp_path: Path) -> None:
    where = folder(tmp_path, [{"tool_calls": [{"name": "add", "arguments": {"a": {"b": [1]}}}]}])
    calls = document(loomwire("ask", "planner", "Hi", "--json", "--config", where))["tool_calls"]
    assert isinstance(calls, list)
    (call,) = calls
    assert isinstance(call, dict)
    assert call["arguments"] == {"a": {"b": [1]}}


def test_of_an_error_that_is_not_ours_only_its_type_is_told() -> None:
    said = error_json(KeyError("sk-secret"))
    assert (said["schema"], said["type"], said["reason"]) == ("loomwire/error/1", "KeyError", "internal")
    assert "sk-secret" not in json.dumps(said)

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.commands import loomwire
from support.folders import SAMPLE, folder


@pytest.fixture
def keyed(tmp_path: Path) -> Path:
    """A configuration that needs a key from the environment."""
    provider = {"openai": {"type": "openai", "api_key": "${OPENAI_API_KEY}"}}
    return folder(tmp_path, providers=provider, models={"helper": {"provider": "openai", "model": "gpt"}})


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A configuration with a warning: this release speaks HTTP/1.1."""
    return folder(tmp_path, model={"pool": {"http2": True}})


def test_a_good_configuration_is_ok() -> None:
    ran = loomwire("check", SAMPLE)
    assert ran == (0, f"{SAMPLE}: ok, clients planner, reader, storyteller\n", "")


def test_a_good_configuration_as_json_lists_what_it_holds() -> None:
    said = json.loads(loomwire("check", SAMPLE, "--json").out)
    assert (said["schema"], said["ok"], said["problems"]) == ("loomwire/check/1", True, [])
    assert said["clients"] == ["planner", "reader", "storyteller"]


def test_a_missing_variable_says_which_where_and_what_to_do(keyed: Path) -> None:
    ran = loomwire("check", keyed, env={"OPENAI_API_KEY": None})
    assert (ran.code, ran.out) == (3, "")
    assert "error[CFG020]: environment variable OPENAI_API_KEY is not set in providers.openai.api_key" in ran.err
    assert f"--> {keyed / 'loomwire.yaml'}:" in ran.err
    assert "Set it, or give a default" in ran.err
    assert "1 problem; to read more: loomwire explain CFG020" in ran.err


def test_a_key_that_is_set_is_never_shown(keyed: Path) -> None:
    for words in ((), ("--json",), ("--format", "github")):
        ran = loomwire("check", keyed, *words, env={"OPENAI_API_KEY": "sk-very-secret"})
        assert ran.code == 0
        assert "sk-very-secret" not in ran.out + ran.err


def test_problems_as_json_hold_code_and_place(keyed: Path) -> None:
    ran = loomwire("check", keyed, "--format", "json", env={"OPENAI_API_KEY": None})
    said = json.loads(ran.out)
    assert (ran.code, said["ok"]) == (3, False)
    (problem,) = said["problems"]
    assert (problem["code"], problem["path"]) == ("CFG020", "providers.openai.api_key")
    assert problem["line"] > 0


def test_problems_for_github_are_annotations_on_stdout(keyed: Path) -> None:
    ran = loomwire("check", keyed, "--format", "github", env={"OPENAI_API_KEY": None})
    (line,) = ran.out.splitlines()
    assert line.startswith(f"::error file={keyed / 'loomwire.yaml'},line=")
    assert ",title=CFG020::environment variable OPENAI_API_KEY is not set in providers.openai.api_key" in line


def test_an_annotation_escapes_what_github_would_read(tmp_path: Path) -> None:
    where = folder(tmp_path / "a,b:c%d")
    (where / "bad.yaml").write_text("clents: {}\n", encoding="utf-8")
    ran = loomwire("check", where, "--format", "github")
    assert "a%2Cb%3Ac%25d/bad.yaml,line=1," in ran.out
    assert ran.out.rstrip().endswith("unknown key `clents`; did you mean `clients`?")


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    where = folder(
        tmp_path,
        providers={
            "far": {"type": "custom", "dialect": "openai_chat", "base_url": "ftp://x/v1"},
            "odd": {"type": "opnai"},
        },
        models={"helper": {"provider": "far", "model": "m", "parameters": {"temperature": 3}}},
        clients={"planner": {"models": ["helpr"]}},
    )
    ran = loomwire("check", where)
    assert ran.code == 3
    for said in ("no provider type `opnai`", "https:// or http://", "at most 2", "no model `helpr`"):
        assert said in ran.err
    assert "4 problems" in ran.err


def test_a_folder_that_does_not_exist_is_a_problem_and_no_trace(tmp_path: Path) -> None:
    ran = loomwire("check", tmp_path / "nowhere")
    assert ran.code == 3
    assert "there is no such folder or file" in ran.err


def test_a_warning_passes_unless_strict(odd: Path) -> None:
    ran = loomwire("check", odd)
    assert ran.code == 0
    assert "warning[" in ran.err
    assert ": ok, clients planner" in ran.out
    strict = loomwire("check", odd, "--strict")
    assert strict.code == 3
    assert ": ok" not in strict.out


def test_a_client_that_cannot_be_built_is_a_problem_in_every_format(tmp_path: Path) -> None:
    models = {"helper": {"provider": "openai", "model": "gpt"}}
    where = folder(tmp_path, providers={"openai": {"type": "openai"}}, models=models)
    text = loomwire("check", where)
    assert text.code == 3
    assert "OPENAI_API_KEY" in text.err
    file = where / "loomwire.yaml"
    assert f"--> {file}:" in text.err
    (problem,) = json.loads(loomwire("check", where, "--json").out)["problems"]
    assert (problem["code"], problem["path"], problem["file"]) == ("CFG013", "providers.openai", str(file))
    assert problem["line"] > 1
    assert "OPENAI_API_KEY" in problem["hint"]
    (line,) = loomwire("check", where, "--format", "github").out.splitlines()
    assert line.startswith(f"::error file={file},line={problem['line']},col={problem['column']},title=CFG013::")


def test_every_provider_and_model_is_looked_at_at_once_with_the_warnings(tmp_path: Path) -> None:
    where = folder(
        tmp_path,
        providers={
            "offline": {"type": "mock", "script": [{"text": "Hi."}]},
            "a": {"type": "openai"},
            "b": {"type": "custom", "dialect": "openai_chat"},
            "d": {"type": "vllm", "base_url": "http://127.0.0.1:1/v1"},
        },
        models={
            "helper": {"provider": "offline", "model": "h", "pool": {"http2": True}},
            "second": {"provider": "a", "model": "m"},
        },
        clients={"planner": {"models": ["helper", "second"]}},
    )
    text = loomwire("check", where)
    assert text.code == 3
    for said in ("in providers.a\n", "in providers.b\n", "in providers.d.base_url\n", "warning[CFG014]", "4 problems"):
        assert said in text.err
    problems = json.loads(loomwire("check", where, "--json").out)["problems"]
    assert [problem["code"] for problem in problems] == ["CFG013", "CFG013", "CFG012", "CFG014"]
    assert all(problem["line"] and problem["hint"] for problem in problems)
    lines = loomwire("check", where, "--format", "github").out.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error"] * 3 + ["::warning"]

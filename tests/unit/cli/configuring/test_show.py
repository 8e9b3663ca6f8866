from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.commands import loomwire
from support.folders import SAMPLE

NARROW = {"COLUMNS": "80"}


def test_what_is_said_is_shown_with_its_place(config: Path) -> None:
    ran = loomwire("config", "show", "--config", config, env=NARROW)
    assert ran.code == 0
    assert "clients.chat\n  models          [quick]           loomwire.yaml:8:" in ran.out
    assert "  timeouts.total  30 seconds        loomwire.yaml:8:" in ran.out
    assert "  limits.body             3 MiB" in ran.out
    assert "  parameters.max_tokens   1 token " in ran.out
    assert "briefly.\n                  loomwire.yaml:8:58 (default of TONE)\n" in ran.out
    assert "timeouts.idle" not in ran.out
    assert ran.err.startswith("20 values of ")
    assert ran.err.endswith("with --all also what is inherited or default\n")


def test_no_line_is_longer_than_the_terminal(config: Path) -> None:
    for columns, words in ((40, ["--all"]), (80, []), (120, ["--all"])):
        ran = loomwire("config", "show", *words, "--config", config, env={"COLUMNS": str(columns)})
        assert max(map(len, ran.out.splitlines())) <= columns


def test_secrets_are_never_shown(config: Path) -> None:
    for words in ((), ("--json",), ("--all",), ("providers.far.api_key",)):
        ran = loomwire("config", "show", "--config", config, *words)
        assert "***" in ran.out
        assert "sk-very" not in ran.out + ran.err
        assert "blue" not in ran.out


def test_an_override_is_named(config: Path) -> None:
    variables = {"LOOMWIRE__CLIENTS__CHAT__TIMEOUTS__TOTAL": "5", "TONE": "kindly"}
    ran = loomwire("config", "show", "clients.chat", "--config", config, env={**NARROW, **variables})
    assert "timeouts.total  5 seconds\n" in ran.out
    assert "environment variable LOOMWIRE__CLIENTS__CHAT__TIMEOUTS__TOTAL\n" in ran.out
    assert "(environment variable TONE)" in ran.out


def test_everything_is_shown_on_demand_with_what_it_is_inherited_from(config: Path) -> None:
    ran = loomwire("config", "show", "clients.chat", "--all", "--config", config, env={"COLUMNS": "120"})
    assert "providers.far.timeouts.connect, loomwire.yaml:3:" in ran.out
    assert "  timeouts.idle                   60 seconds        default\n" in ran.out
    assert "  breaker.slow_after              not set           default\n" in ran.out
    assert "  cache                           not set           default\n" in ran.out
    assert ran.err.endswith(f"values of {config}\n")


def test_a_type_says_where_its_api_is(config: Path) -> None:
    ran = loomwire("config", "show", "providers.far.base_url", "--config", config, env=NARROW)
    assert ran.out == "providers.far\n  base_url  https://api.openai.com/v1  type openai\n\n"
    assert ran.err.startswith("1 value of ")


@pytest.mark.parametrize("path", ["clients.chat.timeouts.idle", "models.quick.parameters.seed"])
def test_one_key_is_shown_though_nobody_said_it(config: Path, path: str) -> None:
    assert loomwire("config", "show", path, "--config", config, env=NARROW).out.endswith(" default\n\n")


def test_json_holds_value_unit_origin_and_inheritance(config: Path) -> None:
    said = json.loads(loomwire("config", "show", "clients.chat.timeouts", "--all", "--json", "--config", config).out)
    assert (said["schema"], said["files"]) == ("loomwire/config/1", [str(config / "loomwire.yaml")])
    assert said["digest"]
    values = {value["path"]: value for value in said["values"]}
    connect = values["clients.chat.timeouts.connect"]
    assert (connect["value"], connect["unit"], connect["secret"], connect["in_force"]) == (3.0, "seconds", False, True)
    assert connect["inherited_from"] == "providers.far.timeouts.connect"
    assert (connect["origin"]["kind"], connect["origin"]["line"]) == ("yaml", 3)
    assert values["clients.chat.timeouts.total"]["inherited_from"] is None


def test_one_file_is_named_without_its_folder(config: Path) -> None:
    ran = loomwire("config", "show", "version", "--config", config / "loomwire.yaml", env={"KEY": "k"})
    assert ran.out == "  version  1  loomwire.yaml:1:10\n\n"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("clients.chatt", "there is no 'chatt' in clients. Did you mean clients.chat?"),
        ("clents", "Did you mean clients?"),
        ("chatt", "there is no 'chatt'. Did you mean clients.chat?"),
        ("clients.chat.timeouts.totl", "Did you mean clients.chat.timeouts.total?"),
        ("clients.zzz", "there is no 'zzz' in clients; there are chat, reader."),
        ("zzz", "there is no 'zzz'; there are version, providers, models, clients, defaults, limits, budgets, "),
        ("clients.chat.system.zzz", "there is no key below clients.chat.system."),
        ("models.quick.extra..", "there is no key below models.quick.extra."),
    ],
)
def test_a_wrong_path_is_a_usage_error_that_says_what_was_meant(config: Path, path: str, said: str) -> None:
    for command in (("config", "show"), ("explain", "key")):
        ran = loomwire(*command, path, "--config", config)
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("chat", "clients.chat"),
        ("chat.timeouts.total", "clients.chat.timeouts.total"),
        ("quick", "models.quick"),
        ("far", "providers.far"),
        ("timeouts", "defaults.timeouts"),
    ],
)
def test_a_bare_name_is_found_in_its_section(config: Path, path: str, meant: str) -> None:
    for command in (("config", "show"), ("explain", "key"), ("config", "show", "--all", "--json")):
        bare, whole = (loomwire(*command, words, "--config", config) for words in (path, meant))
        assert (bare.code, bare.out, bare.err) == (0, whole.out, whole.err)
    assert json.loads(loomwire("explain", "key", path, "--config", config, "--json").out)["path"] == meant


def test_a_name_that_two_sections_have_is_asked_back(config: Path) -> None:
    file = config / "loomwire.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("  chat: {", "  quick: {", 1), encoding="utf-8")
    for command in (("config", "show"), ("explain", "key")):
        ran = loomwire(*command, "quick.timeouts", "--config", config)
        assert (ran.code, ran.out) == (2, "")
        assert "'quick' is in several sections; say models.quick.timeouts or clients.quick.timeouts." in ran.err
    failed = loomwire("config", "show", "quick", "--config", config, "--json")
    assert (failed.code, json.loads(failed.out)["schema"]) == (2, "loomwire/error/1")


def test_a_header_with_dots_in_its_name_is_found(config: Path) -> None:
    text = (config / "loomwire.yaml").read_text(encoding="utf-8").replace("x-team", "x.team.name")
    (config / "loomwire.yaml").write_text(text, encoding="utf-8")
    assert "***" in loomwire("config", "show", "providers.far.headers.x.team.name", "--config", config).out


def test_a_configuration_that_is_not_valid_has_nothing_to_show(tmp_path: Path) -> None:
    for command in (("config", "show"), ("explain", "key", "version"), ("typegen",)):
        ran = loomwire(*command, "--config", tmp_path / "nowhere")
        assert (ran.code, ran.out) == (3, "")
        assert "there is no such folder or file" in ran.err


def test_nothing_below_a_block_is_nothing_to_show(config: Path) -> None:
    ran = loomwire("config", "show", "clients.chat.retry", "--config", config)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("0 values of ")


def test_the_sample_shows_its_rules_as_what_is_written() -> None:
    assert "  rules  rules/demo.yaml" in loomwire("config", "show", "--config", SAMPLE, env=NARROW).out

from __future__ import annotations

import json
from pathlib import Path

from support.commands import loomwire

WIDE = {"COLUMNS": "120"}


def test_a_key_is_explained_step_by_step(config: Path) -> None:
    ran = loomwire("explain", "key", "clients.chat.timeouts.connect", "--config", config, env=WIDE)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "clients.chat.timeouts.connect = 3 seconds",
        "  means:       Opening a connection, name resolution and TLS included.",
        "  default:     5 seconds",
        "  unit:        seconds",
        "  override:    with the environment variable LOOMWIRE__CLIENTS__CHAT__TIMEOUTS__CONNECT",
        "  comes from:  providers.far.timeouts.connect, loomwire.yaml:3:62",
        "  asked, the strongest first:",
        "     clients.chat.timeouts.connect: nobody says anything",
        "     models.quick.timeouts.connect: nobody says anything",
        "  => providers.far.timeouts.connect, loomwire.yaml:3:62 says 3 seconds",
        "     defaults.timeouts.connect: nobody says anything",
        "     default: 5 seconds",
    ]


def test_the_layers_that_lost_are_told_too(config: Path) -> None:
    name = "LOOMWIRE__CLIENTS__CHAT__TIMEOUTS__TOTAL"
    (config / ".env").write_text(f"KEY=k\n{name}=6\n", encoding="utf-8")
    ran = loomwire("explain", "key", "clients.chat.timeouts.total", "--config", config, env={**WIDE, name: "5"})
    steps = [line for line in ran.out.splitlines() if " says " in line and line.endswith("seconds")]
    assert steps == [
        f"  => environment variable {name} says 5 seconds",
        f"     {name} in .env says 6 seconds",
        "     loomwire.yaml:8:45 says 30 seconds",
    ]


def test_a_file_that_a_variable_names_is_told_and_not_shown(config: Path) -> None:
    (config / "tone.txt").write_text("Be kind.", encoding="utf-8")
    name = "LOOMWIRE__CLIENTS__CHAT__SYSTEM_FILE"
    ran = loomwire("explain", "key", "clients.chat.system", "--config", config, env={name: str(config / "tone.txt")})
    assert f"=> the file that {name} names says ***\n" in ran.out


def test_a_key_that_is_not_set_says_what_it_means_and_what_it_is_then(config: Path) -> None:
    said = loomwire("explain", "key", "models.quick.parameters.seed", "--config", config).out
    assert said.startswith("models.quick.parameters.seed = not set\n  means:       For repeatable answers")
    assert "=> default: not set\n" in said


def test_what_must_be_there_and_what_it_may_be_is_told(config: Path) -> None:
    assert "none, it must be there" in loomwire("explain", "key", "models.quick.provider", "--config", config).out
    said = loomwire("explain", "key", "clients.chat.on_exhausted", "--config", config).out
    assert "on_exhausted.mode      raise    default" in said
    said = loomwire("explain", "key", "clients.chat.on_exhausted.mode", "--config", config).out
    assert "  may be:      raise, stale_cache, static, callable\n" in said


def test_a_limit_is_shown_and_explained_with_its_unit(config: Path) -> None:
    with (config / "loomwire.yaml").open("a", encoding="utf-8") as file:
        file.write("limits: {far: {rpm: 60}}\n")
    said = loomwire("explain", "key", "limits.far.rpm", "--config", config).out
    assert said.startswith("limits.far.rpm = 60 requests per minute\n")
    assert "LOOMWIRE__LIMITS__FAR__RPM" in said
    assert "  rpm  60 requests per minute  loomwire.yaml:10:" in loomwire("config", "show", "--config", config).out
    every = loomwire("config", "show", "--all", "--config", config, env={"COLUMNS": "120"}).out
    for line in ("  breaker.open                    5 seconds", "defaults.shutdown\n  drain  30 seconds"):
        assert line in every


def test_a_key_that_is_not_in_force_says_so(config: Path) -> None:
    said = loomwire("explain", "key", "defaults.ledger.durability", "--config", config).out
    assert "  in force:    no, this release does not act on it yet\n" in said
    assert "in force:" not in loomwire("explain", "key", "clients.chat.retry.attempts", "--config", config).out


def test_a_free_key_has_no_meaning_of_ours_and_no_variable(config: Path) -> None:
    text = (config / "loomwire.yaml").read_text(encoding="utf-8").replace("model: other", "model: other, extra: {n: 4}")
    (config / "loomwire.yaml").write_text(text, encoding="utf-8")
    said = loomwire("explain", "key", "models.second.extra.n", "--config", config).out
    assert said.startswith("models.second.extra.n = 4\n  comes from:  loomwire.yaml:6:")
    document = json.loads(loomwire("explain", "key", "models.second.extra.n", "--json", "--config", config).out)
    assert (document["description"], document["override"]) == (None, None)


def test_a_list_has_no_variable(config: Path) -> None:
    assert "override" not in loomwire("explain", "key", "clients.chat.models", "--config", config).out


def test_a_block_is_explained_by_what_is_in_it(config: Path) -> None:
    ran = loomwire("explain", "key", "clients.chat.timeouts", "--config", config, env=WIDE)
    assert ran.out.startswith("clients.chat.timeouts\n  means:       How long things may take here.\n\nclients.chat\n")
    assert "  timeouts.total        30 seconds    loomwire.yaml:8:45\n" in ran.out
    document = json.loads(loomwire("explain", "key", "clients.chat.timeouts", "--json", "--config", config).out)
    assert document["schema"] == "loomwire/explain-key/1"
    assert next(value["path"] for value in document["values"]) == "clients.chat.timeouts.connect"


def test_a_key_as_json_holds_every_step(config: Path) -> None:
    said = json.loads(loomwire("explain", "key", "clients.chat.timeouts.connect", "--json", "--config", config).out)
    assert (said["schema"], said["path"], said["value"]) == (
        "loomwire/explain-key/1",
        "clients.chat.timeouts.connect",
        3.0,
    )
    assert (said["unit"], said["default"], said["required"], said["in_force"]) == ("seconds", 5.0, False, True)
    assert [(step["path"].partition(".")[0], step["said"], step["in_force"]) for step in said["steps"]] == [
        ("clients", False, False),
        ("models", False, False),
        ("providers", True, True),
        ("defaults", False, False),
        ("defaults", True, False),
    ]


def test_secrets_are_never_explained(config: Path) -> None:
    for words in ((), ("--json",)):
        ran = loomwire("explain", "key", "providers.far.api_key", "--config", config, *words)
        assert ran.code == 0
        assert "***" in ran.out
        assert "sk-very" not in ran.out + ran.err
    assert ".env variable KEY" in loomwire("explain", "key", "providers.far.api_key", "--config", config).out


def test_a_code_is_explained_by_itself_and_behind_its_own_word() -> None:
    assert loomwire("explain", "code", "CFG010") == loomwire("explain", "CFG010")
    assert loomwire("explain", "--json", "CFG010") == loomwire("explain", "CFG010", "--json")


def test_the_help_names_both(config: Path) -> None:
    said = loomwire("explain", "--help").out
    assert "  code  " in said
    assert "  key   " in said
    assert loomwire("explain").code == 2

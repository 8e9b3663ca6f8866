from __future__ import annotations

import json

from loomwire.domain.faults import CODES
from support.commands import loomwire


def test_a_code_is_explained_with_what_to_do() -> None:
    ran = loomwire("explain", "rat001")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("RAT001 throttled (rate_limit_error)\n  meaning: ")
    assert "  what to do: " in ran.out
    assert "  same target: yes; other targets: any\n" in ran.out


def test_a_configuration_code_says_nothing_of_targets() -> None:
    assert "target" not in loomwire("explain", "CFG010").out


def test_all_codes_are_listed_one_a_line() -> None:
    assert [line.split()[0] for line in loomwire("explain", "all").out.splitlines()] == list(CODES)


def test_codes_as_json_hold_every_field() -> None:
    said = json.loads(loomwire("explain", "all", "--json").out)
    assert said["schema"] == "loomwire/explain/1"
    assert [row["code"] for row in said["codes"]] == list(CODES)
    assert all(row["meaning"] and row["remedy"] for row in said["codes"])


def test_an_unknown_code_is_a_usage_error_with_a_guess() -> None:
    ran = loomwire("explain", "CFG01")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no error code 'CFG01'. Did you mean CFG0" in ran.err
    assert "Did you mean" not in loomwire("explain", "zzzzzz").err


def test_the_schema_of_the_configuration_is_json_schema() -> None:
    said = json.loads(loomwire("schema").out)
    assert {"clients", "models", "providers", "version"} <= set(said["properties"])

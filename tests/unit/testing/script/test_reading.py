from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from loomwire.domain.errors import ConfigError, ConfigRejectedError
from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import JSON
from loomwire.testing import FAULTS, FakeProvider, Pace
from loomwire.testing.script.checks import ranges
from loomwire.testing.script.reading import read_script, script_from
from loomwire.testing.script.world import Script

NUMBERS = 'request numbers such as 3, "1-3,7" or "5-"'
DEAD = "has no condition, so that the rules below it are never asked"
WAIT = "seconds, or any text for the header"
BESIDE = "`error`, `status` or `fault: status` beside it"
WHOLE = """\
version: 1
seed: 7
pace: {first_token_s: 0.05, tokens_per_s: 200, jitter: 0.5}
tls: expired
models: [gpt-5-mini]
api_key: test-key
replies:
  - {text: "Hello."}
rules:
  - {path: "*/chat/completions", model: "gpt-*", stream: true, requests: "1-3,7", fault: status, retry_after: 2}
  - {chance: 0.3, fault: [cut_reset, hang, stall]}
  - {every: 10, error: overloaded, retry_after: NaN, message: "Full."}
  - {requests: 5, status: 503, retry_after: -1}
  - {requests: "5-", text: "From now on this.", delay_s: 0.2, usage: {input_tokens: 3}}
"""


def written(folder: Path, text: str) -> Path:
    """Write a script."""
    file = folder / "faults.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(folder: Path, text: str) -> tuple[Problem, ...]:
    """Return what is wrong with a script."""
    with pytest.raises(ConfigRejectedError) as caught:
        read_script(written(folder, text))
    return caught.value.problems


def rejected(value: dict[str, JSON]) -> str:
    """Return the one thing that is wrong with a script in code."""
    with pytest.raises(ConfigRejectedError) as caught:
        script_from(value)
    (problem,) = caught.value.problems
    return f"{problem.path}: {problem.message}"


def test_everything_a_script_may_say_is_read(tmp_path: Path) -> None:
    script = read_script(written(tmp_path, WHOLE))
    assert script.pace == Pace(first_token_s=0.05, tokens_per_s=200, jitter=0.5, seed=7)
    assert (script.seed, script.tls, script.models, script.api_key) == (7, "expired", ("gpt-5-mini",), "test-key")
    assert (len(script.replies), len(script.rules)) == (1, 5)
    assert "test-key" not in repr(script)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "version: 1"])
def test_a_script_may_say_nothing(tmp_path: Path, text: str) -> None:
    assert read_script(written(tmp_path, text)) == Script()


def test_every_mistake_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    text = "sed: 7\nrules:\n  - {every: 2, fault: cut_rest}\n  - {error: throtled}\n"
    unknown, fault, error = problems(tmp_path, text)
    assert (unknown.code, unknown.line, unknown.column, unknown.suggestion) == ("CFG010", 1, 1, "seed")
    assert (fault.path, fault.line, fault.column, fault.suggestion) == ("rules.0.fault", 3, 23, "cut_reset")
    assert (error.path, error.line, error.column, error.suggestion) == ("rules.1.error", 4, 13, "throttled")
    assert fault.render().endswith("^^^^^^^^ did you mean `cut_reset`?")


def test_a_script_that_is_no_yaml_says_where_it_breaks(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "rules: [\n  {text: hi}\n")
    assert (problem.code, problem.line) == ("CFG001", 2)


def test_a_key_that_stands_twice_is_a_problem(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "seed: 1\nseed: 2\n")
    assert problem.code == "CFG002"


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_script(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"version": 2}, "version: must be 1"),
        ({"seed": 1.5}, "seed: must be a whole number"),
        ({"pace": {"tokens_per_s": 0}}, "pace.tokens_per_s: must be a number above 0"),
        ({"pace": {"first_token_s": -1}}, "pace.first_token_s: must be a number of seconds, at least 0"),
        ({"pace": {"jitter": True}}, "pace.jitter: must be a number, 0 to 1"),
        ({"tls": "expird"}, "tls: must be true, false, expired, wrong_host, aborts"),
        ({"models": []}, "models: must be a list of at least one model's name"),
        ({"models": ["a", 3]}, "models: must be a list of at least one model's name"),
        ({"api_key": ""}, "api_key: must be a text"),
        ({"replies": []}, "replies: must be a list of at least one entry"),
        ({"rules": "x"}, "rules: must be a list of at least one entry"),
        ({"rules": [{"delay_s": 1}]}, "rules.0: says nothing"),
        ({"rules": [{"text": "a"}, {"text": "b"}]}, f"rules.0: {DEAD}"),
        ({"rules": [{"chance": 2, "text": "a"}]}, "rules.0.chance: must be a number, 0 to 1"),
        ({"rules": [{"every": 0, "text": "a"}]}, "rules.0.every: must be a whole number, at least 1"),
        ({"rules": [{"requests": "3-1", "text": "a"}]}, f"rules.0.requests: must be {NUMBERS}"),
        ({"rules": [{"text": "a", "error": "server"}]}, "rules.0.text: cannot stand beside `error`"),
        ({"rules": [{"text": "a", "status": 500}]}, "rules.0.text: cannot stand beside `status`"),
        ({"rules": [{"text": "a", "message": "b"}]}, "rules.0.message: needs `error` or `status` beside it"),
        ({"rules": [{"text": "a", "retry_after": 1}]}, "rules.0.retry_after: needs `error` or `status` beside it"),
        ({"rules": [{"status": 200}]}, "rules.0.status: is no error, 300 to 599"),
        ({"rules": [{"error": "server", "status": 700}]}, "rules.0.status: is no error, 300 to 599"),
        ({"rules": [{"status": 99}]}, "rules.0.status: must be an HTTP status, 100 to 999"),
        ({"rules": [{"fault": "status", "status": 1000}]}, "rules.0.status: must be an HTTP status, 100 to 999"),
        ({"rules": [{"error": "server", "retry_after": []}]}, f"rules.0.retry_after: must be {WAIT}"),
        ({"rules": [{"fault": None}]}, "rules.0.fault: is empty"),
        ({"rules": [{"fault": ["hang", None]}]}, "rules.0.fault.1: is empty"),
        ({"rules": [{"fault": {}}]}, "rules.0.fault: must be the name of a fault, or a list of such names"),
        ({"rules": [{"fault": []}]}, "rules.0.fault: must be the name of a fault, or a list of such names"),
        ({"rules": [{"fault": ["hang", "zzz"]}]}, "rules.0.fault.1: is no fault"),
        ({"rules": [{"fault": [3]}]}, "rules.0.fault.0: is no fault"),
        ({"rules": [{"fault": "hang", "error": "server"}]}, "rules.0.error: cannot stand beside `fault`"),
        ({"rules": [{"fault": "hang", "status": 500}]}, "rules.0.status: only faults that take a status can have one"),
        ({"rules": [{"fault": "hang", "retry_after": 1}]}, f"rules.0.retry_after: needs {BESIDE}"),
        ({"rules": [{"fault": "error_midway", "stream": False}]}, "rules.0.fault: never happens to such answers"),
    ],
)  # fmt: skip
def test_what_cannot_be_played_is_refused(value: dict[str, JSON], said: str) -> None:
    assert rejected(value) == said


def test_every_fault_of_an_answer_can_be_scripted_and_no_other() -> None:
    for name, row in FAULTS.items():
        if row.play is not None:
            assert script_from({"rules": [{"fault": name}]}).rules
        else:
            assert "cannot be played on an answer" in rejected({"rules": [{"fault": name}]})


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (3, ((3, 3),)),
        ("1-3,7", ((1, 3), (7, 7))),
        ("5-", ((5, float("inf")),)),
        (" 1 , 2 - 4 ", ((1, 1), (2, 4))),
        ("0", None),
        ("-3", None),
        ("", None),
        ("1,", None),
        (True, None),
        (1.5, None),
        ([1], None),
    ],
)
def test_request_numbers_are_read(value: JSON, found: object) -> None:
    assert ranges(value) == found


def test_problems_come_when_the_provider_is_entered(tmp_path: Path) -> None:
    async def enter(provider: FakeProvider) -> None:
        async with provider:
            pass

    with pytest.raises(ConfigRejectedError, match="cannot be played: line 1: "):
        asyncio.run(enter(FakeProvider(script=written(tmp_path, "sed: 1"))))
    with pytest.raises(ConfigRejectedError, match="the script cannot be played"):
        asyncio.run(enter(FakeProvider(script={"sed": 1})))

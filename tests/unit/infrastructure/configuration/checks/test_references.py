"""Names that nothing has are problems with a place, and so is what cannot hold together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from unit.infrastructure.configuration.conftest import Folder

TEXT = """\
version: 1
providers:
  near: {type: openai, api_key: hush}
  both: {type: openai, api_key: hush}
models:
  quick: {provider: near, model: m}
  slow: {provider: near, model: n}
  both: {provider: both, model: m}
clients:
  planner: {models: [quick, slow]}
"""


def problem(folder: Folder, client: str = "", line: str = "") -> tuple[str, str, str, str | None, int]:
    """Return code, path, message, what was probably meant, and column of the one problem with an edit."""
    text = TEXT.replace("[quick, slow]", f"[quick, slow]{', ' if client else ''}{client}")
    (found,) = folder.problems(f"{text}{line}\n")
    assert found.severity == "error"
    return found.code, found.path, found.message, found.suggestion or found.hint, found.column


@pytest.mark.parametrize(
    ("line", "code", "path", "message", "remedy"),
    [
        ("{naer: {rpm: 1}}", "CFG030", "limits.naer", "there is no provider or model `naer`", "near"),
        (
            "{zzz: {rpm: 1}}",
            "CFG030",
            "limits.zzz",
            "there is no provider or model `zzz`",
            "Known: near, both, quick, slow.",
        ),
        ("{quick: {kind: provider}}", "CFG030", "limits.quick", "there is no provider `quick`", "Known: near, both."),
        ("{near: {kind: model}}", "CFG030", "limits.near", "there is no model `near`", "Known: quick, slow, both."),
        (
            "{both: {rpm: 1}}",
            "CFG013",
            "limits.both",
            "a provider and a model have this name",
            "Add `kind: provider` or `kind: model`.",
        ),
        ("{near: {kind: key}}", "CFG012", "limits.near.kind", "must be provider or model", None),
        ("{near: {rpm: 0}}", "CFG012", "limits.near.rpm", "must be at least 1", None),
        ("{near: {rpm: 1.5}}", "CFG011", "limits.near.rpm", "must be a whole number, not a number", None),
        ("{near: {rpmm: 1}}", "CFG010", "limits.near", "unknown key `rpmm`", "rpm"),
        ("{near: 60}", "CFG011", "limits.near", "must be a mapping, not a number", None),
    ],
)
def test_a_limit_is_of_something_that_exists(
    folder: Folder, line: str, code: str, path: str, message: str, remedy: str | None
) -> None:
    found = problem(folder, line=f"limits: {line}")
    assert (found[0], found[1], found[2]) == (code, path, message)
    assert remedy is None or found[3] == remedy


@pytest.mark.parametrize("kind", ["provider", "model"])
def test_a_limit_says_which_of_two_it_means(folder: Folder, kind: str) -> None:
    assert folder.load(f"{TEXT}limits: {{both: {{kind: {kind}, rpm: 1}}}}\n").warnings == ()


@pytest.mark.parametrize(
    ("client", "code", "path", "message", "remedy"),
    [
        (
            "balance: {policy: weighted, weights: {quick: 1, slwo: 1}}",
            "CFG030",
            "balance.weights.slwo",
            "there is no model of this client `slwo`",
            "slow",
        ),
        (
            "balance: {policy: weighted, weights: {quick: 1, slow: 1, both: 1}}",
            "CFG030",
            "balance.weights.both",
            "there is no model of this client `both`",
            "Known: quick, slow.",
        ),
        (
            "balance: {policy: weighted, weights: {quick: 1}}",
            "CFG013",
            "balance.weights",
            "there is no weight for `slow`",
            None,
        ),
        (
            "balance: {policy: cost, weights: {quick: 1, slow: 1}}",
            "CFG012",
            "balance.weights",
            "only policy weighted has weights",
            "Write `policy: weighted` beside them.",
        ),
        (
            "balance: {weights: {quick: 1, slow: 1}}",
            "CFG012",
            "balance.weights",
            "only policy weighted has weights",
            "Write `policy: weighted` beside them.",
        ),
        (
            "balance: {policy: weighted, weights: {quick: 0, slow: 1}}",
            "CFG012",
            "balance.weights.quick",
            "must be greater than 0",
            None,
        ),
        (
            "balance: {policy: weighted, weights: 5}",
            "CFG011",
            "balance.weights",
            "must be a mapping, not a number",
            None,
        ),
        (
            "balance: costs",
            "CFG012",
            "balance.policy",
            "must be ordered, weighted, least_busy, latency, cost or sticky",
            "cost",
        ),
        ("on_exhausted: static", "CFG012", "on_exhausted", "mode static needs `text`", None),
        (
            "on_exhausted: {mode: raise, text: Later.}",
            "CFG012",
            "on_exhausted",
            "`text` is for mode static only",
            None,
        ),
        ("on_exhausted: {text: Later.}", "CFG012", "on_exhausted", "`text` is for mode static only", None),
        ("on_exhausted: {mode: static, text: ''}", "CFG012", "on_exhausted.text", "must not be empty", None),
        ("on_exhausted: callable", "CFG012", "on_exhausted", "mode callable needs `function`", None),
        (
            "on_exhausted: {mode: callable, function: json.dumps}",
            "CFG012",
            "on_exhausted.function",
            "must be `module:function`",
            None,
        ),
        (
            "on_exhausted: sttaic",
            "CFG012",
            "on_exhausted.mode",
            "must be raise, stale_cache, static or callable",
            "static",
        ),
        ("retry: {attempts: 0}", "CFG012", "retry.attempts", "must be at least 1", None),
        ("retry: {jitter: none}", "CFG012", "retry.jitter", "must be full", None),
        ("breaker: {failure_rate: 1.1}", "CFG012", "breaker.failure_rate", "must be at most 1", None),
        ("breaker: {buckets: 10000000}", "CFG012", "breaker.buckets", "must be at most 1000000", None),
        ("breaker: {open: 0}", "CFG012", "breaker.open", "must be greater than 0", None),
        (
            "content_filter_fallback: 1",
            "CFG011",
            "content_filter_fallback",
            "must be true or false, not a number",
            None,
        ),
    ],
)
def test_what_a_client_says_of_its_models_holds_together(
    folder: Folder, client: str, code: str, path: str, message: str, remedy: str | None
) -> None:
    found = problem(folder, client)
    assert found[:3] == (code, f"clients.planner.{path}", message)
    assert remedy is None or found[3] == remedy
    assert found[4] > 0


def test_models_that_are_no_list_are_one_problem(folder: Folder) -> None:
    (found,) = folder.problems(TEXT.replace("[quick, slow]", "quick, balance: {weights: {quick: 1}}"))
    assert (found.code, found.path) == ("CFG011", "clients.planner.models")


def test_weights_under_defaults_have_no_place(folder: Folder) -> None:
    found = problem(folder, line="defaults: {balance: {policy: weighted, weights: {quick: 1}}}")
    assert found[:3] == ("CFG010", "defaults.balance", "unknown key `weights`")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("no_such_module_here:sorry", "the module of this function cannot be imported (ModuleNotFoundError)"),
        ("host_that_breaks:sorry", "the module of this function cannot be imported (ValueError)"),
        ("json:no_such_function", "the module has no such function"),
        ("json:decoder.NaN", "this is no function"),
        ("json..x:dumps", "the module of this function cannot be imported (ModuleNotFoundError)"),
    ],
)
def test_a_function_must_be_there_when_the_configuration_is_read(
    folder: Folder, tmp_path: Path, function: str, message: str
) -> None:
    (tmp_path / "host_that_breaks.py").write_text("raise ValueError('sk-canary')\n", encoding="utf-8")
    sys.path.insert(0, str(tmp_path))
    try:
        found = problem(folder, f"on_exhausted: {{mode: callable, function: '{function}'}}")
    finally:
        sys.path.remove(str(tmp_path))
    assert found[:3] == ("CFG030", "clients.planner.on_exhausted.function", message)
    assert "package.module:function" in str(found[3])


@pytest.mark.parametrize("function", ["':sorry'", "'json:'", "5"])
def test_what_is_no_name_of_a_function_is_not_looked_for(folder: Folder, function: str) -> None:
    code, path, *_ = problem(folder, f"on_exhausted: {{mode: callable, function: {function}}}")
    assert (code, path) == ("CFG011" if function == "5" else "CFG012", "clients.planner.on_exhausted.function")


def test_one_typing_error_in_a_broken_file_is_not_followed_by_names_that_may_stand_below(folder: Folder) -> None:
    found = folder.problems(TEXT.replace("clients:", "limits: {zzz: {rpm: 1}}\nclients: {") + '"\n')
    assert "CFG030" not in [each.code for each in found]

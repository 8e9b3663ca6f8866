"""What the schema promises and this release does not do is refused or said, never ignored silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loomwire.infrastructure.configuration.schema.reserved import NOT_YET
from loomwire.infrastructure.configuration.schema.settings import known_keys

if TYPE_CHECKING:
    from unit.infrastructure.configuration.conftest import Folder

TEXT = """\
version: 1
providers:
  near: {type: openai, api_key: hush}
models:
  quick: {provider: near, model: m}
  slow: {provider: near, model: n}
clients:
  planner: {models: [quick]}
  other: {models: [slow]}
"""

REFUSED = [
    "budgets: {all: {scope: tenant, period: month, limit_usd: 5, kind: soft}}",
    "limits: {near: {rpm: 100, tpm: 1000, concurrency: 3}}",
    "cache: {ttl: 5}",
    "cache: {mode: always}",
    "memory: {limit: 512MiB}",
    "health: {interval: 5}",
    "events: {to: stderr}",
    "hooks: {before: x}",
    "plugins: {a: {}}",
    "state: {kind: redis}",
    "defaults: {cache: {mode: deterministic_only}}",
    "defaults: {memory: {soft: 0.5}}",
    "defaults: {health: {timeout: 5}}",
]
WARNED = [
    "defaults: {retry: {attempts: 2}}",
    "defaults: {retry: {attempts: 1, base: 1}}",
    "defaults: {retry_budget: {ratio: 0.5}}",
    "defaults: {breaker: {open: 5}}",
    "defaults: {balance: latency}",
    "defaults: {balance: {policy: cost}}",
    "defaults: {rate: {queue: 5}}",
    "defaults: {ledger: {durability: power}}",
    "defaults: {budget: {unknown_price: free}}",
    "defaults: {shutdown: {drain: 5}}",
    "defaults: {reload: {quiet_ms: 5}}",
    "defaults: {pool: {http2: true}}",
    "defaults: {timeouts: {min_attempt: 1}}",
    "defaults: {timeouts: {min_attempt: 0}}",
]
SILENT = [
    "budgets: {}",
    "limits: {}",
    "cache: {}",
    "cache: {mode: off}",
    'cache: {mode: "off"}',
    "health: {}",
    "state: {}",
    "end: true",
    "defaults: {timeouts: {min_attempt: 0.25, idle: 5}}",
    "defaults: {retry: {attempts: 1}, balance: ordered, breaker: {}, cache: {mode: off}}",
    "defaults: {balance: {policy: ordered}, pool: {http2: false, follow_redirects: false}}",
]


@pytest.mark.parametrize("line", REFUSED)
def test_what_would_be_dangerous_to_ignore_is_refused(folder: Folder, line: str) -> None:
    (problem,) = folder.problems(f"{TEXT}{line}\n")
    assert (problem.reason, problem.severity) == ("not_in_force", "error")
    assert problem.path.split(".")[0] == line.split(":", maxsplit=1)[0]


@pytest.mark.parametrize("line", WARNED)
def test_what_is_harmless_to_ignore_is_a_warning(folder: Folder, line: str) -> None:
    (warning,) = folder.load(f"{TEXT}{line}\n").warnings
    assert (warning.reason, warning.severity) == ("not_in_force", "warning")


@pytest.mark.parametrize("line", SILENT)
def test_asking_for_what_happens_anyway_is_fine(folder: Folder, line: str) -> None:
    assert folder.load(f"{TEXT}{line}\n").warnings == ()


@pytest.mark.parametrize(
    ("words", "severity"),
    [
        ("pool: {from: [quick], select: cost}", "error"),
        ("cache: {mode: always}", "error"),
        ("on_exhausted: static", "error"),
        ("balance: cost", "warning"),
        ("retry: {attempts: 2}", "warning"),
        ("breaker: {open: 1}", "warning"),
        ("retry_budget: {ttl: 1}", "warning"),
        ("timeouts: {min_attempt: 2}", "warning"),
        ("timeouts: {min_attempt: 0.25, total: 5}", None),
        ("on_exhausted: raise", None),
        ("balance: ordered", None),
        ("cache: {mode: off}", None),
        ("cache: null", None),
    ],
)
def test_a_client_is_held_to_the_same(folder: Folder, words: str, severity: str | None) -> None:
    text = TEXT.replace("{models: [quick]}", f"{{models: [quick], {words}}}")
    found = folder.problems(text) if severity == "error" else folder.load(text).warnings
    assert [problem.severity for problem in found] == ([] if severity is None else [severity])


def test_the_same_warning_comes_once_and_says_how_often(folder: Folder) -> None:
    text = TEXT.replace("models: [quick]", "models: [quick, slow]").replace(
        "models: [slow]", "models: [slow, quick, slow]"
    )
    (warning,) = folder.load(text).warnings
    assert (
        warning.message
        == "`models` is only partly in force so far (only the first is asked; the same in 1 other place)"
    )
    assert (warning.line, warning.path) == (8, "clients.planner.models")


def test_every_error_comes_with_its_own_place(folder: Folder) -> None:
    text = TEXT.replace("[quick]", "[quick], cache: {mode: always}").replace("[slow]", "[slow], cache: {mode: always}")
    assert [problem.line for problem in folder.problems(text)] == [8, 9]


def test_a_key_and_several_keys_do_not_go_together(folder: Folder) -> None:
    (problem,) = folder.problems(TEXT.replace("hush", "hush, keys: [a]"))
    assert (problem.reason, problem.path) == ("out_of_range", "providers.near.keys")


@pytest.mark.parametrize(
    ("old", "new", "path", "column"),
    [
        ("hush", "hush, timeouts: {min_attempt: 1}", "providers.near.timeouts.min_attempt", 50),
        ("model: m", "model: m, timeouts: {min_attempt: 1}", "models.quick.timeouts.min_attempt", 48),
    ],
)
def test_a_smallest_attempt_is_said_to_do_nothing_wherever_it_stands(
    folder: Folder, old: str, new: str, path: str, column: int
) -> None:
    (warning,) = folder.load(TEXT.replace(old, new)).warnings
    assert (warning.code, warning.path, warning.column) == ("CFG014", path, column)
    assert warning.message == "`min_attempt` is not in force yet (every target is asked once)"


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("hooks: x", ["CFG014"]),
        ("budgets: 5", ["CFG014"]),
        ("cache: [1]", ["CFG014"]),
        ("cache: {mode: sometimes}", ["CFG014", "CFG012"]),
        ("defaults: {retry: 5}", ["CFG011"]),
        ("defaults: {retry: {attempts: 9}}", ["CFG012"]),
        ("defaults: {balance: ordred}", ["CFG012"]),
        ("defaults: {retry: 5, breaker: {open: 1}}", ["CFG011", "CFG014"]),
    ],
)
def test_one_mistake_is_one_problem(folder: Folder, line: str, codes: list[str]) -> None:
    assert [problem.code for problem in folder.problems(f"{TEXT}{line}\n")] == codes


def test_a_word_that_is_almost_in_force_is_corrected_and_not_called_reserved(folder: Folder) -> None:
    (problem,) = folder.problems(TEXT.replace("[quick]", "[quick], on_exhausted: rais"))
    assert (problem.code, problem.suggestion) == ("CFG012", "raise")


def test_every_reserved_key_is_in_the_schema() -> None:
    assert {row.path[-1] for row in NOT_YET if row.path[-1] not in known_keys(row.path[:-1])} == set()

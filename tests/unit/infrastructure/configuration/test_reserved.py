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
    "events: {to: stderr}",
    "hooks: {before: x}",
    "plugins: {a: {}}",
    "state: {kind: redis}",
]
WARNED = [
    "defaults: {ledger: {durability: power}}",
    "defaults: {budget: {unknown_price: free}}",
    "defaults: {reload: {quiet_ms: 5}}",
    "defaults: {pool: {http2: true}}",
]
SILENT = [
    "budgets: {}",
    "limits: {}",
    "limits: {near: {rpm: 100, tpm: 1000, concurrency: 3}}",
    "cache: {}",
    "cache: {strategy: lfu, disk: {path: run/cache.sqlite}, cleanup: 0}",
    "memory: {limit: 512MiB, interval: 1}",
    "defaults: {cache: always, memory: {soft: 0.5}}",
    "health: {}",
    "health: {interval: 5}",
    "state: {}",
    "end: true",
    "defaults: {timeouts: {min_attempt: 0, idle: 5}}",
    "defaults: {retry: {attempts: 2, base: 1}, retry_budget: {ratio: 0.5}, breaker: {open: 5}}",
    "defaults: {balance: cost, rate: {queue: 5}, health: {timeout: 5}, shutdown: {drain: 5}, cache: {mode: off}}",
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
        ("cache: {mode: always}", None),
        ("cache: off", None),
        ("on_exhausted: stale_cache", None),
        ("on_exhausted: {mode: stale_cache}, cache: off", "error"),
        ("on_exhausted: raise", None),
        ("on_exhausted: {mode: static, text: Later.}", None),
        ("balance: cost", None),
        ("retry: {attempts: 2}", None),
        ("breaker: {open: 1}", None),
        ("retry_budget: {ttl: 1}", None),
        ("timeouts: {min_attempt: 2, total: 5}", None),
        ("cache: {mode: off}", None),
        ("cache: null", None),
    ],
)
def test_a_client_is_held_to_the_same(folder: Folder, words: str, severity: str | None) -> None:
    text = TEXT.replace("{models: [quick]}", f"{{models: [quick], {words}}}")
    found = folder.problems(text) if severity == "error" else folder.load(text).warnings
    assert [problem.severity for problem in found] == ([] if severity is None else [severity])


def test_the_same_warning_comes_once_and_says_how_often(folder: Folder) -> None:
    text = TEXT.replace("hush", "hush, pool: {http2: true}").replace("model: n", "model: n, pool: {http2: true}")
    text = text.replace("model: m", "model: m, pool: {http2: true}")
    first, second = folder.load(text).warnings
    assert first.message == "`pool` is only partly in force so far (HTTP/1.1 is spoken)"
    assert (first.line, first.path) == (3, "providers.near.pool")
    assert second.message == "`pool` is only partly in force so far (HTTP/1.1 is spoken; the same in 1 other place)"
    assert (second.line, second.path) == (5, "models.quick.pool")


def test_every_error_comes_with_its_own_place(folder: Folder) -> None:
    pools = ("pool: {from: [quick]}", "pool: {from: [slow]}")
    text = TEXT.replace("[quick]", f"[quick], {pools[0]}").replace("[slow]", f"[slow], {pools[1]}")
    assert [problem.line for problem in folder.problems(text)] == [8, 9]


def test_a_key_and_several_keys_do_not_go_together(folder: Folder) -> None:
    (problem,) = folder.problems(TEXT.replace("hush", "hush, keys: [a]"))
    assert (problem.reason, problem.path) == ("out_of_range", "providers.near.keys")


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("hooks: x", ["CFG014"]),
        ("budgets: 5", ["CFG014"]),
        ("cache: [1]", ["CFG011"]),
        ("cache: {strategy: sometimes}", ["CFG012"]),
        ("cache: {mode: always}", ["CFG010"]),
        ("memory: {soft: 0.9, high: 0.8}", ["CFG012"]),
        ("defaults: {retry: 5}", ["CFG011"]),
        ("defaults: {retry: {attempts: 9}}", ["CFG012"]),
        ("defaults: {balance: ordred}", ["CFG012"]),
        ("defaults: {retry: 5, budget: {unknown_price: free}}", ["CFG011", "CFG014"]),
        ("defaults: {ledger: 5}", ["CFG011"]),
        ("defaults: {ledger: {durability: never}}", ["CFG012"]),
    ],
)
def test_one_mistake_is_one_problem(folder: Folder, line: str, codes: list[str]) -> None:
    assert [problem.code for problem in folder.problems(f"{TEXT}{line}\n")] == codes


def test_a_word_that_is_almost_in_force_is_corrected_and_not_called_reserved(folder: Folder) -> None:
    (problem,) = folder.problems(TEXT.replace("[quick]", "[quick], on_exhausted: rais"))
    assert (problem.code, problem.suggestion) == ("CFG012", "raise")


def test_every_reserved_key_is_in_the_schema() -> None:
    assert {row.path[-1] for row in NOT_YET if row.path[-1] not in known_keys(row.path[:-1])} == set()

"""What the keys of resilience give, from whom they are inherited, and that no valid number is refused further down."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from loomwire.domain.policies import (
    BalancePolicy,
    BreakerPolicy,
    ExhaustedPolicy,
    HealthPolicy,
    RatePolicy,
    RetryBudgetPolicy,
    RetryPolicy,
)
from loomwire.infrastructure.configuration.schema.settings import Settings

if TYPE_CHECKING:
    from unit.infrastructure.configuration.conftest import Folder

TEXT = """\
version: 1
providers:
  near: {type: openai, api_key: hush}
  far: {type: openai, api_key: hush}
models:
  quick: {provider: near, model: m}
  slow: {provider: near, model: n}
  spare: {provider: far, model: m}
clients:
  planner: {models: [quick, spare]}
  other: {models: [slow]}
"""


def test_without_a_word_the_policies_are_the_documented_ones(folder: Folder) -> None:
    snapshot = folder.load(TEXT)
    for model in snapshot.models.values():
        assert (model.retry, model.retry_budget, model.breaker) == (
            RetryPolicy(),
            RetryBudgetPolicy(),
            BreakerPolicy(),
        )
        assert (model.rate, model.provider_rate) == (None, None)
    planner = snapshot.clients["planner"]
    assert (planner.balance, planner.weights) == (BalancePolicy("ordered", "latency"), ())
    assert (planner.content_filter_fallback, planner.on_exhausted) == (False, ExhaustedPolicy())
    assert (snapshot.health, snapshot.drain_s) == (HealthPolicy(), 30.0)


def test_every_number_arrives_in_its_policy(folder: Folder) -> None:
    blocks = """\
defaults:
  retry: {attempts: 2, total_attempts: 5, base: 0.1, throttle_base: 0.2, max_delay: 3, retry_after_cap: 4, \
jitter: full, hedge: true}
  retry_budget: {ratio: 0.2, floor_per_s: 1, ttl: 5, last_resort_ratio: 0.1}
  breaker: {window: 20, buckets: 5, min_calls: 4, failure_rate: 0, consecutive: 3, slow_rate: 0.6, slow_after: 2, \
open: 1, open_max: 9, probes: 2}
  timeouts: {min_attempt: 0}
  shutdown: {drain: 0}
  health: {interval: 5, timeout: 1}
health: {interval: 0, paid_probe: true}
"""
    snapshot = folder.load(TEXT + blocks)
    quick = snapshot.models["quick"]
    assert quick.retry == RetryPolicy(2, 5, 0.1, 0.2, 3.0, 4.0, hedge=True)
    assert quick.retry_budget == RetryBudgetPolicy(0.2, 1.0, 5.0, 0.1)
    assert quick.breaker == BreakerPolicy(20.0, 5, 4, 0.0, 3, 0.6, 2.0, 1.0, 9.0, 2)
    assert quick.timeouts.min_attempt_s == 0.0
    assert (snapshot.health, snapshot.drain_s) == (HealthPolicy(0.0, 1.0, paid_probe=True), 0.0)


@pytest.mark.parametrize(
    ("block", "policy", "name", "numbers"),
    [
        ("retry: {attempts: %s}", "retry", "attempts", (1, 2, 3, 4)),
        ("retry_budget: {ttl: %s}", "retry_budget", "ttl_s", (5, 6, 7, 8)),
        ("breaker: {open: %s}", "breaker", "open_s", (1, 2, 3, 4)),
        ("timeouts: {min_attempt: %s}", "timeouts", "min_attempt_s", (1, 2, 3, 4)),
    ],
)
def test_a_client_outdoes_its_model_that_its_provider_and_that_the_defaults(
    folder: Folder, block: str, policy: str, name: str, numbers: tuple[int, ...]
) -> None:
    def said() -> Iterator[float]:
        snapshot = folder.load(text)
        targets = [
            snapshot.clients["other"].targets[0],
            *(snapshot.models[each] for each in ("slow", "quick", "spare")),
        ]
        for target in targets:
            yield asdict(target)[policy][name]

    text = f"{TEXT}defaults: {{{block % numbers[0]}}}\n"
    assert [*said()] == [numbers[0]] * 4
    text = text.replace("near: {type: openai", f"near: {{{block % numbers[1]}, type: openai")
    assert [*said()] == [numbers[1]] * 3 + [numbers[0]]
    text = text.replace("model: n", f"model: n, {block % numbers[2]}")
    assert [*said()] == [numbers[2], numbers[2], numbers[1], numbers[0]]
    text = text.replace("models: [slow]", f"models: [slow], {block % numbers[3]}")
    assert [*said()] == [numbers[3], numbers[2], numbers[1], numbers[0]]


def test_a_client_takes_only_what_it_leaves_out_from_above(folder: Folder) -> None:
    text = TEXT.replace("model: n", "model: n, retry: {base: 1, attempts: 2}")
    text = (
        text.replace("models: [slow]", "models: [slow], retry: {attempts: 4}") + "defaults: {retry: {max_delay: 2}}\n"
    )
    assert folder.load(text).clients["other"].targets[0].retry == RetryPolicy(4, base_s=1.0, max_delay_s=2.0)


def test_a_limit_is_of_the_provider_or_the_model_of_its_name(folder: Folder) -> None:
    limits = "limits: {near: {rpm: 60}, slow: {tpm: 1000, concurrency: 2}}\ndefaults: {rate: {queue: 0, burst_s: 2}}\n"
    models = folder.load(TEXT + limits).models
    near, slow = RatePolicy(60, queue=0, burst_s=2.0), RatePolicy(None, 1000, 2, queue=0, burst_s=2.0)
    assert {name: (model.provider_rate, model.rate) for name, model in models.items()} == {
        "quick": (near, None),
        "slow": (near, slow),
        "spare": (None, None),
    }


@pytest.mark.parametrize(("kind", "limited"), [("provider", {"near", "slow"}), ("model", {"near"})])
def test_where_both_have_the_name_the_kind_says_which_is_meant(folder: Folder, kind: str, limited: set[str]) -> None:
    text = TEXT.replace("quick", "near") + f"limits: {{near: {{kind: {kind}, rpm: 5}}}}\n"
    models = folder.load(text).models
    assert {name for name, model in models.items() if model.rate or model.provider_rate} == limited
    assert (models["near"].rate is None) is (kind == "provider")


@pytest.mark.parametrize(
    ("defaults", "own", "policy"),
    [
        ("", "", BalancePolicy("ordered", "latency")),
        ("balance: cost", "", BalancePolicy("ordered", "cost")),
        ("balance: {policy: least_busy, warmup: 5}", "", BalancePolicy("ordered", "least_busy", 5.0)),
        ("balance: cost", "balance: ordered", BalancePolicy("ordered", "ordered")),
        ("balance: {warmup: 5}", "balance: sticky", BalancePolicy("sticky", "sticky", 5.0)),
        ("balance: {warmup: 5}", "balance: {panic_probe_per_s: 3}", BalancePolicy("ordered", "latency", 5.0, 3.0)),
        ("balance: {warmup: 5}", "balance: {policy: latency, warmup: 0}", BalancePolicy("latency", "latency", 0.0)),
        ("", "balance: weighted", BalancePolicy("weighted", "weighted")),
    ],
)
def test_the_defaults_rule_holds_among_equal_targets_and_a_clients_own_for_all(
    folder: Folder, defaults: str, own: str, policy: BalancePolicy
) -> None:
    text = TEXT.replace("[quick, spare]", f"[quick, spare]{', ' if own else ''}{own}")
    assert folder.load(f"{text}defaults: {{{defaults}}}\n").clients["planner"].balance == policy


def test_weights_stand_in_the_order_of_the_models(folder: Folder) -> None:
    balance = "balance: {policy: weighted, weights: {spare: 1, quick: 2.5}}"
    planner = folder.load(TEXT.replace("[quick, spare]", f"[quick, spare], {balance}")).clients["planner"]
    assert (planner.balance.policy, planner.weights) == ("weighted", (2.5, 1.0))


@pytest.mark.parametrize(
    ("words", "policy"),
    [
        ("on_exhausted: raise", ExhaustedPolicy()),
        ("on_exhausted: {mode: static, text: Later.}", ExhaustedPolicy("static", "Later.")),
        (
            "on_exhausted: {mode: callable, function: 'json:dumps'}",
            ExhaustedPolicy("callable", function="json:dumps"),
        ),
        (
            "on_exhausted: {mode: callable, function: 'json:JSONDecoder.decode'}",
            ExhaustedPolicy("callable", function="json:JSONDecoder.decode"),
        ),
    ],
)
def test_what_happens_when_every_model_failed_is_the_clients_own(
    folder: Folder, words: str, policy: ExhaustedPolicy
) -> None:
    text = TEXT.replace("[slow]", f"[slow], content_filter_fallback: true, {words}")
    clients = folder.load(text).clients
    assert (clients["other"].on_exhausted, clients["other"].content_filter_fallback) == (policy, True)
    assert (clients["planner"].on_exhausted, clients["planner"].content_filter_fallback) == (ExhaustedPolicy(), False)


def test_variables_set_every_new_key(folder: Folder) -> None:
    text = TEXT.replace("[quick, spare]", "[quick, spare], balance: {policy: weighted, weights: {quick: 1, spare: 1}}")
    environ = {
        "LOOMWIRE__DEFAULTS__RETRY__ATTEMPTS": "2",
        "LOOMWIRE__PROVIDERS__NEAR__BREAKER__SLOW_AFTER": "4",
        "LOOMWIRE__LIMITS__NEAR__RPM": "90",
        "LOOMWIRE__DEFAULTS__BALANCE": "cost",
        "LOOMWIRE__DEFAULTS__RATE__QUEUE": "7",
        "LOOMWIRE__CLIENTS__PLANNER__BALANCE__WEIGHTS__QUICK": "3",
        "LOOMWIRE__CLIENTS__OTHER__BALANCE": "sticky",
        "LOOMWIRE__CLIENTS__OTHER__ON_EXHAUSTED__MODE": "static",
        "LOOMWIRE__CLIENTS__OTHER__ON_EXHAUSTED__TEXT": "Later.",
        "LOOMWIRE__CLIENTS__OTHER__CONTENT_FILTER_FALLBACK": "true",
        "LOOMWIRE__HEALTH__INTERVAL": "9",
        "LOOMWIRE__DEFAULTS__SHUTDOWN__DRAIN": "1.5",
    }
    snapshot = folder.load(f"{text}limits: {{near: {{rpm: 60}}}}\n", environ)
    quick, planner, other = snapshot.models["quick"], snapshot.clients["planner"], snapshot.clients["other"]
    assert (quick.retry.attempts, quick.breaker.slow_after_s) == (2, 4.0)
    assert quick.provider_rate == RatePolicy(90, queue=7)
    assert (planner.weights, planner.balance.equals, other.balance.policy) == ((3.0, 1.0), "weighted", "sticky")
    assert (other.on_exhausted, other.content_filter_fallback) == (ExhaustedPolicy("static", "Later."), True)
    assert (snapshot.health.interval_s, snapshot.drain_s) == (9.0, 1.5)
    assert snapshot.warnings == ()


def numbers(block: type[BaseModel]) -> Iterator[tuple[str, float, float]]:
    """Yield the keys of a block that are numbers, with the smallest and the largest that the schema takes."""
    for name, field in block.model_fields.items():
        schema = block.model_json_schema()["properties"][name]
        kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") in ("integer", "number")]
        for kind in kinds:
            low = kind["minimum"] if "minimum" in kind else math.nextafter(kind["exclusiveMinimum"], math.inf)
            assert kind["maximum"] < math.inf, (block, field)
            yield name, low, kind["maximum"]


@pytest.mark.parametrize("block", ["retry", "retry_budget", "breaker", "rate", "balance", "health", "shutdown"])
def test_whatever_number_the_schema_takes_the_policies_take_too(folder: Folder, block: str) -> None:
    kind = Settings.model_fields["defaults"].annotation
    assert isinstance(kind, type)
    assert issubclass(kind, BaseModel)
    part = kind.model_fields[block].annotation
    assert isinstance(part, type)
    assert issubclass(part, BaseModel)
    found = [(name, edge) for name, low, high in numbers(part) for edge in (low, high)]
    assert found
    for name, edge in found:
        folder.load(f"{TEXT}limits: {{near: {{rpm: 1}}}}\ndefaults: {{{block}: {{{name}: {edge!r}}}}}\n")

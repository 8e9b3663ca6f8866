"""What differs between two configurations, in the words of the YAML, and what has to be built anew."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from decimal import Decimal

import pytest

from loomwire.application.reload.changes import Change, changes, rebuilt
from loomwire.domain.caching.policies import CachePolicy, MemoryLevel, MemoryPolicy, RedisLevel, SemanticPolicy
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot
from loomwire.domain.policies import (
    BalancePolicy,
    BreakerPolicy,
    CataloguePolicy,
    ExhaustedPolicy,
    HealthPolicy,
    PoolPolicy,
    RatePolicy,
    RetryBudgetPolicy,
    RetryPolicy,
    TimeoutPolicy,
    WireLimits,
)
from loomwire.domain.pricing import Prices
from loomwire.domain.requests import Parameters
from loomwire.domain.values import FrozenDict, Secret

QUICK = LLMConfig(type="openai", model="gpt", name="far", keys=(Secret("sk-one"),))
OFFLINE = LLMConfig(type="mock", model="helper", name="offline")


def client(name: str, *targets: LLMConfig, system: str | None = None) -> ClientConfig:
    """Return a client as the loader builds it."""
    return ClientConfig(name=name, targets=targets, system=system, total_s=targets[0].timeouts.total_s)


def snapshot(models: Mapping[str, LLMConfig], **clients: ClientConfig) -> Snapshot:
    """Return a configuration; without clients, one asks the first model."""
    return Snapshot(digest="", models=models, clients=clients or {"chat": client("chat", *list(models.values())[:1])})


def edited(**edits: object) -> tuple[Change, ...]:
    """Return the changes when the one model that one client asks is edited."""
    new: LLMConfig = replace(QUICK, **edits)  # type: ignore[arg-type]  # by name, so that every field can be tried
    return changes(snapshot({"quick": QUICK}), snapshot({"quick": new}))


def test_the_same_configuration_differs_in_nothing() -> None:
    one = snapshot({"quick": QUICK})
    assert changes(one, one) == ()
    assert changes(one, snapshot({"quick": replace(QUICK)})) == ()


@pytest.mark.parametrize(
    ("edits", "path", "old", "new", "rebuilds"),
    [
        ({"model": "gpt-2"}, "models.quick.model", "gpt", "gpt-2", "clients"),
        ({"parameters": Parameters(temperature=0.2)}, "models.quick.parameters.temperature", None, 0.2, "clients"),
        ({"parameters": Parameters(stop=("a", "b"))}, "models.quick.parameters.stop", None, ["a", "b"], "clients"),
        ({"tags": frozenset({"b", "a"})}, "models.quick.tags", None, ["a", "b"], "clients"),
        (
            {"capabilities": ModelCapabilities(supports_tools=False)},
            "models.quick.capabilities.tools",
            None,
            False,
            "clients",
        ),
        (
            {"capabilities": ModelCapabilities(custom_capabilities=FrozenDict(rank=2))},
            "models.quick.capabilities.custom.rank",
            None,
            2,
            "clients",
        ),
        ({"timeouts": TimeoutPolicy(idle_s=9.0)}, "models.quick.timeouts.idle", 60.0, 9.0, "clients"),
        ({"timeouts": TimeoutPolicy(idle_s=math.inf)}, "models.quick.timeouts.idle", 60.0, "inf", "clients"),
        ({"timeouts": TimeoutPolicy(connect_s=1.0)}, "models.quick.timeouts.connect", 5.0, 1.0, "connections"),
        ({"pool": PoolPolicy(keepalive=3)}, "models.quick.pool.keepalive", 20, 3, "connections"),
        ({"limits": WireLimits(codings=1)}, "models.quick.limits.codings", 2, 1, "connections"),
        ({"base_url": "https://a.example/v1"}, "providers.far.base_url", None, "https://a.example/v1", "connections"),
        ({"type": "vllm"}, "providers.far.type", "openai", "vllm", "connections"),
        ({"dialect": "openai_chat"}, "providers.far.dialect", None, "openai_chat", "connections"),
        ({"allow_private": True}, "providers.far.allow_private", False, True, "connections"),
        ({"free": True}, "providers.far.free", False, True, "clients"),
        ({"options": FrozenDict(context=512)}, "providers.far.options.context", None, 512, "clients"),
        ({"options": FrozenDict(quirks={"stop_limit": 4})}, "providers.far.quirks.stop_limit", None, 4, "clients"),
        ({"retry": RetryPolicy(attempts=1)}, "models.quick.retry.attempts", 3, 1, "clients"),
        ({"retry": RetryPolicy(hedge=True)}, "models.quick.retry.hedge", False, True, "clients"),
        ({"retry_budget": RetryBudgetPolicy(ttl_s=5.0)}, "models.quick.retry_budget.ttl", 10.0, 5.0, "clients"),
        ({"breaker": BreakerPolicy(open_s=9.0)}, "models.quick.breaker.open", 5.0, 9.0, "clients"),
        ({"api_version": "2024-10-21"}, "providers.far.api_version", None, "2024-10-21", "clients"),
    ],
)
def test_an_edit_is_named_as_the_yaml_names_it_with_what_it_rebuilds(
    edits: Mapping[str, object], path: str, old: object, new: object, rebuilds: str
) -> None:
    (change,) = edited(**edits)
    assert (change.path, change.old, change.new, change.hidden) == (path, old, new, False)
    assert (change.rebuilds, change.clients) == (rebuilds, ("chat",))
    assert change.kind == ("added" if old is None else "changed")


@pytest.mark.parametrize(
    ("edits", "path"),
    [
        ({"keys": (Secret("sk-two"),)}, "providers.far.keys"),
        ({"headers": FrozenDict({"x-token": "sk-header"})}, "providers.far.headers.x-token"),
        ({"options": FrozenDict(rules=({"answer": "sk-rule"},))}, "providers.far.options.rules"),
        ({"extra": FrozenDict(user="sk-extra")}, "models.quick.extra.user"),
    ],
)
def test_what_may_be_a_secret_only_differs(edits: Mapping[str, object], path: str) -> None:
    (change,) = edited(**edits)
    assert (change.path, change.hidden, change.old, change.new) == (path, True, None, None)
    assert "sk-" not in json.dumps(change.to_dict())


def test_a_change_is_read_back_as_it_was_written() -> None:
    written = [
        Change(kind="added", path="clients.a", rebuilds="clients", clients=("a",)),
        Change(kind="removed", path="clients.b"),
        Change(kind="changed", path="models.c.x", old=1, new=[2], rebuilds="connections", clients=("a", "b")),
        Change(kind="changed", path="providers.d.keys", hidden=True),
    ]
    assert [Change.from_dict(json.loads(json.dumps(change.to_dict()))) for change in written] == written
    assert Change.from_dict({}) == Change(kind="changed", path="None")


def test_a_url_is_shown_without_what_may_be_a_secret_in_it() -> None:
    (change,) = edited(base_url="https://me:sk-pass@a.example:8443/v1?key=sk-query#sk")
    assert change.new == "https://a.example:8443/v1"


def test_prices_are_the_decimals_that_were_written() -> None:
    old, new = (Prices.per_mtok(Decimal(text), Decimal(2)) for text in ("0.25", "0.3"))
    found = changes(snapshot({"quick": replace(QUICK, prices=old)}), snapshot({"quick": replace(QUICK, prices=new)}))
    assert next((change.path, change.old, change.new) for change in found) == (
        "models.quick.prices.input_usd_per_mtok",
        "0.25",
        "0.3",
    )


def test_a_value_that_goes_is_removed() -> None:
    (change,) = changes(snapshot({"quick": replace(QUICK, base_url="https://a.example")}), snapshot({"quick": QUICK}))
    assert (change.kind, change.old, change.new) == ("removed", "https://a.example", None)


def test_what_came_or_went_is_one_change_each() -> None:
    old = snapshot({"quick": QUICK}, chat=client("chat", QUICK), gone=client("gone", QUICK))
    new = snapshot({"slow": OFFLINE, "quick": QUICK}, chat=client("chat", QUICK), late=client("late", OFFLINE))
    assert [(change.kind, change.path, change.rebuilds, change.clients) for change in changes(old, new)] == [
        ("added", "providers.offline", "clients", ("late",)),
        ("added", "models.slow", "clients", ("late",)),
        ("removed", "clients.gone", "nothing", ("gone",)),
        ("added", "clients.late", "clients", ("late",)),
    ]


def test_a_model_that_nobody_asks_rebuilds_nothing() -> None:
    old, new = ({"quick": QUICK, "spare": model} for model in (OFFLINE, replace(OFFLINE, free=True, model="other")))
    found = changes(snapshot(old), snapshot(new))
    assert [(change.path, change.rebuilds, change.clients) for change in found] == [
        ("providers.offline.free", "nothing", ()),
        ("models.spare.model", "nothing", ()),
    ]
    assert rebuilt(snapshot(old), snapshot(new)) == ()


def test_only_the_clients_that_ask_a_model_are_built_anew() -> None:
    def of(model: LLMConfig) -> Snapshot:
        return snapshot({"quick": model, "slow": OFFLINE}, chat=client("chat", model), other=client("other", OFFLINE))

    old, new = of(QUICK), of(replace(QUICK, model="gpt-2"))
    assert rebuilt(old, new) == ("chat",)
    assert {name for change in changes(old, new) for name in change.clients} == {"chat"}


def test_a_client_has_only_what_it_says_itself() -> None:
    own = replace(QUICK, timeouts=TimeoutPolicy(total_s=30.0), replay="recordings")
    old = snapshot({"quick": QUICK, "slow": OFFLINE}, chat=client("chat", QUICK))
    new = snapshot({"quick": QUICK, "slow": OFFLINE}, chat=client("chat", own, OFFLINE, system="Be brief."))
    found = {change.path: change for change in changes(old, new)}
    assert sorted(found) == [f"clients.chat.{key}" for key in ("models", "replay", "system", "timeouts.total")]
    assert (found["clients.chat.models"].old, found["clients.chat.models"].new) == (["quick"], ["quick", "slow"])
    assert found["clients.chat.replay"].rebuilds == "connections"
    assert found["clients.chat.system"].hidden
    assert found["clients.chat.timeouts.total"].new == 30.0


def test_a_model_with_another_name_is_another_value_of_a_client_that_stays() -> None:
    old, new = (snapshot({name: replace(QUICK)}, chat=client("chat", QUICK)) for name in ("quick", "fast"))
    found = {change.path: change for change in changes(old, new)}
    assert found["clients.chat.models"].new == ["fast"]
    assert (found["clients.chat.models"].rebuilds, rebuilt(old, new)) == ("nothing", ())


def test_a_target_that_is_no_model_of_the_configuration_is_named_by_itself() -> None:
    old, new = (snapshot({}, chat=client("chat", target)) for target in (QUICK, OFFLINE))
    (change,) = (each for each in changes(old, new) if each.path == "clients.chat.models")
    assert (change.old, change.new) == (["far/gpt"], ["offline/helper"])


def test_every_field_of_a_model_is_told_when_it_differs() -> None:
    other = LLMConfig(
        type="vllm",
        model="m",
        name="near",
        base_url="https://b.example",
        dialect="openai_chat",
        api_version="2024-10-21",
        keys=(Secret("k"),),
        parameters=Parameters(seed=1),
        capabilities=ModelCapabilities(supports_vision=True),
        emulate_tools=False,
        prices=Prices.per_mtok(Decimal(1), Decimal(1)),
        free=True,
        timeouts=TimeoutPolicy(idle_s=1.0),
        retry=RetryPolicy(attempts=1),
        retry_budget=RetryBudgetPolicy(ratio=0.1),
        breaker=BreakerPolicy(slow_after_s=2.0),
        rate=RatePolicy(rpm=5),
        provider_rate=RatePolicy(tpm=5),
        pool=PoolPolicy(keepalive=1),
        limits=WireLimits(codings=1),
        headers=FrozenDict(a="b"),
        extra=FrozenDict(a=1),
        allow_private=True,
        lenient_terminal=True,
        options=FrozenDict(a=1),
        tags=frozenset({"a"}),
        replay="r",
        recorded="digest",
        catalogue=CataloguePolicy(strict=True),
    )
    for field in fields(LLMConfig):
        new = replace(QUICK, **{field.name: getattr(other, field.name)})
        assert new != QUICK, f"the example does not differ in {field.name}"
        assert changes(snapshot({"quick": QUICK}), snapshot({"quick": new})), f"nobody tells of {field.name}"


def test_recordings_of_the_same_name_with_another_content_are_told() -> None:
    played = [replace(QUICK, replay="recordings", recorded=digest) for digest in ("one", "two")]
    old, new = (snapshot({"quick": QUICK}, chat=client("chat", target)) for target in played)
    (change,) = changes(old, new)
    assert (change.path, change.old, change.new) == ("clients.chat.replay", "recordings", "recordings")


def test_a_catalogue_of_the_same_name_with_another_content_is_told() -> None:
    old, new = (
        snapshot({"quick": replace(QUICK, catalogue=CataloguePolicy(path="own", read=digest))})
        for digest in ("one", "two")
    )
    (change,) = changes(old, new)
    assert (change.path, change.old, change.new) == ("models.quick.catalogue.path", "own", "own")


def test_true_is_not_1_to_a_server() -> None:
    old, new = (
        snapshot({"quick": model}) for model in (replace(QUICK, extra={"n": 1}), replace(QUICK, extra={"n": True}))
    )
    (change,) = changes(old, new)
    assert (change.path, change.new, rebuilt(old, new)) == ("models.quick.extra.n", True, ("chat",))


def test_a_difference_of_a_client_without_a_name_is_told_without_one() -> None:
    class LaterConfig(ClientConfig):
        """A client with a field that this release knows nothing of."""

        __slots__ = ()

    old, new = client("chat", QUICK), LaterConfig(name="chat", targets=(QUICK,))
    (change,) = changes(snapshot({"quick": QUICK}, chat=old), snapshot({"quick": QUICK}, chat=new))
    assert (change.path, change.hidden, change.rebuilds) == ("clients.chat", True, "clients")


def test_what_a_client_keeps_is_told_without_the_address_of_a_server() -> None:
    old = client("chat", QUICK)
    levels = (MemoryLevel(), RedisLevel(Secret("redis://:hush@host")))
    new = replace(old, cache=CachePolicy(ttl_s=5.0, levels=levels, semantic=SemanticPolicy(shadow=False)))
    found = changes(snapshot({"quick": QUICK}, chat=old), snapshot({"quick": QUICK}, chat=new))
    told = {change.path.removeprefix("clients.chat.cache."): change.new for change in found}
    assert told["ttl"] == 5.0
    assert told["levels"] == ["memory", "redis"]
    assert told["semantic.shadow"] is False
    assert "hush" not in repr(found)


def test_the_limits_of_memory_are_told_and_rebuild_nothing() -> None:
    old = snapshot({"quick": QUICK})
    new = replace(old, memory=MemoryPolicy(limit_bytes=5, interval_s=1.0), cleanup_s=0.0)
    found = changes(old, new)
    assert {change.path: change.new for change in found} == {
        "memory.limit": 5,
        "memory.interval": 1.0,
        "cache.cleanup": 0.0,
    }
    assert {change.rebuilds for change in found} == {"nothing"}


@pytest.mark.parametrize(("field", "owner"), [("rate", "models.quick"), ("provider_rate", "providers.far")])
def test_a_limit_is_told_of_whoever_it_holds_for(field: str, owner: str) -> None:
    found = edited(**{field: RatePolicy(rpm=60, queue=5)})
    assert [(change.path, change.kind, change.new) for change in found] == [
        (f"{owner}.rate.rpm", "added", 60),
        (f"{owner}.rate.queue", "added", 5),
        (f"{owner}.rate.burst_s", "added", 1.0),
    ]


def test_every_field_of_a_client_is_told_when_it_differs() -> None:
    old = client("chat", QUICK)
    edits: dict[str, object] = {
        "name": "chat",
        "targets": (OFFLINE,),
        "system": "Be brief.",
        "total_s": 5.0,
        "balance": BalancePolicy("weighted", warmup_s=1.0),
        "weights": (2.0,),
        "content_filter_fallback": True,
        "on_exhausted": ExhaustedPolicy("callable", function="host.answers:sorry"),
        "cache": CachePolicy(mode="always", levels=(RedisLevel(Secret("redis://:hush@host")),)),
        "embedder": OFFLINE,
    }
    assert set(edits) == {field.name for field in fields(ClientConfig)}
    for name, value in edits.items():
        new: ClientConfig = replace(old, **{name: value})  # type: ignore[arg-type]  # by name, so that all are tried
        found = changes(snapshot({"quick": QUICK}, chat=old), snapshot({"quick": QUICK}, chat=new))
        named = [change for change in found if change.path != "clients.chat"]
        assert bool(named) is (name != "name"), name


def test_how_a_client_chooses_is_named_as_the_yaml_names_it_and_what_it_says_instead_is_hidden() -> None:
    old = client("chat", QUICK, OFFLINE)
    new = replace(
        old,
        balance=BalancePolicy("weighted", "cost", warmup_s=5.0),
        weights=(3.0, 1.0),
        on_exhausted=ExhaustedPolicy("static", "sk-words"),
    )
    models = {"quick": QUICK, "slow": OFFLINE}
    found = {change.path: change for change in changes(snapshot(models, chat=old), snapshot(models, chat=new))}
    assert {path: change.new for path, change in found.items()} == {
        "clients.chat.balance.policy": "weighted",
        "clients.chat.balance.equals": "cost",
        "clients.chat.balance.warmup": 5.0,
        "clients.chat.balance.weights.quick": 3.0,
        "clients.chat.balance.weights.slow": 1.0,
        "clients.chat.on_exhausted.mode": "static",
        "clients.chat.on_exhausted.text": None,
    }
    assert found["clients.chat.on_exhausted.text"].hidden
    assert {change.rebuilds for change in found.values()} == {"clients"}


def test_a_model_of_a_client_with_its_own_retries_keeps_its_name() -> None:
    own = replace(QUICK, retry=RetryPolicy(attempts=1), breaker=BreakerPolicy(probes=1))
    old, new = (snapshot({"quick": QUICK}, chat=client("chat", each)) for each in (QUICK, own))
    assert {change.path: change.new for change in changes(old, new)} == {
        "clients.chat.retry.attempts": 1,
        "clients.chat.breaker.probes": 1,
    }


def test_what_is_of_no_client_is_told_and_rebuilds_nothing() -> None:
    old = snapshot({"quick": QUICK})
    new = replace(old, health=HealthPolicy(interval_s=5.0, paid_probe=True), drain_s=9.0, control_socket="/run/l.sock")
    assert [(change.path, change.old, change.new, change.rebuilds) for change in changes(old, new)] == [
        ("health.interval", 30.0, 5.0, "nothing"),
        ("health.paid_probe", False, True, "nothing"),
        ("defaults.shutdown.drain", 30.0, 9.0, "nothing"),
        ("control.socket", None, "/run/l.sock", "nothing"),
    ]

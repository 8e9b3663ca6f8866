"""Configurations: the quick constructors, the transport behind a model, and keys that stay hidden."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, asdict, fields, replace
from decimal import Decimal
from traceback import TracebackException

import pytest

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot, same_client, same_model
from loomwire.domain.configured.settings import LLMSettings
from loomwire.domain.errors import LLMValidationError
from loomwire.domain.policies import (
    BreakerPolicy,
    PoolPolicy,
    RatePolicy,
    RetryPolicy,
    TimeoutPolicy,
    TransportPolicy,
    WireLimits,
)
from loomwire.domain.pricing import Prices
from loomwire.domain.requests import Parameters
from loomwire.domain.values import Secret

CANARY = "sk-canary-Zx81"
SETTINGS: LLMSettings = {
    "name": "corporate",
    "api_key": CANARY,
    "base_url": "https://llm.example.com/v1",
    "dialect": "openai_responses",
    "api_version": "2024-10-21",
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 800,
    "frequency_penalty": -1.0,
    "presence_penalty": 1.0,
    "timeout_s": 12.0,
    "retry": RetryPolicy(attempts=1),
    "breaker": BreakerPolicy(consecutive=2),
    "rate": RatePolicy(rpm=60),
    "headers": {"x-team": CANARY},
    "extra": {"service_tier": "flex"},
    "capabilities": ModelCapabilities(supports_tools=True),
    "prices": Prices.per_mtok(Decimal(5), Decimal(25)),
    "free": False,
    "allow_private": True,
    "replay": "tapes",
    "emulate_tools": False,
}
QUICK: Mapping[str, Callable[[str], LLMConfig]] = {
    "openai": LLMConfig.openai,
    "vllm": LLMConfig.vllm,
    "lm_studio": LLMConfig.lm_studio,
    "llamacpp": LLMConfig.llamacpp,
    "custom": LLMConfig.custom,
    "groq": lambda model: LLMConfig.of("groq", model),
}


@pytest.mark.parametrize("type_", QUICK)
def test_a_quick_constructor_names_type_and_model_and_leaves_the_rest_at_its_default(type_: str) -> None:
    dialect = "openai_chat" if type_ == "custom" else None
    assert QUICK[type_]("m") == LLMConfig(type=type_, model="m", dialect=dialect)
    assert QUICK[type_]("m").target == f"{type_}/m"


def test_every_setting_of_a_quick_constructor_lands_in_its_place() -> None:
    assert set(SETTINGS) == set(LLMSettings.__annotations__)
    assert LLMConfig.of("openai", "gpt-5-mini", **SETTINGS) == LLMConfig(
        type="openai",
        model="gpt-5-mini",
        name="corporate",
        base_url="https://llm.example.com/v1",
        dialect="openai_responses",
        api_version="2024-10-21",
        keys=(Secret(CANARY),),
        parameters=Parameters(temperature=0.5, top_p=0.9, max_tokens=800, frequency_penalty=-1.0, presence_penalty=1.0),
        capabilities=ModelCapabilities(supports_tools=True),
        prices=Prices(5_000_000, 25_000_000, 5_000_000, 5_000_000),
        free=False,
        timeouts=TimeoutPolicy(attempt_s=12.0),
        retry=RetryPolicy(attempts=1),
        breaker=BreakerPolicy(consecutive=2),
        rate=RatePolicy(rpm=60),
        headers={"x-team": CANARY},
        extra={"service_tier": "flex"},
        allow_private=True,
        replay="tapes",
        emulate_tools=False,
    )
    assert LLMConfig.of("ollama", "m", free=True).free


def test_a_key_may_be_given_as_text_or_as_a_secret() -> None:
    assert LLMConfig.openai("m", api_key=CANARY) == LLMConfig.openai("m", api_key=Secret(CANARY))


def test_a_region_is_an_option_of_the_type_that_has_one() -> None:
    assert LLMConfig.bedrock("m", region="eu-west-1").options == {"region": "eu-west-1"}
    assert LLMConfig.bedrock("m").options == {}


def test_a_custom_server_speaks_the_dialect_it_is_said_to_speak() -> None:
    assert LLMConfig.custom("m", dialect="anthropic", base_url="https://a.example").dialect == "anthropic"


@pytest.mark.parametrize(("type_", "model"), [("", "m"), ("openai", ""), ("", "")])
def test_a_model_needs_a_type_and_a_name(type_: str, model: str) -> None:
    with pytest.raises(LLMValidationError, match="needs a provider type and a model"):
        LLMConfig(type=type_, model=model)


def test_the_provider_is_called_by_its_type_unless_it_has_a_name() -> None:
    assert LLMConfig(type="openai", model="m").name == "openai"
    assert LLMConfig(type="openai", model="m", name="east").target == "east/m"


def test_a_setting_outside_its_range_is_refused_at_once() -> None:
    with pytest.raises(LLMValidationError, match="temperature must be 0 to 2"):
        LLMConfig.openai("m", temperature=2.1)
    with pytest.raises(LLMValidationError, match="attempt_s must be more than 0"):
        LLMConfig.openai("m", timeout_s=0.0)


def test_the_transport_is_made_of_the_parts_that_a_connection_depends_on() -> None:
    config = LLMConfig(
        type="vllm",
        model="m",
        timeouts=TimeoutPolicy(connect_s=3.0, pool_queue_s=4.0, attempt_s=7.0),
        pool=PoolPolicy(max_connections=7),
        limits=WireLimits(body=5),
        allow_private=True,
    )
    assert config.transport == TransportPolicy(PoolPolicy(7), 3.0, 4.0, allow_private=True, limits=WireLimits(body=5))
    assert LLMConfig(type="a", model="m").transport == TransportPolicy()
    other = replace(config, model="n", parameters=Parameters(seed=1), timeouts=replace(config.timeouts, attempt_s=8.0))
    assert other.transport == config.transport


def test_a_configuration_is_a_value() -> None:
    config = LLMConfig.openai("m", api_key=CANARY)
    assert config == LLMConfig.openai("m", api_key=CANARY) != LLMConfig.openai("m", api_key="other")
    assert hash(config) == hash(LLMConfig.openai("m", api_key=CANARY))
    with pytest.raises(FrozenInstanceError):
        config.__setattr__("model", "n")


def test_a_configuration_can_be_copied_and_taken_apart_with_its_keys() -> None:
    config = LLMConfig.openai("m", api_key=CANARY)
    assert copy.deepcopy(config) == config
    assert asdict(config)["keys"] == (Secret(CANARY),)


def test_no_key_shows_in_a_configuration_however_it_is_printed() -> None:
    config = LLMConfig.of("openai", "m", **SETTINGS)
    client = ClientConfig(name="planner", targets=(config,))
    snapshot = Snapshot(digest="d", clients={"planner": client}, models={"m": config})
    for holder in (config, client, snapshot):
        for shown in (repr(holder), str(holder), f"{holder}"):
            assert "keys=(Secret('***'),)" in shown
            assert CANARY not in shown


def test_a_configuration_with_a_key_is_never_pickled() -> None:
    config = LLMConfig.openai("m", api_key=CANARY)
    for holder in (config, ClientConfig(name="planner", targets=(config,))):
        with pytest.raises(TypeError, match="a Secret is never pickled"):
            pickle.dumps(holder)
    assert pickle.loads(pickle.dumps(LLMConfig.lm_studio("m"))) == LLMConfig.lm_studio("m")


def test_a_refused_configuration_tells_no_key_neither_in_its_error_nor_in_the_frames_below() -> None:
    with pytest.raises(LLMValidationError) as raised:
        LLMConfig.openai("m", api_key=Secret(CANARY), temperature=9)
    error = raised.value
    trace = "".join(TracebackException.from_exception(error, capture_locals=True).format())
    for shown in (repr(error), str(error), error.explain(), str(vars(error)), str(error.to_dict()), trace):
        assert CANARY not in shown
    assert CANARY.encode() not in pickle.dumps(error)


def test_a_configuration_is_written_by_the_names_of_its_fields() -> None:
    for kind in (LLMConfig, ClientConfig, Snapshot):
        assert all(field.kw_only for field in fields(kind)), kind


def test_leniency_and_free_models_are_asked_for_and_no_default() -> None:
    config = LLMConfig(type="vllm", model="m")
    assert (config.free, config.allow_private, config.lenient_terminal) == (False, False, False)
    assert (config.prices, config.base_url, config.dialect, config.options) == (None, None, None, {})


def test_a_client_has_the_documented_total_unless_it_says_another() -> None:
    client = ClientConfig(name="planner", targets=())
    assert (client.total_s, client.system) == (900.0, None)


def test_a_snapshot_without_words_came_from_no_file_and_warns_of_nothing() -> None:
    snapshot = Snapshot(digest="d", clients={}, models={})
    assert (snapshot.warnings, snapshot.files) == ((), ())


def test_a_quick_constructor_refuses_a_setting_it_does_not_know() -> None:
    with pytest.raises(LLMValidationError, match="no setting 'temprature'") as caught:
        LLMConfig.openai("gpt", temprature=1)  # type: ignore[call-arg]
    assert "temperature" in caught.value.hint


@pytest.mark.parametrize("key", ["", "two\nlines"])
def test_a_key_that_is_none_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(LLMValidationError, match="api_key must be non-empty printable text") as caught:
        LLMConfig.openai("gpt", api_key=key)
    assert caught.value.__context__ is None or "two" not in str(caught.value)


def test_models_are_the_same_when_a_server_could_not_tell_them_apart() -> None:
    one = LLMConfig.of("vllm", "m", extra={"flag": 1})
    assert same_model(one, one)
    assert same_model(one, LLMConfig.of("vllm", "m", extra={"flag": 1}))
    assert not same_model(one, LLMConfig.of("vllm", "m", extra={"flag": True}))
    assert not same_model(one, LLMConfig.of("vllm", "n", extra={"flag": 1}))


def test_clients_are_the_same_when_their_targets_and_their_own_words_are() -> None:
    one = LLMConfig.of("vllm", "m", extra={"flag": 1})
    client = ClientConfig(name="a", targets=(one,))
    assert same_client(client, client)
    assert same_client(client, ClientConfig(name="a", targets=(one,)))
    assert not same_client(client, ClientConfig(name="a", targets=(one, one)))
    assert not same_client(client, ClientConfig(name="a", targets=(one,), system="x"))
    other = LLMConfig.of("vllm", "m", extra={"flag": 1.0})
    assert not same_client(client, ClientConfig(name="a", targets=(other,)))


def test_weights_are_one_positive_number_for_each_target() -> None:
    targets = (LLMConfig.of("vllm", "m"), LLMConfig.of("vllm", "n"))
    assert ClientConfig(name="a", targets=targets, weights=(1, 0.5)).weights == (1, 0.5)
    for weights in ((1.0,), (1.0, 0.0), (1.0, -1.0), (1.0, math.nan), (1.0, math.inf), (1.0, 1.0, 1.0)):
        with pytest.raises(LLMValidationError, match="client 'a' needs one positive weight for each of its 2 targets"):
            ClientConfig(name="a", targets=targets, weights=weights)


def test_clients_with_other_weights_are_others() -> None:
    targets = (LLMConfig.of("vllm", "m"), LLMConfig.of("vllm", "n"))
    one, other = (ClientConfig(name="a", targets=targets, weights=(1.0, weight)) for weight in (1.0, 2.0))
    assert not same_client(one, other)
    assert same_client(one, replace(other, weights=(1.0, 1.0)))

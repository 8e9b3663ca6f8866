"""The factory builds what the configuration and the table say, or says what is wrong, where, and what to do."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, ConfigRejectedError, UnknownNameError
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON, Secret
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.mock import MockClient
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.rows.kinds import ProviderType
from loomwire.infrastructure.providers.rule import RuleClient
from loomwire.infrastructure.providers.table import PROVIDERS
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import Exchange, WireServer

KEY = "canary-key-0123456789"


def factory() -> ClientFactory:
    return ClientFactory(ConnectionPool(), SystemClock())


def resolved(config: LLMConfig) -> LLMConfig:
    return factory().resolved(config)


def test_a_client_says_its_dialect_and_target_and_never_its_key() -> None:
    client = factory().create(LLMConfig.openai("gpt", api_key=KEY))
    assert repr(client) == "OpenAIChat(openai/gpt)"


@pytest.mark.parametrize(
    ("type_", "hint"), [("opnai", "Did you mean `openai`?"), ("zzz", "There are: openai, deepseek, ")]
)
def test_an_unknown_type_lists_what_exists(type_: str, hint: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        factory().create(LLMConfig(type=type_, model="m", name="mine"))
    assert "'mine'" in str(caught.value)
    assert hint in str(caught.value)
    assert caught.value.code == "CFG030"


def test_an_unknown_dialect_lists_what_exists() -> None:
    config = LLMConfig.custom("m", dialect="openai_chatt", base_url="https://example.com/v1")
    with pytest.raises(UnknownNameError, match="Did you mean `openai_chat`"):
        factory().create(config)


def test_a_custom_server_must_say_its_dialect() -> None:
    with pytest.raises(ConfigError, match="which dialect") as caught:
        factory().create(LLMConfig(type="custom", model="m", base_url="https://example.com/v1"))
    assert caught.value.reason == "missing_key"
    assert "openai_chat" in caught.value.hint


def test_a_known_vendor_cannot_be_made_to_speak_another_dialect() -> None:
    config = replace(LLMConfig.openai("m", api_key=KEY), dialect="anthropic")
    with pytest.raises(ConfigError, match="does not speak anthropic, but openai_chat"):
        factory().create(config)
    assert repr(factory().create(replace(config, dialect="openai_chat"))) == "OpenAIChat(openai/m)"


def test_a_missing_key_names_the_variable_to_set() -> None:
    with pytest.raises(ConfigError) as caught:
        factory().create(LLMConfig(type="groq", model="m", name="fast"))
    assert caught.value.reason == "missing_key"
    assert "${GROQ_API_KEY}" in caught.value.hint
    assert "providers.fast" in caught.value.hint


def test_a_header_may_carry_the_key_instead() -> None:
    client = factory().create(LLMConfig.of("groq", "m", headers={"Authorization": "Bearer x"}))
    assert repr(client) == "OpenAIChat(groq/m)"


def test_local_servers_need_no_key() -> None:
    assert repr(factory().create(LLMConfig.lm_studio("m"))) == "OpenAIChat(lm_studio/m)"
    assert repr(factory().create(LLMConfig.llamacpp("m"))) == "OpenAIChat(llamacpp/m)"


@pytest.mark.parametrize("type_", ["custom", "vllm"])
def test_a_missing_base_url_says_what_to_set(type_: str) -> None:
    config = LLMConfig(type=type_, model="m", dialect="openai_chat" if type_ == "custom" else None)
    with pytest.raises(ConfigError) as caught:
        factory().create(config)
    assert caught.value.reason == "missing_key"
    assert "base_url" in caught.value.hint
    assert "allow_private" in caught.value.hint


@pytest.mark.parametrize(
    "base_url",
    [
        "ftp://example.com/v1",
        "example.com/v1",
        "https://user:canary-pass@example.com/v1",
        "https://example.com/v1?key=canary-pass",
        "https://example.com/v1#canary-pass",
        "http://127.0.0.1:8000/v1",
        "http://localhost/v1",
        "http://169.254.169.254/latest",
        "https://exa mple.com",
        "https:///v1",
    ],
)
def test_a_base_url_that_is_not_allowed_is_refused_without_its_secrets(base_url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        factory().create(LLMConfig.custom("m", name="mine", base_url=base_url, api_key=KEY))
    assert "provider 'mine'" in str(caught.value)
    assert caught.value.hint
    assert "canary" not in f"{caught.value} {caught.value.to_dict()}"


@pytest.mark.parametrize(
    ("config", "base_url", "private"),
    [
        (LLMConfig.openai("m", api_key=KEY), "https://api.openai.com/v1", False),
        (LLMConfig.lm_studio("m"), "http://127.0.0.1:1234/v1", True),
        (LLMConfig.llamacpp("m"), "http://127.0.0.1:8080/v1", True),
        (LLMConfig.llamacpp("m", base_url="http://127.0.0.1:9000"), "http://127.0.0.1:9000/v1", False),
        (LLMConfig.vllm("m", base_url="http://gpu:8000/", allow_private=True), "http://gpu:8000/v1", True),
        (LLMConfig.vllm("m", base_url="http://gpu:8000/other/"), "http://gpu:8000/other", False),
        (LLMConfig.custom("m", base_url="https://example.com"), "https://example.com", False),
    ],
)
def test_the_address_comes_from_the_configuration_then_from_the_row(
    config: LLMConfig, base_url: str, private: bool
) -> None:
    target = resolved(config)
    assert (target.base_url, target.allow_private) == (base_url, private)


def test_capabilities_of_the_row_fill_gaps_and_never_overrule() -> None:
    row = resolved(LLMConfig.of("deepseek", "m", api_key=KEY)).capabilities
    assert (row.supports_vision, row.source("supports_vision")) == (False, "provider")
    own = LLMConfig.of("deepseek", "m", api_key=KEY, capabilities=ModelCapabilities(supports_vision=True))
    merged = resolved(own).capabilities
    assert (merged.supports_vision, merged.source("supports_vision")) == (True, "yaml")
    assert merged.supports_json_schema is False
    detected = ModelCapabilities(supports_vision=True).stated_by("detected")
    kept = resolved(replace(own, capabilities=detected)).capabilities
    assert kept.source("supports_vision") == "detected"


def test_offline_types_need_neither_key_nor_address() -> None:
    mock = LLMConfig(type="mock", model="m", options={"script": [{"text": "Hi"}]})
    rule = LLMConfig(type="rule", model="m", options={"rules": [{"answer": "Hi", "default": True}]})
    assert isinstance(factory().create(mock), MockClient)
    assert isinstance(factory().create(rule), RuleClient)
    assert resolved(mock).base_url is None
    with pytest.raises(ConfigRejectedError):
        factory().create(replace(mock, options={}))


def test_a_host_may_add_rows_of_its_own() -> None:
    row = ProviderType(name="house", base_url="https://llm.example.com/v1", needs_key=False)
    own = ClientFactory(ConnectionPool(), SystemClock(), MappingProxyType({**PROVIDERS, "house": row}))
    assert repr(own.create(LLMConfig(type="house", model="m"))) == "OpenAIChat(house/m)"


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"quirk": {}}, UnknownNameError, "unknown option 'quirk'"),
        ({"quirks": {"max_token": "x"}}, UnknownNameError, "Did you mean `max_tokens`"),
        ({"quirks": 5}, ConfigError, "must be an object"),
        ({"quirks": {"stop_limit": "many"}}, ConfigError, "Expected `int`"),
        ({"quirks": {"reasoning_back": "yes"}}, ConfigError, "reasoning_back"),
    ],
)
def test_options_that_do_not_fit_are_named(options: dict[str, JSON], kind: type[ConfigError], said: str) -> None:
    config = LLMConfig(type="custom", model="m", dialect="openai_chat", base_url="https://example.com", options=options)
    with pytest.raises(kind, match=said.replace("(", r"\(")):
        factory().create(config)


def test_everything_that_is_wrong_with_a_target_is_said_with_its_key() -> None:
    config = LLMConfig(
        type="custom",
        model="m",
        name="mine",
        dialect="openai_chat",
        base_url="http://127.0.0.1/v1",
        headers={"Host": "x", "X-Good": "y", "X-Bad": "a\nb"},
        extra={"model": "x", "fine": 1},
    )
    found = [(error.reason, error.metadata["key"], error.provider) for error in factory().problems(config)]
    keys = [("base_url",), ("headers", "Host"), ("headers", "X-Bad"), ("extra", "model")]
    assert found == [("out_of_range", key, "mine") for key in keys]
    missing = list(factory().problems(LLMConfig(type="custom", model="m")))
    assert [error.metadata["needs"] for error in missing] == [("base_url",), ("dialect",)]
    assert [error.code for error in factory().problems(LLMConfig(type="opnai", model="m"))] == ["CFG030"]
    assert list(factory().problems(LLMConfig(type="mock", model="m"))) == []
    assert list(factory().problems(LLMConfig.openai("gpt", api_key=KEY))) == []
    assert KEY not in str([error.to_dict() for error in factory().problems(replace(config, keys=(Secret(KEY),)))])


async def test_quirks_of_a_server_of_your_own_can_be_said_in_its_options() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(b'{"choices":[{"message":{"content":"x"}}]}')

    async with WireServer(play) as server:
        config = LLMConfig(
            type="custom",
            model="m",
            dialect="openai_chat",
            base_url=server.base_url,
            allow_private=True,
            options={"quirks": {"system_role": "developer"}},
        )
        pool = ConnectionPool()
        client = ClientFactory(pool, SystemClock()).create(config)
        await client.generate(LLMRequest.of("Hi", system="Be brief."))
        assert b'"role":"developer"' in server.seen[0].body
        await pool.aclose()


async def test_a_key_can_travel_in_a_header_of_another_name_or_not_at_all() -> None:
    async def play(exchange: Exchange) -> None:
        await exchange.answer(b'{"choices":[{"message":{"content":"x"}}]}')

    async with WireServer(play) as server:
        rows = {
            auth: ProviderType(name=auth, base_url=server.base_url, auth=auth, quirks=ChatQuirks())
            for auth in ("api-key", "none")
        }
        pool = ConnectionPool()
        for auth in rows:
            config = LLMConfig(type=auth, model="m", keys=(Secret(KEY),), allow_private=True)
            await ClientFactory(pool, SystemClock(), rows).create(config).generate(LLMRequest.of("Hi"))
        await pool.aclose()
        assert [seen.header("api-key") for seen in server.seen] == [KEY, None]
        assert [seen.header("authorization") for seen in server.seen] == [None, None]

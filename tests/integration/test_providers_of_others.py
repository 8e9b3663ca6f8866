"""Provider types that are not ours: registered in code before opening or later, and used from YAML and from code."""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from loomwire import ConfigRejectedError, LLMConfig, LLMContainer, LLMRequest
from loomwire.dialects import GROUP, DialectType, ProviderManager, ProviderType, Quirks, Registration
from loomwire.domain.errors import ConfigError, WiringError
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.testing import FakeProvider
from support.folders import folder

ACME = ProviderType(name="acme", base_url="https://llm.acme.example/v1", path="/v1", auth="x-acme", hint="ACME_KEY")
BROKEN = Registration(
    ProviderType(name="broken", dialect="broken", base_url="https://a.example/v1", needs_key=False),
    {"broken": DialectType("nowhere:Dialect", "nowhere:Speaker", Quirks())},
)


def none() -> tuple[EntryPoint, ...]:
    return ()


def configured(where: Path, type_: str, base_url: str, **provider: JSON) -> Path:
    near: dict[str, JSON] = {"type": type_, "base_url": base_url, "api_key": "k", "allow_private": True, **provider}
    return folder(
        where,
        clients={"it": {"models": ["it"]}},
        providers={"near": near},
        models={"it": {"provider": "near", "model": "m"}},
    )


async def test_a_type_registered_before_opening_is_there_in_yaml(tmp_path: Path) -> None:
    manager = ProviderManager(none)
    manager.register_provider(ACME)
    async with FakeProvider(then="Hello.") as provider:
        config = configured(tmp_path, "acme", provider.base_url)
        overrides = {"provider_manager": manager}
        async with LLMContainer.aopen(config, watch=False, overrides=overrides) as container:
            assert container.resolve(ProviderManager) is manager
            assert (await container.llm_client("it").generate(LLMRequest.of("Hi"))).text == "Hello."
        assert provider.requests[0].headers["x-acme"] == "k"


async def test_a_type_registered_later_is_there_after_a_reload(tmp_path: Path) -> None:
    async with FakeProvider(then="Hello.") as provider:
        config = configured(tmp_path, "openai", provider.base_url)
        async with LLMContainer.aopen(config, watch=False) as container:
            configured(tmp_path, "acme", provider.base_url)
            before = await container.areload()
            assert before.outcome == "rejected"
            container.resolve(ProviderManager).register_provider(ACME)
            after = await container.areload()
            assert after.outcome == "adopted"
            assert (await container.llm_client("it").generate(LLMRequest.of("Hi"))).text == "Hello."
        assert provider.requests[0].headers["x-acme"] == "k"


async def test_a_dialect_registered_in_code_can_be_spoken_by_type_custom() -> None:
    manager = ProviderManager(none)
    chat = "loomwire.infrastructure.providers.openai_chat.chat:OpenAIChat"
    spoken = DialectType(chat, "loomwire.testing.speakers.openai_chat:ChatSpeaker", ChatQuirks(max_tokens="most"))
    manager.register_provider(ProviderType(name="acme", dialect="acme_chat", hint="ACME"), {"acme_chat": spoken})
    async with FakeProvider(then="Hello.") as provider:
        config = LLMConfig.custom(
            "m", dialect="acme_chat", base_url=provider.base_url, allow_private=True, max_tokens=7
        )
        opening = asyncio.to_thread(LLMContainer.of, {"it": config}, overrides={"provider_manager": manager})
        async with await opening as container:
            assert (await container.llm_client("it").generate(LLMRequest.of("Hi"))).text == "Hello."
        body = provider.requests[0].json
    assert isinstance(body, dict)
    assert body["most"] == 7


def test_a_package_that_cannot_be_used_is_a_problem_at_the_place_that_names_it(tmp_path: Path) -> None:
    point = EntryPoint("acme", "no_such_module_of_acme:ROW", GROUP)
    config = configured(tmp_path, "acme", "https://llm.acme.example/v1")
    manager = ProviderManager(lambda: [point])
    with pytest.raises(ConfigRejectedError) as caught:
        LLMContainer.open(config, watch=False, overrides={"provider_manager": manager})
    (problem,) = caught.value.problems
    assert problem.path == "providers.near.type"
    assert "importing it raised ModuleNotFoundError" in problem.message


def test_a_dialect_that_is_nowhere_is_a_typed_error(tmp_path: Path) -> None:
    manager = ProviderManager(none)
    manager.register_provider(BROKEN.provider, BROKEN.dialects)
    config = LLMConfig(type="broken", model="m")
    with pytest.raises(ConfigError, match="nowhere"):
        LLMContainer.of({"it": config}, overrides={"provider_manager": manager})
    written = configured(tmp_path, "broken", "https://a.example/v1")
    with pytest.raises(ConfigRejectedError) as caught:
        LLMContainer.open(written, watch=False, overrides={"provider_manager": manager})
    assert "nowhere:Dialect raised ModuleNotFoundError" in caught.value.problems[0].message


def test_a_client_that_is_nowhere_is_a_typed_error_with_its_place(tmp_path: Path) -> None:
    manager = ProviderManager(none)
    manager.register_provider(ProviderType(name="gone", dialect=None, client="nowhere:Client", needs_key=False))
    config = LLMConfig(type="gone", model="m")
    with pytest.raises(ConfigError, match="nowhere:Client cannot be imported"):
        LLMContainer.of({"it": config}, overrides={"provider_manager": manager})
    written = configured(tmp_path, "gone", "https://a.example/v1")
    with pytest.raises(ConfigRejectedError) as caught:
        LLMContainer.open(written, watch=False, overrides={"provider_manager": manager})
    (problem,) = caught.value.problems
    assert problem.message == "the client nowhere:Client cannot be imported: ModuleNotFoundError"
    assert (problem.path, Path(problem.file or "").name) == ("providers.near.type", "loomwire.yaml")
    assert problem.excerpt[problem.column - 1 :].startswith('"type"')
    assert problem.line > 1


def test_something_else_in_place_of_the_manager_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(WiringError, match="provider_manager"):
        LLMContainer.open(configured(tmp_path, "openai", "https://a.example/v1"), overrides={"provider_manager": {}})


def test_the_folder_says_where_emulation_is_switched(tmp_path: Path) -> None:
    config = configured(tmp_path, "openai", "https://a.example/v1")
    with LLMContainer.open(config, watch=False) as container:
        assert container.client_config("it").targets[0].emulate_tools
    model = {"provider": "near", "model": "m", "emulate_tools": "perhaps"}
    (tmp_path / "z.yaml").write_text(json.dumps({"models": {"other": model}}), encoding="utf-8")
    with pytest.raises(ConfigRejectedError, match="emulate_tools"):
        LLMContainer.open(config, watch=False)

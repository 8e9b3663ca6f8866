"""The client factory's contract notices every broken promise."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import pytest
from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, UnknownNameError
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.domain.values import JSON, Secret
from loomwire.testing import ScriptedClient
from loomwire.testing.contracts.contract import Contract
from loomwire.testing.contracts.factory import ClientFactoryContract


class Factory(ILLMClientFactory):
    """A factory that keeps its promises; the others break one each."""

    types = ("one", "two")

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        if config.type not in self.types:
            raise UnknownNameError(f"unknown type {config.type!r}", hint=f"There are: {', '.join(self.types)}.")
        if config.keys and not config.base_url:
            raise ConfigError("no base URL", reason="missing_key")
        return ScriptedClient(then="Hello.")


class NeedsALoop(Factory):
    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        asyncio.get_running_loop()
        return super().create(config)


class Connects(Factory):
    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        if config.base_url is not None:
            probe = socket.socket()
            probe.settimeout(0)
            probe.connect_ex(("127.0.0.1", int(config.base_url.rpartition(":")[2].partition("/")[0])))
            probe.close()
        return super().create(config)


class NamesNothing(Factory):
    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        if config.type not in self.types:
            raise UnknownNameError("unknown type", hint="Use another.")
        return super().create(config)


class BuildsAnything(Factory):
    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        return ScriptedClient(then="Hello.")


class ShowsTheKey(Factory):
    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        try:
            return super().create(config)
        except ConfigError as error:
            if config.keys:
                raise ConfigError(f"{error.message} for {config.keys[0].reveal()}") from None
            raise


class AddsUp(Factory):
    @override
    def resolved(self, config: LLMConfig) -> LLMConfig:
        return replace(config, base_url=f"{config.base_url}/v1")


class ChangesOptions(Factory):
    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        if isinstance(config.options, dict) and config.options:
            config.options["seen"] = True
        return super().create(config)


class MakesOne(Factory):
    only = ScriptedClient(then="Hello.")

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        super().create(config)
        return self.only


class Suite(ClientFactoryContract):
    patience_s: ClassVar[float] = 5.0

    def __init__(self, broken: type[Factory]) -> None:
        self.broken = broken

    @override
    def factory(self) -> ILLMClientFactory:
        return self.broken()

    @override
    def buildable(self, base_url: str) -> Sequence[LLMConfig]:
        options: dict[str, JSON] = {"a": 1}
        return [LLMConfig(type="one", model="m", base_url=base_url), LLMConfig(type="two", model="m", options=options)]

    @override
    def refused(self) -> Sequence[LLMConfig]:
        return [LLMConfig(type="one", model="m", keys=(Secret("canary-4711"),))]


BROKEN: list[tuple[str, type[Factory], str]] = [
    ("it_builds_clients", NeedsALoop, "RuntimeError: no running event loop"),
    ("building_opens_no_connection", Connects, "a connection was opened"),
    ("an_unknown_type_lists_those_that_exist", NamesNothing, "the message does not name one, two"),
    ("an_unknown_type_lists_those_that_exist", BuildsAnything, "in place of raising UnknownNameError"),
    ("what_is_missing_or_not_allowed_is_a_config_error", BuildsAnything, "in place of raising ConfigError"),
    ("what_is_missing_or_not_allowed_is_a_config_error", ShowsTheKey, "the error shows the key"),
    ("resolving_twice_changes_nothing", AddsUp, "what resolving one twice gives is"),
    ("a_configuration_is_never_changed", ChangesOptions, "the configuration of two afterwards"),
    ("threads_may_build_at_the_same_time", MakesOne, "the number of clients made is 1 and not 8"),
]


@pytest.mark.parametrize(("claim", "broken", "seen"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_promise_is_noticed(
    claim: str, broken: type[Factory], seen: str, breach: Callable[[Contract, str], str]
) -> None:
    assert seen in breach(Suite(broken), f"test_{claim}")


@pytest.mark.parametrize("claim", sorted({claim for claim, _, _ in BROKEN}))
def test_a_factory_that_keeps_its_promises_passes(claim: str) -> None:
    getattr(Suite(Factory), f"test_{claim}")()


def test_a_suite_that_builds_nothing_proves_nothing(breach: Callable[[Contract, str], str]) -> None:
    class Idle(Suite):
        @override
        def buildable(self, base_url: str) -> Sequence[LLMConfig]:
            return ()

    assert "`buildable` is empty" in breach(Idle(Factory), "test_building_opens_no_connection")


def test_every_claim_of_the_contract_is_proved_to_fail() -> None:
    claims = {name.removeprefix("test_") for name in dir(ClientFactoryContract) if name.startswith("test_")}
    assert claims == {claim for claim, _, _ in BROKEN}

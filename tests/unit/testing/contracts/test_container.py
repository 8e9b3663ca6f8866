"""The container's contract notices every broken promise."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar, TypeGuard, TypeVar

import pytest
from typing_extensions import override

from loomwire.domain.errors import LLMTemporaryError, UnknownNameError
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.ports.container import IDependencyContainer
from loomwire.testing import ScriptedClient
from loomwire.testing.contracts.container import ContainerContract
from loomwire.testing.contracts.contract import Contract

T = TypeVar("T")


def _is_of(found: object, _port: Callable[[], T]) -> TypeGuard[T]:
    return found is not None


class Box(IDependencyContainer):
    """A container that keeps its promises; the others break one each."""

    def __init__(self) -> None:
        self.clients: dict[str, object] = {name: ScriptedClient(then="Paris.") for name in ("planner", "writer")}

    @override
    def resolve(self, port: Callable[..., T], name: str | None = None) -> T:  # type: ignore[explicit-any]  # the port's
        if port is not ILLMClient or name not in self.clients:
            raise self.unknown(name)
        found = self.found(name)
        assert _is_of(found, port)
        return found

    def found(self, name: str) -> object:
        return self.clients[name]

    def unknown(self, name: str | None) -> Exception:
        return UnknownNameError(f"nothing is named {name}", hint=f"There are: {', '.join(self.clients)}.")


class Empty(Box):
    @override
    def found(self, name: str) -> object:
        return "a client"


class AlwaysNew(Box):
    @override
    def found(self, name: str) -> object:
        return ScriptedClient(then="Paris.")


class OneForAll(Box):
    @override
    def found(self, name: str) -> object:
        return self.clients["planner"]


class Broken(Box):
    @override
    def found(self, name: str) -> object:
        return ScriptedClient(then=LLMTemporaryError("broken"))


class NamesNobody(Box):
    @override
    def unknown(self, name: str | None) -> Exception:
        return UnknownNameError("unknown name", hint="Use another one.")


class RaisesKeyErrors(Box):
    @override
    def unknown(self, name: str | None) -> Exception:
        return KeyError(name)


class PerThread(Box):
    def __init__(self) -> None:
        super().__init__()
        self.local = threading.local()

    @override
    def found(self, name: str) -> object:
        made: dict[str, object] = self.local.__dict__
        return made.setdefault(name, ScriptedClient(then="Paris."))


class Suite(ContainerContract):
    patience_s: ClassVar[float] = 5.0
    names: ClassVar[tuple[str, ...]] = ("planner", "writer")
    answering: ClassVar[tuple[str, ...]] = ("planner",)

    def __init__(self, broken: type[Box]) -> None:
        self.broken = broken

    @override
    @asynccontextmanager
    async def container(self) -> AsyncGenerator[IDependencyContainer]:
        yield self.broken()


BROKEN: list[tuple[str, type[Box], str]] = [
    ("a_client_is_found_by_name", Empty, "'planner' cannot generate"),
    ("a_name_always_means_the_same_client", AlwaysNew, "'planner' became another client"),
    ("a_name_always_means_the_same_client", OneForAll, "two names share one client"),
    ("a_client_answers", Broken, "LLMTemporaryError"),
    ("an_unknown_name_lists_those_that_exist", NamesNobody, "the message does not name planner, writer"),
    ("an_unknown_name_lists_those_that_exist", RaisesKeyErrors, "KeyError in place of UnknownNameError"),
    ("an_unknown_port_is_a_typed_error", RaisesKeyErrors, "KeyError in place of UnknownNameError"),
    ("threads_may_resolve_at_the_same_time", PerThread, "the clients that the threads got is"),
]


@pytest.mark.parametrize(("claim", "broken", "seen"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_promise_is_noticed(
    claim: str, broken: type[Box], seen: str, breach: Callable[[Contract, str], str]
) -> None:
    assert seen in breach(Suite(broken), f"test_{claim}")


@pytest.mark.parametrize("claim", sorted({claim for claim, _, _ in BROKEN}))
def test_a_container_that_keeps_its_promises_passes(claim: str) -> None:
    getattr(Suite(Box), f"test_{claim}")()


def test_a_suite_that_names_no_client_proves_nothing(breach: Callable[[Contract, str], str]) -> None:
    class Nameless(Suite):
        names: ClassVar[tuple[str, ...]] = ()

    assert "set `names`" in breach(Nameless(Box), "test_a_client_is_found_by_name")


def test_every_claim_of_the_contract_is_proved_to_fail() -> None:
    claims = {name.removeprefix("test_") for name in dir(ContainerContract) if name.startswith("test_")}
    assert claims == {claim for claim, _, _ in BROKEN}

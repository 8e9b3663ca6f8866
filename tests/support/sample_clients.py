"""The clients of the configuration, written by `loomwire typegen`: do not edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

from loomwire import ILLMClient, LLMContainer, SyncLLMClient, TypedLLMClient

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")

ClientName: TypeAlias = Literal[
    "planner",
    "reader",
    "storyteller",
]
"""The name of a client that is configured."""

CLIENT_NAMES: Final[tuple[ClientName, ...]] = (
    "planner",
    "reader",
    "storyteller",
)
"""All of them, sorted."""


def llm_client(container: LLMContainer, name: ClientName) -> ILLMClient:
    """Return a client by a name that type checkers know."""
    return container.llm_client(name)


def sync_client(container: LLMContainer, name: ClientName) -> SyncLLMClient:
    """Return the blocking twin of a client, for code outside event loops."""
    return container.sync_client(name)


def typed_client(
    container: LLMContainer,
    output: TypeForm[T],
    name: ClientName,
) -> TypedLLMClient[T]:
    """Return a client whose answer is a validated `output`."""
    return container.typed(output, name)

"""What the handles of embedder, reranker and token counter have in common, and their blocking twins."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from typing import ClassVar, Generic, NoReturn, Self, TypeVar

from typing_extensions import override

from loomwire.application.embedding.first_use import FurtherChains
from loomwire.application.loop_thread import LoopThread
from loomwire.application.registry import ClientHandle, not_pickled

P = TypeVar("P")


class PartHandle(Generic[P]):
    """One part of a client, whichever is in force. Cheap, shareable, never stale; pickles as its client does.

    Args:
        client: The handle of the client.

    Attributes:
        word: What the part is called.
    """

    __slots__ = ("_client",)

    word: ClassVar[str]

    def __init__(self, client: ClientHandle) -> None:
        """Stand for the part of `client`."""
        self._client = client

    @property
    def name(self) -> str:
        """The client's name."""
        return self._client.name

    @abstractmethod
    def part(self, chains: FurtherChains) -> P:
        """Return the part among a client's chains, built if that was not done yet."""

    @contextmanager
    def leased(self) -> Generator[P]:
        """Give the part in force, whose generation lives until the end of the block.

        Raises:
            ClientRemovedError: The client is gone.
        """
        lease = self._client.lease()
        with lease:
            yield self.part(lease.entry.further)

    def check(self) -> Self:
        """Return the handle itself, its part in force built if that was not done yet.

        Raises:
            CapabilityError: The provider type does not have the part.
            ConfigError: It cannot be built.
            ClientRemovedError: The client is gone.
        """
        self.part(self._client.lease().entry.further)
        return self

    @override
    def __reduce__(self) -> tuple[type[Self], tuple[ClientHandle]]:
        return type(self), (self._client,)

    @override
    def __repr__(self) -> str:
        return f"{self.word}({self.name})"


class BlockingTwin(Generic[P]):
    """The blocking twin of a part. Safe to share by threads; never call it inside a running event loop.

    Args:
        inner: The async part.
        thread: The container's loop thread.

    Attributes:
        inner: The async part.
        thread: The container's loop thread.
    """

    def __init__(self, inner: P, thread: LoopThread) -> None:
        """Wrap `inner`."""
        self.inner = inner
        self.thread = thread

    @override
    def __reduce__(self) -> NoReturn:
        raise not_pickled()

    @override
    def __repr__(self) -> str:
        return f"Sync > {self.inner!r}"

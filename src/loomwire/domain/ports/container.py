"""The port through which nodes of a host find their clients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class IDependencyContainer(Protocol):
    """Hands out parts by port and name."""

    @abstractmethod
    def resolve(self, port: Callable[..., T], name: str | None = None) -> T:
        """Return the part that implements a port.

        Args:
            port: The Protocol class, such as `ILLMClient`. A Callable, because only that form accepts a Protocol
                under mypy and pyright without flags.
            name: Which one, for ports with named parts.

        Raises:
            UnknownNameError: No such part; the message lists the names that exist.
        """

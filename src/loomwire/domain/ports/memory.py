"""The ports for memory: who measures it, and who holds some of it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

LimitSource: TypeAlias = Literal["configured", "cgroup", "machine"]


@dataclass(frozen=True, slots=True)
class MemorySample:
    """One look at the process.

    Attributes:
        rss_bytes: Resident memory of this process.
        limit_bytes: What it may take.
        source: Who says so; "machine" is a guess: what the process has and the machine has left.
        available_bytes: What the machine has left, or the control group where that is less; None when nobody knows.
    """

    rss_bytes: int
    limit_bytes: int
    source: LimitSource
    available_bytes: int | None = None

    @property
    def share(self) -> float:
        """How much of the limit is taken; 1 is all of it."""
        return self.rss_bytes / self.limit_bytes


class IMemoryProbe(Protocol):
    """Measures this process. Called on a thread, never on an event loop: it reads files."""

    @abstractmethod
    def sample(self, limit_bytes: int | None) -> MemorySample:
        """Look once.

        Args:
            limit_bytes: The configured limit; None finds one.

        Raises:
            OSError: The process cannot be looked at; psutil's own errors are turned into it.
        """

    @abstractmethod
    def release(self) -> None:
        """Give freed memory back to the system, as far as that can be done. Never raises."""


class IMemoryHolder(Protocol):
    """Holds memory that it can tell, and give back. Called from a thread; must not block on an event loop."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is, for reports."""

    @abstractmethod
    def held_bytes(self) -> int:
        """Return how much it holds, by real sizes."""

    @abstractmethod
    def allow(self, share: float) -> None:
        """Hold at most a share of the usual from now on: 1 all, 0.5 half, 0 nothing."""

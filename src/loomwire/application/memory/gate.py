"""MemoryGate: whether a call may begin while the process is short of memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.requests import Priority

RETRY_AFTER_S: Final = 1.0
UNSEEN: Final = -1
OPEN: Final = 0
PATIENT_REFUSED: Final = 1
ALL_REFUSED: Final = 2


class MemoryGate:
    """One number that every call looks at, and that the memory manager sets. Safe for threads.

    Attributes:
        level: 0 admits every call, 1 all but those of priority `cost`, 2 none; -1 is as 0, and the next call begins
            the watching of memory.
    """

    __slots__ = ("__weakref__", "_begin", "level")

    def __init__(self) -> None:
        """Admit every call."""
        self.level = OPEN
        self._begin: Callable[[], object] | None = None

    def arm(self, begin: Callable[[], object]) -> None:
        """Have the next call begin something, which must not wait and raises nothing."""
        self._begin = begin
        self.level = UNSEEN

    def disarm(self) -> None:
        """Admit every call from now on, and begin nothing."""
        self._begin = None
        self.level = OPEN

    def begin(self) -> None:
        """Begin what the gate was armed with, unless that was done: for what takes memory and is no call."""
        if self.level == UNSEEN:
            self.level = OPEN
            if self._begin is not None:
                self._begin()

    def refusal(self, priority: Priority) -> LLMError | None:
        """Return why a call may not begin (`memory`, retry after 1 s); None when it may."""
        if self.level == OPEN or (self.level == PATIENT_REFUSED and priority != "cost"):
            return None
        if self.level == UNSEEN:
            self.begin()
            return None
        return llm_error(
            "memory",
            "this process is short of memory",
            retry_after=RETRY_AFTER_S,
            hint="Try again in a second; give it more memory, or raise memory.limit.",
        )

"""MemoryGate: whether a call may begin while the process is short of memory."""

from __future__ import annotations

from typing import Final

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.requests import Priority

RETRY_AFTER_S: Final = 1.0
OPEN: Final = 0
PATIENT_REFUSED: Final = 1
ALL_REFUSED: Final = 2


class MemoryGate:
    """One number that every call looks at, and that the memory manager sets. Safe for threads.

    Attributes:
        level: 0 admits every call, 1 all but those of priority `cost`, 2 none.
    """

    __slots__ = ("level",)

    def __init__(self) -> None:
        """Admit every call."""
        self.level = OPEN

    def refusal(self, priority: Priority) -> LLMError | None:
        """Return why a call may not begin (`memory`, retry after 1 s); None when it may."""
        if self.level == OPEN or (self.level == PATIENT_REFUSED and priority != "cost"):
            return None
        return llm_error(
            "memory",
            "this process is short of memory",
            retry_after=RETRY_AFTER_S,
            hint="Try again in a second; give it more memory, or raise memory.limit.",
        )

"""The port for counting: who says how many tokens a request takes, before it is sent."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from loomwire.domain.counting.counts import TokenCount
from loomwire.domain.requests import LLMRequest


class ITokenCounter(Protocol):
    """Has the provider count a request without answering it. Safe to share by tasks, threads and event loops.

    Cancellation is never swallowed: after it, connections are back.
    """

    __slots__ = ()

    @abstractmethod
    async def count(self, request: LLMRequest) -> TokenCount:
        """Return how many tokens the request takes as the model's input.

        What is counted is what `generate` of the same client would send, its own instructions and defaults included.

        Args:
            request: What would be asked. It is never changed.

        Raises:
            LLMError: Anything that kept the count from coming. There is never an estimate in its place.
        """

"""What a typed call works with, and who hands it out."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.ports.client import ILLMClient


@dataclass(frozen=True, slots=True)
class TypedTarget:
    """What one typed call works with, from its first question to its last.

    Attributes:
        client: The chain to ask. It keeps to `request.bound`.
        total_s: Seconds for a call whose request has no deadline.
        capabilities: What every model behind it can do, so that the question fits whoever answers.
        total_attempts: How often one call is sent at most, further questions included.
    """

    client: ILLMClient
    total_s: float
    capabilities: ModelCapabilities
    total_attempts: int = 8


class TypedSource(Protocol):
    """Hands out what a typed call works with."""

    @abstractmethod
    def lease(self) -> AbstractContextManager[TypedTarget]:
        """Return a hold on one configuration, so that a re-ask meets the model that gave the first answer.

        Raises:
            ClientRemovedError: The client is no longer configured, or its container is closed.
        """

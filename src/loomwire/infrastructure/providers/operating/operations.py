"""What a ProviderManager does with the providers of an open container: ask any of them, and tell how they do."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.policies import BalancePolicy
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse

if TYPE_CHECKING:
    from loomwire.domain.reports.health import ProviderHealth, ProviderStatistics


class Group(Protocol):
    """All models of a container's configuration as one. Safe for threads and event loops."""

    @abstractmethod
    async def generate(
        self, request: LLMRequest, models: Sequence[str] | None, balance: BalancePolicy
    ) -> LLMResponse[str]:
        """Have a request answered by one of some models, in the order that `balance` says."""

    @abstractmethod
    def stats(self) -> ProviderStatistics:
        """Return what was sent."""

    @abstractmethod
    def health(self, provider: str | None = None) -> tuple[ProviderHealth, ...]:
        """Return how providers do, as far as is known."""

    @abstractmethod
    async def look(self, provider: str | None = None) -> tuple[ProviderHealth, ...]:
        """Look at providers now, and return how they do."""


class ProviderOperations:
    """The part of a ProviderManager that works on an open container: the one that was opened with it last.

    Safe for threads and event loops. It does not keep the container open.
    """

    def __init__(self) -> None:
        """Belong to no container yet."""
        self._group: weakref.ref[Group] | None = None

    def operate(self, group: Group) -> None:
        """Work on a container from now on. Containers call it when they open."""
        self._group = weakref.ref(group)

    async def generate_with_intelligent_fallback(
        self,
        request: LLMRequest,
        *,
        models: Sequence[str] | None = None,
        balance: BalancePolicy = BalancePolicy(),
    ) -> LLMResponse[str]:
        """Have a request answered by whichever model can: retried, and passed on to the next where that may help.

        It is one call like that of a configured client with these models: one deadline, every attempt in the answer's
        `steps`, `model` the one that answered. What the caller did wrong is not passed on. `request.priority` reorders
        the models for this call.

        Args:
            request: What to ask.
            models: Names of models in the configuration, or provider/model, in the order of preference; None for all
                models that clients have.
            balance: In which order they are asked; as listed unless it says otherwise.

        Raises:
            LLMError: Nobody answered; `AllTargetsFailedError` holds each model's error when several were asked.
            UnknownNameError: No such model.
            LLMValidationError: No container is open with this manager.
            ClientRemovedError: reason closed.

        Example:
            >>> from loomwire import LLMContainer, LLMRequest
            >>> from loomwire.infrastructure.providers.manager import ProviderManager
            >>> async def ask(container: LLMContainer) -> str:
            ...     manager = container.resolve(ProviderManager)
            ...     return (await manager.generate_with_intelligent_fallback(LLMRequest.of("Hi"))).text
        """
        return await self._operated().generate(request, models, balance)

    def get_provider_stats(self) -> ProviderStatistics:
        """Return what was sent to each provider and to all, with true success rates: answers over judged attempts.

        Raises:
            LLMValidationError: No container is open with this manager.
        """
        return self._operated().stats()

    def get_provider_health(self, provider: str | None = None) -> tuple[ProviderHealth, ...]:
        """Return how all providers do, or one, and what to do about it; sends nothing.

        Raises:
            UnknownNameError: No client has a model of that provider.
            LLMValidationError: No container is open with this manager.
        """
        return self._operated().health(provider)

    async def check_provider_health(self, provider: str | None = None) -> tuple[ProviderHealth, ...]:
        """Look at all providers now, or at one, without asking a model; else as `get_provider_health`."""
        return await self._operated().look(provider)

    def _operated(self) -> Group:
        group = None if self._group is None else self._group()
        if group is None:
            hint = "Take it from an open container: `container.resolve(ProviderManager)`."
            raise LLMValidationError("this ProviderManager is of no open container", hint=hint)
        return group

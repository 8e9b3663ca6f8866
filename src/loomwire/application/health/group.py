"""All models of a configuration as one: whoever can answer does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from loomwire.application.forks import renew_after_fork
from loomwire.application.generation import Generation, unknown_name
from loomwire.application.health.monitor import ProviderHealthMonitor
from loomwire.application.pipeline import Parts, build_client
from loomwire.application.registry import ClientSource
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.errors import ClientRemovedError, ConfigError
from loomwire.domain.policies import BalancePolicy
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest, refuse_no_request
from loomwire.domain.responses import LLMResponse

if TYPE_CHECKING:
    from loomwire.domain.reports.health import ProviderHealth, ProviderStatistics

NAME: Final = "(any model)"
"""What records and tallies call the client; no configured one can have this name."""

KEPT: Final = 16
"""Choices of models whose chains are kept."""


class ProviderGroup:
    """Asks any models of the configuration in force, and tells how their providers do. Safe for threads and loops.

    Args:
        clients: Says which configuration is in force.
        parts: What chains are made from.
        monitor: Tells how providers do.
    """

    def __init__(self, clients: ClientSource, parts: Parts, monitor: ProviderHealthMonitor) -> None:
        """Build nothing yet."""
        self._clients = clients
        self._parts = parts
        self._monitor = monitor
        self._chains: dict[tuple[Sequence[str] | None, BalancePolicy], ILLMClient] = {}
        self._of: Generation | None = None
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Go on in a child with a lock of its own."""
        self._lock = threading.Lock()

    @property
    def kept(self) -> int:
        """How many choices of models have a chain."""
        return len(self._chains)

    async def generate(
        self, request: LLMRequest, models: Sequence[str] | None, balance: BalancePolicy
    ) -> LLMResponse[str]:
        """Have a request answered by one of some models.

        Args:
            request: What to ask.
            models: Names of models, or targets (provider/model), in order; None for all that clients have.
            balance: In which order they are asked.

        Raises:
            LLMError: As of a client with these models.
            UnknownNameError: No such model.
            ClientRemovedError: reason closed.
        """
        refuse_no_request(request, "generate_with_intelligent_fallback")
        if self._clients.closed:
            raise ClientRemovedError("the container is closed", reason="closed")
        generation = self._clients.generation
        generation.lease()
        try:
            key = (None if models is None else tuple(models), balance)
            # On a thread when it is not there yet: a provider's first client imports what it needs.
            chain = self._known(generation, key)
            if chain is None:
                chain = await asyncio.to_thread(self._built, generation, *key)
            return await chain.generate(request)
        finally:
            generation.release()

    def stats(self) -> ProviderStatistics:
        """Return what was sent; see `ProviderHealthMonitor.stats`."""
        return self._monitor.stats()

    def health(self, provider: str | None = None) -> tuple[ProviderHealth, ...]:
        """Return how providers do; see `ProviderHealthMonitor.health`."""
        return self._monitor.health(provider)

    async def look(self, provider: str | None = None) -> tuple[ProviderHealth, ...]:
        """Look at providers now; see `ProviderHealthMonitor.look`."""
        return await self._monitor.look(provider)

    def _known(self, generation: Generation, key: tuple[Sequence[str] | None, BalancePolicy]) -> ILLMClient | None:
        with self._lock:
            return self._chains.get(key) if self._of is generation else None

    def _built(self, generation: Generation, models: Sequence[str] | None, balance: BalancePolicy) -> ILLMClient:
        known = _targets(generation)
        chosen = [*known.values()] if models is None else [_found(generation, known, name) for name in models]
        targets = {target.target: target for target in map(self._parts.factory.resolved, chosen)}
        if not targets:
            raise ConfigError("no models to choose from", reason="out_of_range", hint="Name at least one model.")
        # It is no client of the configuration, so that what holds for all of them holds for it.
        usual = generation.snapshot.cache
        config = ClientConfig(name=NAME, targets=tuple(targets.values()), balance=balance, cache=usual)
        chain = build_client(config, self._parts)
        with self._lock:
            if self._of is not generation or len(self._chains) >= KEPT:
                self._of, self._chains = generation, {}
            self._chains[models, balance] = chain
        return chain


def _targets(generation: Generation) -> Mapping[str, LLMConfig]:
    found = (target for entry in generation.entries.values() for target in entry.config.targets)
    return {target.target: target for target in found}


def _found(generation: Generation, known: Mapping[str, LLMConfig], name: str) -> LLMConfig:
    model = generation.snapshot.models.get(name) or known.get(name)
    if model is None:
        raise unknown_name("model", name, generation.snapshot.models)
    return model

"""ComposedFactory: clients for hosts without YAML, with all the layers a configured client has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from loomwire.application.pipeline import Parts, build_client
from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory

if TYPE_CHECKING:
    from loomwire.domain.ports.counting import ITokenCounter


class ComposedFactory(ILLMClientFactory):
    """Builds a client for one model with the whole chain: deadline, limits, capability checks, observation.

    Args:
        parts: What every chain is made from; its factory makes the leaf.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: Parts) -> None:
        """Build nothing yet."""
        self._parts = parts

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        known = self.resolved(config)
        return build_client(single(known.name, known), self._parts)

    @override
    def resolved(self, config: LLMConfig) -> LLMConfig:
        return self._parts.factory.resolved(config)

    @override
    def counter(self, config: LLMConfig) -> ITokenCounter:
        from loomwire.application.embedding.counting import build_counter

        known = self.resolved(config)
        return build_counter(single(known.name, known), self._parts)


def single(name: str, config: LLMConfig) -> ClientConfig:
    """Return the configuration of a client with one model and the model's own time limits."""
    return ClientConfig(name=name, targets=(config,), total_s=config.timeouts.total_s)


def snapshot_of(clients: Mapping[str, LLMConfig | ClientConfig]) -> Snapshot:
    """Return a configuration written in code: clients by name, each a model or a whole client configuration."""
    built = {
        name: replace(config, name=name) if isinstance(config, ClientConfig) else single(name, config)
        for name, config in clients.items()
    }
    models = {target.target: target for config in built.values() for target in config.targets}
    return Snapshot(digest="code", clients=built, models=models)

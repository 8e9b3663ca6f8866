"""What is known of a target: what its configuration says, what was detected, the catalogue, and its provider's row."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeAlias, final

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.ports.models import NOTHING_KNOWN, IModelRegistry, ModelFacts
from loomwire.domain.pricing import Prices
from loomwire.domain.values import FrozenDict
from loomwire.infrastructure.providers.rows.kinds import ProviderType

KEPT: Final = 1024
"""How many mergers are remembered; whoever has more is served as well, only slower."""

_UNKNOWN = ModelCapabilities()


_Merged: TypeAlias = tuple[ModelCapabilities, ModelFacts, ModelCapabilities, ModelCapabilities]


@final
class Merging:
    """Remembers what came of the same three, because a configuration has a thousand targets of the same few models.

    By identity: an operator's free facts need not hash. Threads may share it.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._known: dict[tuple[int, int, int], _Merged] = {}

    def merged(self, own: ModelCapabilities, facts: ModelFacts, row: ModelCapabilities) -> ModelCapabilities:
        """Return what `merged` returns; for the same objects the same object."""
        key = (id(own), id(facts), id(row))
        known_ = self._known.get(key)
        if known_ is None:
            if len(self._known) >= KEPT:
                self._known.clear()
            # With the three, so that no later object can get an id of theirs.
            known_ = self._known[key] = (own, facts, row, merged(own, facts, row))
        return known_[3]


def known(
    config: LLMConfig, row: ProviderType, registry: IModelRegistry | None, merging: Merging | None = None
) -> tuple[ModelCapabilities, Prices | None]:
    """Return a target's capabilities and prices, the gaps filled by strength, and who says so with each.

    Args:
        config: The target, with the base URL it is asked at.
        row: Its provider type.
        registry: Knows models; None knows none.
        merging: Remembers what came of the same before; None remembers nothing.
    """
    facts = NOTHING_KNOWN if registry is None or row.client is not None else registry.facts(config)
    capabilities = (merging or Merging()).merged(config.capabilities, facts, row.capabilities)
    wants_prices = config.prices is None and config.catalogue.prices and not (config.free or row.free)
    return capabilities, facts.prices if wants_prices else config.prices


def merged(own: ModelCapabilities, facts: ModelFacts, row: ModelCapabilities) -> ModelCapabilities:
    """Return capabilities with the gaps filled from facts and then from a provider's row.

    A row's no is about its API: a model cannot be asked there for what the API has no words for. So only an operator
    and the provider itself may say otherwise, not the catalogue, which is about the model.

    Args:
        own: What the operator says.
        facts: What is known of the model.
        row: What holds for all models of the provider.
    """
    stated = row.stated_by("provider")
    told = _sourced(own)
    if facts.known:
        told = told.over(_within(facts.capabilities, row))
    return told.over(stated)


def _within(known_: ModelCapabilities, row: ModelCapabilities) -> ModelCapabilities:
    """Return what is known of a model without the abilities that its provider's API cannot be asked for."""
    beyond = [
        name
        for name, source in known_.sources.items()
        if source != "detected" and getattr(row, name) is False and getattr(known_, name) is True
    ]
    if not beyond:
        return known_
    sources = FrozenDict({name: source for name, source in known_.sources.items() if name not in beyond})
    return replace(known_, **{name: getattr(_UNKNOWN, name) for name in beyond}, sources=sources)


def _sourced(capabilities: ModelCapabilities) -> ModelCapabilities:
    # Facts given in code carry no source; they are the operator's own word.
    stated = capabilities.stated_by("yaml")
    return replace(capabilities, sources={**stated.sources, **capabilities.sources})

"""The port for what is known of models: facts, and for each who says so, since when and by which rule."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.pricing import Prices
from loomwire.domain.values import FrozenDict, Source


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a fact comes from.

    Attributes:
        source: Who says so.
        by: What exactly: a package with its version, or a request to a provider.
        date: As of which day, or since when; "" when nobody says.
        rule: How the model was found: `exact`, `alias of X`, `family of X`.
    """

    source: Source
    by: str = ""
    date: str = ""
    rule: str = "exact"


_NOBODY: Mapping[str, Provenance] = FrozenDict()


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Everything that is known of one model. What nobody says is absent, never no or 0.

    Attributes:
        capabilities: What it can do, each with its source.
        prices: What it costs.
        inputs: What it reads: text, image, pdf, audio, video; empty when unknown.
        outputs: What it gives; empty when unknown.
        deprecated: Its vendor lets it end.
        unpriced: Why there are no prices although some are known: tiers, time_of_day, other_units, input_only, zero,
            elsewhere (those of the vendor, asked at another host).
        said: For each known field of `capabilities`, and for `prices`, `inputs` and `outputs`, where it comes from.
    """

    capabilities: ModelCapabilities = ModelCapabilities()
    prices: Prices | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    deprecated: bool = False
    unpriced: str = ""
    said: Mapping[str, Provenance] = _NOBODY

    @property
    def known(self) -> bool:
        """Whether anybody knows anything."""
        return bool(self.said) or bool(self.unpriced)

    def over(self, weaker: ModelFacts) -> ModelFacts:
        """Return these facts with the gaps filled from a weaker source."""
        if not weaker.known:
            return self
        return replace(
            self,
            capabilities=self.capabilities.over(weaker.capabilities),
            prices=self.prices or weaker.prices,
            inputs=self.inputs or weaker.inputs,
            outputs=self.outputs or weaker.outputs,
            deprecated=self.deprecated or weaker.deprecated,
            unpriced="" if self.prices else self.unpriced or weaker.unpriced,
            said=FrozenDict({**weaker.said, **self.said}),
        )


NOTHING_KNOWN = ModelFacts()
"""Of a model that nobody knows."""


class IModelRegistry(Protocol):
    """Knows models. It is asked when clients are built, never during a call; safe from any thread."""

    @abstractmethod
    def facts(self, config: LLMConfig) -> ModelFacts:
        """Return what is known of a model, the stronger source first: detected, catalogue, family.

        Equal questions give the same object until something new was found. What a configuration itself says is no
        part of it; unknown models give `NOTHING_KNOWN`, never an error.

        Args:
            config: The model, with the base URL it is asked at. Its `catalogue` says what may be used.
        """

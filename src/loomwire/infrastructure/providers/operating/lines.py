"""A line to a provider for questions that are no calls: which models there are, and whether it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from loomwire.domain.config import LLMConfig
from loomwire.domain.ports.client import ILLMClientFactory
from loomwire.domain.requests import Bound
from loomwire.infrastructure.providers.rows.kinds import DialectType, ProviderType
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.wire.dialect import Dialect
from loomwire.infrastructure.providers.wire.exchange.headers import HiddenHeaders, request_headers


@dataclass(frozen=True, slots=True)
class Line:
    """An open line to one provider.

    Attributes:
        config: The target, with everything its row knows filled in.
        dialect: What is spoken there.
        headers: Of every request, the key among them.
        bound: When the question ends.
    """

    config: LLMConfig
    dialect: Dialect
    headers: HiddenHeaders
    bound: Bound


def line_to(
    config: LLMConfig, row: ProviderType, bound: Bound, factory: ILLMClientFactory, dialects: Mapping[str, DialectType]
) -> Line:
    """Return a line to the provider of a target; connects to nobody. The dialect may have to be imported.

    Raises:
        ConfigError: A base URL, key or option is missing or not allowed.
    """
    target = factory.resolved(config)
    spoken = speech(config, row, dialects)
    dialect = dialect_of(spoken, dialects)
    return Line(target, dialect, request_headers(target, dialect, spoken.auth or row.auth, "application/json"), bound)

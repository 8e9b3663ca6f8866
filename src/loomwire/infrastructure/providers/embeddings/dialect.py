"""What a wire dialect for embeddings is: how texts become bytes, and bytes vectors and errors."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError
from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.domain.vectors.embeddings import EmbedRequest
from loomwire.infrastructure.providers.embeddings.columns import Embeds
from loomwire.infrastructure.providers.wire.exchange.asking import AskDialect
from loomwire.infrastructure.providers.wire.request_body import Body, add_extra, encoded


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a body says.

    Attributes:
        vectors: In the order of the texts; as many as there are, of whatever size.
        usage: What it took.
        model: The model that answers, or None.
    """

    vectors: Sequence[array[float]]
    usage: Usage = NO_USAGE
    model: str | None = None


class EmbedDialect(AskDialect[EmbedRequest, Embedded], Protocol):
    """One way to ask for embeddings: pure functions of bytes and values. Immutable, safe to share."""

    __slots__ = ()


class ColumnDialect(EmbedDialect):
    """Speaks embeddings with one vendor.

    Args:
        embeds: How the vendor differs.

    Attributes:
        embeds: How the vendor differs.
    """

    __slots__ = ("embeds",)

    def __init__(self, embeds: Embeds) -> None:
        """Speak with these differences."""
        self.embeds = embeds


def options_of(request: EmbedRequest, config: LLMConfig, embeds: Embeds) -> Body:
    """Return the vendor's fields for the size and the purpose, and the one that makes a cut an error.

    Raises:
        CapabilityError: The vendor's vectors have one size.
    """
    body: Body = {}
    if embeds.purposes is not None and request.purpose is not None:
        field, query, document = embeds.purposes
        body[field] = query if request.purpose == "query" else document
    if request.dimensions is not None:
        if embeds.dimensions is None:
            raise CapabilityError(
                f"{config.target} cannot be told how many dimensions its vectors should have",
                provider=config.name,
                model=config.model,
                hint="Leave `dimensions` out.",
            )
        body[embeds.dimensions] = request.dimensions
    if embeds.errors_on_cut is not None:
        field, value = embeds.errors_on_cut
        body[field] = value
    return body


def with_extra(body: Body, request: EmbedRequest, config: LLMConfig, reserved: frozenset[str]) -> bytes:
    """Return a body in bytes, with the vendor fields of configuration and request."""
    add_extra(body, (config.extra, request.extra), reserved)
    return encoded(body)

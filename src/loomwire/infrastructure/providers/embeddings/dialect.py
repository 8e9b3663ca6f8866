"""What a wire dialect for embeddings is: how texts become bytes, and bytes vectors and errors."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMError
from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.domain.values import FrozenDict
from loomwire.domain.vectors.embeddings import EmbedRequest
from loomwire.infrastructure.providers.embeddings.columns import Embeds
from loomwire.infrastructure.providers.wire.request_body import Body, add_extra, encoded

NO_HEADERS: Mapping[str, str] = FrozenDict()


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


class EmbedDialect(Protocol):
    """One way to ask for embeddings: pure functions of bytes and values. Immutable, safe to share."""

    __slots__ = ()

    @abstractmethod
    def path(self, config: LLMConfig) -> str:
        """Return path and query below the base URL."""

    def headers(self, config: LLMConfig) -> Mapping[str, str]:  # noqa: ARG002
        """Return the dialect's own headers, names in lower case; none unless overridden."""
        return NO_HEADERS

    @abstractmethod
    def encode(self, request: EmbedRequest, config: LLMConfig) -> bytes:
        """Return the body of a request.

        Raises:
            CapabilityError: The vendor cannot express what the request asks for.
            LLMValidationError: A value is no JSON, or `extra` sets a field that is loomwire's own.
        """

    @abstractmethod
    def decode(self, body: bytes, request: EmbedRequest, config: LLMConfig) -> Embedded:
        """Read an answer.

        Raises:
            LLMError: The body reports an error, or is not what the dialect says.
        """

    @abstractmethod
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        """Return the error that a body reports; not raised. As of `Dialect`."""


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

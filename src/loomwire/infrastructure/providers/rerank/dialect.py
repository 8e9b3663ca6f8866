"""What a wire dialect for ranks is: how query and documents become bytes, and bytes ranks and errors."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.domain.values import FrozenDict
from loomwire.domain.vectors.embeddings import Ranked, RerankRequest

NO_HEADERS: Mapping[str, str] = FrozenDict()


@dataclass(frozen=True, slots=True)
class Reranked:
    """What a body says.

    Attributes:
        results: In the order of the wire.
        usage: What it took.
        model: The model that answers, or None.
    """

    results: Sequence[Ranked]
    usage: Usage = NO_USAGE
    model: str | None = None


class RerankDialect(Protocol):
    """One way to ask for ranks: pure functions of bytes and values. Immutable, safe to share."""

    __slots__ = ()

    @abstractmethod
    def path(self, config: LLMConfig) -> str:
        """Return path and query below the base URL."""

    def headers(self, config: LLMConfig) -> Mapping[str, str]:  # noqa: ARG002
        """Return the dialect's own headers, names in lower case; none unless overridden."""
        return NO_HEADERS

    @abstractmethod
    def encode(self, request: RerankRequest, config: LLMConfig) -> bytes:
        """Return the body of a request.

        Raises:
            LLMValidationError: A value is no JSON, or `extra` sets a field that is loomwire's own.
        """

    @abstractmethod
    def decode(self, body: bytes, config: LLMConfig) -> Reranked:
        """Read an answer.

        Raises:
            LLMError: The body reports an error, or is not what the dialect says.
        """

    @abstractmethod
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        """Return the error that a body reports; not raised. As of `Dialect`."""


def best(results: Sequence[Ranked], request: RerankRequest) -> tuple[Ranked, ...]:
    """Return as many as were asked for, best first; servers that know no `top_n` send all.

    Raises:
        LLMProtocolError: There are too few, one is there twice or was not asked about, or a score is not finite.
    """
    places = {result.index for result in results}
    if len(places) < len(results) or not places <= set(range(len(request.documents))):
        raise _wrong("a rank has an index that is there twice, or is none of the documents'")
    if len(results) < request.wanted:
        raise _wrong(f"{len(results)} ranks came, and {request.wanted} were asked for")
    if not all(math.isfinite(result.score) for result in results):
        raise _wrong("a rank has a score that is not finite")
    return tuple(sorted(results, key=lambda result: -result.score)[: request.wanted])


def _wrong(why: str) -> LLMError:
    return llm_error("protocol", why, hint="Is it a reranking model?")

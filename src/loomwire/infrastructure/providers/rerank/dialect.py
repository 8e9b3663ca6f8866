"""What a wire dialect for ranks is: how query and documents become bytes, and bytes ranks and errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.domain.vectors.embeddings import Ranked, RerankRequest
from loomwire.infrastructure.providers.wire.exchange.asking import AskDialect


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


class RerankDialect(AskDialect[RerankRequest, Reranked], Protocol):
    """One way to ask for ranks: pure functions of bytes and values. Immutable, safe to share."""

    __slots__ = ()


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

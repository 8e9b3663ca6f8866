"""What a caller asks of an embedding or a reranking model, and what it gets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, Self, TypeAlias

from typing_extensions import override

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.pricing import NO_USAGE, Charge, Unpriced, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound, CacheMode
from loomwire.domain.responses import RateLimits
from loomwire.domain.values import JSON, NO_JSON

Purpose: TypeAlias = Literal["query", "document"]
"""What a text is embedded for: to search with it, or to be found."""

Vector: TypeAlias = Sequence[float]
"""One text's place. loomwire's own are `array('f')`: 32 bits a number, a buffer that numpy reads without copying."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTerms:
    """What every call may say besides what it asks.

    Args:
        deadline_s: Seconds for the whole call, all batches included; None takes `timeouts.total`.
        tenant: On whose behalf; separates what is kept, and for the books.
        session: Which conversation, for the books.
        tags: Free words for rules and the books.
        cache: off keeps nothing of this call and uses nothing that was kept; refresh asks anew and keeps the answer;
            use and None leave it to the client.
        extra: Vendor fields, put into the wire body as they are.
        bound: Set by the layers: the instant at which the call or the attempt ends. Leave it None.

    Raises:
        LLMValidationError: A deadline that is not positive, or another word for `cache`.
    """

    deadline_s: float | None = None
    tenant: str | None = None
    session: str | None = None
    tags: frozenset[str] = frozenset()
    cache: CacheMode | None = None
    extra: Mapping[str, JSON] = NO_JSON
    bound: Bound | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be, before money is spent."""
        if self.deadline_s is not None and not 0 < self.deadline_s < math.inf:
            raise LLMValidationError("deadline_s must be a positive number of seconds", hint="Correct deadline_s.")
        if self.cache not in (None, "off", "use", "refresh"):
            raise LLMValidationError("cache must be off, use, refresh or None", hint="Correct cache.")

    def bound_for(self, now: float, total_s: float) -> Bound:
        """Return the bound that is there, or the deadline counted from `now` (monotonic seconds)."""
        return self.bound or Bound(now + (total_s if self.deadline_s is None else self.deadline_s))

    def with_bound(self, bound: Bound) -> Self:
        """Return the request with another bound; everything else was checked when the request was made."""
        bounded = object.__new__(type(self))
        for field in fields(self):
            object.__setattr__(bounded, field.name, getattr(self, field.name))
        object.__setattr__(bounded, "bound", bound)
        return bounded


@dataclass(frozen=True, slots=True)
class EmbedRequest(CallTerms):
    """Texts to be embedded. Immutable; any number of texts: they are sent in batches of the vendor's size.

    Args:
        texts: At least one, none empty or blank.
        purpose: Whether the texts search or are to be found; None says nothing (Cohere, which wants to know, is told
            that they are to be found).
        dimensions: Numbers of each vector, for models that can be told; None takes the model's own size.

    Raises:
        LLMValidationError: No text, an empty text, one text in place of several, or dimensions below 1.
    """

    texts: tuple[str, ...]
    purpose: Purpose | None = None
    dimensions: int | None = None

    @override
    def __post_init__(self) -> None:
        """Refuse what no provider accepts, before money is spent."""
        CallTerms.__post_init__(self)
        _check_texts("texts", self.texts)
        if self.purpose not in (None, "query", "document"):
            raise LLMValidationError("purpose must be query, document or None", hint="Correct purpose.")
        if self.dimensions is not None and not _is_count(self.dimensions):
            raise LLMValidationError("dimensions must be a whole number, at least 1", hint="Correct dimensions.")

    @classmethod
    def of(
        cls,
        *texts: str,
        purpose: Purpose | None = None,
        dimensions: int | None = None,
        deadline_s: float | None = None,
    ) -> Self:
        """Build a request from texts.

        Example:
            >>> EmbedRequest.of("What is a panda?", purpose="query").texts
            ('What is a panda?',)
        """
        return cls(texts, purpose, dimensions, deadline_s=deadline_s)


@dataclass(frozen=True, slots=True)
class RerankRequest(CallTerms):
    """Documents to be put into the order in which they answer a query. Immutable.

    Args:
        query: What is looked for; not empty.
        documents: What may answer it; at least one, none empty.
        top_n: How many of the best to return; None for all.

    Raises:
        LLMValidationError: No query or document, an empty one, or top_n below 1.
    """

    query: str
    documents: tuple[str, ...]
    top_n: int | None = None

    @override
    def __post_init__(self) -> None:
        """Refuse what no provider accepts, before money is spent."""
        CallTerms.__post_init__(self)
        _check_texts("query", (self.query,))
        _check_texts("documents", self.documents)
        if self.top_n is not None and not _is_count(self.top_n):
            raise LLMValidationError("top_n must be a whole number, at least 1", hint="Correct top_n.")

    @classmethod
    def of(cls, query: str, *documents: str, top_n: int | None = None, deadline_s: float | None = None) -> Self:
        """Build a request from texts.

        Example:
            >>> RerankRequest.of("What is a panda?", "A bear.", "A car.", top_n=1).wanted
            1
        """
        return cls(query, documents, top_n, deadline_s=deadline_s)

    @property
    def wanted(self) -> int:
        """How many results there must be."""
        return len(self.documents) if self.top_n is None else min(self.top_n, len(self.documents))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """What every answer says besides what was asked for. Immutable, so it may be shared by threads and loops.

    Attributes:
        provider: The provider's name in the configuration.
        model: The model that answered, as the provider reports it, else as configured.
        usage: Tokens, of all batches; `usage.known` is False when the provider did not say for one of them.
        cost: What it cost, or `Unpriced`: never an invented 0.
        request_id: The provider's id of the request (of the first batch), or None.
        rate_limits: What the provider said is left of its rate limits (with the last batch), or None.
        steps: Every layer's decision and every attempt, in order.
        cached: Nothing was sent for it: all of it was kept, or came with an equal call that was under way. Then it used
            and cost nothing; `usage` and `cost` are always those of what was sent for this call.
    """

    provider: str
    model: str
    usage: Usage = NO_USAGE
    cost: Charge = Unpriced("no_price")
    request_id: str | None = None
    rate_limits: RateLimits | None = None
    steps: tuple[Step, ...] = ()
    cached: bool = False

    def with_step(self, step: Step) -> Self:
        """Return the answer with a layer's step in front of the steps below it."""
        return replace(self, steps=(step, *self.steps))


@dataclass(frozen=True, slots=True)
class EmbedResponse(CallResult):
    """One vector for each text, in the order of the texts, all of the same size.

    Attributes:
        vectors: Each as `array('f')`, or any sequence of numbers of somebody else's embedder; treat them as read-only.
    """

    vectors: tuple[Vector, ...]

    @property
    def dimensions(self) -> int:
        """Numbers of each vector."""
        return len(self.vectors[0])


@dataclass(frozen=True, slots=True)
class Ranked:
    """One document's place.

    Attributes:
        index: The document's position in the request, from 0.
        score: How well it answers, by the model's own measure: to be compared within one answer only.
    """

    index: int
    score: float


@dataclass(frozen=True, slots=True)
class RerankResponse(CallResult):
    """The documents by how well they answer, best first.

    Attributes:
        results: As many as were asked for.
    """

    results: tuple[Ranked, ...]


def _check_texts(what: str, texts: object) -> None:
    # Untyped callers write one text, which would be taken for its characters.
    if not isinstance(texts, tuple) or not texts:
        raise LLMValidationError(f"{what} must be a tuple of at least one text", hint=f"Give {what} as a tuple.")
    for place, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            where = f"{what}[{place}]" if what != "query" else what
            raise LLMValidationError(f"{where} must be a text that is not empty", hint="Leave empty texts out.")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1

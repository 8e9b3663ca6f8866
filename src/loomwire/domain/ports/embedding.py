"""The ports for vectors and ranks: who embeds texts, who reranks documents, and who builds both."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

from loomwire.domain.config import LLMConfig
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, RerankRequest, RerankResponse


class IEmbedder(Protocol):
    """Turns texts into vectors. Safe to share by tasks, threads and event loops.

    Cancellation is never swallowed: after it, connections are back.
    """

    __slots__ = ()

    @abstractmethod
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        """Return one vector for each text, in order, all of the same size, every number finite.

        Args:
            request: The texts. It is never changed.

        Raises:
            LLMError: Anything that kept the vectors from coming. There is never a part of them: of several batches
                the first failure that further attempts did not heal ends the call.
        """


class IReranker(Protocol):
    """Puts documents into the order in which they answer a query. Safe to share by tasks, threads and event loops.

    Cancellation is never swallowed: after it, connections are back.
    """

    __slots__ = ()

    @abstractmethod
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        """Return the best documents, best first: each once, with its index in the request and its score.

        Args:
            request: Query and documents. It is never changed.

        Raises:
            LLMError: Anything that kept the ranking from coming.
        """


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How many texts go into one request, and how many requests go at once.

    Attributes:
        texts: Texts of one request at most.
        characters: Characters of one request's texts together; a longer text goes alone.
        at_once: Requests of one call at the same time.
    """

    texts: int = 96
    characters: int = 200_000
    at_once: int = 4


class IEmbeddingFactory(Protocol):
    """Builds embedders and rerankers for one model. Safe to call from any thread."""

    @abstractmethod
    def embedder(self, config: LLMConfig) -> IEmbedder:
        """Return an embedder for the model; opens no connection. It gets batches that fit `batches(config)`.

        Raises:
            CapabilityError: The provider type has no embeddings; the message lists those that have.
            ConfigError: A base URL, key or option is missing or not allowed.
        """

    @abstractmethod
    def reranker(self, config: LLMConfig) -> IReranker:
        """Return a reranker for the model; opens no connection.

        Raises:
            CapabilityError: The provider type cannot rerank; the message lists those that can.
            ConfigError: A base URL, key or option is missing or not allowed.
        """

    def batches(self, config: LLMConfig) -> BatchPolicy:  # noqa: ARG002
        """Return how texts for this model are cut into batches; `BatchPolicy()` unless overridden."""
        return BatchPolicy()

    def places(self, config: LLMConfig) -> tuple[LLMConfig, ...]:  # noqa: ARG002
        """Return the configuration with the base URL of each place that would be asked; none unless overridden.

        Never raises: a model that cannot be built has no place.
        """
        return ()

"""Lines that must fail: an embedder takes its own requests and gives vectors, not answers."""

from __future__ import annotations

from loomwire import LLMContainer, LLMRequest
from loomwire.domain.ports.embedding import IEmbedder, IReranker
from loomwire.domain.vectors.embeddings import EmbedRequest, RerankRequest


async def wrong_uses(container: LLMContainer, request: EmbedRequest) -> None:
    reranker: IReranker = container.resolve(IEmbedder, "search")  # E: assignment
    embedder = container.embedder("search")
    await embedder.embed(LLMRequest.of("hi"))  # E: arg-type
    await embedder.embed("a text")  # E: arg-type
    text: str = (await embedder.embed(request)).vectors[0]  # E: assignment
    await embedder.rerank(RerankRequest.of("q", "d"))  # E: attr-defined
    request.purpose = "query"  # E: misc
    str((reranker, text))


def wrong_requests() -> None:
    EmbedRequest.of("hi", purpose="clustering")  # E: arg-type
    EmbedRequest(["hi"])  # E: arg-type
    RerankRequest.of("q", "d", top_k=3)  # E: call-arg

"""CachedEmbedder: every text is embedded once."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from typing_extensions import override

from loomwire.application.embedding.kept_forms import KeptVector, vector_bytes, vector_of
from loomwire.application.embedding.shelf import LAYER, NOTHING_SENT, Shelf, each
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.errors import llm_error
from loomwire.domain.ports.embedding import IEmbedder
from loomwire.domain.reports.steps import Step
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, Vector

OPERATION = "embeddings"


class CachedEmbedder(IEmbedder):
    """Keeps the vector of every text, and sends only texts that it does not know, each once.

    A text is known by the model, the tenant, the purpose, the dimensions and the vendor fields of its request. Equal
    requests at the same time are one. Vectors whose numbers 32 bits cannot hold are given and not kept. When the
    provider reports another model than the one of the vectors that were kept, or another size, all texts of the request
    are sent again: an answer never has vectors of two models. Errors are not kept.

    Safe to share by tasks, threads and event loops. Cancelling one of several who wait for the same does not harm the
    others; the last one's cancels what is sent.

    Args:
        inner: Embeds what is not known.
        shelf: Where vectors are kept, and by which identity of the model.

    Example:
        >>> from loomwire.application.embedding.shelf import Shelf
        >>> from loomwire.testing import HashEmbedder
        >>> def remembering(store: ICacheStrategy) -> CachedEmbedder:
        ...     return CachedEmbedder(HashEmbedder(8), Shelf(store=store, identity=b"hash, 8 numbers"))
    """

    __slots__ = ("_inner", "_shelf")

    def __init__(self, inner: IEmbedder, shelf: Shelf) -> None:
        """Keep what `inner` embeds."""
        self._inner = inner
        self._shelf = shelf

    @override
    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        shelf = self._shelf
        prefix = shelf.prefix(OPERATION, request, "texts")
        if prefix is None:
            return await self._inner.embed(request)
        wanted = {text: shelf.key(prefix, text) for text in request.texts}
        # One key for all orders of the same texts.
        flight = (OPERATION, shelf.namespace, request.cache == "refresh", frozenset(wanted.values()))
        gathered, shared = await shelf.joined(flight, request, partial(self._gathered, request, wanted))
        return self._told(request, gathered, shared=shared)

    @override
    def __repr__(self) -> str:
        return f"Cached > {self._inner!r}"

    async def _gathered(self, request: EmbedRequest, wanted: Mapping[str, CacheKey]) -> _Gathered:
        known = {} if request.cache == "refresh" else await self._known(request, wanted)
        missing = tuple(text for text in wanted if text not in known)
        if not missing:
            return _Gathered(known)
        sent = await self._sent(request, missing)
        if known and _differ(sent, next(iter(known.values()))):
            # The alias means another model than it did.
            known, first = {}, sent
            again = await self._sent(request, tuple(wanted))
            steps = (*first.steps, *again.steps)
            sent = replace(again, usage=first.usage + again.usage, cost=first.cost + again.cost, steps=steps)
            missing = tuple(wanted)
        fresh = dict(zip(missing, sent.vectors, strict=True))
        await self._keep(request, wanted, fresh, sent)
        return _Gathered(known, fresh, sent)

    async def _known(self, request: EmbedRequest, wanted: Mapping[str, CacheKey]) -> dict[str, _Known]:
        shelf = self._shelf
        known: dict[str, _Known] = {}

        async def look(text: str) -> None:
            entry = await shelf.fresh(wanted[text])
            if entry is None:
                return
            try:
                known[text] = _Known(vector_of(entry.value), entry.level)
            except ValueError:
                await shelf.store.invalidate(wanted[text])

        await each(tuple(wanted), look, shelf.hurry(request))
        alike = {(one.kept.model, len(one.kept.vector)) for one in known.values()}
        return known if len(alike) == 1 else {}

    async def _sent(self, request: EmbedRequest, texts: tuple[str, ...]) -> EmbedResponse:
        same = texts == request.texts
        response = await self._inner.embed(request if same else replace(request, texts=texts))
        if len(response.vectors) != len(texts):
            counts = f"{len(response.vectors)} vectors for {len(texts)} texts"
            raise llm_error("protocol", f"{response.provider}/{response.model} gave {counts}")
        return response

    async def _keep(
        self, request: EmbedRequest, wanted: Mapping[str, CacheKey], fresh: Mapping[str, Vector], sent: EmbedResponse
    ) -> None:
        shelf = self._shelf
        kept = False

        async def put(text: str) -> None:
            nonlocal kept
            kept |= await shelf.keep(wanted[text], vector_bytes(sent.provider, sent.model, fresh[text]))

        await each(tuple(fresh), put, shelf.hurry(request))
        shelf.tally.note("kept" if kept else "refused")

    def _told(self, request: EmbedRequest, gathered: _Gathered, *, shared: bool) -> EmbedResponse:
        vectors = tuple(map(gathered.vector, request.texts))
        sent, levels = gathered.sent, gathered.levels
        if sent is not None and not shared:
            self._shelf.tally.note("misses")
            steps = (Step(LAYER, levels, "partial"), *sent.steps) if gathered.known else sent.steps
            return replace(sent, vectors=vectors, steps=steps)
        self._shelf.tally.note("hits" if sent is None else "shared")
        step = Step(LAYER, levels, "hit") if sent is None else Step(LAYER, "", "shared")
        provider, model = gathered.origin
        usage, cost = NOTHING_SENT
        return EmbedResponse(
            vectors, provider=provider, model=model, usage=usage, cost=cost, steps=(step,), cached=True
        )


@dataclass(frozen=True, slots=True)
class _Known:
    kept: KeptVector
    level: str


class _Gathered:
    """All vectors of a request, shared by all who asked for them."""

    __slots__ = ("fresh", "known", "sent")

    def __init__(
        self, known: Mapping[str, _Known], fresh: Mapping[str, Vector] | None = None, sent: EmbedResponse | None = None
    ) -> None:
        self.known = known
        self.fresh: Mapping[str, Vector] = fresh or {}
        self.sent = sent

    @property
    def levels(self) -> str:
        return "+".join(dict.fromkeys(one.level for one in self.known.values()))

    @property
    def origin(self) -> tuple[str, str]:
        if self.sent is not None:
            return self.sent.provider, self.sent.model
        kept = next(iter(self.known.values())).kept
        return kept.provider, kept.model

    def vector(self, text: str) -> Vector:
        found = self.known.get(text)
        vector = self.fresh[text] if found is None else found.kept.vector
        # Of its own: whoever changes his would change what others were given.
        return vector[:] if isinstance(vector, array) else vector


def _differ(sent: EmbedResponse, known: _Known) -> bool:
    return sent.model != known.kept.model or _sizes(sent.vectors) != {len(known.kept.vector)}


def _sizes(vectors: Sequence[Vector]) -> set[int]:
    return {len(vector) for vector in vectors}

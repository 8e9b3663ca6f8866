"""CachedEmbedder: every text is embedded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from typing_extensions import override

from loomwire.application.embedding.kept_forms import KeptVector, vector_bytes, vector_of
from loomwire.application.embedding.shelf import LAYER, NOTHING_SENT, Shelf, each, in_parts
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.ports.embedding import IEmbedder
from loomwire.domain.reports.steps import Step
from loomwire.domain.values import FrozenDict
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, Vector

OPERATION: Final = "embeddings"
NO_VECTORS: Final[Mapping[str, Vector]] = FrozenDict()


class CachedEmbedder(IEmbedder):
    """Keeps the vector of every text, and sends only texts that it does not know, each once.

    A text is known by the model, the tenant, the purpose, the dimensions and the vendor fields of its request. Equal
    requests at the same time are one. Vectors whose numbers 32 bits cannot hold are given and not kept. When the
    provider reports another model than the one of the vectors that were kept, or another size, all texts of the request
    are sent again: an answer never has vectors of two models. Errors are not kept. What went stale is given as the
    policy says (`swr_s`, `stale_if_error_s`).

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
        wanted: dict[str, CacheKey] = {}
        async for part in in_parts(request.texts):
            wanted.update((text, shelf.key(prefix, text)) for text in part)
        # One key for all orders of the same texts.
        flight = (OPERATION, shelf.namespace, request.cache == "refresh", frozenset(wanted.values()), shelf.purged())
        gathered, shared = await shelf.joined(flight, request, partial(self._gathered, request, wanted))
        vectors: list[Vector] = []
        async for part in in_parts(request.texts):
            vectors.extend(map(gathered.vector, part))
        return self._told(tuple(vectors), gathered, shared=shared)

    @override
    def __repr__(self) -> str:
        return f"Cached > {self._inner!r}"

    async def _gathered(self, request: EmbedRequest, wanted: Mapping[str, CacheKey]) -> _Gathered:
        shelf = self._shelf
        known = {} if request.cache == "refresh" else await self._known(request, wanted, shelf.policy.swr_s)
        fresh = {text: one for text, one in known.items() if one.is_fresh}
        if len(known) == len(wanted):
            if len(fresh) < len(known):
                self._renew(request, {text: wanted[text] for text in known if text not in fresh})
            return _Gathered(known)
        # Something has to be sent, and what is old goes with it.
        try:
            return await self._asked(request, wanted, fresh)
        except LLMError as error:
            if not shelf.stands_in(error):
                raise
            old = await self._known(request, wanted, shelf.policy.stale_if_error_s)
            if len(old) < len(wanted):
                raise
            return _Gathered(old, failed=error)

    async def _asked(
        self, request: EmbedRequest, wanted: Mapping[str, CacheKey], known: Mapping[str, _Known]
    ) -> _Gathered:
        purged = self._shelf.purged()
        missing = tuple(text for text in wanted if text not in known)
        sent = await self._sent(request, missing)
        if known and _differ(sent, next(iter(known.values()))):
            # The alias means another model than it did.
            known, missing, first = {}, tuple(wanted), sent
            again = await self._sent(request, missing)
            steps = (*first.steps, *again.steps)
            sent = replace(again, usage=first.usage + again.usage, cost=first.cost + again.cost, steps=steps)
        fresh = dict(zip(missing, sent.vectors, strict=True))
        await self._keep(request, {wanted[text]: one for text, one in fresh.items()}, sent, purged)
        return _Gathered(known, fresh, sent)

    def _renew(self, request: EmbedRequest, old: Mapping[str, CacheKey]) -> None:
        key = (OPERATION, self._shelf.namespace, "behind", frozenset(old.values()))
        self._shelf.behind(key, request, partial(self._renewed, request, old))

    async def _renewed(self, request: EmbedRequest, old: Mapping[str, CacheKey]) -> None:
        # An equal one may have ended since it was found to be old.
        fresh = await self._known(request, old, 0.0)
        if len(fresh) < len(old):
            await self._asked(request, old, fresh)

    async def _known(self, request: EmbedRequest, wanted: Mapping[str, CacheKey], stale_s: float) -> dict[str, _Known]:
        shelf = self._shelf
        known: dict[str, _Known] = {}

        async def look(text: str) -> None:
            entry = await shelf.found(wanted[text], stale_s)
            if entry is None:
                return
            try:
                known[text] = _Known(vector_of(entry.value), entry.level, entry.is_fresh)
            except ValueError:
                await shelf.store.invalidate(wanted[text])

        await each(tuple(wanted), look, shelf.hurry(request))
        alike = {(one.kept.model, one.kept.dimensions) for one in known.values()}
        return known if len(alike) == 1 else {}

    async def _sent(self, request: EmbedRequest, texts: tuple[str, ...]) -> EmbedResponse:
        same = texts == request.texts
        response = await self._inner.embed(request if same else replace(request, texts=texts))
        if len(response.vectors) != len(texts):
            counts = f"{len(response.vectors)} vectors for {len(texts)} texts"
            raise llm_error("protocol", f"{response.provider}/{response.model} gave {counts}")
        return response

    async def _keep(
        self, request: EmbedRequest, fresh: Mapping[CacheKey, Vector], sent: EmbedResponse, purged: int
    ) -> None:
        shelf = self._shelf
        kept = False

        async def put(key: CacheKey) -> None:
            nonlocal kept
            kept |= await shelf.keep(key, vector_bytes(sent.provider, sent.model, fresh[key]), purged)

        await each(tuple(fresh), put, shelf.hurry(request))
        shelf.tally.note("kept" if kept else "refused")

    def _told(self, vectors: tuple[Vector, ...], gathered: _Gathered, *, shared: bool) -> EmbedResponse:
        sent, levels = gathered.sent, gathered.levels
        if sent is not None and not shared:
            self._shelf.tally.note("misses")
            steps = (Step(LAYER, levels, "partial"), *sent.steps) if gathered.known else sent.steps
            return replace(sent, vectors=vectors, steps=steps)
        if sent is not None:
            self._shelf.tally.note("shared")
            steps = (Step(LAYER, "", "shared"),)
        else:
            self._shelf.tally.note("stale" if gathered.is_stale else "hits")
            steps = gathered.steps
        provider, model = gathered.origin
        usage, cost = NOTHING_SENT
        return EmbedResponse(vectors, provider=provider, model=model, usage=usage, cost=cost, steps=steps, cached=True)


@dataclass(frozen=True, slots=True)
class _Known:
    kept: KeptVector
    level: str
    is_fresh: bool


class _Gathered:
    """All vectors of a request, shared by all who asked for them."""

    __slots__ = ("fresh", "is_stale", "known", "sent", "steps")

    def __init__(
        self,
        known: Mapping[str, _Known],
        fresh: Mapping[str, Vector] = NO_VECTORS,
        sent: EmbedResponse | None = None,
        failed: LLMError | None = None,
    ) -> None:
        self.known = known
        self.fresh = fresh
        self.sent = sent
        self.is_stale = not all(one.is_fresh for one in known.values())
        step = Step(LAYER, self.levels, "stale" if self.is_stale else "hit", failed.reason if failed else "")
        self.steps = (step, *failed.steps) if failed else (step,)

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
        # Of its own: whoever changes his would change what others were given.
        if found is not None:
            return found.kept.vector()
        return copy(self.fresh[text])


def _differ(sent: EmbedResponse, known: _Known) -> bool:
    return sent.model != known.kept.model or _sizes(sent.vectors) != {known.kept.dimensions}


def _sizes(vectors: Sequence[Vector]) -> set[int]:
    return {len(vector) for vector in vectors}

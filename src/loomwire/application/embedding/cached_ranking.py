"""CachedReranker: the same documents are ranked for the same query once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from typing_extensions import override

from loomwire.application.embedding.kept_forms import KeptRanking, ranking_bytes, ranking_of
from loomwire.application.embedding.shelf import LAYER, NOTHING_SENT, Shelf
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.errors import LLMError
from loomwire.domain.ports.embedding import IReranker
from loomwire.domain.reports.steps import Step
from loomwire.domain.vectors.embeddings import RerankRequest, RerankResponse

OPERATION: Final = "rerank"


class CachedReranker(IReranker):
    """Keeps every ranking as a whole: one document more or less is another ranking.

    A ranking is known by the model, the tenant, the query, the documents in their order, how many are wanted, and the
    vendor fields of its request. Equal requests at the same time are one. Errors are not kept. What went stale is given
    as the policy says (`swr_s`, `stale_if_error_s`).

    Safe to share by tasks, threads and event loops. Cancelling one of several who wait for the same does not harm the
    others; the last one's cancels what is sent.

    Args:
        inner: Ranks what is not known.
        shelf: Where rankings are kept, and by which identity of the model.
    """

    __slots__ = ("_inner", "_shelf")

    def __init__(self, inner: IReranker, shelf: Shelf) -> None:
        """Keep what `inner` ranks."""
        self._inner = inner
        self._shelf = shelf

    @override
    async def rerank(self, request: RerankRequest) -> RerankResponse:
        shelf = self._shelf
        prefix = shelf.prefix(OPERATION, request, "documents")
        if prefix is None:
            return await self._inner.rerank(request)
        key = shelf.key(prefix, *request.documents)
        flight = (OPERATION, key, request.cache == "refresh", shelf.purged())
        found, shared = await shelf.joined(flight, request, partial(self._found, request, key))
        if isinstance(found, RerankResponse) and not shared:
            shelf.tally.note("misses")
            return found
        return self._told(found)

    @override
    def __repr__(self) -> str:
        return f"Cached > {self._inner!r}"

    async def _found(self, request: RerankRequest, key: CacheKey) -> _Known | RerankResponse:
        policy = self._shelf.policy
        known = None if request.cache == "refresh" else await self._known(request, key, policy.swr_s)
        if known is not None:
            if known.is_stale:
                self._shelf.behind((OPERATION, key, "behind"), request, partial(self._renewed, request, key))
            return known
        try:
            return await self._asked(request, key)
        except LLMError as error:
            stands_in = self._shelf.stands_in(error)
            old = await self._known(request, key, policy.stale_if_error_s) if stands_in else None
            if old is None:
                raise
            step = replace(old.steps[0], reason=error.reason)
            return replace(old, steps=(step, *error.steps))

    async def _renewed(self, request: RerankRequest, key: CacheKey) -> None:
        # An equal one may have ended since it was found to be old.
        if await self._known(request, key, 0.0) is None:
            await self._asked(request, key)

    async def _asked(self, request: RerankRequest, key: CacheKey) -> RerankResponse:
        shelf = self._shelf
        purged = shelf.purged()
        sent = await self._inner.rerank(request)
        kept = await shelf.keep(key, ranking_bytes(sent) if _fits(sent, request) else None, purged)
        shelf.tally.note("kept" if kept else "refused")
        return sent

    async def _known(self, request: RerankRequest, key: CacheKey, stale_s: float) -> _Known | None:
        entry = await self._shelf.found(key, stale_s)
        if entry is None:
            return None
        try:
            kept = ranking_of(entry.value)
        except ValueError:
            kept = None
        if kept is not None and _fits(kept, request):
            return _Known(kept, (Step(LAYER, entry.level, "hit" if entry.is_fresh else "stale"),))
        await self._shelf.store.invalidate(key)
        return None

    def _told(self, found: _Known | RerankResponse) -> RerankResponse:
        if isinstance(found, _Known):
            self._shelf.tally.note("stale" if found.is_stale else "hits")
            kept: KeptRanking | RerankResponse = found.kept
            steps = found.steps
        else:
            self._shelf.tally.note("shared")
            kept = found
            steps = (Step(LAYER, "", "shared"),)
        usage, cost = NOTHING_SENT
        return RerankResponse(
            kept.results,
            provider=kept.provider,
            model=kept.model,
            usage=usage,
            cost=cost,
            steps=steps,
            cached=True,
        )


@dataclass(frozen=True, slots=True)
class _Known:
    kept: KeptRanking
    steps: tuple[Step, ...]

    @property
    def is_stale(self) -> bool:
        return self.steps[0].outcome == "stale"


def _fits(ranking: KeptRanking | RerankResponse, request: RerankRequest) -> bool:
    places = {rank.index for rank in ranking.results}
    return len(places) == len(ranking.results) == request.wanted and places <= set(range(len(request.documents)))

"""QuestionVectors: embeds questions, and leaves an embedder that fails alone for a while."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Final

from loomwire.domain.errors import LLMTimeoutError
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.embedding import IEmbedder
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.vectors.embeddings import EmbedRequest, Vector

REST_S: Final = 30.0
"""Seconds for which an embedder that failed is asked nothing; then one question tries."""

_SHARE: Final = 0.25
"""How much of the time that a call has left may go into a look at what others asked."""

_PATIENCE_S: Final = 0.25
"""Seconds after which an embedder is taken for down even though a call had no more time for it."""

_LOGGER = logging.getLogger("loomwire.cache")


class QuestionVectors:
    """Embeds one question at a time. Safe for threads and event loops.

    Args:
        name: The client's, for the log.
        embedder: Builds the embedder; called on a thread when the first question comes.
        warm: Called before it on the same thread: imports that take time.
        timeout_s: For embedding one question.
        clock: The time.
    """

    def __init__(
        self,
        name: str,
        embedder: Callable[[], IEmbedder],
        warm: Callable[[], object],
        *,
        timeout_s: float,
        clock: IClock,
    ) -> None:
        """Build nothing yet."""
        self._name = name
        self._build = embedder
        self._warm = warm
        self._timeout_s = timeout_s
        self._clock = clock
        self._embedder: IEmbedder | None = None
        self._failed_at: float | None = None
        self._rests_until = 0.0

    async def vector(self, question: str, request: LLMRequest) -> Vector | None:
        """Return a question's vector; None when there is none in time, or the embedder rests. Never raises.

        Args:
            question: The text.
            request: Whose question it is: a quarter of the time it has left is taken at most, and its tenant stands in
                the books.
        """
        now = self._clock.now()
        left_s = math.inf if request.bound is None else _SHARE * (request.bound.at - now)
        at = now + min(left_s, self._timeout_s)
        if at <= now or (self._failed_at is not None and now < self._rests_until):
            return None
        # While it fails, one question at a time is enough to learn that it is back.
        self._rests_until = now + REST_S
        try:
            vector = await self._embedded(question, request, at)
        except Exception as error:  # noqa: BLE001  # whatever a host's embedder raises, the call goes on without it
            # A call that is short of time says little about an embedder, unless it waited for long enough.
            is_short = left_s < self._timeout_s and isinstance(error, TimeoutError | LLMTimeoutError)
            if not is_short or self._clock.now() - now >= _PATIENCE_S:
                self._fails(error)
            return None
        self._works(now)
        return vector

    async def _embedded(self, question: str, request: LLMRequest, at: float) -> Vector:
        async with self._clock.timeout_at(at):
            embedder = self._embedder
            if embedder is None:
                embedder = await asyncio.to_thread(self._made)
            asks = EmbedRequest((question,), tenant=request.tenant, session=request.session, bound=Bound(at))
            (vector,) = (await embedder.embed(asks)).vectors
            return vector

    def _made(self) -> IEmbedder:
        self._warm()
        # Two threads may both build one; either serves.
        self._embedder = embedder = self._build()
        return embedder

    def _fails(self, error: Exception) -> None:
        if self._failed_at is None:
            # The type only: an embedder's words may quote the question.
            _LOGGER.warning(
                "semantic cache of %s: questions cannot be embedded (%s); calls go on without it, next try in %g s",
                self._name,
                type(error).__name__,
                REST_S,
            )
        self._failed_at = self._clock.now()

    def _works(self, began: float) -> None:
        # What began before the failure says nothing about now.
        if self._failed_at is not None and began > self._failed_at:
            _LOGGER.info("semantic cache of %s: questions are embedded again", self._name)
            self._failed_at = None

"""Ranks as Voyage words them (TRAPS 57)."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from loomwire.domain.values import FrozenDict, JSONObject
from loomwire.infrastructure.providers.rerank.relevance import RelevanceRanks


@final
class VoyageRerank(RelevanceRanks):
    """Speaks Voyage's ranks. A document that is too long is an error, where Voyage would silently cut it."""

    __slots__ = ()

    top: ClassVar[str] = "top_k"
    always: ClassVar[JSONObject] = FrozenDict({"truncation": False})
    answered: ClassVar[Literal["data", "results"]] = "data"

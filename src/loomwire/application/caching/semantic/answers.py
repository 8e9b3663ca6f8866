"""SemanticAnswers: finds the kept answer of a question that means the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from loomwire.application.caching.keys import target_identity
from loomwire.application.caching.semantic.gate import Difference, difference
from loomwire.application.caching.semantic.memories import SimilarMemories
from loomwire.application.caching.semantic.memory import Asked, Found, SimilarMemory
from loomwire.application.caching.semantic.questions import question_of, without_question
from loomwire.application.caching.semantic.reading import read
from loomwire.application.caching.semantic.vectors import QuestionVectors
from loomwire.application.caching.terms import Likeness, SimilarAnswers
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.caching.policies import SemanticPolicy
from loomwire.domain.config import ClientConfig
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.embedding import IEmbedder
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse

KeyMaker = Callable[[LLMRequest], CacheKey | None]

LIMIT: Final = 8
"""Questions that are looked at closely; nearer ones that the gate refuses must not hide the one that passes."""

ON_LOOP: Final = 1_000_000
"""Numbers that are searched where the call runs: 0.1 to 0.3 ms. More go to a thread, which costs as much again."""


@dataclass(frozen=True, slots=True)
class SemanticTerms:
    """What a semantic cache works with.

    Attributes:
        policy: How near is near enough, and whether anybody is answered so.
        keys: Makes the keys of requests; also of what stands around a question.
        memory: What was asked before.
        vectors: Embeds questions.
    """

    policy: SemanticPolicy
    keys: KeyMaker
    memory: SimilarMemory
    vectors: QuestionVectors


class SemanticAnswers(SimilarAnswers):
    """Answers of questions that mean the same. Safe to share by tasks, threads and event loops.

    Two questions mean the same when everything around them is equal (tenant, system prompt, conversation, tools, shape
    of the answer, parameters, vendor fields, targets), their vectors are as near as the policy asks, and the second
    gate finds no word that could carry meaning in one of them alone. A question is embedded once: for looking, and the
    vector is held until its answer is kept. What goes wrong is a miss.
    """

    def __init__(self, terms: SemanticTerms) -> None:
        """Find by these terms."""
        self._terms = terms
        self._tally = terms.memory.tally

    @override
    async def find(self, request: LLMRequest, key: CacheKey) -> Likeness | None:
        self._terms.memory.take(key)
        asked = await self._asked(request)
        if asked is None:
            return None
        # Held even for a hit: its answer may be gone.
        self._terms.memory.hold(key, asked)
        found = self._passed(asked, await self._near(asked))
        if found is None:
            return None
        self._tally.note("passed")
        return Likeness(found.key, min(1.0, found.similarity), self._terms.policy.shadow)

    @override
    async def remember(self, request: LLMRequest, key: CacheKey) -> None:
        memory = self._terms.memory
        asked = memory.take(key) or await self._asked(request)
        if asked is None:
            return
        try:
            # The newest answer stands for all that mean the same: older ones may be gone.
            for found in await self._near(asked):
                if found.key != key and difference(read(asked.question), read(found.question)) is None:
                    memory.forget(found.key)
            if self._is_small(asked):
                memory.add(asked, key)
            else:
                await asyncio.to_thread(memory.add, asked, key)
        except (ValueError, ImportError):
            self._tally.note("failures")

    @override
    def judge(self, likeness: Likeness, would_be: LLMResponse[str] | None, response: LLMResponse[str]) -> None:
        if would_be is None:
            self._tally.note("gone")
            self._terms.memory.forget(likeness.key)
            return
        self._tally.note("agreed" if _said(would_be) == _said(response) else "differed")

    async def _asked(self, request: LLMRequest) -> Asked | None:
        question = question_of(request)
        context = None if question is None else self._terms.keys(without_question(request))
        if question is None or context is None:
            return None
        self._tally.note("questions")
        vector = await self._terms.vectors.vector(question, request)
        if vector is None:
            self._tally.note("failures")
            return None
        return Asked(context, question, vector)

    async def _near(self, asked: Asked) -> Sequence[Found]:
        memory = self._terms.memory
        try:
            if self._is_small(asked):
                found = memory.search(asked, LIMIT)
            else:
                found = await asyncio.to_thread(memory.search, asked, LIMIT)
        except ValueError:
            return ()
        return [one for one in found if one.similarity >= self._terms.policy.threshold]

    def _is_small(self, asked: Asked) -> bool:
        return self._terms.memory.size(asked.context, len(asked.vector)) <= ON_LOOP

    def _passed(self, asked: Asked, near: Sequence[Found]) -> Found | None:
        if not near:
            return None
        self._tally.note("near")
        reading = read(asked.question)
        told: list[Difference] = []
        for one in near:
            apart = difference(reading, read(one.question))
            if apart is None:
                return one
            told.append(apart)
        self._tally.turn_away(told[0])
        return None


def _said(response: LLMResponse[str]) -> tuple[str, Sequence[object]]:
    calls = [(call.name, call.arguments) for call in response.tool_calls]
    return " ".join(response.text.split()).casefold(), calls


def semantic_answers(
    config: ClientConfig,
    *,
    keys: KeyMaker,
    memories: SimilarMemories,
    embedder: Callable[[], IEmbedder],
    clock: IClock,
) -> SemanticAnswers | None:
    """Return what finds similar answers for a client; None when it has no semantic cache. Opens no connection.

    Args:
        config: The client.
        keys: Makes the keys of its requests.
        memories: What clients remember.
        embedder: Builds the embedder of `config.embedder`; called on a thread when the first question comes.
        clock: The time.

    Raises:
        ConfigError: The package behind the index is not installed.
    """
    policy = config.cache.semantic
    if policy is None or config.embedder is None or config.cache.mode == "off":
        return None
    model = target_identity(config.embedder)
    if model is None:
        return None
    memory = memories.memory(config.name, policy.index, model, policy.entries)
    vectors = QuestionVectors(config.name, embedder, memory.warm, timeout_s=policy.timeout_s, clock=clock)
    return SemanticAnswers(SemanticTerms(policy, keys, memory, vectors))

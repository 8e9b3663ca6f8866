"""Cuts the texts of one call into batches of the vendor's size and puts the vectors together again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

from typing_extensions import override

from loomwire.application.embedding.layers import Asking
from loomwire.domain.errors import LoomError, llm_error
from loomwire.domain.ports.embedding import BatchPolicy
from loomwire.domain.pricing import Charge, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.values import JSON, FrozenDict
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse


class Batched:
    """Sends batches, a few at once, and returns all vectors in the order of the texts.

    The first failure that its attempts and keys did not heal ends the call: the batches under way are cancelled and
    none begins any more. The error says in `steps` what became of each batch that ended, and in `metadata["batches"]`
    how many were answered and what these used. Usage and cost of an answer are the sums.

    Args:
        inner: Embeds one batch.
        policy: The sizes.
        target: provider/model, for the error of one that changes the size of its vectors.
    """

    __slots__ = ("_inner", "_policy", "_target")

    def __init__(self, inner: Asking[EmbedRequest, EmbedResponse], policy: BatchPolicy, target: str) -> None:
        """Cut what is for `inner`."""
        self._inner = inner
        self._policy = policy
        self._target = target

    async def __call__(self, request: EmbedRequest) -> EmbedResponse:
        """Embed all texts."""
        batches = list(cut(request.texts, self._policy))
        if len(batches) == 1:
            return await self._inner(request)
        run = _Run(self._inner, request, batches)
        answers = await run.answers(self._policy.at_once)
        joined = _joined(answers)
        if len({len(vector) for vector in joined.vectors}) > 1:
            raise llm_error("protocol", f"{self._target} gives vectors of several sizes")
        return joined

    @override
    def __repr__(self) -> str:
        return f"Batched({self._policy.texts} x {self._policy.at_once}) > {self._inner!r}"


def cut(texts: Sequence[str], policy: BatchPolicy) -> Iterator[tuple[str, ...]]:
    """Yield the texts in order, as many together as the policy allows and at least one."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) >= policy.texts or size + len(text) > policy.characters):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    yield tuple(batch)


class _Run:
    """The batches of one call while they are being sent."""

    def __init__(
        self, inner: Asking[EmbedRequest, EmbedResponse], request: EmbedRequest, batches: Sequence[tuple[str, ...]]
    ) -> None:
        self._inner = inner
        self._request = request
        self._batches = batches
        self._next = iter(range(len(batches)))
        self._answers: dict[int, EmbedResponse] = {}
        self._errors: dict[int, Exception] = {}

    async def answers(self, at_once: int) -> list[EmbedResponse]:
        workers = [asyncio.create_task(self._work()) for _ in range(min(at_once, len(self._batches)))]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for worker in workers:
                worker.cancel()
            # Their connections are back before the call ends.
            await asyncio.wait(workers)
        for worker in workers:
            # Looked at, because an exception that nobody looks at is logged; `_errors` has it.
            _ = worker.cancelled() or worker.exception()
        if self._errors:
            raise self._told(next(iter(self._errors.values())))
        if len(self._answers) < len(self._batches):
            # Whoever ended a batch by a cancellation of its own would have ended the call, had it been one batch.
            raise asyncio.CancelledError
        return [self._answers[place] for place in range(len(self._batches))]

    async def _work(self) -> None:
        for place in self._next:
            try:
                self._answers[place] = await self._inner(replace(self._request, texts=self._batches[place]))
            except Exception as error:
                self._errors[place] = error
                raise

    def _told(self, first: Exception) -> Exception:
        if not isinstance(first, LoomError):
            return first
        steps: list[Step] = []
        for place in range(len(self._batches)):
            known = self._answers.get(place) or self._errors.get(place)
            steps += known.steps if isinstance(known, EmbedResponse | LoomError) else ()
        first.steps = tuple(steps)
        told: dict[str, JSON] = {"of": len(self._batches), "answered": len(self._answers), "failed": len(self._errors)}
        if self._answers:
            told["usage"] = _joined(list(self._answers.values())).usage.to_dict()
        first.metadata = FrozenDict({**first.metadata, "batches": told})
        return first


def _joined(answers: Sequence[EmbedResponse]) -> EmbedResponse:
    usage: Usage = answers[0].usage
    cost: Charge = answers[0].cost
    for answer in answers[1:]:
        usage, cost = usage + answer.usage, cost + answer.cost
    return replace(
        answers[0],
        vectors=tuple(vector for answer in answers for vector in answer.vectors),
        usage=usage,
        cost=cost,
        rate_limits=answers[-1].rate_limits,
        steps=tuple(step for answer in answers for step in answer.steps),
    )

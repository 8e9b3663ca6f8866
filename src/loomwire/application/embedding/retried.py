"""Retried: the library's retry for calls that are no conversation."""

from __future__ import annotations

from typing import Generic, TypeVar

from typing_extensions import override

from loomwire.application.embedding.layers import Asking, Terms
from loomwire.application.resilience.course import Course, Retries
from loomwire.domain.errors import LoomError
from loomwire.domain.vectors.embeddings import CallResult

Q = TypeVar("Q", bound=Terms)
A = TypeVar("A", bound=CallResult)


class Retried(Generic[Q, A]):
    """Sends the same again to the same target after failures whose disposition allows it.

    What `RetryingClient` is for conversations, on the same terms and from the same budget of the provider: how often,
    how long to wait and what is told are decided in one place, `Course`. Each batch of a call has its own attempts.

    Args:
        inner: The layer below.
        retries: The terms.
    """

    __slots__ = ("_inner", "_retries")

    def __init__(self, inner: Asking[Q, A], retries: Retries) -> None:
        """Retry the sends of `inner`."""
        self._inner = inner
        self._retries = retries

    async def __call__(self, request: Q) -> A:
        """Ask, as often as it takes."""
        retries = self._retries
        retries.check_time(request.bound)
        course: Course[Q] | None = None
        while True:
            try:
                answer = await self._inner(request if course is None else course.request)
            except LoomError as error:
                course = course or Course(retries, request)
                wait_s = course.failed(error)
                if wait_s is None:
                    raise
            else:
                if course is not None:
                    return course.told(answer)
                retries.first_sent()
                return answer
            # Outside the handler, or the next failure would carry this one, and its frames, as its context.
            await course.rest(wait_s)

    @override
    def __repr__(self) -> str:
        return f"Retried({self._retries.policy.attempts}) > {self._inner!r}"

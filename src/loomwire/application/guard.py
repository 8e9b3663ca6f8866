"""What a guard is: something that surrounds any operation once and judges how it ended."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, TypeAlias

from loomwire.domain.errors import LoomError
from loomwire.domain.pricing import Charge, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.responses import RateLimits

OperationName: TypeAlias = Literal["chat", "embeddings", "rerank", "count_tokens"]
"""What is done; OpenTelemetry's word where it has one."""


class Operation:
    """What a guard may know of the operation it surrounds. A plain slotted class: one is made per guarded call."""

    __slots__ = ("name", "session", "streamed", "tags", "tenant")

    def __init__(
        self,
        *,
        streamed: bool,
        tenant: str | None,
        session: str | None,
        tags: frozenset[str],
        name: OperationName = "chat",
    ) -> None:
        """Take over the facts of a request."""
        self.name: OperationName = name
        self.streamed = streamed
        self.tenant = tenant
        self.session = session
        self.tags = tags


class Outcome(Protocol):
    """Told how the operation ended. Without a call of `answered` or `failed` it was cancelled or abandoned."""

    __slots__ = ()

    @property
    @abstractmethod
    def step(self) -> Step | None:
        """What the guard notes on the answer or the error; None for nothing."""

    def began(self) -> None:  # most guards need not know
        """The operation is a stream, and its first event came."""
        return

    def heard(self, limits: RateLimits) -> None:  # noqa: ARG002  # most guards need not know
        """The provider said with its answer what is left of its rate limits."""
        return

    def stood_in(self, reason: str) -> None:  # noqa: ARG002  # only a whole call can be answered so
        """Something stood in for the answer, because of the reason of an error; it counts as no answer of anybody."""
        return

    @abstractmethod
    def answered(self, usage: Usage, cost: Charge, model: str) -> None:
        """The operation gave an answer."""

    @abstractmethod
    def failed(self, error: LoomError) -> None:
        """The operation failed."""


class Guard(Protocol):
    """Surrounds chat calls, embeddings, upserts alike."""

    __slots__ = ()

    @abstractmethod
    def around(self, operation: Operation) -> AbstractAsyncContextManager[Outcome]:
        """Return a context for one run of the operation. It never suppresses what leaves the body."""

"""What a guard that counts tokens may know of a call to a model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Final

from typing_extensions import override

from loomwire.application.guard import Operation, OperationName
from loomwire.domain.estimates.tokens import input_tokens
from loomwire.domain.requests import Bound, LLMRequest

HIGH: Final = 0
NORMAL: Final = 1
LOW: Final = 2

_URGENCIES = {"speed": HIGH, "cost": LOW}


class Measured(Operation):
    """An operation of which a guard may know how large it is, how urgent, and when it must be over."""

    __slots__ = ()

    @property
    @abstractmethod
    def input_tokens(self) -> int:
        """The estimated input."""

    @property
    @abstractmethod
    def max_tokens(self) -> int | None:
        """The longest answer that the request allows, in tokens; None when it does not say."""

    @property
    @abstractmethod
    def bound(self) -> Bound | None:
        """The instant at which the call or the attempt ends."""

    @property
    def urgency(self) -> int:
        """HIGH, NORMAL or LOW."""
        return NORMAL


class SizedOperation(Measured):
    """An operation that is no conversation: nothing is generated, and whoever makes it knows how to measure it.

    Args:
        name: What is done.
        tenant: On whose behalf.
        session: Which conversation.
        tags: Free words.
        bound: The instant at which the call or the attempt ends.
        size: Returns the estimated input in tokens; asked only by who counts tokens.
    """

    __slots__ = ("_bound", "_size")

    def __init__(
        self,
        *,
        name: OperationName,
        tenant: str | None,
        session: str | None,
        tags: frozenset[str],
        bound: Bound | None,
        size: Callable[[], int],
    ) -> None:
        """Take over the facts of a request; nothing is measured yet."""
        super().__init__(streamed=False, tenant=tenant, session=session, tags=tags, name=name)
        self._bound = bound
        self._size = size

    @property
    @override
    def input_tokens(self) -> int:
        return self._size()

    @property
    @override
    def max_tokens(self) -> int:
        return 0

    @property
    @override
    def bound(self) -> Bound | None:
        return self._bound


class MeasuredOperation(Measured):
    """An operation that is a request to a model: how large it is, how urgent, and when it must be over.

    Args:
        request: What is asked.
        streamed: As a stream.
    """

    __slots__ = ("_input_tokens", "request")

    def __init__(self, request: LLMRequest, *, streamed: bool) -> None:
        """Take over the facts of a request; nothing is measured yet."""
        super().__init__(streamed=streamed, tenant=request.tenant, session=request.session, tags=request.tags)
        self.request = request
        self._input_tokens: int | None = None

    @property
    @override
    def input_tokens(self) -> int:
        """The estimated input, measured when it is asked for the first time."""
        if self._input_tokens is None:
            self._input_tokens = input_tokens(self.request)
        return self._input_tokens

    @property
    @override
    def max_tokens(self) -> int | None:
        return self.request.parameters.max_tokens

    @property
    @override
    def bound(self) -> Bound | None:
        return self.request.bound

    @property
    @override
    def urgency(self) -> int:
        """HIGH when the caller prefers speed, LOW when it prefers a low cost, else NORMAL."""
        return _URGENCIES.get(self.request.priority, NORMAL)

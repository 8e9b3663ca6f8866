"""What a guard that counts tokens may know of a call to a model."""

from __future__ import annotations

from typing import Final

from loomwire.application.guard import Operation
from loomwire.domain.estimates.tokens import input_tokens
from loomwire.domain.requests import Bound, LLMRequest

HIGH: Final = 0
NORMAL: Final = 1
LOW: Final = 2

_URGENCIES = {"speed": HIGH, "cost": LOW}


class MeasuredOperation(Operation):
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
    def input_tokens(self) -> int:
        """The estimated input, measured when it is asked for the first time."""
        if self._input_tokens is None:
            self._input_tokens = input_tokens(self.request)
        return self._input_tokens

    @property
    def max_tokens(self) -> int | None:
        """The longest answer that the request allows, in tokens; None when it does not say."""
        return self.request.parameters.max_tokens

    @property
    def bound(self) -> Bound | None:
        """The instant at which the call or the attempt ends."""
        return self.request.bound

    @property
    def urgency(self) -> int:
        """HIGH when the caller prefers speed, LOW when it prefers a low cost, else NORMAL."""
        return _URGENCIES.get(self.request.priority, NORMAL)

"""InstructedClient: gives every conversation the client's own instructions."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from typing_extensions import override

from loomwire.domain.messages import Message
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


class InstructedClient(ILLMClient):
    """Puts `system` before conversations that have no system message; others keep their own.

    Args:
        inner: The client below.
        system: The instructions.
    """

    __slots__ = ("_inner", "_system")

    def __init__(self, inner: ILLMClient, system: str) -> None:
        """Instruct every request of `inner`."""
        self._inner = inner
        self._system = Message.system(system)

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        return await self._inner.generate(instructed(request, self._system))

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return self._inner.stream(instructed(request, self._system))

    @override
    def __repr__(self) -> str:
        return f"Instructed > {self._inner!r}"


def instructed(request: LLMRequest, system: Message) -> LLMRequest:
    """Return a request with `system` before its conversation, unless that has instructions of its own."""
    if any(message.role == "system" for message in request.messages):
        return request
    return replace(request, messages=(system, *request.messages))

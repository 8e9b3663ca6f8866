"""AdmittedClient: no call begins while the process is short of memory."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager

from typing_extensions import override

from loomwire.application.memory.gate import MemoryGate
from loomwire.application.streaming import Streaming
from loomwire.domain.errors import LLMError
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


class AdmittedClient(ILLMClient):
    """Refuses calls that the memory gate does not let through, before anything else is done for them.

    What is in flight goes on. The gate is asked when the call or the stream is made; a refusal (`memory`, retry after
    1 s) is raised where the call is awaited, or the stream entered. A call that is admitted is the one of `inner`: it
    costs no coroutine more.

    Args:
        inner: The client below.
        gate: What the memory manager sets.
    """

    __slots__ = ("_gate", "_inner")

    def __init__(self, inner: ILLMClient, gate: MemoryGate) -> None:
        """Admit calls to `inner`."""
        self._inner = inner
        self._gate = gate

    @override
    def generate(  # pyright: ignore[reportIncompatibleMethodOverride]  # no coroutine of its own: it returns that of inner
        self, request: LLMRequest
    ) -> Coroutine[object, None, LLMResponse[str]]:
        refusal = self._gate.refusal(request.priority)
        return self._inner.generate(request) if refusal is None else _refused(refusal)

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        if self._gate.refusal(request.priority) is None:
            return self._inner.stream(request)
        return _AdmittedStreaming(self._inner, self._gate, request)

    @override
    def __repr__(self) -> str:
        return f"Admitted > {self._inner!r}"


async def _refused(error: LLMError) -> LLMResponse[str]:
    raise error


class _AdmittedStreaming(Streaming):
    """Asks the gate once more when it is entered, and refuses there."""

    __slots__ = ("_client", "_gate", "_request")

    def __init__(self, client: ILLMClient, gate: MemoryGate, request: LLMRequest) -> None:
        super().__init__()
        self._client = client
        self._gate = gate
        self._request = request

    @override
    async def opened(self) -> LLMStream:
        refusal = self._gate.refusal(self._request.priority)
        if refusal is not None:
            raise refusal
        return await self.enter(self._client.stream(self._request))

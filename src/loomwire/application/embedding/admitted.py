"""Admitted: whether calls that are no conversation may begin while memory is short."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from typing_extensions import override

from loomwire.application.embedding.layers import Asking, Terms
from loomwire.application.memory.gate import MemoryGate
from loomwire.domain.requests import LLMRequest, Priority
from loomwire.domain.vectors.embeddings import CallResult

USUAL: Final[Priority] = "balanced"

Q = TypeVar("Q", bound=Terms)
A = TypeVar("A", bound=CallResult)


class Admitted(Generic[Q, A]):
    """Refuses calls while the process is short of memory, before anything is done for them.

    Embedding and ranking have no priority of their own and are refused as late as usual calls are.

    Args:
        inner: The layer below.
        gate: Says whether they may begin.
    """

    __slots__ = ("_gate", "_inner")

    def __init__(self, inner: Asking[Q, A], gate: MemoryGate) -> None:
        """Admit calls to `inner`."""
        self._inner = inner
        self._gate = gate

    async def __call__(self, request: Q) -> A:
        """Ask, or raise the gate's refusal."""
        refusal = self._gate.refusal(request.priority if isinstance(request, LLMRequest) else USUAL)
        if refusal is not None:
            raise refusal
        return await self._inner(request)

    @override
    def __repr__(self) -> str:
        return f"Admitted > {self._inner!r}"

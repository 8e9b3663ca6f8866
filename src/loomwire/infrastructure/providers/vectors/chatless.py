"""The client of a vendor that has no chat: whoever asks it anything is told so."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import NoReturn, final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


@final
class ChatlessClient(ILLMClient):
    """Refuses every conversation; embedder and reranker of the same name are what the vendor has.

    Args:
        config: The target.
        clock: Not needed.
    """

    __slots__ = ("_config",)

    def __init__(self, config: LLMConfig, clock: IClock) -> None:  # noqa: ARG002  # built as every offline client
        """Keep the names."""
        self._config = config

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        self._refuse()

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        self._refuse()

    def _refuse(self) -> NoReturn:
        config = self._config
        raise CapabilityError(
            f"type {config.type} has no chat",
            provider=config.name,
            model=config.model,
            hint="Ask its embedder (`container.embedder(name)`) or reranker, or use a model that chats.",
        )

    @override
    def __repr__(self) -> str:
        return f"Chatless({self._config.target})"

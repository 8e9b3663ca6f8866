"""The token counter of every model behind a network."""

from __future__ import annotations

from typing import final

from typing_extensions import override

from loomwire.domain.counting.counts import TokenCount
from loomwire.domain.errors import LoomError
from loomwire.domain.ports.counting import ITokenCounter
from loomwire.domain.pricing import Usage
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.providers.wire.exchange.asking import Noted, WireAsking, charge
from loomwire.infrastructure.providers.wire.words import conceal_prompt


@final
class WireCounter(WireAsking[LLMRequest, int, TokenCount], ITokenCounter):
    """Has one model's provider count; arguments and errors are those of `WireAsking`."""

    __slots__ = ()

    @override
    async def count(self, request: LLMRequest) -> TokenCount:
        return await self.asked(request)

    @override
    def answer(self, request: LLMRequest, read: int, head: Noted) -> TokenCount:
        cost = charge(self.config, Usage(read))
        return TokenCount(input_tokens=read, input_cost=cost, **self.origin(head, None))

    @override
    def conceal(self, error: LoomError, request: LLMRequest) -> None:
        conceal_prompt(error, request)

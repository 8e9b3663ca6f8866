"""What hosts hold of a client's token counter: a name that always means the one in force, and its blocking twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from loomwire.application.embedding.first_use import FurtherChains
from loomwire.application.handles.handle import BlockingTwin, PartHandle
from loomwire.domain.ports.counting import ITokenCounter
from loomwire.domain.requests import LLMRequest, refuse_no_request

if TYPE_CHECKING:
    from loomwire.domain.counting.counts import TokenCount


class CounterHandle(PartHandle[ITokenCounter], ITokenCounter):
    """The token counter of a client, whichever is in force. Cheap, shareable, never stale; pickles as its client."""

    __slots__ = ()

    word: ClassVar[str] = "TokenCounter"

    @override
    def part(self, chains: FurtherChains) -> ITokenCounter:
        return chains.counter()

    @override
    async def count(self, request: LLMRequest) -> TokenCount:
        refuse_no_request(request, "count")
        with self.leased() as counter:
            return await counter.count(request)


class SyncTokenCounter(BlockingTwin[ITokenCounter]):
    """The blocking twin of a token counter. Safe to share by threads; never call it inside a running event loop."""

    def count(self, request: LLMRequest) -> TokenCount:
        """Return how many tokens a request takes; raises what the async counter raises.

        Raises:
            LLMValidationError: reason sync_in_loop, inside a running event loop.
        """
        return self.thread.run(self.inner.count(request), "use `await counter.count(...)`")

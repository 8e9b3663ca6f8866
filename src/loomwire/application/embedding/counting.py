"""The one module that orders the chain of a token counter."""

from __future__ import annotations

from functools import partial

from typing_extensions import override

from loomwire.application.clients.fitted import Fitting
from loomwire.application.clients.instructed import instructed
from loomwire.application.embedding.chains import one_call, rotated
from loomwire.application.embedding.layers import Asking, Named, Prepared
from loomwire.application.pipeline import Parts
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.counting.counts import TokenCount
from loomwire.domain.messages import Message
from loomwire.domain.ports.counting import ITokenCounter
from loomwire.domain.requests import LLMRequest


class CounterChain(ITokenCounter):
    """A token counter with its layers around it."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Asking[LLMRequest, TokenCount]) -> None:
        """Ask `ask`."""
        self._ask = ask

    @override
    async def count(self, request: LLMRequest) -> TokenCount:
        return await self._ask(request)

    @override
    def __repr__(self) -> str:
        return repr(self._ask)


def build_counter(config: ClientConfig, parts: Parts) -> ITokenCounter:
    """Compose the chain of a client's token counter, innermost first. Opens no connection.

    Raises:
        CapabilityError: The provider type cannot count over the target's dialect.
        ConfigError: The target cannot be built; see `ILLMClientFactory.counter`.
    """

    def leaf_of(one: LLMConfig) -> Named[LLMRequest, TokenCount]:
        leaf = parts.factory.counter(one)
        return Named(leaf.count, leaf)

    target = config.targets[0]
    # The first and no other, also where the chat falls back: another model's tokens are other tokens. Providers
    # limit counting apart from generating.
    chain: Asking[LLMRequest, TokenCount] = rotated(config, parts, leaf_of, "count_tokens")
    # From here on as in the pipeline of the client: what is counted is what would be sent.
    # But for the warning, of which the client says the only one.
    chain = Prepared(chain, Fitting(target, warns=False).fitted, f"Fitted({target.target})")
    if target.capabilities.supports_tools is False and target.emulate_tools:
        chain = Prepared(chain, partial(_emulated, config=target), "Emulated")
    if config.system is not None:
        chain = Prepared(chain, partial(instructed, system=Message.system(config.system)), "Instructed")
    return CounterChain(one_call(config, parts, chain, "count_tokens"))


def _emulated(request: LLMRequest, config: LLMConfig) -> LLMRequest:
    # What describes tools takes 20 ms to make, and few models have none.
    from loomwire.application.emulation.plan import Plan

    plan = Plan.of(request, config)
    return request if plan is None else plan.request

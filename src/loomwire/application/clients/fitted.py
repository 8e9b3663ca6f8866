"""FittedClient: makes a request fit one target, or says what does not."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from typing_extensions import override

from loomwire.application.streaming import Streaming
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LoomError
from loomwire.domain.messages import Message, Text
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.requests import NO_PARAMETERS, LLMRequest
from loomwire.domain.responses import LLMResponse

_LOGGER = logging.getLogger("loomwire.capabilities")

# One for all: a set of its own for each of a thousand targets is work for every garbage collection.
_NOTHING: frozenset[str] = frozenset()


class FittedClient(ILLMClient):
    """Fills in the target's parameters and refuses what the target is known not to do, before anything is sent.

    A target that knows no system messages gets their text at the head of the first user message. What nobody knows
    the target to do is allowed, and a warning is logged once per ability; with `strict_capabilities` it is refused.

    Args:
        inner: The client below.
        config: The target.
    """

    __slots__ = ("_config", "_fitting", "_inner")

    def __init__(self, inner: ILLMClient, config: LLMConfig) -> None:
        """Fit every request of `inner` to the target."""
        self._inner = inner
        self._config = config
        self._fitting = Fitting(config)

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        try:
            return await self._inner.generate(self._fitting.fitted(request))
        except LoomError as error:
            error.located(self._config.name, self._config.model)
            raise

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return _FittedStreaming(self._fitting, self._config, self._inner, request)

    @override
    def __repr__(self) -> str:
        return f"Fitted({self._config.target}) > {self._inner!r}"


class Fitting:
    """Makes requests fit one target.

    Args:
        config: The target.
        warns: What nobody knows the target to do is told to the log, once.
    """

    __slots__ = ("_config", "_parameters", "_warned", "_warns")

    def __init__(self, config: LLMConfig, *, warns: bool = True) -> None:
        """Fit to the target."""
        self._config = config
        self._parameters = None if config.parameters == NO_PARAMETERS else config.parameters
        self._warns = warns
        # What was said to the log and not how calls went, so a new chain may say it again.
        self._warned = _NOTHING

    def fitted(self, request: LLMRequest, *, streamed: bool = False) -> LLMRequest:
        """Return the request as the target should get it.

        Raises:
            CapabilityError: The target is known not to do what the request needs, or, where that is strict, nobody
                knows.
        """
        config = self._config
        if self._parameters is not None:
            merged = request.parameters.over(self._parameters)
            if merged is not request.parameters:
                request = request.with_parameters(merged)
        unmet = config.capabilities.unmet(request, streamed=streamed)
        if unmet is not None:
            raise CapabilityError(
                f"{config.target} cannot do what the request needs: {unmet}",
                provider=config.name,
                model=config.model,
                hint=f"Use another model, or correct `capabilities` of {config.target} in the configuration"
                + (", or let its tools be emulated (`emulate_tools: true`)." if unmet == "tools" else "."),
            )
        if request.tools or request.output is not None or config.capabilities.supports_vision is None:
            self._be_sure(request)
        if config.capabilities.supports_system_message is False:
            request = replace(request, messages=_without_system(request.messages))
        return request

    def _be_sure(self, request: LLMRequest) -> None:
        config = self._config
        unsure = config.capabilities.unsure(request)
        if not unsure:
            return
        if config.catalogue.strict:
            raise CapabilityError(
                f"nobody knows whether {config.target} can do what the request needs: {unsure[0]}",
                provider=config.name,
                model=config.model,
                hint=f"Say so at `capabilities` of {config.target}, ask the provider with `loomwire models probe`, or "
                "set `strict_capabilities: false`.",
            )
        if self._warns and config.base_url is not None and not self._warned.issuperset(unsure):
            self._warned |= frozenset(unsure)
            _LOGGER.warning("nobody knows whether %s can do %s; it is asked all the same", config.target, unsure[0])


class _FittedStreaming(Streaming):
    """Fits the request when it is entered."""

    __slots__ = ("_config", "_fitting", "_inner", "_request")

    def __init__(self, fitting: Fitting, config: LLMConfig, inner: ILLMClient, request: LLMRequest) -> None:
        super().__init__()
        self._fitting = fitting
        self._config = config
        self._inner = inner
        self._request = request

    @override
    async def opened(self) -> LLMStream:
        try:
            return await self.enter(self._inner.stream(self._fitting.fitted(self._request, streamed=True)))
        except LoomError as error:
            error.located(self._config.name, self._config.model)
            raise


def _without_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    told = "\n\n".join(message.text for message in messages if message.role == "system")
    if not told:
        return messages
    rest = [message for message in messages if message.role != "system"]
    first = next((i for i, message in enumerate(rest) if message.role == "user"), None)
    if first is None:
        return (Message.user(told), *rest)
    rest[first] = replace(rest[first], parts=(Text(told + "\n\n"), *rest[first].parts))
    return tuple(rest)

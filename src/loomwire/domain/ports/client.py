"""The port every caller uses: a client that answers, whole or as a stream."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMError
from loomwire.domain.events import StreamEvent
from loomwire.domain.ports.counting import ITokenCounter
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


class LLMStream(Protocol):
    """A stream that is being read. One reader at a time; it lives inside its `async with` block."""

    __slots__ = ()

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        """Deliver events as they come; the last is `Finished`, or an `LLMError` is raised.

        Where the request asks for it (`resume="restart"`), a broken stream begins anew instead: after a
        `StreamRestarted` event everything delivered before it is void.

        Raises:
            StreamInterruptedError: The stream broke after something was delivered; it carries the partial answer.
        """

    @property
    @abstractmethod
    def response(self) -> LLMResponse[str]:
        """The whole answer, once `Finished` was delivered: after a restart the new one, with the usage of all.

        Raises:
            StreamInterruptedError: The stream has not finished; it carries what was delivered so far.
        """

    @property
    def error(self) -> LLMError | None:
        """The error that ended the stream, or None; the layers judge by it, so a client of yours should set it."""
        return None

    @property
    def finished(self) -> bool:
        """Whether the whole answer was delivered, so that `response` can be read."""
        try:
            _ = self.response
        except LLMError:
            return False
        return True


class ILLMClient(Protocol):
    """Asks a model. Safe to share by tasks, threads and event loops; call it from any of them.

    Cancellation is never swallowed: after it, connections and permits are back.
    """

    __slots__ = ()

    @abstractmethod
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        """Return the whole answer.

        Args:
            request: What to ask. It is never changed.

        Returns:
            The answer; `finish` says why it ended. An answer cut by the token limit is an answer, not an error.

        Raises:
            LLMError: Anything that kept the answer from coming; `disposition`, `reason` and `hint` say what to do.
        """

    @abstractmethod
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        """Return a context manager whose entering sends the request and waits for the first meaningful event.

        Entering is the commit point: before it any layer may send again, after it nobody may, unless the request says
        `resume="restart"`. Leaving early closes
        the connection, so the provider stops generating.

        Args:
            request: What to ask. It is never changed.

        Raises:
            LLMError: On entering, or while reading.
        """


class ILLMClientFactory(Protocol):
    """Builds a client for one model; the owner's `LLMFactory`. Safe to call from any thread."""

    @abstractmethod
    def create(self, config: LLMConfig) -> ILLMClient:
        """Return a client for the model; opens no connection.

        Raises:
            UnknownNameError: The provider type or the dialect does not exist; the message lists what does.
            ConfigError: A base URL, key or option is missing or not allowed.
        """

    def resolved(self, config: LLMConfig) -> LLMConfig:
        """Return the configuration with its gaps filled by what the provider type knows; as it is, unless overridden.

        Raises:
            ConfigError: As `create`.
        """
        return config

    def counter(self, config: LLMConfig) -> ITokenCounter:
        """Return what counts tokens for the model; opens no connection.

        Raises:
            CapabilityError: The provider type cannot count over the target's dialect; the message lists those that
                can. A factory that does not override this has none.
            ConfigError: As `create`.
        """
        raise CapabilityError(
            f"{type(self).__name__} builds nothing that counts tokens",
            provider=config.name,
            model=config.model,
            hint="Override `counter` of the factory.",
        )

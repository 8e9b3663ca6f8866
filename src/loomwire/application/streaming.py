"""The shared half of every layer's stream context: whoever entered an inner stream leaves it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from typing_extensions import override

from loomwire.domain.errors import LLMError, LLMValidationError
from loomwire.domain.events import StreamEvent
from loomwire.domain.ports.client import LLMStream
from loomwire.domain.responses import LLMResponse


class Streaming(AbstractAsyncContextManager[LLMStream]):
    """A context that opens an inner stream on entering and leaves it on leaving.

    Hand-written, because `@asynccontextmanager` costs a third more. Nothing happens before it is entered, so that a
    refusal is raised where the layers above look for it.
    """

    __slots__ = ("_entered",)

    def __init__(self) -> None:
        """Start not entered."""
        self._entered: AbstractAsyncContextManager[LLMStream] | None = None

    @abstractmethod
    async def opened(self) -> LLMStream:
        """Open the inner stream with `enter` and return what the caller reads."""

    async def enter(self, inner: AbstractAsyncContextManager[LLMStream]) -> LLMStream:
        """Enter the inner stream and remember to leave it."""
        stream = await inner.__aenter__()
        self._entered = inner
        return stream

    @override
    async def __aenter__(self) -> LLMStream:
        if self._entered is not None:
            raise LLMValidationError(
                "a stream is entered once; it is open already", hint="Call client.stream(...) again for another one."
            )
        return await self.opened()

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entered, self._entered = self._entered, None
        if entered is not None:
            await entered.__aexit__(kind, error, trace)


class WrappedStream(LLMStream):
    """A stream that is the inner one in everything; wrappers override what they change. Iterating costs nothing."""

    __slots__ = ("inner",)

    def __init__(self, inner: LLMStream) -> None:
        """Stand for `inner`."""
        self.inner = inner

    @override
    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self.inner.__aiter__()

    @property
    @override
    def response(self) -> LLMResponse[str]:
        return self.inner.response

    @property
    @override
    def error(self) -> LLMError | None:
        return self.inner.error

    @property
    @override
    def finished(self) -> bool:
        return self.inner.finished

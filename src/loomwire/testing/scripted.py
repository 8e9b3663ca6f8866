"""A client without a model: it says what the test tells it to say and remembers what it was asked."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TypeAlias, final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError
from loomwire.domain.events import StreamEvent
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.infrastructure.providers.offline.play import ReplyStream, played
from loomwire.infrastructure.providers.offline.reply import Reply
from loomwire.infrastructure.telemetry.clock import SystemClock

Said: TypeAlias = str | Reply | LLMResponse[str] | BaseException
"""A text, a described reply, a whole answer that is given as it is, or an error that is raised."""

Scripted: TypeAlias = Said | Callable[[LLMRequest], "Said | Awaitable[Said]"]
"""What a `ScriptedClient` can be told to say; a callable, async or not, is asked with the request."""


@final
class ScriptedClient(ILLMClient):
    """Says the given replies in order, one per call, whole or streamed, and records the requests.

    A call takes its reply when it begins, a stream when it is entered. An `LLMError` is raised as a fresh copy each
    time, other errors as they are. Safe from any thread and loop.

    Args:
        *replies: What to say, see `Scripted`.
        name: The provider's name in answers and errors.
        model: The model's name there.
        then: What to say when the replies are used up; None fails the test with an AssertionError, which no layer
            takes for a failure of the provider.
        clock: For delays and bounds; real time unless given.

    Example:
        >>> import asyncio
        >>> from loomwire.domain.errors import LLMRateLimitError
        >>> client = ScriptedClient("Hello.", LLMRateLimitError("slow down", retry_after=2.0))
        >>> asyncio.run(client.generate(LLMRequest.of("Hi"))).text
        'Hello.'
        >>> client.requests[0].messages[0].text
        'Hi'
    """

    def __init__(
        self,
        *replies: Scripted,
        name: str = "scripted",
        model: str = "scripted",
        then: Scripted | None = None,
        clock: IClock | None = None,
    ) -> None:
        """Line up the replies."""
        self._config = LLMConfig(type="scripted", model=model, name=name)
        self._clock: IClock = SystemClock() if clock is None else clock
        self._then = then
        self._lock = threading.Lock()
        self._replies = deque(replies)
        self._requests: list[LLMRequest] = []
        self._open: set[_ScriptedStream] = set()

    @override
    def __repr__(self) -> str:
        return f"ScriptedClient({self._config.target})"

    @property
    def requests(self) -> tuple[LLMRequest, ...]:
        """Every request so far, in the order of the calls."""
        return tuple(self._requests)

    @property
    def remaining(self) -> int:
        """How many replies have not been said."""
        return len(self._replies)

    @property
    def open_streams(self) -> int:
        """How many streams were entered and not left; 0 when every layer cleans up behind itself."""
        return len(self._open)

    def add(self, *replies: Scripted) -> None:
        """Line up further replies."""
        with self._lock:
            self._replies.extend(replies)

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        said = await self._said(request)
        if isinstance(said, LLMResponse):
            return said
        return await played(said, request, self._config, self._clock)

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return _ScriptedStream(self._said, request, self._config, self._clock, self._open)

    async def _said(self, request: LLMRequest) -> Reply | LLMResponse[str]:
        with self._lock:
            self._requests.append(request)
            scripted = self._replies.popleft() if self._replies else self._then
        if scripted is None:
            raise AssertionError(f"{self!r} has no reply left for call {len(self._requests)}")
        said = scripted(request) if callable(scripted) else scripted
        if isinstance(said, Awaitable):
            said = await said
        if isinstance(said, LLMError):
            # Layers note their steps on an error, so one object raised twice would tell both stories.
            raise copy.copy(said).located(self._config.name, self._config.model)
        if isinstance(said, BaseException):
            raise said
        return Reply(said) if isinstance(said, str) else said


@final
class _ScriptedStream(AbstractAsyncContextManager[LLMStream]):
    __slots__ = ("_clock", "_config", "_inner", "_open", "_request", "_say")

    def __init__(
        self,
        say: Callable[[LLMRequest], Awaitable[Reply | LLMResponse[str]]],
        request: LLMRequest,
        config: LLMConfig,
        clock: IClock,
        open_streams: set[_ScriptedStream],
    ) -> None:
        self._say = say
        self._request = request
        self._config = config
        self._clock = clock
        self._open = open_streams
        self._inner: ReplyStream | None = None

    @override
    async def __aenter__(self) -> LLMStream:
        said = await self._say(self._request)
        reply = _reply_like(said) if isinstance(said, LLMResponse) else said
        self._inner = ReplyStream(lambda _: reply, self._request, self._config, self._clock)
        stream = await self._inner.__aenter__()
        self._open.add(self)
        return _Retold(stream, said) if isinstance(said, LLMResponse) else stream

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._open.discard(self)
        if self._inner is not None:
            await self._inner.__aexit__(kind, error, trace)


@final
class _Retold(LLMStream):
    """A stream that ends in the very answer the test gave."""

    __slots__ = ("_answer", "_stream")

    def __init__(self, stream: LLMStream, answer: LLMResponse[str]) -> None:
        self._stream = stream
        self._answer = answer

    @override
    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self._stream.__aiter__()

    @property
    @override
    def response(self) -> LLMResponse[str]:
        _ = self._stream.response  # raises while the stream has not ended
        return self._answer


def _reply_like(answer: LLMResponse[str]) -> Reply:
    thought = "".join(item.text for item in answer.reasoning)
    return Reply(answer.text, answer.tool_calls, thought, answer.finish, answer.usage)

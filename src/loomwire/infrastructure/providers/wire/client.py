"""The client of every model behind a network: a dialect writes and reads, a connection pool carries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from types import TracebackType

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, LLMError, LoomError, Phase, llm_error
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import IConnectionPool, WireAnswer, WireRequest
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.dialect import Dialect
from loomwire.infrastructure.providers.wire.errors import request_id
from loomwire.infrastructure.providers.wire.json_bytes import LARGE
from loomwire.infrastructure.providers.wire.rates import rate_limits
from loomwire.infrastructure.providers.wire.stream import WireStream
from loomwire.infrastructure.providers.wire.words import conceal_prompt, label

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_THEIRS = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)
_JSON = "application/json"
# No digits, so that no key that a server echoes here is shown.
_MEDIA = re.compile(r"(?:application|audio|image|multipart|text|video)/[a-z.+-]{1,40}")
_NO_CONTENT = frozenset({204, 205})

ERROR_BODY_S = 2.0
"""Seconds at most for the body of an error, whose status alone says enough."""


class HiddenHeaders(tuple[tuple[str, str], ...]):
    """Request headers that a traceback with locals cannot show: the key is among them."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return f"HiddenHeaders({len(self)} headers)"


def request_headers(config: LLMConfig, dialect: Dialect, auth: str, accept: str) -> HiddenHeaders:
    """Return the headers of a target's requests; those of the configuration replace ours of the same name.

    Args:
        config: The target; its first key is used.
        dialect: Adds its own.
        auth: bearer, none, or the name of the header that carries the key.
        accept: The content type that is asked for.

    Raises:
        ConfigError: A header's name or value is not allowed. The value is not part of the error.
    """
    headers = {"content-type": _JSON, "accept": accept, "user-agent": "loomwire", **dialect.headers(config)}
    if config.keys and auth == "bearer":
        headers["authorization"] = f"Bearer {config.keys[0].reveal()}"
    elif config.keys and auth != "none":
        headers[auth] = config.keys[0].reveal()
    for name, value in config.headers.items():
        if not _TOKEN.fullmatch(name) or name.lower() in _NOT_THEIRS:
            raise _bad_header(config, f"the header {name[:40]!r} cannot be set")
        if not value.isprintable():
            raise _bad_header(config, f"the value of the header {name} has a control character")
        headers[name.lower()] = value
    return HiddenHeaders(headers.items())


class WireClient(ILLMClient):
    """Asks one model over the network. Everything that does not depend on the request is prepared when it is built.

    Retries, deadlines and first-token limits belong to the layers above; `request.bound` is passed to the transport.
    A server that answers a request for a stream with one JSON body is accepted: its whole answer is checked and comes
    as one burst of events. Any other content type is a protocol error, so that a proxy's page is never an answer.

    Args:
        config: The target, with a base URL.
        dialect: Writes and reads.
        pool: Carries.
        clock: For the short wait after a stream's end.
        auth: How the key is sent: bearer, none, or the name of a header.
        endpoint: What errors call the place; scheme, host and port.

    Attributes:
        config: The target.

    Raises:
        ConfigError: There is no base URL, or a header is not allowed.
    """

    __slots__ = ("_base_url", "_clock", "_dialect", "_endpoint", "_plain", "_policy", "_pool", "_streaming", "config")

    def __init__(
        self,
        config: LLMConfig,
        dialect: Dialect,
        pool: IConnectionPool,
        clock: IClock,
        auth: str = "bearer",
        endpoint: str | None = None,
    ) -> None:
        """Prepare headers, path and policy; opens no connection."""
        if config.base_url is None:
            raise ConfigError(f"{config.target} has no base_url", reason="missing_key", provider=config.name)
        self.config = config
        self._dialect = dialect
        self._pool = pool
        self._clock = clock
        self._endpoint = endpoint
        self._base_url = config.base_url
        self._policy = config.transport
        self._plain = (dialect.path(config, stream=False), request_headers(config, dialect, auth, _JSON))
        self._streaming = (
            dialect.path(config, stream=True),
            request_headers(config, dialect, auth, dialect.stream_types[0]),
        )

    @override
    def __repr__(self) -> str:
        replay = "" if self.config.replay is None else ", replay"
        return f"{type(self._dialect).__name__}({self.config.target}{replay})"

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        answer = Answer(self.config)
        body = b""
        try:
            body = await self._fetched(request, answer)
            self._dialect.decode(body, answer)
            self.check_bound(request, len(body))
        except LoomError as error:
            body = b""
            self.locate(error, request, answer, "body")
            # The frames below hold the body, which may echo the key.
            raise error.with_traceback(None) from None
        return answer.result()

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return _Streaming(self, request)

    async def opened(self, request: LLMRequest, answer: Answer) -> WireStream:
        """Send a request and return its stream, whose first event has come. Whoever gets it closes it.

        Raises:
            LLMError: The provider refused, or answered with something that is no stream.
        """
        wire_request = self._written(request, stream=True)
        lease = await self._pool.acquire(self._base_url, self._policy, request.bound)
        release = partial(self._pool.release, lease)
        try:
            exchange = await lease.send(wire_request)
        except BaseException:
            release()
            raise
        tell = partial(self.locate, request=request, answer=answer, phase="stream_after_token")
        stream = WireStream(exchange, answer, self._dialect, self._clock, release, tell)
        try:
            await self._begun(stream, exchange, answer, request)
        except BaseException:
            stream.close()
            raise
        return stream

    def check_bound(self, request: LLMRequest, size: int) -> None:
        """Raise what the request's bound stands for, if reading a body of `size` bytes took until after it."""
        bound = request.bound
        if size > LARGE and bound is not None and self._clock.now() > bound.at:
            raise llm_error(bound.reason, "the answer came, but reading it took too long")

    def locate(self, error: LoomError, request: LLMRequest, answer: Answer, phase: Phase) -> None:
        """Tell an error where it happened, as far as it does not know, and take the prompt out of its words."""
        conceal_prompt(error, request)
        error.located(self.config.name, self.config.model)
        error.endpoint = error.endpoint or self._endpoint
        error.request_id = error.request_id or answer.request_id
        error.phase = error.phase or phase

    async def _begun(self, stream: WireStream, exchange: WireAnswer, answer: Answer, request: LLMRequest) -> None:
        media = await self._checked(exchange, answer, request.bound)
        types = self._dialect.stream_types
        if media not in types and _is_json(media):
            self.check_bound(request, await stream.begin_whole())
        else:
            _expect(types, media)
            await stream.begin()

    def _written(self, request: LLMRequest, *, stream: bool) -> WireRequest:
        body = self._dialect.encode(request, self.config, stream=stream)
        cap = self.config.limits.request
        if len(body) > cap:
            raise llm_error("request_too_large", f"the request has {len(body)} bytes, more than {cap} (limits.request)")
        path, headers = self._streaming if stream else self._plain
        idle_s = self.config.timeouts.idle_s if stream else None
        asked = WireRequest(path, headers, body, idle_s, request.bound)
        return self._dialect.signed(asked, self._base_url, self.config)

    async def _fetched(self, request: LLMRequest, answer: Answer) -> bytes:
        wire_request = self._written(request, stream=False)
        lease = await self._pool.acquire(self._base_url, self._policy, request.bound)
        try:
            exchange = await lease.send(wire_request)
            try:
                media = await self._checked(exchange, answer, request.bound)
                if not _is_json(media):
                    _expect((_JSON,), media)
                return await exchange.read()
            finally:
                exchange.close()
        finally:
            self._pool.release(lease)

    async def _checked(self, exchange: WireAnswer, answer: Answer, bound: Bound | None) -> str:
        """Return the content type of a good answer, or raise what a bad status stands for."""
        status, headers = exchange.status, exchange.headers
        id_ = request_id(headers)
        answer.request_id = label(id_, self.config) if id_ else None
        answer.rate_limits = rate_limits(headers)
        if status in _NO_CONTENT:
            raise llm_error("protocol", f"the answer has no content (status {status})", status=status, phase="headers")
        if 200 <= status < 300:
            return headers.get("content-type", "").partition(";")[0].strip().lower()
        if 300 <= status < 400:
            raise llm_error("redirect", f"the server redirects (status {status})", status=status, phase="headers")
        raise await self._refusal(exchange, bound)

    async def _refusal(self, exchange: WireAnswer, bound: Bound | None) -> LLMError:
        """Return the error of a bad status; its body, which may echo the key, is in no frame of the traceback."""
        now = self._clock.now()
        # Half of what is left, so that the bound does not end the call before the status has had its say.
        patience = ERROR_BODY_S if bound is None else min(ERROR_BODY_S, (bound.at - now) / 2)
        body = b""
        with suppress(TimeoutError, LLMError):
            async with self._clock.timeout_at(now + patience):
                body = await exchange.read()
        refused = self._dialect.error_for(exchange.status, exchange.headers, body, self.config)
        refused.phase = "headers"
        return refused


class _Streaming(AbstractAsyncContextManager[LLMStream]):
    """Sends on entering; entering waits for the first event that a caller can see."""

    __slots__ = ("_client", "_request", "_stream")

    def __init__(self, client: WireClient, request: LLMRequest) -> None:
        self._client = client
        self._request = request
        self._stream: WireStream | None = None

    @override
    async def __aenter__(self) -> LLMStream:
        client, request = self._client, self._request
        answer = Answer(client.config)
        try:
            self._stream = await client.opened(request, answer)
        except LoomError as error:
            if error.phase == "body":
                error.phase = "stream_before_token"
            client.locate(error, request, answer, "stream_before_token")
            raise error.with_traceback(None) from None
        return self._stream

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Never awaits: under double cancellation an exit that waits loses its connection.
        if self._stream is not None:
            self._stream.close()


def _expect(wanted: Sequence[str], media: str) -> None:
    # Servers that send no content type at all are taken at their word; a proxy's page says text/html.
    if media and media not in wanted:
        shown = media if _MEDIA.fullmatch(media) else "something else"
        raise llm_error("protocol", f"the content type of the answer is {shown}, not {wanted[0]}", phase="headers")


def _is_json(media: str) -> bool:
    return media == _JSON or media.endswith(("+json", "/json"))


def _bad_header(config: LLMConfig, message: str) -> ConfigError:
    return ConfigError(
        f"provider {config.name!r}: {message}",
        reason="out_of_range",
        provider=config.name,
        hint="Correct `headers` of the provider; loomwire and its transport write the others.",
    )

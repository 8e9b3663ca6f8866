"""One request and its one answer: what chat, embeddings and ranks have in common on the wire."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, LLMError, LoomError, llm_error
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import IConnectionPool, WireAnswer, WireRequest
from loomwire.domain.reports.context import Phase
from loomwire.domain.requests import Bound
from loomwire.domain.responses import RateLimits
from loomwire.infrastructure.providers.wire.errors import request_id
from loomwire.infrastructure.providers.wire.exchange.headers import JSON_TYPE
from loomwire.infrastructure.providers.wire.exchange.rates import rate_limits
from loomwire.infrastructure.providers.wire.json_bytes import LARGE
from loomwire.infrastructure.providers.wire.words import label

ERROR_BODY_S = 2.0
"""Seconds at most for the body of an error, whose status alone says enough."""

_NO_CONTENT = frozenset({204, 205})
# No digits, so that no key that a server echoes here is shown.
_MEDIA = re.compile(r"(?:application|audio|image|multipart|text|video)/[a-z.+-]{1,40}")


class HasErrors(Protocol):
    """A dialect, as far as errors go."""

    @abstractmethod
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        """Return the error that a body reports; not raised."""


class Head(Protocol):
    """Takes what the head of an answer says.

    Attributes:
        request_id: The provider's id of the request.
        rate_limits: What the provider said is left of its rate limits.
    """

    request_id: str | None
    rate_limits: RateLimits | None


class Exchanges:
    """Sends requests of one target and judges how they are answered, until the body.

    Args:
        config: The target, with a base URL.
        dialect: Reads errors.
        pool: Carries.
        clock: For the short wait for an error's body.
        endpoint: What errors call the place; scheme, host and port.

    Attributes:
        base_url: What is asked.
        policy: How the place is talked to.

    Raises:
        ConfigError: There is no base URL.
    """

    __slots__ = ("_clock", "_config", "_dialect", "_endpoint", "_pool", "base_url", "policy")

    def __init__(
        self, config: LLMConfig, dialect: HasErrors, pool: IConnectionPool, clock: IClock, endpoint: str | None
    ) -> None:
        """Prepare place and policy; opens no connection."""
        if config.base_url is None:
            raise ConfigError(f"{config.target} has no base_url", reason="missing_key", provider=config.name)
        self._config = config
        self._dialect = dialect
        self._pool = pool
        self._clock = clock
        self._endpoint = endpoint
        self.base_url = config.base_url
        self.policy = config.transport

    async def fetched(self, asked: WireRequest, head: Head) -> bytes:
        """Send a request and return the whole body of its good answer, which is JSON as far as its type says.

        Raises:
            LLMError: The provider refused, answered with something else, or not at all.
        """
        lease = await self._pool.acquire(self.base_url, self.policy, asked.bound)
        try:
            exchange = await lease.send(asked)
            try:
                media = await self.checked(exchange, head, asked.bound)
                if not is_json(media):
                    expect_media((JSON_TYPE,), media)
                return await exchange.read()
            finally:
                exchange.close()
        finally:
            self._pool.release(lease)

    async def checked(self, exchange: WireAnswer, head: Head, bound: Bound | None) -> str:
        """Return the content type of a good answer, or raise what a bad status stands for."""
        status, headers = exchange.status, exchange.headers
        id_ = request_id(headers)
        head.request_id = label(id_, self._config) if id_ else None
        head.rate_limits = rate_limits(headers)
        if status in _NO_CONTENT:
            raise llm_error("protocol", f"the answer has no content (status {status})", status=status, phase="headers")
        if 200 <= status < 300:
            return headers.get("content-type", "").partition(";")[0].strip().lower()
        if 300 <= status < 400:
            raise llm_error("redirect", f"the server redirects (status {status})", status=status, phase="headers")
        raise await self._refusal(exchange, bound)

    def check_size(self, body: bytes) -> bytes:
        """Return a request's body.

        Raises:
            LLMError: It is larger than the configuration allows (request_too_large).
        """
        cap = self._config.limits.request
        if len(body) > cap:
            raise llm_error("request_too_large", f"the request has {len(body)} bytes, more than {cap} (limits.request)")
        return body

    def check_bound(self, bound: Bound | None, size: int) -> None:
        """Raise what a request's bound stands for, if reading a body of `size` bytes took until after it."""
        if size > LARGE and bound is not None and self._clock.now() > bound.at:
            raise llm_error(bound.reason, "the answer came, but reading it took too long")

    def locate(self, error: LoomError, head: Head, phase: Phase) -> None:
        """Tell an error where it happened, as far as it does not know."""
        error.located(self._config.name, self._config.model)
        error.endpoint = error.endpoint or self._endpoint
        error.request_id = error.request_id or head.request_id
        error.phase = error.phase or phase

    async def _refusal(self, exchange: WireAnswer, bound: Bound | None) -> LLMError:
        """Return the error of a bad status; its body, which may echo the key, is in no frame of the traceback."""
        now = self._clock.now()
        # Half of what is left, so that the bound does not end the call before the status has had its say.
        patience = ERROR_BODY_S if bound is None else min(ERROR_BODY_S, (bound.at - now) / 2)
        body = b""
        with suppress(TimeoutError, LLMError):
            async with self._clock.timeout_at(now + patience):
                body = await exchange.read()
        refused = self._dialect.error_for(exchange.status, exchange.headers, body, self._config)
        refused.phase = "headers"
        return refused


def expect_media(wanted: Sequence[str], media: str) -> None:
    """Raise a protocol error unless an answer's content type is wanted, or there is none at all."""
    # Servers that send none are taken at their word; a proxy's page says text/html.
    if media and media not in wanted:
        shown = media if _MEDIA.fullmatch(media) else "something else"
        raise llm_error("protocol", f"the content type of the answer is {shown}, not {wanted[0]}", phase="headers")


def is_json(media: str) -> bool:
    """Tell whether a content type is one of JSON's."""
    return media == JSON_TYPE or media.endswith(("+json", "/json"))

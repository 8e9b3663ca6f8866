"""HealthProber: looks at providers with the key and the limits of a call, and without a call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, final

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, LoomError, llm_error
from loomwire.domain.policies import HealthPolicy
from loomwire.domain.ports.client import ILLMClientFactory
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import IConnectionPool, WireRequest
from loomwire.domain.reports.reach import Reach
from loomwire.domain.requests import Bound, LLMRequest, Parameters
from loomwire.infrastructure.health.looks import Ask, Look, Seen, look_of
from loomwire.infrastructure.providers.operating.lines import Line, line_to
from loomwire.infrastructure.providers.rows.kinds import DialectType, ProviderType
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.providers.wire.exchange.asking import Noted
from loomwire.infrastructure.providers.wire.exchange.unary import Exchanges

_NO_SUCH_PATH: Final = frozenset({404, 405, 501})
_OTHERWISE: Final = frozenset({"model", "invalid_request", "unsupported", "protocol", "unknown"})
_LOADING: Final = 503


@final
class HealthProber:
    """Looks at providers. No failure of a provider is raised, and nothing is counted anywhere.

    Args:
        pool: Carries; what it carries counts in its own statistics like calls.
        clock: Whose instants bounds are.
        factory: Fills in base URLs, and makes the client of a look that costs money.
        providers: The provider types there are.
        dialects: The dialects there are.
    """

    def __init__(
        self,
        pool: IConnectionPool,
        clock: IClock,
        factory: ILLMClientFactory,
        providers: Mapping[str, ProviderType] = PROVIDERS,
        dialects: Mapping[str, DialectType] = DIALECTS,
    ) -> None:
        """Look at nobody yet."""
        self._pool = pool
        self._clock = clock
        self._factory = factory
        self._providers = providers
        self._dialects = dialects

    async def look(self, target: LLMConfig, policy: HealthPolicy = HealthPolicy()) -> Reach:
        """Look at the provider of a target; asks its model for one token only where nothing cheaper exists.

        Args:
            target: One of the provider's models; its first key is used.
            policy: For how long, and whether it may cost money.
        """
        try:
            row = self._providers.get(target.type)
            if row is None or row.in_process or target.replay is not None:
                return Reach()
            if row.client is not None:
                # A client without a network is where its caller is.
                return Reach(answered=None if row.needs_key else True)
            return await self._looked(target, row, policy)
        except LoomError as error:
            return _failed(error, "")

    async def _looked(self, target: LLMConfig, row: ProviderType, policy: HealthPolicy) -> Reach:
        bound = Bound(self._clock.now() + policy.timeout_s, "attempt")
        try:
            async with self._clock.timeout_at(bound.at):
                look = look_of(target.type, target.dialect or row.dialect)
                if look:
                    return await self._listened(await self._line(target, row, bound), look)
                return await self._paid(target, bound) if policy.paid_probe else Reach()
        except TimeoutError:
            return _failed(llm_error("attempt", f"no answer within {policy.timeout_s:g} s (health.timeout)"), "")

    async def _line(self, config: LLMConfig, row: ProviderType, bound: Bound) -> Line:
        # On a thread: the dialect may have to be imported.
        return await asyncio.to_thread(line_to, config, row, bound, self._factory, self._dialects)

    async def _listened(self, line: Line, look: Look) -> Reach:
        first, *others = look
        began = self._clock.now()
        try:
            asked, seen = await self._asked(line, first)
        except LoomError as error:
            return self._refused(line, first, error)
        reach = Reach(answered=True, asked=asked, latency_s=self._clock.now() - began)
        for also in others:
            try:
                _, more = await self._asked(line, also)
            except LoomError:
                continue  # an older server may not know it, and it is there all the same
            seen = seen.with_more(more)
        return replace(reach, models=seen.models, loaded=seen.loaded)

    def _refused(self, line: Line, first: Ask, error: LoomError) -> Reach:
        base_url, path = _place(line.config.base_url or "", first.path)
        asked = _shown(base_url, path)
        if error.status in _NO_SUCH_PATH:
            return Reach(answered=True, asked=asked)
        # A llama.cpp server says so while it loads.
        loads = line.config.type == "llamacpp" and error.status == _LOADING
        return replace(_failed(error, asked), loaded=() if loads else None)

    async def _asked(self, line: Line, ask: Ask) -> tuple[str, Seen]:
        base_url, path = _place(line.config.base_url or "", ask.path)
        request = WireRequest(path, line.headers, b"", None, line.bound, "GET")
        signed = line.dialect.signed(request, base_url, line.config)
        there = replace(line.config, base_url=base_url)
        try:
            body = await Exchanges(there, line.dialect, self._pool, self._clock, None).fetched(signed, Noted())
            return _shown(base_url, path), ask.read(body)
        except LoomError as error:
            if ask.otherwise is None or error.reason not in _OTHERWISE:
                raise
        return await self._asked(line, ask.otherwise)

    async def _paid(self, target: LLMConfig, bound: Bound) -> Reach:
        began = self._clock.now()
        client = await asyncio.to_thread(self._factory.create, target)
        request = replace(LLMRequest.of("Hi"), parameters=Parameters(max_tokens=1), bound=bound)
        asked = f"one token of {target.model}"
        try:
            await client.generate(request)
        except LoomError as error:
            return _failed(error, asked)
        return Reach(answered=True, asked=asked, latency_s=self._clock.now() - began)


def _failed(error: LoomError, asked: str) -> Reach:
    # A wrong configuration is no sign that the provider is not there.
    answered = None if isinstance(error, ConfigError) else False
    return Reach(answered=answered, asked=asked, code=error.code, message=error.message)


def _place(base_url: str, path: str) -> tuple[str, str]:
    below = path.removeprefix("{origin}")
    if below == path:
        return base_url, path
    return base_url.removesuffix("/v1").removesuffix("/v2"), below


def _shown(base_url: str, path: str) -> str:
    own = base_url.partition("://")[2].partition("/")
    return f"GET {own[1]}{own[2]}{path.partition('?')[0]}"

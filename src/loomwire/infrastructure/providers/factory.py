"""Builds clients from the provider table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, final

from typing_extensions import override

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, LLMValidationError
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.models import IModelRegistry
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.domain.pricing import Prices
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.local.refusals import refused, unknown
from loomwire.infrastructure.local.server import LocalServers
from loomwire.infrastructure.providers.known import Merging, known
from loomwire.infrastructure.providers.placing import Endpoints, chatless, check_key, checked_place, placed
from loomwire.infrastructure.providers.rows.kinds import Also, DialectType, ProviderType
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.providers.wire.dialect import Dialect
from loomwire.infrastructure.recordings.pools import Replays

if TYPE_CHECKING:
    from loomwire.domain.ports.counting import ITokenCounter
    from loomwire.infrastructure.local.engine import Engine
    from loomwire.infrastructure.providers.counting.dialect import CountDialect

_ClientMaker: TypeAlias = Callable[[LLMConfig, IClock], ILLMClient]


@final
class ClientFactory(ILLMClientFactory):
    """Builds a client for one model. Dialects, and the network with them, are imported when one needs them first.

    Args:
        pool: Shared by all networked clients.
        clock: The time.
        providers: The rows; further ones may be added by the host.
        servers: Model servers in this process; shared by all clients of the factory. Whoever made them closes them.
        dialects: The dialects that rows and configurations may name.
        models: Fills in what configurations leave open; None knows no model.
    """

    __slots__ = (
        "_clock",
        "_dialects",
        "_endpoints",
        "_merging",
        "_models",
        "_pool",
        "_providers",
        "_replays",
        "_servers",
    )

    def __init__(
        self,
        pool: IConnectionPool,
        clock: IClock,
        providers: Mapping[str, ProviderType] = PROVIDERS,
        servers: LocalServers | None = None,
        dialects: Mapping[str, DialectType] = DIALECTS,
        models: IModelRegistry | None = None,
    ) -> None:
        """Build nothing yet."""
        self._dialects = dialects
        self._models = models
        self._merging = Merging()
        self._endpoints = Endpoints()
        self._servers = servers or LocalServers()
        self._replays = Replays(clock)
        self._pool = pool
        self._clock = clock
        self._providers = providers

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        row = self._row(config)
        target = self.resolved(config)
        if row.client is not None:
            return _client_maker(row.client)(target, self._clock)
        spoken = speech(config, row, self._dialects)
        dialect = dialect_of(spoken, self._dialects)
        if _is_served(config, row):
            return self._served(target, dialect)
        endpoint, pool = self._carried(target, self._replays.pool)
        from loomwire.infrastructure.providers.wire.client import WireClient

        return WireClient(target, dialect, pool, self._clock, spoken.auth or row.auth, endpoint)

    @override
    def counter(self, config: LLMConfig) -> ITokenCounter:
        from loomwire.infrastructure.providers.counted import counts_of, uncounted

        row = self._row(config)
        if row.client is not None:
            raise uncounted(config, row)
        target = self.resolved(config)
        spoken = speech(config, row, self._dialects)
        counts = counts_of(config, row, spoken.dialect)
        from loomwire.infrastructure.providers.counting.client import WireCounter
        from loomwire.infrastructure.providers.counting.dialect import CountDialect

        dialect = CountDialect(dialect_of(spoken, self._dialects), counts)
        if _is_served(config, row):
            return self._served_counter(target, dialect)
        endpoint, pool = self._carried(target, self._replays.deferred)
        return WireCounter(target, dialect, pool, self._clock, spoken.auth or row.auth, endpoint)

    @override
    def resolved(self, config: LLMConfig) -> LLMConfig:
        row = self._row(config)
        if row.client is not None:
            if row.needs_key:
                check_key(config, row, chatless(row))
            capabilities, prices = known(config, row, None, self._merging)
            return _filled(config, config, capabilities, prices, free=config.free or row.free)
        spoken = speech(config, row, self._dialects)
        check_key(config, row, spoken)
        found = config if _is_served(config, row) else placed(config, row, spoken)
        if found.pool.keepalive and not row.keepalive:
            found = replace(found, pool=replace(found.pool, keepalive=0))
        capabilities, prices = known(found, row, self._models, self._merging)
        return _filled(config, found, capabilities, prices, free=config.free or row.free)

    def problems(self, config: LLMConfig) -> Iterator[ConfigError]:
        """Yield everything that keeps a target from being built or asked, without building it; opens no connection.

        Of our own targets without a network nothing is imported and nothing is wrong: their options have checks of
        their own. The client of another package is imported, as a dialect of it is.

        Args:
            config: A target, as `create` takes it.

        Yields:
            Errors, not raised. Their `metadata` says where in the provider's block: `key` is the way to what is
            wrong, `needs` are keys of which none is there.
        """
        try:
            row = self._row(config)
        except ConfigError as error:
            yield error
            return
        if row.client is not None:
            if row.needs_key:
                yield from _caught(partial(check_key, config, row, chatless(row)))
                yield from self._place_problems(config, row, chatless(row))
            if config.type not in PROVIDERS:
                yield from _caught(partial(_client_maker, row.client))
            return
        try:
            spoken = speech(config, row, self._dialects)
            dialect = dialect_of(spoken, self._dialects)
        except ConfigError as error:
            yield from self._place_problems(config, row, chatless(row))
            yield error
            return
        yield from _caught(partial(check_key, config, row, spoken))
        misplaced = list(self._place_problems(config, row, spoken))
        yield from misplaced or _caught(partial(dialect.headers, config))
        yield from _added_problems(config, dialect, spoken)

    def _served(self, config: LLMConfig, dialect: Dialect) -> ILLMClient:
        from loomwire.infrastructure.local.settings import local_problems, local_settings

        for found in local_problems(config):
            raise found
        importlib.import_module("loomwire.infrastructure.transport.pool")
        from loomwire.infrastructure.providers.local import LocalClient
        from loomwire.infrastructure.providers.wire.client import WireClient

        def wired(engine: Engine) -> ILLMClient:
            """Return the client of a server that runs."""
            own = _on(engine, config)
            return WireClient(own, dialect, self._pool, self._clock, endpoint=engine.base_url.removesuffix("/v1"))

        return LocalClient(config, self._servers.lease(local_settings(config)), self._clock, wired)

    def _served_counter(self, config: LLMConfig, dialect: CountDialect) -> ITokenCounter:
        importlib.import_module("loomwire.infrastructure.transport.pool")
        from loomwire.infrastructure.local.settings import local_settings
        from loomwire.infrastructure.providers.counting.client import WireCounter
        from loomwire.infrastructure.providers.vectors.local import LocalCounter, Served

        def wired(engine: Engine) -> ITokenCounter:
            """Return the counter of a server that runs."""
            own = _on(engine, config)
            return WireCounter(own, dialect, self._pool, self._clock, endpoint=engine.base_url.removesuffix("/v1"))

        # The server that the client asks, too.
        return LocalCounter(Served(config, self._servers.lease(local_settings(config)), self._clock, wired))

    def _carried(
        self, config: LLMConfig, replays: Callable[[str, str], IConnectionPool]
    ) -> tuple[str, IConnectionPool]:
        endpoint = checked_place(config, self._endpoints)
        pool = self._pool if config.replay is None else replays(config.replay, config.recorded)
        # At build time, on no event loop: the first call would otherwise stop the loop for the import of aiohttp.
        importlib.import_module("loomwire.infrastructure.transport.pool")
        return endpoint, pool

    def _place_problems(self, config: LLMConfig, row: ProviderType, spoken: Also) -> Iterator[ConfigError]:
        if _is_served(config, row):
            from loomwire.infrastructure.local.settings import local_problems

            yield from local_problems(config)
        else:
            yield from _caught(lambda: checked_place(placed(config, row, spoken), self._endpoints))

    def _row(self, config: LLMConfig) -> ProviderType:
        row = self._providers.get(config.type)
        if row is None:
            raise unknown(f"provider {config.name!r} has the unknown type", config.type, self._providers, key=("type",))
        return row


def _filled(
    config: LLMConfig, found: LLMConfig, capabilities: ModelCapabilities, prices: Prices | None, *, free: bool
) -> LLMConfig:
    """Return what was found with its gaps filled; the configuration itself when it had none."""
    if found is config and (capabilities, prices, free) == (config.capabilities, config.prices, config.free):
        return config
    return replace(found, capabilities=capabilities, prices=prices, free=free)


def _on(engine: Engine, config: LLMConfig) -> LLMConfig:
    return replace(config, base_url=engine.base_url, keys=(engine.key,), allow_private=True)


def _is_served(config: LLMConfig, row: ProviderType) -> bool:
    return row.in_process and config.replay is None


def _caught(check: Callable[[], object]) -> Iterator[ConfigError]:
    try:
        check()
    except ConfigError as error:
        yield error


def _added_problems(config: LLMConfig, dialect: Dialect, spoken: Also) -> Iterator[ConfigError]:
    """Yield what is wrong with headers and fields that are added to what the dialect writes."""
    from loomwire.infrastructure.providers.wire.exchange.headers import request_headers

    # One at a time, because both stop at the first that is wrong.
    for name, value in config.headers.items():
        alone = replace(config, headers={name: value}, keys=())
        for found in _caught(partial(request_headers, alone, dialect, spoken.auth or "bearer", "")):
            says = found.message.removeprefix(f"provider {config.name!r}: ")
            yield refused(config, says, found.hint, found.reason, ("headers", name))
    for field, given in config.extra.items():
        try:
            dialect.encode(LLMRequest.of("x"), replace(config, extra={field: given}), stream=False)
        except LLMValidationError as error:
            yield refused(config, error.message, error.hint, "out_of_range", ("extra", field))


def _client_maker(place: str) -> _ClientMaker:
    module, _, name = place.partition(":")
    try:
        maker: _ClientMaker = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        hint = "Correct or update the package that brings it."
        message = f"the client {place} cannot be imported: {type(error).__name__}"
        key = {"key": ("type",), "needs": ()}
        raise ConfigError(message, reason="out_of_range", hint=hint, metadata=key) from error
    return maker
